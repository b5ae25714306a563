"""Pairs with a score, pairs without, and single texts become pairs of texts."""

import datasets
import numpy as np
import pytest
import torch

from distil_nlp.data.splits import load_splits
from distil_nlp.metrics import SimilarityEvaluator
from distil_nlp.models.sentence_encoder import SentenceEncoder
from distil_nlp.tasks import SentenceEmbeddings, task_class
from tests.tiny import tiny_tokenizer

PAIRS = {
    "sentence1": ["a good film", "the plot was boring", "it is fine"],
    "sentence2": ["a great movie", "never a poor story", "not good"],
    "label": [5.0, 1.5, 0.0],
}


def splits(**changes):
    made = {"train": PAIRS, "validation": PAIRS, **changes}
    return {name: datasets.Dataset.from_dict(columns) for name, columns in made.items() if columns is not None}


def without_score(pairs=PAIRS):
    return {name: values for name, values in pairs.items() if name != "label"}


def test_columns_and_the_range_of_scores_are_read_off_the_data():
    task = SentenceEmbeddings.from_splits(splits())
    assert task.text_columns == ("sentence1", "sentence2") and task.label_column == "label"
    assert task.score_range == (0.0, 5.0)
    assert task.auto_class is SentenceEncoder and task_class("sentence-similarity") is SentenceEmbeddings
    assert task.config_labels() == {} and not task.one_output_per_example


def test_a_row_is_a_pair_and_its_score_lies_between_0_and_1():
    data, tokenizer = splits(), tiny_tokenizer()
    rows = SentenceEmbeddings.from_splits(data).prepare(data["train"], tokenizer)
    assert rows["labels"][:] == pytest.approx([1.0, 0.3, 0.0])
    for place, name in enumerate(("sentence1", "sentence2")):
        assert [ids[place] for ids in rows["input_ids"]] == tokenizer(PAIRS[name])["input_ids"]
    assert rows["length"][:] == [5, 6, 5] and rows["example_id"][:] == [0, 1, 2]


def test_a_batch_holds_the_two_texts_of_a_pair_side_by_side():
    data, tokenizer = splits(), tiny_tokenizer()
    task = SentenceEmbeddings.from_splits(data)
    batch = task.collator(tokenizer)(list(task.prepare(data["train"], tokenizer)))
    texts = [text for pair in zip(PAIRS["sentence1"], PAIRS["sentence2"], strict=True) for text in pair]
    expected = tokenizer(texts, padding=True, return_tensors="pt")
    for name, tensor in expected.items():
        assert torch.equal(batch[name], tensor)
    assert batch["labels"].shape == (3,) and batch["labels"].dtype == torch.float32
    assert batch["example_id"].tolist() == [0, 1, 2] and "length" not in batch


def test_longer_texts_are_cut_each_by_itself():
    data = splits()
    rows = SentenceEmbeddings.from_splits(data).prepare(data["train"], tiny_tokenizer(), max_length=4)
    assert max(len(ids) for pair in rows["input_ids"] for ids in pair) == 4


def test_consecutive_single_texts_make_a_pair_and_the_last_of_an_odd_number_pairs_with_the_first():
    data, tokenizer = splits(unlabeled={"text": ["good", "bad", "it was fine"]}), tiny_tokenizer()
    task = SentenceEmbeddings.from_splits(data)
    rows = task.prepare(data["unlabeled"], tokenizer, with_labels=False)
    ids = tokenizer(["good", "bad", "it was fine"])["input_ids"]
    assert rows["input_ids"][:] == [[ids[0], ids[1]], [ids[2], ids[0]]]
    assert not task.labeled(rows).any()
    together = task.with_unlabeled(task.prepare(data["train"], tokenizer), rows)
    assert task.labeled(together).tolist() == [True] * 3 + [False] * 2
    assert together["example_id"][:] == [0, 1, 2, 3, 4]


def test_training_texts_may_be_single_and_without_scores():
    for train in (without_score(), {"text": ["good", "bad"]}, None):
        task = SentenceEmbeddings.from_splits(splits(train=train))
        assert task.score_range == (0.0, 5.0)  # of validation
    rows = task.prepare(datasets.Dataset.from_dict({"text": ["good", "bad"]}), tiny_tokenizer())
    assert np.isnan(rows["labels"][:]).all()


def test_the_range_is_that_of_all_training_rows_and_another_split_may_lie_outside(write):
    wide = {**PAIRS, "label": [8.0, 1.5, 0.0]}
    data = load_splits(
        train_file=write("train.jsonl", PAIRS), validation_file=write("validation.jsonl", wide), max_train_samples=2
    )
    task = SentenceEmbeddings.from_splits(data)
    assert task.score_range == (0.0, 5.0)
    assert max(task.prepare(data["validation"], tiny_tokenizer())["labels"]) == pytest.approx(1.6)


def test_a_file_of_texts_beside_a_file_of_pairs_is_read(write):
    data = load_splits(
        train_file=write("train.jsonl", PAIRS),
        validation_file=write("validation.jsonl", PAIRS),
        unlabeled_file=write("more.jsonl", {"text": ["good", "bad"]}),
    )
    assert len(SentenceEmbeddings.from_splits(data).prepare(data["unlabeled"], tiny_tokenizer())) == 1


def test_the_yardstick_counts_pairs_with_a_score():
    data = splits(validation={**PAIRS, "label": [1.0, None, 3.0]})
    task = SentenceEmbeddings.from_splits(data)
    evaluator = task.evaluator(task.prepare(data["validation"], tiny_tokenizer()), main_metric="pearson")
    assert isinstance(evaluator, SimilarityEvaluator) and evaluator.num_examples == 2 and evaluator.main == "pearson"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train": {**PAIRS, "label": [2.0] * 3}}, "'label' of the train split has the one score 2 in all its 3 rows"),
        ({"train": {**PAIRS, "label": [None] * 3}}, "has no score in all its 3 rows"),
        ({"train": {**PAIRS, "label": ["5.0", "much", "0"]}}, "Row 1 .*train split: label 'much' is not a finite"),
        ({"train": {**PAIRS, "sentence2": ["a", None, "b"]}}, "1 of 3 rows of the train split have no text"),
        ({"validation": without_score()}, "There is no column 'label' or 'labels'"),
        ({"validation": without_score(), "test": PAIRS}, "validation split has no column 'label'"),
        ({"validation": {"text": ["a"], "label": [1.0]}}, "has one text per row, column 'text'"),
        ({"train": {"words": ["a"]}}, "None of the usual names"),
        ({"train": None, "validation": None, "unlabeled": {"text": ["a"]}}, "Embeddings are evaluated on pairs"),
    ],
)
def test_data_that_cannot_be_used_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        SentenceEmbeddings.from_splits(splits(**changes))
