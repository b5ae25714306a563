"""Metrics, and an evaluator for each kind of task. Independent of models."""

from .base import Evaluator
from .classification import ClassificationEvaluator, compute_metrics, decide, labeled_rows, metrics_for, score
from .default import default_evaluator, register_evaluator
from .detection import DetectionEvaluator
from .display import Display, display
from .masked import MaskedTokenEvaluator
from .similarity import SimilarityEvaluator, similarity_metrics
from .spans import SpanEvaluator
from .speech import CtcSpeechEvaluator, HybridSpeechEvaluator, Seq2SeqSpeechEvaluator, plain_text, word_errors
from .tagging import TaggingEvaluator, marks_entities, tag_metrics
from .verification import VerificationEvaluator, verification_metrics

__all__ = [
    "ClassificationEvaluator",
    "Display",
    "SpanEvaluator",
    "DetectionEvaluator",
    "MaskedTokenEvaluator",
    "SimilarityEvaluator",
    "TaggingEvaluator",
    "CtcSpeechEvaluator",
    "VerificationEvaluator",
    "HybridSpeechEvaluator",
    "Seq2SeqSpeechEvaluator",
    "Evaluator",
    "compute_metrics",
    "decide",
    "display",
    "labeled_rows",
    "marks_entities",
    "metrics_for",
    "plain_text",
    "register_evaluator",
    "score",
    "similarity_metrics",
    "tag_metrics",
    "default_evaluator",
    "verification_metrics",
    "word_errors",
]
