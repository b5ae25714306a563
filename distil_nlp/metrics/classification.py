"""Metrics of classification and regression: scores of a matrix of logits.

The values are scikit-learn's and scipy's, to rounding (the tests compare). The arithmetic is written out because a
bootstrap computes a metric thousands of times, and those libraries spend most of a call on validating its inputs.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ..internals.messages import nearest, shown
from .base import Evaluator, first_of, share_of_most_frequent

if TYPE_CHECKING:
    from transformers import EvalPrediction

MISSING_LABEL = -100
_HIDDEN_LABEL = -1  # of the test sets of GLUE


def _correct(predictions: np.ndarray, references: np.ndarray) -> np.ndarray:
    """Mask of the correct examples; for sets of labels, of those where every label is correct."""
    equal = predictions == references
    return equal.all(axis=1) if equal.ndim == 2 else equal


def _exact(predictions: np.ndarray, references: np.ndarray) -> float:
    return float(np.mean(_correct(predictions, references)))


def _class_counts(predictions: np.ndarray, references: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each class, the number of correct predictions, of predictions, and of references."""
    if predictions.ndim == 2:
        return np.sum(predictions & references, axis=0), predictions.sum(axis=0), references.sum(axis=0)
    size = max(2, int(predictions.max()) + 1, int(references.max()) + 1)
    hits = predictions[predictions == references]
    return (
        np.bincount(hits, minlength=size),
        np.bincount(predictions, minlength=size),
        np.bincount(references, minlength=size),
    )


def _f1(average: str, predictions: np.ndarray, references: np.ndarray) -> float:
    hits, predicted, actual = _class_counts(predictions, references)
    total = predicted + actual
    if average == "binary":
        hits, total = hits[1], total[1]
    elif average == "micro":
        hits, total = hits.sum(), total.sum()
    elif predictions.ndim == 1:
        # A class with neither references nor predictions has no F1. (In a set of labels it is 0, as in scikit-learn.)
        hits, total = hits[total > 0], total[total > 0]
    return float(np.mean(2 * hits / np.maximum(total, 1)))


def _matthews(predictions: np.ndarray, references: np.ndarray) -> float:
    # Gorodkin 2004: the correlation of two one-hot matrices. In floats, because the products overflow integers.
    hits, predicted, actual = (counts.astype(np.float64) for counts in _class_counts(predictions, references))
    num_rows = float(len(predictions))
    spread = (num_rows**2 - predicted @ predicted) * (num_rows**2 - actual @ actual)
    return float((hits.sum() * num_rows - predicted @ actual) / np.sqrt(spread)) if spread > 0 else 0.0


def _pearson(predictions: np.ndarray, references: np.ndarray, name: str = "Pearson") -> float:
    sides = {"predictions": predictions, "labels": references}
    constant = [side for side, values in sides.items() if len(values) < 2 or np.ptp(values) == 0]
    if constant:
        warnings.warn(
            f"The {name} correlation of {len(predictions)} rows is undefined because all {constant[0]} are equal; it "
            f"is given as nan. Constant predictions usually mean that the model has collapsed.",
            stacklevel=3,
        )
        return float("nan")
    predictions, references = (values - np.mean(values, dtype=np.float64) for values in (predictions, references))
    value = (predictions / np.linalg.norm(predictions)) @ (references / np.linalg.norm(references))
    return float(np.clip(value, -1.0, 1.0))


def _spearman(predictions: np.ndarray, references: np.ndarray) -> float:
    from scipy.stats import rankdata  # not at the top: training imports this module, and only a regression needs ranks

    return _pearson(rankdata(predictions), rankdata(references), name="Spearman")


# Each takes (predictions, references): classes (n,), 0/1 decisions (n, labels), or numbers (n,).
_METRICS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "accuracy": _exact,
    "exact_match": _exact,
    "f1": partial(_f1, "binary"),
    "f1_micro": partial(_f1, "micro"),
    "f1_macro": partial(_f1, "macro"),
    "matthews_correlation": _matthews,
    "pearson": _pearson,
    "spearmanr": _spearman,
}
# Means over examples of 0 or 1: the bootstrap is cheaper for these (see `Evaluator.per_example`).
_MEANS_OVER_EXAMPLES = ("accuracy", "exact_match")


