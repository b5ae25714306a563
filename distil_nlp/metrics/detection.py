"""How good found boxes are: average precision, counted as COCO counts it."""

import warnings

import numpy as np

from .base import Evaluator

# How much a found box must overlap a true one to be right: COCO's ten thresholds.
THRESHOLDS = np.linspace(0.5, 0.95, 10)
# Of an image, the boxes with the highest scores are looked at.
MOST_FOUND = 100
_RECALLS = np.linspace(0, 1, 101)
_SURE = 0.5  # the score from which a box counts as found where models are compared with each other


def found_boxes(logits, *, exclusive):
    """What a detector found in each image of a batch, the surest first.

    Args:
        logits (`np.ndarray`): Shape (batch, queries, classes + 4), with exclusive classes one more, "no object".
        exclusive (`bool`): A softmax over the classes and "no object": every query finds one thing. Otherwise a sigmoid
            for each class: a query may find several.

    Returns:
        list of `np.ndarray` of float64, shape (found, 6), 100 rows at most: class, score, left, top, right and bottom,
        each 0 to 1 of the image. NaN in logits gives NaN as score.
    """
    logits = np.asarray(logits, dtype=np.float64)
    said, center, size = logits[..., :-4], logits[..., -4:-2], logits[..., -2:]
    boxes = np.concatenate([center - size / 2, center + size / 2], axis=-1)
    if exclusive:
        shares = np.exp(said - said.max(-1, keepdims=True))
        scores = (shares / shares.sum(-1, keepdims=True))[..., :-1]
        classes = scores.argmax(-1)[..., None]
        scores = np.take_along_axis(scores, classes, -1)
    else:
        scores = 1 / (1 + np.exp(-np.clip(said, -700, 700)))
        classes = np.broadcast_to(np.arange(said.shape[-1]), scores.shape)
    return [_surest(*image) for image in zip(classes, scores, boxes, strict=True)]


def _surest(classes, scores, boxes):
    order = np.argsort(-scores, axis=None, kind="stable")[:MOST_FOUND]
    queries = order // scores.shape[1]
    return np.column_stack([classes.reshape(-1)[order], scores.reshape(-1)[order], boxes[queries]])


def overlaps(boxes, others):
    """Intersection over union of each pair of boxes (left, top, right, bottom): shape (boxes, others).

    Scaling an axis changes nothing, so boxes may be in pixels or in parts of the image.
    """
    first = np.maximum(boxes[:, None, :2], others[None, :, :2])
    last = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    shared = np.prod(np.clip(last - first, 0, None), axis=-1)
    areas = [np.prod(one[:, 2:] - one[:, :2], axis=-1) for one in (boxes, others)]
    union = areas[0][:, None] + areas[1][None] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def hits(found, true, thresholds=THRESHOLDS):
    """Which boxes found in an image are right: each takes the free true box that it overlaps most, the surest first.

    Args:
        found, true (`np.ndarray`): Boxes of one class, shape (found, 4) and (true, 4); the surest found ones first.
        thresholds (`np.ndarray`): Overlap that is needed.

    Returns:
        `np.ndarray` of bool, shape (thresholds, found).
    """
    shared = overlaps(found, true)
    right = np.zeros((len(thresholds), len(found)), dtype=bool)
    for row, threshold in zip(right, thresholds, strict=True):
        free = shared.copy()
        for place, one in enumerate(free):
            # Of several that overlap equally, COCO takes the last.
            best = len(one) - 1 - one[::-1].argmax() if len(one) else None
            if best is not None and one[best] >= min(threshold, 1 - 1e-10):
                row[place], free[:, best] = True, -1
    return right


