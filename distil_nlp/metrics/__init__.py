"""Metrics: how the answers of a model become numbers, a yardstick for each kind of task. Knows no model."""

from .base import Yardstick
from .classification import Classification, compute_metrics, decide, labelled_rows, metrics_for, score
from .display import Display, display
from .similarity import Similarity, similarity_metrics

__all__ = [
    "Classification",
    "Display",
    "Similarity",
    "Yardstick",
    "compute_metrics",
    "decide",
    "display",
    "labelled_rows",
    "metrics_for",
    "score",
    "similarity_metrics",
]
