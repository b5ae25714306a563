"""How well the cosines of pairs of embeddings rank as people's scores do."""

import warnings

import numpy as np

from .base import Evaluator
from .classification import metric_value

METRICS = ["spearmanr", "pearson"]


def pair_cosines(embeddings):
    """The cosine of the two embeddings of each pair.

    Args:
        embeddings (`np.ndarray`): Shape (2 * pairs, width) or (pairs, 2, width): the two of a pair side by side.

    Returns:
        `np.ndarray` of float64, shape (pairs,); 0 for a vector of length 0.
    """
    vectors = np.asarray(embeddings, dtype=np.float64)
    vectors = vectors.reshape(-1, 2, vectors.shape[-1])
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    first, second = np.moveaxis(vectors / np.maximum(lengths, 1e-12), 1, 0)
    return np.sum(first * second, axis=-1)


class SimilarityEvaluator(Evaluator):
    """Judges embeddings of pairs of texts by the rank correlation of their cosines with scores.

    An answer is a pair's cosine. A fact is a cosine beside its score. Nothing is decided, so there is no agreement.

    Args:
        scores (`np.ndarray`): Shape (pairs,), on any scale; NaN where missing, and such pairs do not count.
        main_metric (`str`, *optional*): "pearson" to decide by instead of "spearmanr".

    Raises:
        ValueError: Another metric; no score.

    Reference: Reimers and Gurevych 2019, "Sentence-BERT", section 4, for Spearman's correlation of cosines.
    """

    def __init__(self, scores, main_metric=None):
        scores = np.asarray(scores, dtype=np.float64)
        if scores.ndim != 1:
            raise ValueError(f"Scores have shape (pairs,), one for each pair of texts; got {scores.shape}.")
        self._scored = ~np.isnan(scores)
        if not self._scored.any():
            raise ValueError(f"None of the {len(scores)} pairs has a score, so there is nothing to measure.")
        self._scores = scores[self._scored]
        super().__init__(
            METRICS,
            num_rows=len(scores),
            num_examples=len(self._scores),
            problem_type="embedding",
            main_metric=main_metric,
        )

    def answers(self, logits, batch):
        return pair_cosines(logits.float().cpu().numpy())

    def statistics(self, answers):
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

    def compute(self, name, facts):
        return float("nan") if np.isnan(facts).any() else metric_value(name, facts[:, 0], facts[:, 1])

    def agreement(self, ours, theirs):
        return None


def similarity_metrics(prediction):
    """For Trainer's `compute_metrics`: both correlations of an `EvalPrediction`."""
    evaluator = SimilarityEvaluator(prediction.label_ids)
    return evaluator.scores(evaluator.statistics(pair_cosines(prediction.predictions)))
