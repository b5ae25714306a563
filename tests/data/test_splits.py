"""Splits from files and from Hub data sets: what is read, and what is refused."""

import datasets
import pytest

from distil_nlp.data.splits import load_splits
from distil_nlp.tasks import TextClassification

ROWS = {"text": ["a good film", 'she message "no, never"', "NA", "null"], "label": ["fun", "dull", "NA", "007"]}
HUNDRED = {"text": [f"film {index}" for index in range(100)], "label": [f"c{index % 50}" for index in range(100)]}


@pytest.fixture
def files(write):
    return {"train_file": write("train.csv", HUNDRED), "validation_file": write("validation.csv", HUNDRED)}


@pytest.mark.parametrize("extension", ["csv", "tsv", "json", "jsonl", "parquet", "CSV"])
def test_every_kind_of_file_gives_the_rows_that_were_written(write, extension):
    train, validation = write(f"a.{extension}", ROWS), write(f"b.{extension}", ROWS)
    splits = load_splits(train_file=train, validation_file=str(validation))
    assert list(splits) == ["train", "validation"]
    assert splits["train"].to_dict() == ROWS


def test_files_of_different_formats_can_be_combined(write):
    splits = load_splits(
        train_file=write("a.parquet", ROWS),
        validation_file=write("b.jsonl", ROWS),
        test_file=write("c.tsv", ROWS),
        unlabeled_file=write("d.csv", {"text": ["a", "b"]}),
    )
    assert {name: len(split) for name, split in splits.items()} == {
        "train": 4,
        "validation": 4,
        "test": 4,
        "unlabeled": 2,
    }


def test_parquet_keeps_its_class_labels_in_their_order(write):
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["pos", "neg"])}
    )
    data = datasets.Dataset.from_dict({"text": ["a", "b"], "label": [1, 0]}, features=features)
    splits = load_splits(train_file=write("a.parquet", data), validation_file=write("b.parquet", data))
    assert splits["train"].features["label"].names == ["pos", "neg"]


def test_a_csv_with_words_after_ten_thousand_integers_is_read_completely(write):
    labels = ["1"] * 12_000 + ["unsure"]
    path = write("a.csv", {"text": ["x"] * len(labels), "label": labels})
    splits = load_splits(train_file=path, validation_file=write("b.csv", ROWS))
    assert splits["train"]["label"][:][-2:] == ["1", "unsure"]


def test_brackets_in_a_path_are_not_a_pattern(write):
    train, validation = write("run[1]/a*.csv", ROWS), write("run[1]/b.csv", ROWS)
    assert len(load_splits(train_file=train, validation_file=validation)["train"]) == 4


def test_a_changed_file_is_read_again(write):
    validation = write("b.csv", ROWS)
    load_splits(train_file=write("a.csv", "text,label\nold,1\n"), validation_file=validation)
    splits = load_splits(train_file=write("a.csv", "text,label\nnew row,1\n"), validation_file=validation)
    assert splits["train"]["text"][:] == ["new row"]


@pytest.mark.parametrize("extension", ["csv", "parquet"])
def test_nothing_is_written_beside_the_data(write, tokenizer, extension):
    train, validation = write(f"data/a.{extension}", ROWS), write(f"data/b.{extension}", ROWS)
    before = sorted(path.name for path in train.parent.iterdir())
    splits = load_splits(train_file=train, validation_file=validation, max_train_samples=2)
    TextClassification.from_splits(splits).prepare(splits["train"], tokenizer)
    assert sorted(path.name for path in train.parent.iterdir()) == before


# ---- Subsets ----


def test_a_larger_training_subset_contains_the_smaller_one(files):
    small, large = (load_splits(**files, max_train_samples=count)["train"]["text"][:] for count in (10, 30))
    assert len(small) == 10 and large[:10] == small
    assert small != [f"film {index}" for index in range(10)], "the first rows of a file are often sorted by label"


def test_the_seed_changes_the_training_subset_only(files):
    first, same, other = (load_splits(**files, max_train_samples=20, max_eval_samples=20, seed=s) for s in (1, 1, 2))
    assert first["train"]["text"][:] == same["train"]["text"][:] != other["train"]["text"][:]
    assert first["validation"]["text"][:] == other["validation"]["text"][:]


