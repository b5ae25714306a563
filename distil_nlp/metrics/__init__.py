"""Metrics: how the answers of a model become numbers, an evaluator for each kind of task. Knows no model."""

from .base import Evaluator
from .classification import Classification, compute_metrics, decide, labeled_rows, metrics_for, score
from .default import default_evaluator
from .detection import DetectedBoxes
from .display import Display, display
from .masked import MaskedWords
from .similarity import Similarity, similarity_metrics
from .spans import ExtractedAnswers
from .tagging import Tagging, marks_entities, tag_metrics
from .verification import Verification, verification_metrics
from .words import GeneratedTexts, Transcripts, WordErrors, plain_text, word_errors

__all__ = [
    "Classification",
    "Display",
    "ExtractedAnswers",
    "DetectedBoxes",
    "MaskedWords",
    "Similarity",
    "Tagging",
    "Transcripts",
    "Verification",
    "WordErrors",
    "GeneratedTexts",
    "Evaluator",
    "compute_metrics",
    "decide",
    "display",
    "labeled_rows",
    "marks_entities",
    "metrics_for",
    "plain_text",
    "score",
    "similarity_metrics",
    "tag_metrics",
    "default_evaluator",
    "verification_metrics",
    "word_errors",
]
