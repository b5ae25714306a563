"""Properties of label columns over drawn values: the same class whatever its type, its row or its split."""

import math

import datasets
import pyarrow
import pytest
from hypothesis import strategies as st

from distil_nlp.data.labels import column_values, read_labels
from distil_nlp.metrics.classification import MISSING_LABEL
from tests.drawn import drawn

SINGLE, MULTI, REGRESSION = "single_label_classification", "multi_label_classification", "regression"
WORDS = st.text(alphabet="abcXYZ é_-0", min_size=1, max_size=4).filter(lambda word: word.strip() != "")
CLASSES = st.lists(st.integers(0, 6), min_size=2, max_size=20).filter(lambda labels: len(set(labels)) > 1)
FINITE = st.floats(allow_nan=False, allow_infinity=False, width=32)


def column(values):
    """A data set of labels; without a fingerprint of its own, whose computation would take most of the time."""
    return datasets.Dataset(pyarrow.table({"label": values}), fingerprint="labels")


def encoded(values, *, train=None, **settings):
    """The encoder of the training values, and the codes of `values`."""
    encoder = read_labels(column(values if train is None else train), "label", **settings)
    return encoder, encoder.encode(column_values(column(values), "label"), "train")


@drawn(labels=CLASSES, missing=st.lists(st.integers(0, 19), max_size=3))
def test_a_class_is_the_same_as_integer_float_and_string(labels, missing):
    expected = None
    for form in (int, float, str, lambda label: f"{label}.0"):
        values = [None if row in missing else form(label) for row, label in enumerate(labels)]
        if len({value for value in values if value is not None}) < 2:
            return
        encoder, codes = encoded(values, problem_type=SINGLE)
        assert all((code == MISSING_LABEL) == (value is None) for code, value in zip(codes, values, strict=True))
        assert encoder.num_labels == len({label for row, label in enumerate(labels) if row not in missing})
        expected = codes if expected is None else expected
        assert codes == expected


@drawn(labels=st.lists(WORDS, min_size=2, max_size=12), order=st.randoms())
def test_words_are_their_classes_in_any_order(labels, order):
    if len(set(labels)) < 2 or all(word.strip("-+").isdigit() for word in labels):
        return
    encoder, codes = encoded(labels, problem_type=SINGLE)
    if encoder.names is not None:
        numbers = [label in encoder.names for label in labels]
        assert all(
            encoder.names[code] == label for code, label, known in zip(codes, labels, numbers, strict=True) if known
        )
    assert all(0 <= code < encoder.num_labels for code in codes if code != MISSING_LABEL)
    shuffled = labels[:]
    order.shuffle(shuffled)
    turned, turned_codes = encoded(shuffled, problem_type=SINGLE)
    assert turned.names == encoder.names
    assert dict(zip(shuffled, turned_codes, strict=True)) == dict(zip(labels, codes, strict=True))


@drawn(scores=st.lists(st.one_of(FINITE, st.none()), min_size=1, max_size=12), as_text=st.booleans())
def test_scores_are_their_numbers_and_nan_where_missing(scores, as_text):
    values = [None if score is None else repr(score) if as_text else score for score in scores]
    if all(value is None for value in values):
        return
    _, codes = encoded(values, problem_type=REGRESSION)
    if set(scores) == {-1.0}:  # a hidden test set
        assert all(math.isnan(code) for code in codes)
    else:
        for code, score in zip(codes, scores, strict=True):
            assert math.isnan(code) if score is None else code == score


@drawn(sets=st.lists(st.sets(st.sampled_from("abcd")), min_size=2, max_size=8), multi_hot=st.booleans())
def test_sets_of_classes_are_rows_of_zero_and_one(sets, multi_hot):
    names = sorted(set().union(*sets))
    if len(names) < 2:
        return
    rows = [[float(name in chosen) for name in names] for chosen in sets]
    values = [[int(flag) for flag in row] for row in rows] if multi_hot else [sorted(chosen) for chosen in sets]
    encoder, codes = encoded(values)
    assert encoder.problem_type == MULTI and encoder.num_labels == len(names) and codes == rows


@drawn(
    train=st.lists(st.one_of(st.integers(-3, 9), st.floats(), st.none()), min_size=1, max_size=8),
    other=st.lists(st.floats(), min_size=1, max_size=4),
    problem_type=st.sampled_from([None, SINGLE, REGRESSION]),
)
def test_any_column_of_numbers_is_encoded_or_refused_in_words(train, other, problem_type):
    train = [None if value is None else float(value) for value in train]
    for values in (train, other):
        try:
            encoder, codes = encoded(values, train=train, problem_type=problem_type)
        except ValueError as error:
            assert "label" in str(error) or "Column" in str(error)
            return
        for code in codes:
            assert not math.isinf(code)
            if encoder.problem_type == SINGLE:
                assert code == MISSING_LABEL or 0 <= code < encoder.num_labels


@drawn(texts=st.lists(st.text(max_size=6), min_size=2, max_size=6), other=st.text(max_size=6))
def test_any_column_of_texts_is_encoded_or_refused_in_words(texts, other):
    try:
        encoder, codes = encoded(texts)
        encoder.encode([other or None], "validation")
    except ValueError as error:
        assert "label" in str(error) or "Column" in str(error)
    else:
        assert len(codes) == len(texts)


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), "1e999"])
def test_an_infinite_label_is_no_class_and_no_score(value):
    encoder = read_labels(column([0, 1, 1]), "label")
    with pytest.raises(
        ValueError, match=r"Row 1 .* of the validation split: label .* is not one of the 2 known classes"
    ):
        encoder.encode([0, value], "validation")
    encoder = read_labels(column([0.5, 1.0]), "label")
    with pytest.raises(ValueError, match=r"Row 1 .*: label .* is not a finite number"):
        encoder.encode([0.5, value], "validation")