def test_max_eval_samples_limits_test_too_and_not_unlabeled_rows(files, write):
    extra = {"test_file": write("t.csv", HUNDRED), "unlabeled_file": write("u.csv", HUNDRED)}
    splits = load_splits(**files, **extra, max_train_samples=5, max_eval_samples=7)
    assert [len(split) for split in splits.values()] == [5, 7, 7, 100]


def test_a_limit_beyond_the_data_changes_nothing(files):
    splits = load_splits(**files, max_train_samples=1000)
    assert splits["train"].to_dict() == HUNDRED


def test_a_subset_keeps_all_classes(files):
    splits = load_splits(**files, max_train_samples=3)
    assert TextClassification.from_splits(splits).num_labels == 50


# ---- Hub data sets ----


@pytest.fixture
def hub(monkeypatch):
    """hub({"train": 3, "test": 2}): the next data set asked for has these splits with that many rows."""

    def offer(sizes):
        found = {
            name: datasets.Dataset.from_dict({"text": [f"{name} {row}" for row in range(size)], "label": [0] * size})
            for name, size in sizes.items()
        }
        monkeypatch.setattr(datasets, "load_dataset", lambda name, config: datasets.DatasetDict(found))

    return offer


def test_a_hub_data_set_gives_its_splits(hub):
    hub({"train": 3, "validation": 2, "test": 1, "extra": 4})
    splits = load_splits(dataset_name="organization/reviews")
    assert {name: len(split) for name, split in splits.items()} == {"train": 3, "validation": 2, "test": 1}


@pytest.mark.parametrize("measured", ["test", "validation_matched"])
def test_another_split_used_as_validation_is_logged(hub, caplog, measured):
    hub({"train": 3, measured: 2})
    splits = load_splits(dataset_name="organization/reviews", dataset_config_name="plain")
    assert splits["validation"]["text"][0] == f"{measured} 0"
    assert "test" not in splits
    assert f"organization/reviews has no split 'validation': '{measured}' is used" in caplog.text


def test_an_unlabeled_file_can_be_combined_with_a_hub_data_set(hub, write, monkeypatch):
    path = write("u.csv", {"text": ["a", "b"]})
    files = load_splits(validation_file=path, unlabeled_file=path)
    hub({"train": 3, "validation": 2})
    monkeypatch.setattr("distil_nlp.data.splits._read", lambda path, split: files[split])
    assert len(load_splits(dataset_name="organization/reviews", unlabeled_file=path)["unlabeled"]) == 2


def test_a_folder_of_files_is_a_data_set(write):
    folder = write("reviews/train.csv", HUNDRED).parent
    write("reviews/validation.csv", HUNDRED)
    splits = load_splits(dataset_name=str(folder))
    assert [len(split) for split in splits.values()] == [100, 100]


def test_a_hub_data_set_without_validation_and_test_is_refused(hub):
    hub({"train": 3})
    with pytest.raises(ValueError, match="no validation split and no test split .*train.*validation_file"):
        load_splits(dataset_name="organization/reviews")


@pytest.mark.parametrize(
    "error", [ConnectionError("no route"), ValueError("Config name is missing."), RuntimeError("x")]
)
def test_a_hub_data_set_that_cannot_be_loaded_is_an_error_with_the_reason(monkeypatch, error):
    def refuse(name, config):
        raise error

    monkeypatch.setattr(datasets, "load_dataset", refuse)
    with pytest.raises(ValueError, match="'glue' .*cannot be loaded: .*dataset_config_name.*train_file") as caught:
        load_splits(dataset_name="glue")
    assert str(error).rstrip(".") in str(caught.value)


