"""Labels are encoded by their value, whatever type a file stores them in."""

import datasets
import numpy as np
import pytest

from distil_nlp.tasks import TextClassification

SINGLE, MULTI, SCORE = "single_label_classification", "multi_label_classification", "regression"
row = pytest.param
SENTIMENT = datasets.ClassLabel(names=["positive", "negative"])
NAN = float("nan")


def split(labels, feature=None):
    features = {"text": datasets.Value("string")}
    columns = {"text": [f"text {row}" for row in range(len(labels))]}
    if labels is not None:
        columns["label"] = labels
    if feature is None:
        return datasets.Dataset.from_dict(columns)
    return datasets.Dataset.from_dict(columns, features=datasets.Features({**features, "label": feature}))


def task_of(train, validation=None, **settings):
    splits = {"train": train, "validation": train if validation is None else validation}
    return TextClassification.from_splits(splits, **settings)


def labels_of(task, data, tokenizer):
    return task.prepare(data, tokenizer)["labels"][:]


@pytest.mark.parametrize(
    ("labels", "feature", "settings", "problem_type", "names", "expected"),
    [
        row([0, 1, -1], SENTIMENT, {}, SINGLE, ["positive", "negative"], [0, 1, -100], id="class labels"),
        row([0, 1, None], SENTIMENT, {}, SINGLE, ["positive", "negative"], [0, 1, -100], id="class labels, None"),
        row(["b", "a", "b"], None, {}, SINGLE, ["a", "b"], [1, 0, 1], id="words, sorted"),
        row(["b", "", None, "a"], None, {}, SINGLE, ["a", "b"], [1, -100, -100, 0], id="words missing"),
        row([0, 2, 1], None, {}, SINGLE, None, [0, 2, 1], id="indices"),
        row([0, -1, 1, -100], None, {}, SINGLE, None, [0, -100, 1, -100], id="indices missing"),
        row([5, 1, 10], None, {}, SINGLE, ["1", "5", "10"], [1, 0, 2], id="stars, sorted as numbers"),
        row(["0", "10", "2"], None, {}, SINGLE, ["0", "2", "10"], [0, 2, 1], id="numbers as words"),
        row(["0", "1", "-1"], None, {}, SINGLE, None, [0, 1, -100], id="indices as words"),
        row(["007", "008", "1"], None, {}, SINGLE, ["007", "008", "1"], [0, 1, 2], id="zeros in front"),
        row([True, False], None, {}, SINGLE, ["False", "True"], [1, 0], id="truth values"),
        row([1.0, 0.0, NAN], None, {}, SINGLE, None, [1, 0, -100], id="ints with gaps"),
        row([1.0, 0.0], None, {"problem_type": SINGLE}, SINGLE, None, [1, 0], id="floats called classes"),
        row([1.0, 2.5], None, {}, SCORE, None, [1.0, 2.5], id="scores"),
        row(["1", "2.5", "3e-1"], None, {}, SCORE, None, [1.0, 2.5, 0.3], id="scores as words"),
        row([1, 2], None, {"problem_type": SCORE}, SCORE, None, [1.0, 2.0], id="ints as scores"),
        row([0.5, -1.0], None, {}, SCORE, None, [0.5, -1.0], id="-1 is a score"),
        row([["x", "y"], [], ["y"]], None, {}, MULTI, ["x", "y"], [[1, 1], [0, 0], [0, 1]], id="lists of words"),
        row([[0, 2], [1], [2]], None, {}, MULTI, None, [[1, 0, 1], [0, 1, 0], [0, 0, 1]], id="lists of indices"),
        row([[0, 1, 1], [0, 0, 0]], None, {}, MULTI, None, [[0, 1, 1], [0, 0, 0]], id="0 and 1 per class"),
        row([[0.0, 1.0], [1.0, 1.0]], None, {}, MULTI, None, [[0, 1], [1, 1]], id="0.0 and 1.0 per class"),
        row([["x"], None, []], None, {}, MULTI, ["x"], [[1], [-100], [0]], id="lists missing"),
        row([[0, 1], [1, 1], [-1, -1]], None, {}, MULTI, None, [[0, 1], [1, 1], [-100, -100]], id="rows of -1"),
        row([[1], [0, 1], []], datasets.List(SENTIMENT), {}, MULTI, SENTIMENT.names, [[0, 1], [1, 1], [0, 0]],
            id="lists of class labels"),
    ],
)  # fmt: skip
def test_labels_are_encoded(tokenizer, labels, feature, settings, problem_type, names, expected):
    data = split(labels, feature)
    task = task_of(data, **settings)
    assert task.problem_type == problem_type
    assert task.label_names == names
    widths = {SINGLE: lambda: max(expected) + 1, MULTI: lambda: len(expected[0]), SCORE: lambda: 1}
    assert task.num_labels == widths[problem_type]()
    np.testing.assert_allclose(labels_of(task, data, tokenizer), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("train", "validation", "expected"),
    [
        pytest.param(split([0, 1], SENTIMENT), split(["negative", "positive"]), [1, 0], id="class labels, then words"),
        pytest.param(split([0, 1], SENTIMENT), split(["1", "0"]), [1, 0], id="class labels, then csv indices"),
        pytest.param(
            split([0, 1], SENTIMENT),
            split([0, 1], datasets.ClassLabel(names=["negative", "positive"])),
            [1, 0],
            id="class labels in another order",
        ),
        pytest.param(split([0, 1, 2]), split(["2", "0"]), [2, 0], id="ints, then strings"),
        pytest.param(split([0, 1]), split([1.0, NAN]), [1, -100], id="ints, then ints with gaps"),
        pytest.param(split(["1", "5"]), split([5, 1]), [1, 0], id="strings, then ints"),
        pytest.param(split(["a", "b", "c"]), split(["c", "b"]), [2, 1], id="fewer classes in validation"),
        pytest.param(split([0.5, 2.0]), split([1, 2]), [1.0, 2.0], id="scores, then ints"),
    ],
)
def test_all_splits_share_one_mapping(tokenizer, train, validation, expected):
    assert labels_of(task_of(train, validation), validation, tokenizer) == expected


