"""Metrics of verification and identification: embeddings compared in all pairs, and with the nearest neighbor."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from .base import Evaluator, first_of, rows_of
from .classification import MISSING_LABEL

if TYPE_CHECKING:
    import torch
    from transformers import EvalPrediction

# False accept rate of each metric that fixes one.
RATES = {"tar_at_far_0.01": 0.01, "tar_at_far_0.001": 0.001}
METRICS = ["verification_auc", *RATES, "rank_1"]


class VerificationEvaluator(Evaluator):
    """Evaluates embeddings of images labeled with identities.

    verification_auc: the area under the ROC curve over all pairs of images, the probability that two images of the same
    person have a larger cosine than two of different people. tar_at_far_x: the true accept rate, the share of pairs of
    the same person that are accepted, at the strictest threshold that accepts at most a share x of the pairs of different
    people. rank_1: the share of images whose nearest other image is of the same person, over those that have another of
    the same person.

    An answer is an embedding. The statistics of an image are its number, its identity and its normalized embedding, so
    that an image which a bootstrap draws twice is not paired with itself. Agreement is the share of images whose nearest
    other image has the same identity for both models.

    Args:
        labels (`np.ndarray`): Shape (images,), identity of each image; -100 where unknown: such images do not count.
        main_metric (`str`, *optional*): Another main metric than verification_auc.

    Raises:
        ValueError: No two images of the same person, or of only one person; another metric.

    A rate for which there are too few pairs of different people (1,000 for 0.1 %) is nan, with a warning.

    Reference: Phillips et al. 2000, "The FERET Evaluation Methodology for Face-Recognition Algorithms", section 3, for
    both protocols.
    """

    def __init__(self, labels: np.ndarray, main_metric: str | None = None) -> None:
        labels = np.asarray(labels)
        if labels.ndim != 1 or labels.dtype.kind not in "iu":
            raise ValueError(
                f"Labels should be whole numbers of shape (images,), the identity of each image; got {labels.dtype} of "
                f"shape {labels.shape}."
            )
        self._known = labels != MISSING_LABEL
        self._labels = labels[self._known]
        super().__init__(
            METRICS,
            num_rows=len(labels),
            num_examples=len(self._labels),
            problem_type="identity",
            main_metric=main_metric,
        )
        _, counts = np.unique(self._labels, return_counts=True)
        if len(counts) < 2 or counts.max() < 2:
            raise ValueError(
                f"Verification compares pairs of images of the same person with pairs of different people; got "
                f"{len(self._labels)} labeled images of {len(counts)} people, at most {counts.max(initial=0)} of the "
                f"same. Add images: two people or more are needed, and two images of one of them."
            )
        num_impostors = (len(self._labels) ** 2 - int(np.sum(counts**2))) // 2
        for name, rate in RATES.items():
            if _num_allowed(rate, num_impostors) < 1:
                warnings.warn(
                    f"{name} is nan: there are {num_impostors} pairs of images of different people, of which a single "
                    f"pair is more than {100 * rate:g} %. It needs {round(1 / rate):,}.",
                    stacklevel=2,
                )

    def answers(self, logits: torch.Tensor, batch: Mapping[str, torch.Tensor]) -> np.ndarray:
        return rows_of(logits)

    def statistics(self, answers: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
        directions = self._directions(answers)
        if num_bad := int(np.isnan(directions).any(axis=1).sum()):
            warnings.warn(f"{num_bad} of {len(directions)} embeddings are NaN; every metric is nan.", stacklevel=2)
            directions = np.full_like(directions, np.nan)
        return np.column_stack([np.arange(len(directions)), self._labels, directions])

    def _directions(self, answers: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
        vectors = np.asarray(answers, dtype=np.float64)
        if vectors.ndim != 2 or len(vectors) != len(self._known):
            raise ValueError(
                f"There should be one embedding for each of the {len(self._known)} images; got answers of shape "
                f"{vectors.shape}."
            )
        vectors = vectors[self._known]
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)

    def compute(self, name: str, statistics: np.ndarray) -> float:
        if np.isnan(statistics).any():
            return float("nan")
        if name == "rank_1":
            return _rank_1(statistics)
        genuine, impostors = _pairs(statistics)
        if len(genuine) == 0 or len(impostors) == 0:
            return float("nan")
        if name == "verification_auc":
            return _roc_auc(genuine, impostors)
        return _true_accept_rate(genuine, impostors, RATES[name])

    def agreement(
        self, student_answers: Sequence[np.ndarray] | np.ndarray, teacher_answers: Sequence[np.ndarray] | np.ndarray
    ) -> float:
        """Share of images whose nearest other image has the same identity for both models."""
        student, teacher = (
            self._labels[_nearest(self.statistics(answers))] for answers in (student_answers, teacher_answers)
        )
        return float(np.mean(student == teacher))


def _cosines(statistics: np.ndarray) -> np.ndarray:
    return statistics[:, 2:] @ statistics[:, 2:].T


def _pairs(statistics: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cosines of the pairs of the same person and of different people; an image is not paired with itself."""
    first, second = np.triu_indices(len(statistics), k=1)
    cosines = _cosines(statistics)[first, second]
    same = statistics[first, 1] == statistics[second, 1]
    return cosines[same & (statistics[first, 0] != statistics[second, 0])], cosines[~same]


def _roc_auc(genuine: np.ndarray, impostors: np.ndarray) -> float:
    """Share of genuine-impostor couples in the right order, a tie counting half: Mann and Whitney's U."""
    impostors = np.sort(impostors)
    below = np.searchsorted(impostors, genuine, side="left") + np.searchsorted(impostors, genuine, side="right")
    return float(below.mean() / 2 / len(impostors))


def _num_allowed(rate: float, num_impostors: int) -> int:
    """Number of impostor pairs that a false accept rate allows."""
    return int(np.floor(rate * num_impostors * (1 + 1e-12)))


def _true_accept_rate(genuine: np.ndarray, impostors: np.ndarray, rate: float) -> float:
    allowed = _num_allowed(rate, len(impostors))
    if allowed < 1:
        return float("nan")
    # The threshold is the score of the first rejected impostor; ties with it are rejected, so no more are accepted.
    threshold = np.partition(impostors, -allowed - 1)[-allowed - 1] if allowed < len(impostors) else -np.inf
    return float(np.mean(genuine > threshold))


def _nearest(statistics: np.ndarray) -> np.ndarray:
    """For each row, the row of the nearest other image."""
    cosines = _cosines(statistics)
    cosines[statistics[:, :1] == statistics[:, 0]] = -np.inf
    return cosines.argmax(axis=1)


def _rank_1(statistics: np.ndarray) -> float:
    images, people = statistics[:, 0], statistics[:, 1]
    has_mate = ((people[:, None] == people) & (images[:, None] != images)).any(axis=1)
    if not has_mate.any():
        return float("nan")
    return float(np.mean(people[_nearest(statistics)][has_mate] == people[has_mate]))


def verification_metrics(prediction: EvalPrediction) -> dict[str, float]:
    """All four metrics of an `EvalPrediction`, for Trainer's `compute_metrics`."""
    evaluator = VerificationEvaluator(first_of(prediction.label_ids))
    return evaluator.scores(evaluator.statistics(first_of(prediction.predictions)))
