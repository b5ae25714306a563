"""Augmented copies of tokenized rows."""

import datasets
import pytest

from distil_nlp.augmentation.text import augmented_copies
from distil_nlp.tasks import TextClassification
from tests.tiny import WORDS, tiny_tokenizer


def rows(texts, **columns):
    split = datasets.Dataset.from_dict({"text": texts, "label": [0, 1] * (len(texts) // 2), **columns})
    tokenizer = tiny_tokenizer()
    task = TextClassification.from_splits({"train": split})
    return task, task.prepare(split, tokenizer), tokenizer


TEXTS = [" ".join(WORDS), "good film", "bad", "a very boring story"] * 25


def test_every_row_has_num_copies_copies_with_the_same_columns():
    _, prepared, tokenizer = rows(TEXTS)
    copies = augmented_copies(prepared, tokenizer, num_copies=3)
    assert len(copies) == 3 * len(prepared)
    assert copies.features == prepared.features
    for row in copies:
        sizes = {len(row[name]) for name in ("input_ids", "attention_mask", "token_type_ids") if name in row}
        assert sizes == {row["length"]}


def test_a_copy_keeps_its_special_tokens_and_at_least_one_token_of_its_text():
    _, prepared, tokenizer = rows(["bad", "good"] * 200)
    frame = {tokenizer.cls_token_id, tokenizer.sep_token_id}
    for ids in augmented_copies(prepared, tokenizer, num_copies=2)["input_ids"]:
        assert ids[0] == tokenizer.cls_token_id and ids[-1] == tokenizer.sep_token_id
        assert len(ids) == 3 and ids[1] not in frame


def test_about_a_tenth_of_the_tokens_is_masked_and_a_tenth_dropped():
    _, prepared, tokenizer = rows([" ".join(WORDS)] * 40)  # of one length: none can be joined
    copies = augmented_copies(prepared, tokenizer, num_copies=1)
    num_tokens = sum(prepared["length"]) - 2 * len(prepared)
    masked = sum(token == tokenizer.mask_token_id for ids in copies["input_ids"] for token in ids)
    num_dropped = sum(prepared["length"]) - sum(copies["length"])
    assert 0.05 < masked / num_tokens < 0.15
    assert 0.05 < num_dropped / num_tokens < 0.15
    for before, after in zip(prepared["input_ids"], copies["input_ids"], strict=True):
        assert before != after and len(set(before) & set(after)) > len(before) / 2


def test_about_half_of_the_copies_are_joined_and_none_is_longer_than_the_longest_row():
    _, prepared, tokenizer = rows(["bad film"] * 199 + [" ".join(WORDS)])
    copies = augmented_copies(prepared, tokenizer, num_copies=1)
    longer = sum(length > 4 for length in copies["length"])
    assert 70 < longer < 130
    assert max(copies["length"]) <= max(prepared["length"])


def test_the_same_seed_gives_the_same_copies_and_copies_of_a_row_differ():
    _, prepared, tokenizer = rows(TEXTS)
    once, again, other = (augmented_copies(prepared, tokenizer, num_copies=2, seed=seed) for seed in (0, 0, 1))
    assert once["input_ids"] == again["input_ids"] != other["input_ids"]
    assert once["input_ids"][: len(TEXTS)] != once["input_ids"][len(TEXTS) :]


def test_the_special_tokens_of_a_pair_stay():
    split = datasets.Dataset.from_dict({"text": TEXTS, "text_pair": TEXTS[::-1], "label": [0, 1] * (len(TEXTS) // 2)})
    tokenizer = tiny_tokenizer()
    task = TextClassification.from_splits({"train": split})
    prepared = task.prepare(split, tokenizer)
    copies = augmented_copies(prepared, tokenizer, num_copies=1)
    for before, after in zip(prepared["input_ids"], copies["input_ids"], strict=True):
        special = set(tokenizer.all_special_ids) - {tokenizer.mask_token_id}
        assert [token for token in before if token in special] == [token for token in after if token in special]


def test_copies_added_as_unlabeled_rows_have_no_label_and_new_example_ids():
    task, prepared, tokenizer = rows(TEXTS)
    together = task.with_unlabeled(prepared, augmented_copies(prepared, tokenizer, num_copies=2))
    assert set(together["labels"][len(TEXTS) :]) == {-100}
    assert together["example_id"] == list(range(3 * len(TEXTS)))


def test_without_a_mask_token_no_token_is_masked():
    _, prepared, tokenizer = rows(TEXTS)
    mask_token = tokenizer.mask_token_id
    tokenizer.mask_token = None
    copies = augmented_copies(prepared, tokenizer, num_copies=1)
    assert not any(mask_token in ids for ids in copies["input_ids"])


def test_less_than_one_copy_is_refused():
    _, prepared, tokenizer = rows(TEXTS)
    with pytest.raises(ValueError, match="num_copies must be 1 or more; got 0"):
        augmented_copies(prepared, tokenizer, num_copies=0)