@dataclass(frozen=True)
class _Kind:
    """Decisions and metrics of one problem kind.

    Args:
        metrics (`Callable`): num_labels -> names of the metrics, the main one first.
        decide (`Callable`): logits of shape (n, labels) -> decisions, see `decide`.
        fits_width (`Callable`): width of the logits -> whether models of this kind have it.
        label_dims (`int`): Dimensions of the labels of a split.
        is_number (`bool`): Labels and predictions are numbers: NaN where missing, and there are no decisions to agree on.
    """

    metrics: Callable[[int], list[str]]
    decide: Callable[[np.ndarray], np.ndarray]
    fits_width: Callable[[int], bool]
    label_dims: int = 1
    is_number: bool = False


_KINDS = {
    "single_label_classification": _Kind(
        metrics=lambda num_labels: ["accuracy", "f1" if num_labels == 2 else "f1_macro", "matthews_correlation"],
        decide=lambda logits: logits.argmax(axis=1),
        fits_width=lambda width: width != 1,
    ),
    "multi_label_classification": _Kind(
        metrics=lambda num_labels: ["f1_micro", "f1_macro", "exact_match"],
        decide=lambda logits: (logits > 0).astype(np.int64),
        fits_width=lambda width: True,
        label_dims=2,
    ),
    "regression": _Kind(
        metrics=lambda num_labels: ["pearson", "spearmanr"],
        decide=lambda logits: logits[:, 0],
        fits_width=lambda width: width == 1,
        is_number=True,
    ),
}
PROBLEM_TYPES = tuple(_KINDS)


def _kind(problem_type: str) -> _Kind:
    """The row of a problem kind; a ValueError lists the kinds."""
    kind = _KINDS.get(problem_type)
    if kind is None:
        raise ValueError(
            f"problem_type must be one of {', '.join(_KINDS)}; got {shown(problem_type)}{nearest(problem_type, _KINDS)}. "
            f"It decides which metrics exist."
        )
    return kind


def metrics_for(problem_type: str, num_labels: int) -> list[str]:
    """Names of the metrics of a problem kind in display order; the first is the main one.

    | problem | metrics |
    |---|---|
    | single label, 2 classes | accuracy, f1 (of class 1), matthews_correlation |
    | single label, more | accuracy, f1_macro, matthews_correlation |
    | multi-label | f1_micro, f1_macro, exact_match |
    | regression | pearson, spearmanr |

    Args:
        problem_type (`str`): transformers' problem type.
        num_labels (`int`): Columns of the logits.

    Raises:
        ValueError: Unknown problem type.
    """
    return _kind(problem_type).metrics(num_labels)


def decide(problem_type: str, logits: np.ndarray) -> np.ndarray:
    """Decisions of rows of logits.

    Args:
        problem_type (`str`): transformers' problem type.
        logits (`np.ndarray`): Shape (n, labels).

    Returns:
        `np.ndarray`: classes (n,); or 0/1 per label (n, labels), 1 where the logit is above 0, which is where
        the sigmoid is above one half; or the numbers (n,).

    Raises:
        ValueError: Unknown problem type; logits whose shape does not fit it.
    """
    logits = _checked_logits(problem_type, logits)
    return logits if logits.ndim == 1 else _kind(problem_type).decide(logits)


