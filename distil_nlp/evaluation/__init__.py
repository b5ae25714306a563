"""Evaluation: metrics, predictions, intervals, latency, and the comparison of teacher, student and control."""

from typing import TYPE_CHECKING

from ..examples import text_batch
from ..metrics import (
    Classification,
    ExtractedAnswers,
    MaskedWords,
    Similarity,
    Tagging,
    Yardstick,
    compute_metrics,
    decide,
    metrics_for,
    score,
)
from .bootstrap import Difference, difference_of_means, difference_of_metrics
from .comparison import Comparison, Contender, compare
from .latency import Latency, measure_latency, speed_up
from .predict import predict, predict_logits
from .report import environment, report_markdown, write_report
from .table import text_table

__all__ = [
    "F1",
    "Accuracy",
    "Agreement",
    "Classification",
    "Comparison",
    "Contender",
    "Difference",
    "ExtractedAnswers",
    "Latency",
    "MaskedWords",
    "MatthewsCorrelation",
    "PearsonSpearman",
    "Similarity",
    "Tagging",
    "Yardstick",
    "compare",
    "compute_metrics",
    "decide",
    "difference_of_means",
    "difference_of_metrics",
    "environment",
    "measure_latency",
    "metrics_for",
    "predict",
    "predict_logits",
    "report_markdown",
    "score",
    "speed_up",
    "text_batch",
    "text_table",
    "write_report",
]

if TYPE_CHECKING:  # for type checkers and editors; at run time see `__getattr__`
    from .modules import F1, Accuracy, Agreement, MatthewsCorrelation, PearsonSpearman

_MODULES = ("F1", "Accuracy", "Agreement", "MatthewsCorrelation", "PearsonSpearman")


def __getattr__(name):
    # Importing `evaluate` takes memory that a training process has no use for.
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}. It offers {', '.join(__all__)}.")
    from . import modules

    return getattr(modules, name)
