"""Messages about a row give its number in the file, not after shuffling and selection."""

import io

import datasets
import numpy as np
import pytest
from PIL import Image

from distil_nlp.data.columns import check_texts, row_location, source_rows, source_split
from distil_nlp.data.splits import load_splits
from distil_nlp.models import image_processor_for
from distil_nlp.tasks.image_classification import ImageClassification
from distil_nlp.tasks.text_classification import TextClassification

ROWS, BAD = 40, 7


def splits_of(columns, folder, **settings):
    datasets.Dataset.from_dict(columns).to_parquet(folder / "train.parquet")
    return load_splits(train_file=folder / "train.parquet", train_val_split=0.25, **settings)


def test_rows_keep_the_numbers_of_their_file_after_shuffling_and_selection(tmp_path):
    splits = splits_of({"text": [f"text {row}" for row in range(ROWS)]}, tmp_path, max_train_samples=9)
    for name, count in (("train", 9), ("validation", 10)):
        split = splits[name]
        assert [f"text {row}" for row in source_rows(split)] == split["text"][:] and len(split) == count
        assert row_location(split, name, 3) == f"Row {source_rows(split)[3]} (counted from 0) of the train split"
    assert source_rows(splits["train"]).tolist() != list(range(9))
    plain = datasets.Dataset.from_dict({"text": ["a", "b"]})
    assert source_rows(plain).tolist() == [0, 1] and source_split(plain, "given") == "given"


def test_an_image_that_cannot_be_read_is_named_by_its_row_in_the_file(tmp_path):
    image = io.BytesIO()
    Image.fromarray(np.zeros((8, 8), dtype=np.uint8)).save(image, "png")
    images = [b"no image" if row == BAD else image.getvalue() for row in range(ROWS)]
    splits = splits_of({"image": images, "label": [row % 2 for row in range(ROWS)]}, tmp_path)
    task = ImageClassification.from_splits(splits)
    with pytest.raises(
        ValueError, match=rf"^Row {BAD} \(counted from 0\) of the train split cannot be read as an image"
    ):
        for split in splits.values():
            task.prepare(split, image_processor_for(8, 1))


def test_an_unknown_label_is_named_by_its_row_in_the_file(tmp_path):
    labels = [row % 2 for row in range(ROWS)]
    task = TextClassification.from_splits(splits_of({"text": ["word"] * ROWS, "label": labels}, tmp_path))
    labels[BAD] = 5
    splits = splits_of({"text": ["word"] * ROWS, "label": labels}, tmp_path)
    with pytest.raises(ValueError, match=rf"^Row {BAD} \(counted from 0\) of the train split: .*5"):
        for split in splits.values():
            task.labels_of(split)


def test_missing_texts_are_named_by_their_rows_in_the_file(tmp_path):
    texts = [None if row in (BAD, 30) else "word" for row in range(ROWS)]
    shuffled = datasets.Dataset.from_dict({"text": texts}, split="train").shuffle(seed=1)
    with pytest.raises(
        ValueError, match=rf"2 of {ROWS} rows of the train split .* \(rows ({BAD}, 30|30, {BAD}), counted"
    ):
        check_texts(shuffled, "given", ["text"])
