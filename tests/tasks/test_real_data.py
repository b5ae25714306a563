"""The data sets of the recipes, where they are beside the repository."""

import pytest

from distil_nlp.data.splits import load_splits
from distil_nlp.tasks import TextClassification


def load(folder, *, validation="validation", **settings):
    splits = load_splits(
        train_file=folder / "train.parquet",
        validation_file=folder / f"{validation}.parquet",
        max_train_samples=200,
        **settings,
    )
    return splits, TextClassification.from_splits(splits)


@pytest.mark.parametrize(
    ("name", "text_columns", "label_names"),
    [
        ("sst2", ("sentence",), ["negative", "positive"]),
        ("mrpc", ("sentence1", "sentence2"), ["not_equivalent", "equivalent"]),
        ("stsb", ("sentence1", "sentence2"), None),
    ],
)
def test_glue_is_read_without_a_setting(shared_data, name, text_columns, label_names):
    splits, task = load(shared_data / "glue" / name)
    assert (task.text_columns, task.label_column, task.label_names) == (text_columns, "label", label_names)
    assert task.problem_type == ("single_label_classification" if label_names else "regression")
    assert len(splits["train"]) == 200


def test_the_77_intents_survive_a_subset_in_their_order(shared_data):
    splits, task = load(shared_data / "banking77", validation="test")
    assert task.num_labels == 77
    assert task.label_names[:2] == ["activate_my_card", "age_limit"]
    assert len(set(splits["train"]["label"])) < 77


def test_prepared_sst2_is_valid_input_of_bert(shared_data):
    from transformers import AutoTokenizer

    splits, task = load(shared_data / "glue" / "sst2", max_eval_samples=8)
    tokenizer = AutoTokenizer.from_pretrained(shared_data / "models" / "minilm-sst2")
    rows = task.prepare(splits["validation"], tokenizer)
    assert rows["input_ids"][0] == tokenizer(splits["validation"][0]["sentence"])["input_ids"]
    batch = task.collator(tokenizer)(list(rows))
    assert batch["input_ids"].shape == (8, max(rows["length"]))
    assert batch["labels"].tolist() == splits["validation"]["label"][:]
