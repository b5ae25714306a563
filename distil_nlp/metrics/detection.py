"""Metrics of object detection: average precision, as COCO computes it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from .base import Evaluator

if TYPE_CHECKING:
    import torch

# Intersection over union from which a detection is correct: COCO's ten thresholds.
THRESHOLDS = np.linspace(0.5, 0.95, 10)
MAX_DETECTIONS = 100  # of an image, by score
_RECALLS = np.linspace(0, 1, 101)
_CONFIDENT = 0.5  # the score from which a detection counts for agreement


def detections_of(logits: np.ndarray, *, exclusive: bool) -> list[np.ndarray]:
    """Detections in each image of a batch, sorted by descending score.

    Args:
        logits (`np.ndarray`): Shape (batch, queries, classes + 4), with exclusive classes one more, "no object".
        exclusive (`bool`): A softmax over the classes and "no object": a query detects at most one object. Otherwise a
            sigmoid for each class: a query may detect several.

    Returns:
        list of `np.ndarray` of float64, shape (detections, 6), at most 100 rows: class, score, left, top, right and
        bottom, each 0 to 1 of the image. NaN in logits gives NaN as score.
    """
    logits = np.asarray(logits, dtype=np.float64)
    class_logits, center, size = logits[..., :-4], logits[..., -4:-2], logits[..., -2:]
    boxes = np.concatenate([center - size / 2, center + size / 2], axis=-1)
    if exclusive:
        exponentials = np.exp(class_logits - class_logits.max(-1, keepdims=True))
        scores = (exponentials / exponentials.sum(-1, keepdims=True))[..., :-1]
        classes = scores.argmax(-1)[..., None]
        scores = np.take_along_axis(scores, classes, -1)
    else:
        scores = 1 / (1 + np.exp(-np.clip(class_logits, -700, 700)))
        classes = np.broadcast_to(np.arange(class_logits.shape[-1]), scores.shape)
    return [_top_detections(*image) for image in zip(classes, scores, boxes, strict=True)]


def _top_detections(classes: np.ndarray, scores: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    order = np.argsort(-scores, axis=None, kind="stable")[:MAX_DETECTIONS]
    queries = order // scores.shape[1]
    return np.column_stack([classes.reshape(-1)[order], scores.reshape(-1)[order], boxes[queries]])


def intersection_over_union(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union of each pair of boxes (left, top, right, bottom): shape (boxes, others).

    Scaling an axis changes nothing, so boxes may be in pixels or in parts of the image.
    """
    top_left = np.maximum(boxes[:, None, :2], others[None, :, :2])
    bottom_right = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    intersection = np.prod(np.clip(bottom_right - top_left, 0, None), axis=-1)
    areas = [np.prod(side[:, 2:] - side[:, :2], axis=-1) for side in (boxes, others)]
    union = areas[0][:, None] + areas[1][None] - intersection
    return np.divide(intersection, union, out=np.zeros_like(intersection), where=union > 0)


def matched(detected: np.ndarray, true: np.ndarray, thresholds: np.ndarray = THRESHOLDS) -> np.ndarray:
    """Which detections in an image are correct: each takes the free true box with the largest overlap, in order.

    Args:
        detected, true (`np.ndarray`): Boxes of one class, shape (detections, 4) and (true, 4); detections by descending
            score.
        thresholds (`np.ndarray`): Intersection over union that a match needs.

    Returns:
        `np.ndarray` of bool, shape (thresholds, detections).
    """
    overlap = intersection_over_union(detected, true)
    correct = np.zeros((len(thresholds), len(detected)), dtype=bool)
    for row, threshold in zip(correct, thresholds, strict=True):
        free = overlap.copy()
        for index, values in enumerate(free):
            # Of several equal overlaps, COCO takes the last.
            best = len(values) - 1 - values[::-1].argmax() if len(values) else None
            if best is not None and values[best] >= min(threshold, 1 - 1e-10):
                row[index], free[:, best] = True, -1
    return correct


