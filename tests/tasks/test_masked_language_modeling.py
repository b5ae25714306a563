"""Texts become rows with masked tokens: how many, which, and the same in every run."""

import datasets
import numpy as np
import pytest
import torch

from distil_nlp.tasks import MaskedLanguageModeling
from tests.tiny import WORDS, tiny_tokenizer

TEXTS = [" ".join(WORDS), "", "good film", "bad", "a very boring story", " ".join(WORDS[::-1])] * 20


def prepared(texts=TEXTS, tokenizer=None, *, column="text", **settings):
    split = datasets.Dataset.from_dict({column: texts})
    task = MaskedLanguageModeling.from_splits({"train": split})
    return task.prepare(split, tokenizer or tiny_tokenizer(), **{"max_length": 32, **settings})


def originals(rows):
    """The ids of each row as they were."""
    return [np.where(np.array(row["labels"]) == -100, row["input_ids"], row["labels"]).tolist() for row in rows]


def test_the_texts_stand_in_the_rows_end_to_end_with_nothing_lost():
    tokenizer = tiny_tokenizer()
    rows = prepared(tokenizer=tokenizer)
    ids = originals(rows)
    assert {len(row) for row in ids[:-1]} == {32} and len(ids[-1]) <= 32
    assert all(row[0] == tokenizer.cls_token_id and row[-1] == tokenizer.sep_token_id for row in ids)
    expected = []
    for text in filter(None, TEXTS):
        expected += [tokenizer.sep_token_id, *tokenizer(text, add_special_tokens=False)["input_ids"]]
    assert [token for row in ids for token in row[1:-1]] == expected[1:]
    assert rows["length"] == list(map(len, ids)) and rows["example_id"] == list(range(len(rows)))


def test_special_tokens_are_never_chosen_and_every_row_hides_a_word():
    tokenizer = tiny_tokenizer()
    for row in prepared(["unknown good unknown"] * 40, tokenizer, mask_probability=0.01, max_length=5):
        hidden = [label for label in row["labels"] if label != -100]
        assert hidden and not set(hidden) & set(tokenizer.all_special_ids)


def test_fifteen_percent_are_chosen_of_which_80_percent_masked_10_replaced_10_unchanged():
    tokenizer = tiny_tokenizer()
    rows = prepared([" ".join(WORDS)] * 2000, tokenizer, max_length=64)
    labels, ids = (np.concatenate(rows[name]) for name in ("labels", "input_ids"))
    chosen = labels != -100
    is_word = chosen | ~np.isin(ids, [tokenizer.cls_token_id, tokenizer.sep_token_id])
    assert np.mean(chosen[is_word]) == pytest.approx(0.15, abs=0.01)
    assert np.mean(ids[chosen] == tokenizer.mask_token_id) == pytest.approx(0.8, abs=0.01)
    assert np.mean(ids[chosen] == labels[chosen]) == pytest.approx(0.1 + 0.1 / len(WORDS), abs=0.01)
    assert set(ids[chosen]) == {tokenizer.mask_token_id, *range(5, 5 + len(WORDS))}


def test_masks_depend_on_seed_copy_and_row_alone():
    once, again, other = (prepared(num_mask_copies=2, seed=seed) for seed in (0, 0, 1))
    assert once["labels"] == again["labels"] != other["labels"]
    half = len(once) // 2
    assert originals(once)[:half] == originals(once)[half:] and once["labels"][:half] != once["labels"][half:]
    assert once["example_id"] == list(range(2 * half))
    # The first copy is what one copy is, and a row does not notice how many follow it.
    assert once["labels"][:half] == prepared()["labels"]
    assert prepared(TEXTS[:60])["labels"][:5] == once["labels"][:5]


