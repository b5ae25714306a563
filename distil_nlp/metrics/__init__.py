"""Metrics: how the answers of a model become numbers, a yardstick for each kind of task. Knows no model."""

from .base import Yardstick
from .classification import Classification, compute_metrics, decide, labelled_rows, metrics_for, score
from .default import usual_yardstick
from .detection import FoundBoxes
from .display import Display, display
from .masked import MaskedWords
from .similarity import Similarity, similarity_metrics
from .spans import ExtractedAnswers
from .tagging import Tagging, marks_entities, tag_metrics
from .verification import Verification, verification_metrics
from .words import Transcripts, WordErrors, WrittenTexts, plain_text, word_errors

__all__ = [
    "Classification",
    "Display",
    "ExtractedAnswers",
    "FoundBoxes",
    "MaskedWords",
    "Similarity",
    "Tagging",
    "Transcripts",
    "Verification",
    "WordErrors",
    "WrittenTexts",
    "Yardstick",
    "compute_metrics",
    "decide",
    "display",
    "labelled_rows",
    "marks_entities",
    "metrics_for",
    "plain_text",
    "score",
    "similarity_metrics",
    "tag_metrics",
    "usual_yardstick",
    "verification_metrics",
    "word_errors",
]