class DetectionEvaluator(Evaluator):
    """Evaluates detectors by mean average precision, the mean over classes. An example is an image.

    An answer is the output of `detections_of` for an image. The statistics of an image are, for each detection, its class,
    its score and at which of ten thresholds it is correct (a bit each), then the number of true boxes of each class.
    Average precision of any choice of images follows from these, so that a bootstrap does not match boxes again.

    Args:
        labels (list of `np.ndarray`): For each image, the classes of its true boxes.
        boxes (list of `np.ndarray`): The true boxes, shape (boxes, 4): center x, center y, width and height, 0 to 1 of the
            image. NaN where they are unknown: such images count for agreement only.
        num_labels (`int`): Number of classes.
        main_metric (`str`, *optional*): "map" (the default: the mean over ten thresholds of intersection over union from
            0.5 to 0.95) or "map_50" (the threshold 0.5 alone).

    Raises:
        ValueError: No image has a box.

    Reference: Lin et al. 2014, "Microsoft COCO: Common Objects in Context", and its evaluation code, whose values these
    are (all areas, at most 100 boxes per image).
    """

    def __init__(
        self,
        labels: Sequence[np.ndarray],
        boxes: Sequence[np.ndarray],
        num_labels: int,
        *,
        main_metric: str | None = None,
    ) -> None:
        boxes = [np.asarray(of_image, dtype=np.float64).reshape(-1, 4) for of_image in boxes]
        self._known = np.array([not np.isnan(of_image).any() for of_image in boxes])
        images = [pair for pair, known in zip(zip(labels, boxes, strict=True), self._known, strict=True) if known]
        self._labels = [np.asarray(of_image, dtype=np.int64) for of_image, _ in images]
        self._boxes = [_corners(of_image) for _, of_image in images]
        if not sum(map(len, self._boxes)):
            raise ValueError(
                f"None of {len(boxes)} images has a box, but average precision is over true boxes. Is this the column of "
                f"the objects?"
            )
        self.num_labels = num_labels
        super().__init__(
            ["map", "map_50"],
            num_rows=len(boxes),
            num_examples=int(self._known.sum()),
            problem_type="object_detection",
            main_metric=main_metric,
        )

    def answers(self, logits: torch.Tensor, batch: Mapping[str, torch.Tensor]) -> list[np.ndarray]:
        """Detections in each image, see `detections_of`.

        Args:
            logits (`torch.Tensor`): Shape (batch, queries, classes + 4), with a class "no object" one more.
            batch: Unused.

        Raises:
            ValueError: Logits of another shape.
        """
        width = logits.shape[-1] - 4 if logits.ndim == 3 else None
        if width not in (self.num_labels, self.num_labels + 1):
            raise ValueError(
                f"Logits should have shape (batch, queries, {self.num_labels} classes + 4), or one more for 'no object'; "
                f"the model returned {tuple(logits.shape)}. Load it with AutoModelForObjectDetection and this data's "
                f"labels."
            )
        return detections_of(logits.float().cpu().numpy(), exclusive=width == self.num_labels + 1)

    def statistics(self, answers: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
        if len(answers) != self.num_rows:
            raise ValueError(
                f"There should be an answer for each of {self.num_rows} images; got {len(answers)}. Are they of another "
                f"split?"
            )
        answers = [answer for answer, known in zip(answers, self._known, strict=True) if known]
        most = max(map(len, answers))
        statistics = np.zeros((len(answers), 3 * most + self.num_labels))
        if any(np.isnan(answer).any() for answer in answers):
            warnings.warn("The model's outputs contain NaN; every metric is nan.", stacklevel=2)
            return statistics + np.nan
        statistics[:, :most] = -1  # no class: not a box
        for row, answer, labels, boxes in zip(statistics, answers, self._labels, self._boxes, strict=True):
            classes, scores, correct = row[: 3 * most].reshape(3, most)[:, : len(answer)]
            classes[:], scores[:] = answer[:, 0], answer[:, 1]
            for label in np.unique(classes):
                of_class = classes == label
                bits = matched(answer[of_class, 2:], boxes[labels == label])
                correct[of_class] = (1 << np.arange(len(THRESHOLDS))) @ bits
            row[3 * most :] = np.bincount(labels, minlength=self.num_labels)
        return statistics

    def compute(self, name: str, statistics: np.ndarray) -> float:
        if np.isnan(statistics).any():
            return float("nan")
        boxes, totals = statistics[:, : -self.num_labels], statistics[:, -self.num_labels :].sum(0)
        classes, scores, correct = boxes.reshape(len(statistics), 3, -1).swapaxes(0, 1).reshape(3, -1)
        thresholds = np.arange(1 if name == "map_50" else len(THRESHOLDS))
        values = []
        for label in np.flatnonzero(totals):
            of_class = np.flatnonzero(classes == label)
            of_class = of_class[np.argsort(-scores[of_class], kind="stable")]
            bits = (correct[of_class].astype(np.int64) >> thresholds[:, None]) & 1
            values.append(_average_precision(bits, totals[label]))
        return float(np.mean(values)) if values else float("nan")

    def agreement(
        self, student_answers: Sequence[np.ndarray] | np.ndarray, teacher_answers: Sequence[np.ndarray] | np.ndarray
    ) -> float:
        """F1 of the student's and the teacher's confident detections (a score of 0.5), matched within each class."""
        if any(np.isnan(answer).any() for side in (student_answers, teacher_answers) for answer in side):
            return float("nan")
        shared = total = 0
        for pair in zip(student_answers, teacher_answers, strict=True):
            confident = [answer[answer[:, 1] >= _CONFIDENT] for answer in pair]
            total += sum(map(len, confident))
            for label in range(self.num_labels):
                student, teacher = (answer[answer[:, 0] == label, 2:] for answer in confident)
                shared += matched(student, teacher, THRESHOLDS[:1]).sum()
        return float(2 * shared / total) if total else 1.0


def _average_precision(correct: np.ndarray, total: float) -> float:
    """Area under precision over recall, at 101 recalls, the mean over thresholds.

    Args:
        correct (`np.ndarray`): Shape (thresholds, detections), by descending score.
        total (`float`): Number of true boxes.
    """
    if correct.shape[1] == 0:
        return 0.0
    hits = correct.cumsum(1)
    precision, recall = hits / np.arange(1, correct.shape[1] + 1), hits / total
    best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]  # at this recall or a higher one
    best = np.pad(best, ((0, 0), (0, 1)))  # 0 where a recall is never reached
    values = [row[np.searchsorted(reached, _RECALLS)] for row, reached in zip(best, recall, strict=True)]
    return float(np.mean(values))


def _corners(boxes: np.ndarray) -> np.ndarray:
    return np.concatenate([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2], axis=1)
