import pickle

import datasets
import numpy as np
import pytest
import torch

from distil_nlp.data.splits import load_splits
from distil_nlp.tasks import Task, TextClassification
from tests.tiny import tiny_tokenizer

SINGLE, MULTI = "single_label_classification", "multi_label_classification"
TEXTS = ["a good film", "boring", "the plot is not very good"]


def splits_of(columns, **others):
    train = datasets.Dataset.from_dict(columns)
    return {"train": train, "validation": train, **{name: datasets.Dataset.from_dict(c) for name, c in others.items()}}


@pytest.fixture
def splits():
    return splits_of({"sentence": TEXTS, "label": [1, 0, 0]}, unlabeled={"sentence": ["a story", "fine"]})


@pytest.fixture
def task(splits):
    return TextClassification.from_splits(splits)


@pytest.fixture
def train(task, splits, tokenizer):
    return task.prepare(splits["train"], tokenizer)


# ---- Columns ----


@pytest.mark.parametrize(
    ("columns", "settings", "expected"),
    [
        ("sentence label idx", {}, ("sentence",)),
        ("text label", {}, ("text",)),
        ("sentence1 sentence2 label", {}, ("sentence1", "sentence2")),
        ("hypothesis premise label", {}, ("premise", "hypothesis")),
        ("question sentence label", {}, ("question", "sentence")),
        ("question1 question2 labels", {}, ("question1", "question2")),
        ("review label", {"text_column": "review"}, ("review",)),
        ("sentence1 sentence2 label", {"text_column": "sentence2"}, ("sentence2",)),
        ("title body label", {"text_column": "title", "text_pair_column": "body"}, ("title", "body")),
        ("text stars", {"label_column": "stars"}, ("text",)),
        ("text label label_text", {}, ("text",)),
    ],
)
def test_columns_are_found_by_their_usual_names_or_as_given(columns, settings, expected):
    data = {name: [0, 1] if name in ("label", "labels", "stars", "idx") else ["a", "b"] for name in columns.split()}
    assert TextClassification.from_splits(splits_of(data), **settings).text_columns == expected


@pytest.mark.parametrize(
    ("columns", "settings", "said"),
    [
        (
            "review label",
            {},
            "columns are review, label. None of the usual names .*line with column names.* text_column",
        ),
        ("text sentence label", {}, "Several columns could be the text: sentence, text. Set text_column"),
        ("sentence1 sentence2 text label", {}, "Several columns could be the text: sentence1 . sentence2, text"),
        (
            "text stars",
            {},
            "columns are text, stars. There is no column 'label' or 'labels'. Set label_column.*unlabeled",
        ),
        ("text label labels", {}, "Both 'label' and 'labels' are there. Set label_column"),
        (
            "text label",
            {"text_column": "txt"},
            "text_column='txt' is not a column of the data. The columns are text, label",
        ),
        (
            "text label",
            {"label_column": "stars"},
            "label_column='stars' is not a column .* The columns are text, label",
        ),
        ("text label", {"text_pair_column": "text"}, "text_pair_column='text' .* but no text_column names the first"),
        ("text label", {"text_column": "text", "text_pair_column": "text"}, "are both 'text'; a pair needs two"),
        ("text label", {"text_column": "text", "text_pair_column": "b"}, "text_pair_column='b' is not a column"),
        ("text label", {"label_column": "text"}, "Column 'text' is named as both text and label"),
        (
            "text label",
            {"text_column": "label"},
            "Column 'label' of the train split contains int64, but a text is a string",
        ),
    ],
)
def test_ambiguous_columns_are_refused_with_a_list_of_the_columns(columns, settings, said):
    data = {name: [0, 1] if name in ("label", "labels", "stars") else ["a", "b"] for name in columns.split()}
    with pytest.raises(ValueError, match=said):
        TextClassification.from_splits(splits_of(data), **settings)