def test_label_names_decide_the_order(tokenizer):
    data = split(["good", "bad"])
    task = task_of(data, label_names=["good", "so-so", "bad"])
    assert task.num_labels == 3
    assert labels_of(task, data, tokenizer) == [0, 2]


def test_integers_are_indices_into_given_names(tokenizer):
    data = split([0, 1])
    assert labels_of(task_of(data, label_names=["bad", "good"]), data, tokenizer) == [0, 1]


def test_integers_are_names_where_all_given_names_are_integers(tokenizer):
    data = split([1, 2, 1])
    assert labels_of(task_of(data, label_names=["1", "2", "3"]), data, tokenizer) == [0, 1, 0]


def test_minus_one_is_a_class_where_it_is_named(tokenizer):
    data = split([-1, 0, 1])
    assert labels_of(task_of(data, label_names=["-1", "0", "1"]), data, tokenizer) == [0, 1, 2]


def test_a_hidden_test_set_of_scores_is_missing_labels(tokenizer):
    task = task_of(split([0.5, 3.5]))
    assert np.isnan(labels_of(task, split([-1.0, -1.0]), tokenizer)).all()


def test_the_number_of_rows_without_a_label_is_logged(caplog):
    task_of(split([0, 1, -1, -1, 0]))
    assert "2 of 5 labels of the train split are missing" in caplog.text


def test_integers_with_empty_cells_are_read_as_classes_with_a_warning(caplog):
    task_of(split([0.0, 1.0, NAN]))
    assert "read as classes. If they are scores, set problem_type='regression'" in caplog.text


@pytest.mark.parametrize(
    ("train", "validation", "settings", "message"),
    [
        (
            split(["good", "bad"]),
            split(["good", "god"]),
            {},
            r"Row 1 .* of the validation split: label 'god' is not one of the 2 known classes \(bad, good\)",
        ),
        (split([0, 1]), split([0, 2]), {}, r"label 2 is not one of the 2 known classes \(0, 1\).*pass label_names"),
        (split([0, 1, 3]), split([2]), {}, r"label 2 is not one of the 3 known classes \(0, 1, 3\)"),
        (split(["a", "b"]), None, {"label_names": ["a", "c"]}, "label 'b' is not one of the 2 known classes .a, c."),
        (
            split(["a", "b"]),
            None,
            {"label_names": ["a", "b", "a"]},
            "label_names must differ from each other; got a, b, a",
        ),
        (split(["a", "a"]), None, {}, "has 1 class .a.*too few to classify"),
        (split([-1, 1]), None, {}, "has 1 class .*if -1 is one of your classes, pass label_names with '-1'"),
        (
            split([1.0, 2.0]),
            None,
            {},
            "may be scores or classes. Set problem_type='regression' or problem_type='single",
        ),
        (split(["1.0", "2.0"]), None, {}, "may be scores or classes"),
        (split(["0.5", "n/a"]), None, {}, r"mixes numbers \(0.5\) with words \('n/a'\).*Clear the words"),
        (split(["a", "b"]), None, {"problem_type": "regression"}, "Row 0 .*label 'a' is not a finite number"),
        (split([0.5, float("inf")]), None, {}, "Row 1 .*label inf is not a finite number"),
        (split([0, 1]), None, {"problem_type": MULTI}, "multi_label_classification needs a list of classes .*jsonl"),
        (split([[0], [1]]), None, {"problem_type": SINGLE}, "single_label_classification needs one value in each row"),
        (split([0.5, 1]), None, {"label_names": ["a"]}, "label_names=.'a'. would have no effect"),
        (
            split([0, 1]),
            None,
            {"problem_type": "classification"},
            "problem_type must be one of .*got 'classification'",
        ),
        (split([0, 1], SENTIMENT), split([-1, -1], SENTIMENT), {}, "All 2 labels of the validation split are missing"),
        (
            split([-1, -1], SENTIMENT),
            split([0, 1], SENTIMENT),
            {},
            "All 2 labels of the train split .*'unlabeled' split",
        ),
        (split([[0, 1], [1, 1]]), split([[0, 1, 1]]), {}, "has 3 entries; .* there must be 2 .0, 1."),
        (split([[0, 1], [1, 1]]), split([[0, 3]]), {}, r"label \[0, 3\] should hold one 0 or 1 per class"),
        (split([[0, 1], [1, 1]]), split([[0, -1]]), {}, r"label \[0, -1\] is missing in part"),
        (split([["a"], ["b"]]), split([["a", "z"]]), {}, "label 'z' is not one of the 2 known classes .a, b."),
        (split([["a"], ["b"]]), split([["a", None]]), {}, "mixes classes with missing ones"),
        (split([[0.2, 0.8], [0.5, 0.5]]), None, {}, "Lists of labels contain classes, or one 0 or 1 per class; got 0"),
        (split([{"id": 1}, {"id": 2}]), None, {}, "Column 'label' contains .* which is not a label"),
    ],
)
def test_labels_that_cannot_be_used_are_refused(train, validation, settings, message):
    with pytest.raises(ValueError, match=message):
        task_of(train, validation, **settings)
