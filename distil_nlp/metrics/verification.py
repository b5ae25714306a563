"""Are two images of the same person? Embeddings judged by all pairs of them, and by each one's nearest neighbor."""

import warnings

import numpy as np

from .base import Evaluator, rows_of
from .classification import MISSING_LABEL

# False accept rates by the name of the metric that looks at them.
RATES = {"tar_at_far_0.01": 0.01, "tar_at_far_0.001": 0.001}
METRICS = ["verification_auc", *RATES, "rank_1"]


class VerificationEvaluator(Evaluator):
    """Judges embeddings of images by whose they are.

    verification_auc: how often two images of one person are more alike, by their cosine, than two of different people
    (all pairs of images; the area under the ROC curve). tar_at_far_x: the share of pairs of one person that are accepted
    at the strictest threshold that accepts at most a share x of the pairs of different people. rank_1: the share of
    images whose nearest other image is of the same person, over those that have another of the same person.

    An answer is an embedding. A fact is the number of the image, its person and its direction, so that an image which a
    bootstrap draws twice is no pair with itself. Agreement is the share of images whose nearest other image is, for both
    models, of the same person.

    Args:
        labels (`np.ndarray`): Shape (images,), whose image it is, by number; -100 where unknown: such images do not count.
        main_metric (`str`, *optional*): Another of the metrics to decide by than verification_auc.

    Raises:
        ValueError: No two images of one person, or of only one person; another metric.

    A rate for which there are too few pairs of different people (1,000 for 0.1 %) is nan, and a warning says so.

    Reference: Phillips et al. 2000, "The FERET Evaluation Methodology for Face-Recognition Algorithms", section 3, for
    both protocols.
    """

    def __init__(self, labels, main_metric=None):
        labels = np.asarray(labels)
        if labels.ndim != 1 or labels.dtype.kind not in "iu":
            raise ValueError(
                f"Labels are whole numbers of shape (images,), whose image it is; got {labels.dtype} of shape "
                f"{labels.shape}."
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
                f"Verification compares pairs of images of one person with pairs of different people; got "
                f"{len(self._labels)} labeled images of {len(counts)} people, at most {counts.max(initial=0)} of one. "
                f"Give two people or more, one of them with two images."
            )
        num_impostors = (len(self._labels) ** 2 - int(np.sum(counts**2))) // 2
        for name, rate in RATES.items():
            if _allowed(rate, num_impostors) < 1:
                warnings.warn(
                    f"{name} is nan: there are {num_impostors} pairs of images of different people, and one of them is "
                    f"more than {100 * rate:g} %. It needs {round(1 / rate):,}.",
                    stacklevel=2,
                )

    def answers(self, logits, batch):
        return rows_of(logits)

    def statistics(self, answers):
        directions = self._directions(answers)
        if num_bad := int(np.isnan(directions).any(axis=1).sum()):
            warnings.warn(f"{num_bad} of {len(directions)} embeddings are NaN; every metric is nan.", stacklevel=2)
            directions = np.full_like(directions, np.nan)
        return np.column_stack([np.arange(len(directions)), self._labels, directions])

    def _directions(self, answers):
        vectors = np.asarray(answers, dtype=np.float64)
        if vectors.ndim != 2 or len(vectors) != len(self._known):
            raise ValueError(
                f"There should be one embedding for each of the {len(self._known)} images; got answers of shape "
                f"{vectors.shape}."
            )
        vectors = vectors[self._known]
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)

    def compute(self, name, facts):
        if np.isnan(facts).any():
            return float("nan")
        if name == "rank_1":
            return _rank_1(facts)
        genuine, impostors = _pairs(facts)
        if len(genuine) == 0 or len(impostors) == 0:
            return float("nan")
        return _area(genuine, impostors) if name == "verification_auc" else _accepted(genuine, impostors, RATES[name])

    def agreement(self, ours, theirs):
        found = [self._labels[_nearest(self.statistics(one))] for one in (ours, theirs)]
        return float(np.mean(found[0] == found[1]))


def _cosines(facts):
    return facts[:, 2:] @ facts[:, 2:].T


def _pairs(facts):
    """Cosines of the pairs of images of one person, and of those of different people; an image is no pair with itself."""
    first, second = np.triu_indices(len(facts), k=1)
    cosines = _cosines(facts)[first, second]
    same = facts[first, 1] == facts[second, 1]
    return cosines[same & (facts[first, 0] != facts[second, 0])], cosines[~same]


def _area(genuine, impostors):
    """Share of genuine-impostor couples in the right order, a tie counting half: Mann and Whitney's U."""
    impostors = np.sort(impostors)
    below = np.searchsorted(impostors, genuine, side="left") + np.searchsorted(impostors, genuine, side="right")
    return float(below.mean() / 2 / len(impostors))


def _allowed(rate, num_impostors):
    """How many impostors a rate lets in."""
    return int(np.floor(rate * num_impostors * (1 + 1e-12)))


def _accepted(genuine, impostors, rate):
    allowed = _allowed(rate, len(impostors))
    if allowed < 1:
        return float("nan")
    # To let in no more than are allowed, whoever scores as the next one does stays out, however many tie with it.
    refused = np.partition(impostors, -allowed - 1)[-allowed - 1] if allowed < len(impostors) else -np.inf
    return float(np.mean(genuine > refused))


def _nearest(facts):
    """For each row, the row of the nearest other image."""
    cosines = _cosines(facts)
    cosines[facts[:, :1] == facts[:, 0]] = -np.inf
    return cosines.argmax(axis=1)


def _rank_1(facts):
    images, people = facts[:, 0], facts[:, 1]
    has_mate = ((people[:, None] == people) & (images[:, None] != images)).any(axis=1)
    if not has_mate.any():
        return float("nan")
    return float(np.mean(people[_nearest(facts)][has_mate] == people[has_mate]))


def verification_metrics(prediction):
    """For Trainer's `compute_metrics`: all four metrics of an `EvalPrediction`."""
    evaluator = VerificationEvaluator(prediction.label_ids)
    return evaluator.scores(evaluator.statistics(prediction.predictions))