class DetectionEvaluator(Evaluator):
    """Judges detectors by average precision, the mean over classes. An example is an image.

    An answer is what `found_boxes` gives for an image. A fact holds, for each box found, its class, its score and at
    which of ten thresholds it is right (a bit each), and how many true boxes there are of each class: average precision
    of any choice of images follows from these, so that a bootstrap need not match boxes again.

    Args:
        labels (list of `np.ndarray`): For each image, the classes of its true boxes.
        boxes (list of `np.ndarray`): The boxes, shape (boxes, 4): center x, center y, width and height, 0 to 1 of the
            image. NaN where nobody knows them: such images count for agreement only.
        num_labels (`int`): Number of classes.
        main_metric (`str`, *optional*): "map" (the default: the mean over ten overlaps from 0.5 to 0.95) or "map_50" (an
            overlap of 0.5 is enough).

    Raises:
        ValueError: No image has a box.

    Reference: Lin et al. 2014, "Microsoft COCO: Common Objects in Context", and its evaluation code, whose numbers these
    are (all areas, at most 100 boxes an image).
    """

    def __init__(self, labels, boxes, num_labels, *, main_metric=None):
        boxes = [np.asarray(one, dtype=np.float64).reshape(-1, 4) for one in boxes]
        self._known = np.array([not np.isnan(one).any() for one in boxes])
        self._labels = [
            np.asarray(one, dtype=np.int64) for one, known in zip(labels, self._known, strict=True) if known
        ]
        self._boxes = [_corners(one) for one, known in zip(boxes, self._known, strict=True) if known]
        if not sum(map(len, self._boxes)):
            raise ValueError(f"None of {len(boxes)} images has a box, so there is nothing to find.")
        self.num_labels = num_labels
        super().__init__(
            ["map", "map_50"],
            num_rows=len(boxes),
            num_examples=int(self._known.sum()),
            problem_type="object_detection",
            main_metric=main_metric,
        )

    def answers(self, logits, batch):
        """The boxes found, see `found_boxes`.

        Args:
            logits (`torch.Tensor`): Shape (batch, queries, classes + 4), with a class "no object" one more.
            batch: Not read.

        Raises:
            ValueError: Logits of another shape.
        """
        width = logits.shape[-1] - 4 if logits.ndim == 3 else None
        if width not in (self.num_labels, self.num_labels + 1):
            raise ValueError(
                f"Logits should have shape (batch, queries, {self.num_labels} classes + 4), or one more for 'no object'; "
                f"the model gave {tuple(logits.shape)}. Load it with AutoModelForObjectDetection and this data's labels."
            )
        return found_boxes(logits.float().cpu().numpy(), exclusive=width == self.num_labels + 1)

    def statistics(self, answers):
        if len(answers) != self.num_rows:
            raise ValueError(
                f"There should be an answer for each of {self.num_rows} images; got {len(answers)}. Are they of another "
                f"split?"
            )
        answers = [answer for answer, known in zip(answers, self._known, strict=True) if known]
        most = max(map(len, answers))
        facts = np.zeros((len(answers), 3 * most + self.num_labels))
        if any(np.isnan(answer).any() for answer in answers):
            warnings.warn("Some of what the model said is NaN; every metric is nan.", stacklevel=2)
            return facts + np.nan
        facts[:, :most] = -1  # no class: not a box
        for row, answer, labels, boxes in zip(facts, answers, self._labels, self._boxes, strict=True):
            found, scores, right = row[: 3 * most].reshape(3, most)[:, : len(answer)]
            found[:], scores[:] = answer[:, 0], answer[:, 1]
            for label in np.unique(found):
                mine = found == label
                bits = hits(answer[mine, 2:], boxes[labels == label])
                right[mine] = (1 << np.arange(len(THRESHOLDS))) @ bits
            row[3 * most :] = np.bincount(labels, minlength=self.num_labels)
        return facts

    def compute(self, name, facts):
        if np.isnan(facts).any():
            return float("nan")
        boxes, totals = facts[:, : -self.num_labels], facts[:, -self.num_labels :].sum(0)
        classes, scores, right = boxes.reshape(len(facts), 3, -1).swapaxes(0, 1).reshape(3, -1)
        thresholds = np.arange(1 if name == "map_50" else len(THRESHOLDS))
        values = []
        for label in np.flatnonzero(totals):
            mine = np.flatnonzero(classes == label)
            mine = mine[np.argsort(-scores[mine], kind="stable")]
            bits = (right[mine].astype(np.int64) >> thresholds[:, None]) & 1
            values.append(_average_precision(bits, totals[label]))
        return float(np.mean(values)) if values else float("nan")

    def agreement(self, ours, theirs):
        """Of the boxes that either model is sure of (a score of 0.5), the share that both have: F1, class by class."""
        if any(np.isnan(answer).any() for side in (ours, theirs) for answer in side):
            return float("nan")
        shared = total = 0
        for pair in zip(ours, theirs, strict=True):
            sure = [answer[answer[:, 1] >= _SURE] for answer in pair]
            total += sum(map(len, sure))
            for label in range(self.num_labels):
                mine, other = (answer[answer[:, 0] == label, 2:] for answer in sure)
                shared += hits(mine, other, THRESHOLDS[:1]).sum()
        return float(2 * shared / total) if total else 1.0


def _average_precision(right, total):
    """Area under precision over recall, read at 101 recalls. `right`: the surest first, shape (thresholds, found)."""
    if right.shape[1] == 0:
        return 0.0
    found = right.cumsum(1)
    precision, recall = found / np.arange(1, right.shape[1] + 1), found / total
    best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]  # at this recall or a higher one
    best = np.pad(best, ((0, 0), (0, 1)))  # 0 where a recall is never reached
    return np.mean([row[np.searchsorted(reached, _RECALLS)] for row, reached in zip(best, recall, strict=True)])


def _corners(boxes):
    return np.concatenate([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2], axis=1)