# ---- What is refused ----


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "Data is needed; got dataset_name=None .* Set dataset_name .* or train_file and validation_file"),
        (
            {"dataset_name": "glue", "train_file": "GOOD"},
            "Both dataset_name='glue' and train_file='.*good.csv' were given.*Leave one",
        ),
        ({"dataset_name": "glue", "test_file": "GOOD"}, "Both dataset_name='glue' and test_file="),
        ({"dataset_name": "GOOD"}, "is a file. Pass it as train_file"),
        (
            {"dataset_config_name": "sst2", "train_file": "GOOD", "validation_file": "GOOD"},
            "dataset_config_name='sst2' is a part of a data set, and dataset_name is not set",
        ),
        ({"train_file": "GOOD"}, "no validation data .given: train_file.*Set validation_file;"),
        ({"train_file": "GOOD", "test_file": "GOOD"}, "Set validation_file='.*good.csv' instead of test_file"),
        ({"train_file": "GOOD", "validation_file": "GOOD"}, "are the same file .*learned by heart"),
        ({"validation_file": "GOOD", "max_train_samples": 0}, "max_train_samples must be 1 or more.*got 0"),
        ({"validation_file": "GOOD", "max_eval_samples": -5}, "max_eval_samples must be 1 or more.*got -5"),
    ],
)
def test_contradictory_sources_are_refused(write, arguments, message):
    good = str(write("good.csv", ROWS))
    arguments = {name: good if value == "GOOD" else value for name, value in arguments.items()}
    with pytest.raises(ValueError, match=message):
        load_splits(**arguments)


def test_the_error_on_a_missing_file_lists_the_files_beside_it(write):
    path = write("reviews.csv", ROWS)
    with pytest.raises(FileNotFoundError, match="train_file='.*review.csv' does not exist.*reviews.csv"):
        load_splits(train_file=path.with_name("review.csv"), validation_file=path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "", "empty .0 bytes.. Was the copy or the download cut off"),
        ("a.txt", "text\n", "extension '.txt'.*Supported: .csv, .tsv, .json, .jsonl, .parquet"),
        ("a.csv", "text,label\n", "cannot be read as csv: it contains no rows, only the column names text, label"),
        ("a.json", "[]", "cannot be read as json: it contains no rows"),
        ("a.parquet", {"text": []}, "cannot be read as parquet: it contains no rows"),
        ("a.parquet", "not parquet", "cannot be read as parquet: Parquet"),
        ("a.jsonl", '{"text": "a" "b"}', "cannot be read as jsonl: JSON parse error"),
        ("a.csv", "text;label\nhi;1\n", "only column is 'text;label', .* separated by ';'.* Separate cells by ','"),
        ("a.csv", "text,label\nwell, no,1\n", "more cells than there are column names .text, label.*quotation marks"),
        ("a.csv", "text,label\nyes,1\nwell, no,1\n", "Expected 2 fields in line 3, saw 3"),
        ("a.tsv", 'text\tlabel\n"oh\t1\nno"\t0\nyes\t1\n', "Row 0 .* has a tab within column 'text'"),
        ("a.csv", 'text,label\n"oh,1\nno,0\n', "quotation mark is opened and never closed"),
        ("a.csv", "words,class\nhi,1\n", "train and validation splits share no column: words, class against text, l"),
    ],
)
def test_an_unusable_file_is_refused_with_the_reason(write, name, content, message):
    good, bad = write("good.csv", ROWS), write(name, content)
    with pytest.raises(ValueError, match=message):
        load_splits(train_file=bad, validation_file=good)


def test_the_error_on_a_file_that_is_not_utf8_names_the_encoding(write, tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes("text,label\ncafé,1\n".encode("latin-1"))
    with pytest.raises(ValueError, match="a.csv' cannot be read as csv: it is not UTF-8"):
        load_splits(train_file=path, validation_file=write("b.csv", ROWS))


def test_a_folder_as_a_file_is_refused(write):
    path = write("good.csv", ROWS)
    with pytest.raises(ValueError, match="is a folder; pass a file in it, or the folder as dataset_name"):
        load_splits(train_file=path.parent, validation_file=path)


def test_all_files_are_checked_before_the_first_is_read(write, monkeypatch):
    monkeypatch.setattr("distil_nlp.data.splits._read", lambda *_: pytest.fail("read before all files were checked"))
    with pytest.raises(FileNotFoundError, match="test_file"):
        load_splits(train_file=write("a.csv", ROWS), validation_file=write("b.csv", ROWS), test_file="nowhere.csv")
