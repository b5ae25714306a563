"""Evaluation: metrics, predictions, intervals, latency, and the comparison of teacher, student and control."""

from typing import TYPE_CHECKING

from ..reports import Difference, Report
from .bootstrap import difference_of_means, difference_of_metrics
from .comparison import Candidate, compare
from .latency import Latency, measure_latency, speed_up
from .predict import predict, predict_logits

__all__ = [
    "F1",
    "Accuracy",
    "Agreement",
    "Candidate",
    "Difference",
    "Latency",
    "MatthewsCorrelation",
    "PearsonSpearman",
    "Report",
    "compare",
    "difference_of_means",
    "difference_of_metrics",
    "measure_latency",
    "predict",
    "predict_logits",
    "speed_up",
]

if TYPE_CHECKING:  # for type checkers and editors; at run time see `__getattr__`
    from .evaluate_metrics import F1, Accuracy, Agreement, MatthewsCorrelation, PearsonSpearman

_EVALUATE_METRICS = ("F1", "Accuracy", "Agreement", "MatthewsCorrelation", "PearsonSpearman")


def __getattr__(name: str) -> type:
    # Imported on first use: `evaluate` takes memory that a training process does not need.
    if name not in _EVALUATE_METRICS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}. It has {', '.join(__all__)}.")
    from . import evaluate_metrics

    return getattr(evaluate_metrics, name)