@pytest.mark.parametrize(
    ("splits", "said"),
    [
        (
            splits_of({"text": ["a", "b"], "label": [0, 1]}, test={"sentence": ["a"], "label": [0]}),
            "The test split has no column text, .* Its columns are sentence, label. Give the splits the same",
        ),
        (
            splits_of({"text": ["a", "b"], "label": [0, 1]}, validation={"text": ["a"], "stars": [0]}),
            "The validation split has no column 'label', .* Its columns are text, stars. Without labels nothing",
        ),
        (
            splits_of({"text": ["a", None, "b", None], "label": [0, 1, 0, 1]}),
            "2 of 4 rows of the train split have no text in column 'text' .rows 1, 3, .*Fill or remove",
        ),
        (splits_of({"text": [["a"], ["b"]], "label": [0, 1]}), "contains list<.*>, but a text is a string"),
        ({"dev": splits_of({"text": ["a"], "label": [0]})["train"]}, "One of the splits train, .*; got dev"),
    ],
)
def test_splits_that_do_not_go_together_are_refused(splits, said):
    with pytest.raises(ValueError, match=said):
        TextClassification.from_splits(splits)


def test_kinds_mixed_in_one_json_column_are_refused(write):
    path = write("a.jsonl", '{"text": "a", "label": 1}\n{"text": "b", "label": "x"}\n')
    with pytest.raises(ValueError, match="Column 'label' contains .* Types may also be mixed"):
        TextClassification.from_splits(load_splits(validation_file=path))


def test_classes_come_from_validation_without_a_train_split(splits):
    del splits["train"]
    task = TextClassification.from_splits(splits)
    assert (task.label_column, task.num_labels) == ("label", 2)


# ---- What a task says about itself ----


@pytest.mark.parametrize(
    ("labels", "problem_type", "num_labels", "id2label"),
    [
        (["no", "yes"], SINGLE, 2, {0: "no", 1: "yes"}),
        ([0, 1], SINGLE, 2, {0: "LABEL_0", 1: "LABEL_1"}),
        ([0.5, 1.5], "regression", 1, {0: "LABEL_0"}),
        ([["x"], ["y"]], MULTI, 2, {0: "x", 1: "y"}),
    ],
)
def test_a_config_accepts_the_config_labels(labels, problem_type, num_labels, id2label):
    from transformers import BertConfig

    task = TextClassification.from_splits(splits_of({"text": ["a", "b"], "labels": labels}))
    config = BertConfig(**task.config_labels())
    assert (config.problem_type, config.num_labels, config.id2label) == (problem_type, num_labels, id2label)
    assert config.label2id == {name: index for index, name in id2label.items()}


@pytest.mark.parametrize(
    ("labels", "main"),
    [
        (["no", "yes", None], "accuracy"),
        ([0, 1, 2, -1], "accuracy"),
        ([0.5, 1.5, None], "pearson"),
        ([["x"], ["y"], None], "f1_micro"),
    ],
)
def test_the_yardstick_of_a_split_counts_its_labeled_rows(tokenizer, labels, main):
    splits = splits_of({"text": ["a"] * len(labels), "label": labels})
    task = TextClassification.from_splits(splits)
    prepared = task.prepare(splits["train"], tokenizer, max_length=8)
    evaluator = task.evaluator(prepared, splits["train"])
    assert (evaluator.main, evaluator.num_rows, evaluator.num_examples) == (main, len(labels), len(labels) - 1)
    assert task.labeled(prepared).tolist() == [True] * (len(labels) - 1) + [False]
    with pytest.raises(ValueError, match="got 'perplexity'"):
        task.evaluator(prepared, main_metric="perplexity")


def test_training_is_shown_the_metrics_of_the_yardstick(tokenizer):
    from transformers import EvalPrediction

    splits = splits_of({"text": ["a", "b", "c"], "label": ["no", "yes", "yes"]})
    task = TextClassification.from_splits(splits)
    evaluator = task.evaluator(task.prepare(splits["train"], tokenizer, max_length=8))
    logits, labels = np.eye(2)[[0, 1, 0]], np.array([0, 1, 1])
    found = task.compute_metrics()(EvalPrediction(predictions=logits, label_ids=labels))
    assert found == evaluator.scores(evaluator.statistics(logits)) and found["accuracy"] == 2 / 3


def test_a_task_names_the_class_that_loads_its_models(task):
    import transformers

    assert isinstance(task, Task) and task.name == "text-classification"
    assert hasattr(transformers, task.auto_class)


# ---- Prepared rows ----


def test_prepared_rows_are_the_tokens_unpadded_with_length_and_number(train, tokenizer):
    assert train["input_ids"][:] == [tokenizer(text)["input_ids"] for text in TEXTS]
    assert train["length"][:] == [len(ids) for ids in train["input_ids"]]
    assert train["example_id"][:] == [0, 1, 2]
    assert train["labels"][:] == [1, 0, 0]