def test_mask_probability_is_the_share_of_words_that_are_hidden():
    labels = np.concatenate(prepared([" ".join(WORDS)] * 500, max_length=64, mask_probability=0.4)["labels"])
    assert np.mean(labels != -100) == pytest.approx(0.4 * 23 / 24 * 62 / 64, abs=0.02)


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_batch_asks_for_the_hidden_words_row_by_row(side):
    tokenizer = tiny_tokenizer()
    tokenizer.padding_side = side
    rows = prepared(tokenizer=tokenizer)
    chosen = [rows[len(rows) - 1], rows[0]]  # the last row is the short one
    task = MaskedLanguageModeling("text")
    batch = task.collator(tokenizer)(chosen)
    expected = [label for row in chosen for label in row["labels"] if label != -100]
    assert batch["labels"].tolist() == expected and batch["soft_items"].all()
    assert batch["positions"].shape == batch["input_ids"].shape and batch["positions"].dtype == torch.bool
    masked = batch["input_ids"] == tokenizer.mask_token_id
    assert (masked & ~batch["positions"]).sum() == 0
    assert batch["positions"].sum(1).tolist() == [sum(one != -100 for one in row["labels"]) for row in chosen]
    assert "length" not in batch


def test_every_row_is_labeled_and_no_label_can_be_missing():
    task = MaskedLanguageModeling("text")
    rows = prepared()
    assert task.labeled(rows).all() and len(task.labeled(rows)) == len(rows)
    with pytest.raises(
        ValueError, match=r"Labels of \d+ rows should be missing, but the labels of a text are its own words"
    ):
        task.with_unlabeled(rows, rows)


def test_a_config_gets_no_labels_and_the_model_card_a_sentence_with_the_mask_of_the_tokenizer():
    tokenizer = tiny_tokenizer()
    tokenizer.mask_token = "<mask>"
    split = datasets.Dataset.from_dict({"text": TEXTS})
    task = MaskedLanguageModeling.from_splits({"train": split})
    task.prepare(split, tokenizer)
    assert task.config_labels() == {}
    assert "<mask>" in task.usage_example("folder") and "fill-mask" in task.usage_example("folder")


@pytest.mark.parametrize(
    ("columns", "settings", "message"),
    [
        ({"text": TEXTS}, {"mask_probability": 0.0}, "above 0 and below 1, in BERT 0.15; got 0.0"),
        ({"text": TEXTS}, {"mask_probability": 1.0}, "above 0 and below 1, in BERT 0.15; got 1.0"),
        ({"text": TEXTS}, {"num_mask_copies": 0}, "num_mask_copies counts the copies of every row, 1 or more; got 0"),
        ({"text": TEXTS}, {"max_length": 2}, "max_length=2 leaves no room for text"),
        ({"text": ["", "nowhere"]}, {}, "None of the 2 texts of the split contains a word"),
        ({"sentence1": TEXTS, "sentence2": TEXTS}, {}, "sentence1 and sentence2 both could. Set text_column"),
        ({"text": [1, 2]}, {}, "contains int64, but a text is a string"),
    ],
)
def test_texts_and_settings_that_cannot_be_used_are_refused(columns, settings, message):
    split = datasets.Dataset.from_dict(columns)
    with pytest.raises(ValueError, match=message):
        MaskedLanguageModeling.from_splits({"train": split}).prepare(split, tiny_tokenizer(), **settings)


def test_a_tokenizer_without_a_mask_token_is_refused():
    tokenizer = tiny_tokenizer()
    tokenizer.mask_token = None
    with pytest.raises(ValueError, match="has no mask token, so no word can be masked"):
        prepared(tokenizer=tokenizer)


def test_unlabeled_text_is_refused_with_a_hint_to_the_train_split():
    split = datasets.Dataset.from_dict({"text": TEXTS})
    with pytest.raises(
        ValueError, match=r"unlabeled_file \(\d+ rows\) would have no effect of its own.*Put the rows into train_file"
    ):
        MaskedLanguageModeling.from_splits({"train": split, "unlabeled": split})