def _checked_logits(problem_type: str, logits: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
    """Logits as an array whose shape fits the problem kind: (n, labels), or (n,) for a regression; else a ValueError."""
    logits, kind = np.asarray(logits), _kind(problem_type)
    if kind.is_number and logits.ndim == 1:
        return logits
    if logits.ndim != 2:
        raise ValueError(f"Logits must have shape (rows, labels), one row per example; got shape {logits.shape}.")
    if not kind.fits_width(logits.shape[1]):
        raise ValueError(
            f"Logits of shape {logits.shape} do not fit {problem_type}: regression has one column and single-label "
            f"classification two or more. Check the model's num_labels and problem_type."
        )
    return logits


def labeled_rows(problem_type: str, labels: np.ndarray) -> np.ndarray:
    """Mask of the rows with a label: not -1 or -100, not a row of these (multi-label), not NaN (regression).

    Args:
        problem_type (`str`): transformers' problem type.
        labels (`np.ndarray`): Shape (n,), or (n, labels) for multi-label.

    Returns:
        `np.ndarray` of bool, shape (n,).

    Raises:
        ValueError: Labels of the wrong shape; a multi-label row of which only a part is -100.
    """
    labels, kind = np.asarray(labels), _kind(problem_type)
    if labels.ndim != kind.label_dims:
        expected = "(rows, labels)" if kind.label_dims == 2 else "(rows,)"
        raise ValueError(f"Labels of {problem_type} must have shape {expected}; got shape {labels.shape}.")
    if kind.is_number:
        return ~np.isnan(labels)
    missing = np.isin(labels, (_HIDDEN_LABEL, MISSING_LABEL))
    if kind.label_dims == 1:
        return np.logical_not(missing)
    partly = missing.any(axis=1) & ~missing.all(axis=1)
    if partly.any():
        row = int(partly.argmax())
        raise ValueError(
            f"Row {row} of the labels mixes {MISSING_LABEL} with labels ({shown(labels[row].tolist())}). A row counts "
            f"wholly or not at all: fill the row with {MISSING_LABEL} to leave it out, or give every label 0 or 1."
        )
    return np.logical_not(missing.all(axis=1))


def score(problem_type: str, logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Every metric of the problem kind, over the rows that have a label.

    Args:
        problem_type (`str`): transformers' problem type.
        logits (`np.ndarray`): Shape (n, labels), float. Its last size is the number of labels.
        labels (`np.ndarray`): Shape (n,): classes, -100 where missing; or numbers, NaN where missing. For
            multi-label (n, labels): 0 or 1, a row of -100 where missing.

    Returns:
        `dict[str, float]`: name to value, as a fraction (0.9, not 90). nan everywhere and a warning where the logits
        contain NaN, because the argmax of such a row has no meaning.

    Raises:
        ValueError: Shapes that do not fit; labels outside the classes; no labeled row.
    """
    logits, labels = _checked_logits(problem_type, logits), np.asarray(labels)
    if len(logits) != len(labels):
        raise ValueError(f"There are {len(logits)} rows of logits and {len(labels)} labels; a row needs its label.")
    evaluator = ClassificationEvaluator(problem_type, labels, logits.shape[1] if logits.ndim == 2 else 1)
    return evaluator.scores(evaluator.statistics(logits))


class ClassificationEvaluator(Evaluator):
    """Evaluates rows of logits against classes, sets of classes or numbers.

    An answer is a row of logits, shape (labels,). The statistics of an example are its decision and its reference: two
    classes for a single label, twice as many zeros and ones as labels for multi-label, two numbers for a regression.

    Args:
        problem_type (`str`): transformers' problem type; `metrics_for` has its metrics.
        labels (`np.ndarray`): Of all rows, as for `score`. Rows without a label count for agreement only.
        num_labels (`int`): Columns of the logits.
        main_metric (`str`, *optional*): Main metric instead of the first.

    Raises:
        ValueError: Unknown problem type or metric; labels of the wrong shape or outside the classes; no labeled row.
    """

    problem_type: str

    def __init__(self, problem_type: str, labels: np.ndarray, num_labels: int, main_metric: str | None = None) -> None:
        labels = np.asarray(labels)
        self.num_labels, self._labeled = num_labels, labeled_rows(problem_type, labels)
        if not self._labeled.any():
            raise ValueError(
                f"None of the {len(labels)} rows has a label, so the metrics have no references. Evaluate on a labeled "
                f"split."
            )
        self._references = _checked_labels(problem_type, labels[self._labeled], num_labels)
        super().__init__(
            metrics_for(problem_type, num_labels),
            num_rows=len(labels),
            num_examples=len(self._references),
            problem_type=problem_type,
            main_metric=main_metric,
        )

    def statistics(self, answers: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
        logits = _checked_logits(self.problem_type, answers)
        if logits.ndim == 2 and logits.shape[1] != self.num_labels:
            raise ValueError(
                f"Logits should have {self.num_labels} columns, one for each label; got shape {logits.shape}."
            )
        logits = logits[self._labeled]
        predictions = decide(self.problem_type, logits)
        num_bad = int(np.isnan(logits).reshape(len(logits), -1).any(axis=1).sum())
        if num_bad:
            warnings.warn(f"{num_bad} of {len(logits)} rows of logits contain NaN; every metric is nan.", stacklevel=2)
            predictions = np.full(predictions.shape, np.nan)
        return np.column_stack([predictions, self._references])

    def compute(self, name: str, statistics: np.ndarray) -> float:
        if _undefined(statistics):
            return float("nan")
        return metric_value(name, *self._sides(statistics))

    def per_example(self, name: str, statistics: np.ndarray) -> np.ndarray | None:
        if name not in _MEANS_OVER_EXAMPLES:
            return None
        return np.full(len(statistics), np.nan) if _undefined(statistics) else _correct(*self._sides(statistics))

    def agreement(
        self, student_answers: Sequence[np.ndarray] | np.ndarray, teacher_answers: Sequence[np.ndarray] | np.ndarray
    ) -> float | None:
        """Share of rows with the same decision (multi-label: the same set of labels); None for regression."""
        if _kind(self.problem_type).is_number:
            return None
        student, teacher = np.asarray(student_answers), np.asarray(teacher_answers)
        if np.isnan(student).any() or np.isnan(teacher).any():
            return float("nan")
        return float(np.mean(_correct(decide(self.problem_type, student), decide(self.problem_type, teacher))))

    def most_frequent(self, answers: Sequence[np.ndarray] | np.ndarray) -> float | None:
        if _kind(self.problem_type).is_number:
            return None
        logits = np.asarray(answers)
        return float("nan") if np.isnan(logits).any() else share_of_most_frequent(decide(self.problem_type, logits))

    def _sides(self, statistics: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if _kind(self.problem_type).label_dims == 2:
            return statistics[:, : self.num_labels], statistics[:, self.num_labels :]
        return statistics[:, 0], statistics[:, 1]


def _undefined(statistics: np.ndarray) -> bool:
    return statistics.dtype.kind == "f" and bool(np.isnan(statistics).any())


def metric_value(name: str, predictions: np.ndarray, references: np.ndarray) -> float:
    """The value of a metric by name.

    Args:
        name (`str`): A name from `metrics_for`.
        predictions, references (`np.ndarray`): Decisions from `decide`, and labels of the same shape.
    """
    return _METRICS[name](predictions, references)


def _checked_labels(problem_type: str, labels: np.ndarray, num_labels: int) -> np.ndarray:
    """Labels as whole numbers (regression: unchanged) that fit the logits.

    Args:
        problem_type (`str`): transformers' problem type.
        labels (`np.ndarray`): Of labeled rows only.
        num_labels (`int`): Columns of the logits.

    Raises:
        ValueError: Labels outside the classes of these logits.
    """
    kind = _kind(problem_type)
    if kind.is_number:
        return labels
    top = 1 if kind.label_dims == 2 else num_labels - 1
    wrong = (labels < 0) | (labels > top) | (labels != np.floor(labels))
    if labels.ndim == 2 and labels.shape[1] != num_labels:
        raise ValueError(f"Labels of shape {labels.shape} do not fit logits with {num_labels} columns.")
    if wrong.any():
        raise ValueError(
            f"Labels of {problem_type} must be whole numbers from 0 to {top}, for {num_labels} columns of logits; got "
            f"{labels[wrong].flat[0]}. Are these another data set's labels, or has the model too few classes?"
        )
    return labels.astype(np.int64)


def compute_metrics(problem_type: str) -> Callable[[EvalPrediction], dict[str, float]]:
    """A function for Trainer's `compute_metrics`: `score` of an `EvalPrediction`.

    Where predictions or label_ids are tuples (a model that returns more than logits, several `label_names`) the
    first is used: the logits and `labels`.
    """
    _kind(problem_type)

    def compute(prediction: EvalPrediction) -> dict[str, float]:
        return score(problem_type, first_of(prediction.predictions), first_of(prediction.label_ids))

    return compute