@pytest.mark.parametrize("makes_types", [True, False])
def test_token_types_are_there_where_the_tokenizer_makes_them(makes_types):
    tokenizer = tiny_tokenizer(token_type_ids=makes_types)
    splits = splits_of({"sentence1": ["a film", "a"], "sentence2": ["good", "plot"], "label": [0, 1]})
    rows = TextClassification.from_splits(splits).prepare(splits["train"], tokenizer)
    assert ("token_type_ids" in rows.column_names) == makes_types
    if makes_types:
        assert rows["token_type_ids"][0] == [0, 0, 0, 0, 1, 1]


def test_long_texts_are_cut_at_max_length(task, splits, tokenizer):
    assert task.prepare(splits["train"], tokenizer, max_length=4)["length"][:] == [4, 3, 4]


def test_the_tokenizers_own_limit_applies_with_a_warning(task, splits, caplog):
    assert task.prepare(splits["train"], tiny_tokenizer(max_length=4))["length"][:] == [4, 3, 4]
    assert "max_length=128 is more than the model reads (4)" in caplog.text


def test_a_length_without_room_for_text_is_refused(task, splits, tokenizer):
    with pytest.raises(ValueError, match="max_length=2 leaves no room for text: 2 tokens"):
        task.prepare(splits["train"], tokenizer, max_length=2)


def test_columns_of_the_data_do_not_mix_with_prepared_ones(tokenizer):
    splits = splits_of({"text": ["a", "b"], "labels": ["x", "y"], "length": [99, 99], "example_id": ["p", "q"]})
    rows = TextClassification.from_splits(splits).prepare(splits["train"], tokenizer)
    assert (rows["length"][:], rows["example_id"][:], rows["labels"][:]) == ([3, 3], [0, 1], [0, 1])


def test_labels_are_not_read_without_with_labels(task, tokenizer):
    junk = datasets.Dataset.from_dict({"sentence": ["a"], "label": ["no class at all"]})
    assert task.prepare(junk, tokenizer, with_labels=False)["labels"][:] == [-100]
    with pytest.raises(ValueError, match="Row 0 .* of the given split: label 'no class at all'"):
        task.prepare(junk, tokenizer)


def test_a_cache_folder_is_read_the_second_time(task, splits, tokenizer, tmp_path):
    first = task.prepare(splits["train"], tokenizer, cache_dir=tmp_path / "tokens")

    def forbidden(*args, **kwargs):
        pytest.fail("tokenized again")

    again = TextClassification.from_splits(splits)
    tokenizer._encode_plus = forbidden
    second = again.prepare(splits["train"], tokenizer, cache_dir=tmp_path / "tokens")
    assert second.to_dict() == first.to_dict()
    assert len(list((tmp_path / "tokens").iterdir())) == 1


@pytest.mark.parametrize("change", ["length", "tokenizer", "rows"])
def test_a_cache_folder_does_not_answer_for_something_else(task, splits, tokenizer, tmp_path, change):
    task.prepare(splits["train"], tokenizer, cache_dir=tmp_path)
    other = {
        "length": (splits["train"], tokenizer, 3),
        "tokenizer": (splits["train"], tiny_tokenizer(["film", "plot", "good"]), 128),
        "rows": (splits["train"].select([2, 1]), tokenizer, 128),
    }[change]
    cached = task.prepare(other[0], other[1], max_length=other[2], cache_dir=tmp_path)
    assert cached.to_dict() == task.prepare(other[0], other[1], max_length=other[2]).to_dict()


def test_using_a_tokenizer_does_not_change_the_name_of_prepared_data(task, splits, tokenizer):
    first = task.prepare(splits["train"], tokenizer)
    tokenizer(["something else"], truncation=True, max_length=7, padding="max_length")
    assert task.prepare(splits["train"], tokenizer)._fingerprint == first._fingerprint


# ---- Rows without labels ----


def test_a_split_without_labels_is_prepared_with_missing_ones(task, splits, tokenizer):
    assert task.prepare(splits["unlabeled"], tokenizer)["labels"][:] == [-100, -100]


