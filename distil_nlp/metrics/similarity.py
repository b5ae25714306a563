"""Metrics of sentence embeddings: correlation of cosines with gold similarity scores."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from .base import Evaluator, first_of
from .classification import metric_value

if TYPE_CHECKING:
    import torch
    from transformers import EvalPrediction

METRICS = ["spearmanr", "pearson"]


def pair_cosines(embeddings: np.ndarray) -> np.ndarray:
    """Cosine of the two embeddings of each pair.

    Args:
        embeddings (`np.ndarray`): Shape (2 * pairs, width) or (pairs, 2, width): the two embeddings of a pair side by side.

    Returns:
        `np.ndarray` of float64, shape (pairs,); 0 for a vector of length 0.
    """
    vectors = np.asarray(embeddings, dtype=np.float64)
    vectors = vectors.reshape(-1, 2, vectors.shape[-1])
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    first, second = np.moveaxis(vectors / np.maximum(lengths, 1e-12), 1, 0)
    return np.sum(first * second, axis=-1)


class SimilarityEvaluator(Evaluator):
    """Evaluates embeddings of pairs of texts by the rank correlation of their cosines with gold similarity scores.

    An answer is the cosine of a pair. The statistics of a pair are its cosine and its score. Nothing is decided, so there
    is no agreement.

    Args:
        scores (`np.ndarray`): Shape (pairs,), on any scale; NaN where missing, and such pairs do not count.
        main_metric (`str`, *optional*): "pearson" as the main metric instead of "spearmanr".

    Raises:
        ValueError: Another metric; no score.

    Reference: Reimers and Gurevych 2019, "Sentence-BERT", section 4, for Spearman's correlation of cosines.
    """

    def __init__(self, scores: np.ndarray, main_metric: str | None = None) -> None:
        scores = np.asarray(scores, dtype=np.float64)
        if scores.ndim != 1:
            raise ValueError(f"Scores should have shape (pairs,), one for each pair of texts; got {scores.shape}.")
        self._scored = ~np.isnan(scores)
        if not self._scored.any():
            raise ValueError(
                f"None of the {len(scores)} pairs has a score, but the metrics correlate cosines with scores. Is this the "
                f"column of the scores?"
            )
        self._scores = scores[self._scored]
        super().__init__(
            METRICS,
            num_rows=len(scores),
            num_examples=len(self._scores),
            problem_type="embedding",
            main_metric=main_metric,
        )

    def answers(self, logits: torch.Tensor, batch: Mapping[str, torch.Tensor]) -> np.ndarray:
        return pair_cosines(logits.float().cpu().numpy())

    def statistics(self, answers: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
        cosines = np.asarray(answers, dtype=np.float64)
        if cosines.shape != self._scored.shape:
            raise ValueError(
                f"There should be one cosine for each of the {len(self._scored)} pairs; got answers of shape "
                f"{cosines.shape}."
            )
        cosines = cosines[self._scored]
        if num_bad := int(np.isnan(cosines).sum()):
            warnings.warn(f"{num_bad} of {len(cosines)} cosines are NaN; every metric is nan.", stacklevel=2)
            cosines = np.full(len(cosines), np.nan)
        return np.column_stack([cosines, self._scores])

    def compute(self, name: str, statistics: np.ndarray) -> float:
        if np.isnan(statistics).any():
            return float("nan")
        return metric_value(name, statistics[:, 0], statistics[:, 1])

    def agreement(
        self, student_answers: Sequence[np.ndarray] | np.ndarray, teacher_answers: Sequence[np.ndarray] | np.ndarray
    ) -> None:
        """None: nothing is decided."""


def similarity_metrics(prediction: EvalPrediction) -> dict[str, float]:
    """Both correlations of an `EvalPrediction`, for Trainer's `compute_metrics`."""
    evaluator = SimilarityEvaluator(first_of(prediction.label_ids))
    return evaluator.scores(evaluator.statistics(pair_cosines(first_of(prediction.predictions))))
