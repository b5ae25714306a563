"""The texts that a teacher generates are stored by content, not by places or times."""

from types import SimpleNamespace

import datasets
import pytest

from distil_nlp.generation import sequence_targets
from distil_nlp.generation.sequence_targets import pseudo_labeled

TASK = SimpleNamespace(
    predictor=lambda model: model,
    texts_of=lambda rows, processor: [None] * len(rows),
    with_texts=lambda rows, texts, processor: texts,
)


def rows_in_memory(first=b"a"):
    """Rows without a file, as joined clips are: their fingerprint in `datasets` may differ in every process."""
    rows = datasets.Dataset.from_dict({"audio": [first, b"b", b"c"], "length": [1, 2, 3]})
    rows._fingerprint = datasets.fingerprint.generate_random_fingerprint()
    return rows


@pytest.fixture
def generated(monkeypatch):
    """The first row of each part that is generated."""
    starts = []

    def generate(rows, start, *_):
        starts.append(start)
        return [str(number) for number in range(start, min(start + 2, len(rows)))]

    monkeypatch.setattr(sequence_targets, "_generate", generate)
    monkeypatch.setattr(sequence_targets, "_ROWS_PER_PART", 2)
    return starts


def texts(folder, *, rows=None, weights="w"):
    teacher = SimpleNamespace(fingerprint=lambda: weights, model=None)
    return pseudo_labeled(rows_in_memory() if rows is None else rows, TASK, teacher, None, folder)[0]


def test_the_same_rows_in_another_process_are_not_generated_again(generated, tmp_path):
    assert texts(tmp_path) == texts(tmp_path) == ["0", "1", "2"]
    assert generated == [0, 2]


def test_another_row_is_generated_again_with_its_part(generated, tmp_path):
    texts(tmp_path)
    texts(tmp_path, rows=rows_in_memory(b"x"))
    assert generated == [0, 2, 0]


def test_another_teacher_generates_all_texts_again(generated, tmp_path):
    texts(tmp_path)
    texts(tmp_path, weights="v")
    assert generated == [0, 2, 0, 2]