@pytest.mark.parametrize("labels", [["x", "y"], [0.5, 1.5], [["x"], ["y"]]])
def test_unlabeled_rows_follow_with_numbers_of_their_own_and_no_labels(tokenizer, labels):
    splits = splits_of({"text": ["a", "b"], "label": labels}, unlabeled={"text": ["plot", "film"], "label": labels})
    task = TextClassification.from_splits(splits)
    train, unlabeled = (task.prepare(splits[name], tokenizer) for name in ("train", "unlabeled"))
    both = task.with_unlabeled(train, unlabeled)
    assert both["example_id"][:] == [0, 1, 2, 3]
    assert both["input_ids"][:] == train["input_ids"][:] + unlabeled["input_ids"][:]
    assert both["labels"][:2] == train["labels"][:]
    assert both.features == train.features
    assert str(both["labels"][2:]) == str(task.missing_labels(2))


def test_the_losses_take_missing_labels_for_missing(tokenizer):
    from distil_nlp.signals.problem_kinds import problem_kind

    for labels in (["x", "y"], [0.5, 1.5], [["x"], ["y"]]):
        splits = splits_of({"text": ["a", "b"], "label": labels}, unlabeled={"text": ["plot"]})
        task = TextClassification.from_splits(splits)
        rows = [row for name in ("train", "unlabeled") for row in task.prepare(splits[name], tokenizer)]
        batch = task.collator(tokenizer)(rows)
        assert problem_kind(task.problem_type).is_labeled(batch["labels"]).tolist() == [True, True, False]


# ---- Batches ----


@pytest.mark.parametrize(
    ("labels", "dtype", "shape"),
    [(["x", "y"], torch.int64, (2,)), ([0.5, 1.5], torch.float32, (2,)), ([["x"], ["y"]], torch.float32, (2, 2))],
)
def test_batches_have_labels_of_the_dtype_and_shape_of_the_problem(tokenizer, labels, dtype, shape):
    splits = splits_of({"text": ["a good film", "plot"], "label": labels})
    task = TextClassification.from_splits(splits)
    batch = task.collator(tokenizer)(list(task.prepare(splits["train"], tokenizer)))
    assert (batch["labels"].dtype, tuple(batch["labels"].shape)) == (dtype, shape)


def test_batches_are_padded_to_their_longest_row(task, train, tokenizer):
    batch = task.collator(tokenizer)([train[0], train[1]])
    assert batch["input_ids"].tolist() == [train[0]["input_ids"], train[1]["input_ids"] + [0, 0]]
    assert batch["attention_mask"].tolist() == [[1] * 5, [1] * 3 + [0] * 2]
    assert batch["token_type_ids"].shape == (2, 5)


def test_padding_can_be_rounded_up(task, train, tokenizer):
    assert task.collator(tokenizer, pad_to_multiple_of=8)([train[0], train[1]])["input_ids"].shape == (2, 8)


def test_batches_keep_example_ids_and_other_numbers_and_drop_length(task, train, tokenizer):
    rows = [{**row, "difficulty": 0.5} for row in train]
    batch = task.collator(tokenizer)(rows)
    assert set(batch) == {
        "input_ids",
        "token_type_ids",
        "attention_mask",
        "labels",
        "example_id",
        "difficulty",
    }
    assert batch["example_id"].dtype == torch.int64 and batch["example_id"].tolist() == [0, 1, 2]


def test_rows_without_labels_make_batches_without_labels(task, train, tokenizer):
    assert "labels" not in task.collator(tokenizer)(list(train.remove_columns("labels")))


def test_a_collator_travels_to_worker_processes(task, train, tokenizer):
    collate = pickle.loads(pickle.dumps(task.collator(tokenizer)))
    assert collate([train[0]])["input_ids"].tolist() == [train[0]["input_ids"]]


def test_a_tokenizer_without_padding_is_refused(task, tokenizer):
    tokenizer.pad_token = None
    with pytest.raises(ValueError, match="has no padding token.*tokenizer.pad_token = tokenizer.eos_token"):
        task.collator(tokenizer)


@pytest.mark.parametrize("labels", [["x", "y"], [0.5, 1.5], [["x"], ["y"]]])
def test_a_model_with_these_labels_takes_the_batches(make_model, tokenizer, labels):
    splits = splits_of({"text": ["a good film", "plot"], "label": labels})
    task = TextClassification.from_splits(splits)
    batch = task.collator(tokenizer)(list(task.prepare(splits["train"], tokenizer)))
    batch.pop("example_id")
    model = make_model("bert", num_labels=task.num_labels, problem_type=task.problem_type)
    assert model(**batch).loss.isfinite()
