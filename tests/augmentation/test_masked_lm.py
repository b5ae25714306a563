"""Copies of texts with words replaced by a masked language model: replaced words, candidates, reproducibility."""

import datasets
import numpy as np
import pytest
import torch

from distil_nlp.augmentation.masked_lm import load_masked_lm, replaced_copies
from distil_nlp.tasks import TextClassification
from tests.tiny import SPECIAL, WORDS, tiny_model, tiny_tokenizer

TEXTS = [" ".join(WORDS), "good film", "bad", "a very boring story"] * 10
VOCABULARY = len(SPECIAL) + len(WORDS)


def model_of(size=VOCABULARY, **settings):
    return tiny_model(**{"task": "mlm", "vocab_size": size, **settings})


def prepared(texts=TEXTS, tokenizer=None, **columns):
    split = datasets.Dataset.from_dict({"text": texts, "label": [0, 1] * (len(texts) // 2), **columns})
    task = TextClassification.from_splits({"train": split})
    return task, task.prepare(split, tokenizer or tiny_tokenizer())


def copies(rows, tokenizer=None, model=None, **settings):
    return replaced_copies(rows, tokenizer or tiny_tokenizer(), model or model_of(), **{"num_copies": 1, **settings})


def test_copies_have_the_columns_and_lengths_of_the_rows_and_differ_in_words_only():
    _, rows = prepared()
    augmented = copies(rows, num_copies=3)
    assert len(augmented) == 3 * len(rows) and augmented.features == rows.features
    special = set(tiny_tokenizer().all_special_ids)
    for before, after in zip([*rows] * 3, augmented, strict=True):
        assert [token in special for token in before["input_ids"]] == [
            token in special for token in after["input_ids"]
        ]
        frame = [place for place, token in enumerate(before["input_ids"]) if token in special]
        assert all(before["input_ids"][place] == after["input_ids"][place] for place in frame)
        assert before["attention_mask"] == after["attention_mask"] and before["length"] == after["length"]


@pytest.mark.parametrize("probability", [0.0, 0.4, 1.0])
def test_words_are_replaced_with_the_given_probability(probability):
    _, rows = prepared([" ".join(WORDS)] * 40)
    before, after = (np.concatenate(part["input_ids"]) for part in (rows, copies(rows, probability=probability)))
    words = ~np.isin(before, tiny_tokenizer().all_special_ids)
    assert np.mean((before != after)[words]) == pytest.approx(probability, abs=0.05 if probability == 0.4 else 0)


@pytest.mark.parametrize("architecture", ["bert", "distilbert", "roberta"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_a_replacement_is_one_of_the_most_probable_words_in_its_place(side, architecture):
    tokenizer, model = tiny_tokenizer(token_type_ids=architecture != "distilbert"), model_of(architecture=architecture)
    tokenizer.padding_side = side
    _, rows = prepared(TEXTS[:4], tokenizer)
    seen = set()
    for seed in range(8):
        for before, after in zip(rows, copies(rows, tokenizer, model, num_candidates=3, seed=seed), strict=True):
            for place, (old, new) in enumerate(zip(before["input_ids"], after["input_ids"], strict=True)):
                if old != new:
                    masked = torch.tensor([before["input_ids"]])
                    masked[0, place] = tokenizer.mask_token_id
                    with torch.no_grad():
                        logits = model(masked).logits[0, place]
                    logits[[*range(len(SPECIAL)), old]] = -torch.inf
                    rank = int((logits > logits[new]).sum())
                    assert rank < 3
                    seen.add(rank)
    assert seen == {0, 1, 2}


def test_copies_depend_on_seed_and_rows_and_not_on_the_batch_size():
    _, rows = prepared()
    once, again, other = (copies(rows, num_copies=2, seed=seed) for seed in (0, 0, 1))
    assert once["input_ids"] == again["input_ids"] != other["input_ids"]
    assert once["input_ids"][: len(rows)] != once["input_ids"][len(rows) :]
    assert copies(rows, num_copies=2, batch_size=5)["input_ids"] == once["input_ids"]


def test_words_of_several_pieces_and_punctuation_are_neither_replaced_nor_replacements():
    tokenizer = tiny_tokenizer(["good", "##ness", "film", ".", "bad", "##ly"])
    ids = {token: number for token, number in tokenizer.get_vocab().items()}
    text = [ids[token] for token in ("[CLS]", "good", "##ness", "film", ".", "bad", "[SEP]")]
    rows = datasets.Dataset.from_dict({"input_ids": [text] * 30, "attention_mask": [[1] * 7] * 30, "length": [7] * 30})
    for after in copies(rows, tokenizer, model_of(len(tokenizer)), probability=1.0)["input_ids"]:
        assert [*after[:3], after[4], after[6]] == [*text[:3], text[4], text[6]]
        assert after[3] in (ids["good"], ids["bad"]) and after[5] in (ids["good"], ids["film"])


def test_the_first_word_of_a_text_is_replaced_although_it_has_no_word_start_mark():
    tokenizer = tiny_tokenizer(["good", "Ġfilm", "s", "Ġbad", "Ġgood", "bad", "Ġplot"])
    ids = tokenizer.get_vocab()
    text = [ids[token] for token in ("[CLS]", "good", "Ġfilm", "s", "Ġbad", "[SEP]")]
    rows = datasets.Dataset.from_dict({"input_ids": [text] * 30, "attention_mask": [[1] * 6] * 30, "length": [6] * 30})
    marked = {ids[token] for token in ids if token.startswith("Ġ")}
    for after in copies(rows, tokenizer, model_of(len(tokenizer)), probability=1.0)["input_ids"]:
        assert after[2:4] == text[2:4] and {after[1], after[4]} <= marked - {text[4]} | {text[4]}
        assert after[1] != text[1] and after[4] != text[4]


def test_copies_of_pairs_keep_their_segments_and_have_no_label():
    task, rows = prepared(text_pair=TEXTS[::-1], texts=TEXTS)
    together = task.with_unlabeled(rows, copies(rows))
    assert set(together["labels"][len(rows) :]) == {-100}
    assert together["token_type_ids"][len(rows) :] == rows["token_type_ids"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_copies": 0}, "got num_copies=0"),
        ({"num_candidates": 0}, "num_candidates=0"),
        ({"probability": 1.5}, "probability=1.5"),
    ],
)
def test_numbers_out_of_range_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        copies(prepared()[1], **settings)


def test_a_tokenizer_without_a_mask_token_is_refused():
    tokenizer = tiny_tokenizer()
    tokenizer.mask_token = None
    with pytest.raises(ValueError, match="has no mask token, so no model can predict"):
        copies(prepared()[1], tokenizer)


def test_a_model_with_another_or_no_tokenizer_or_without_a_head_is_refused(tmp_path):
    model_of().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"tokenizer of the data \(the teacher's, .* it has none"):
        load_masked_lm(tmp_path, tiny_tokenizer())
    tiny_tokenizer(WORDS[::-1]).save_pretrained(tmp_path)
    with pytest.raises(
        ValueError, match="it has a different one of .* tokens, so its predictions would be other words"
    ):
        load_masked_lm(tmp_path, tiny_tokenizer())
    tiny_tokenizer().save_pretrained(tmp_path)
    assert not load_masked_lm(tmp_path, tiny_tokenizer()).training
    tiny_model(vocab_size=VOCABULARY).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="no trained head for masked-language modeling"):
        load_masked_lm(tmp_path, tiny_tokenizer())


def test_token_labels_do_not_change():
    _, rows = prepared()
    rows = rows.remove_columns("labels").add_column("labels", [list(range(length)) for length in rows["length"]])
    augmented = copies(rows)
    assert augmented["labels"] == rows["labels"] and augmented["input_ids"] != rows["input_ids"]
