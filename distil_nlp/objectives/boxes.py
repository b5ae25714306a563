"""Terms of object detection: classes and boxes of the queries of a detector.

A detector's logits are its class logits followed by its boxes, see `signals.forward.forward_logits`. The batch contains the
true boxes: `labels` of shape (batch, most boxes), int64, -100 where an image has fewer, and `boxes` of shape
(batch, most boxes, 4), center and size, 0 to 1 of the image. The boxes of an unlabeled image are NaN.
"""

from typing import Any

import numpy as np
import torch
from torch import nn

from ..internals.messages import listed, shown
from ..losses.boxes import (
    NO_OBJECT_WEIGHT,
    box_distance,
    foreground_probability,
    matching_cost,
    query_class_loss,
    query_soft_target_loss,
)
from ..signals.base import Signals
from ..signals.columns import BOXES
from ..signals.forward import split_boxes
from ..signals.wrappers import config_of
from .base import Batch, Term, every_example, valid_temperature
from .schedules import Scheduled

QUERIES = ("same", "nearest")
# Larger than the cost of any pair (a distance of boxes is 25 at most, a cost of classes 0 or, where these are independent,
# 10), so that no target is left out to save cost. By whether classes are exclusive.
_ABOVE_ANY_COST = {True: 30.0, False: 36.0}
# Class logits and boxes of the queries of a batch.
Queries = tuple[torch.Tensor, torch.Tensor]


class DetectionTerm(Term):
    """Base class of terms on detectors.

    Attributes:
        exclusive (`bool`): The student has a class "no object" (DETR, YOLOS); otherwise each class is a yes or no.
        num_queries (`int`): Number of the student's queries.
    """

    num_labels: int | None = None
    exclusive: bool = True
    num_queries: int

    def resolve_layers(self, student: nn.Module, teacher: nn.Module | None) -> None:
        self.num_labels = getattr(config_of(student), "num_labels", None)

    def setup(self, student: Signals, teacher: Signals, batch: Batch) -> None:
        logits, num_labels = student.logits, self.num_labels
        if logits.dim() != 3 or (num_labels is not None and logits.shape[-1] - 4 not in (num_labels, num_labels + 1)):
            raise ValueError(
                f"{type(self).__name__} reads classes and boxes of queries: shape (batch, queries, classes + 4), with "
                f"{num_labels} classes, or one more for 'no object'; the student's logits have {tuple(logits.shape)}. Its "
                f"output needs `logits` and `pred_boxes`, as those of AutoModelForObjectDetection have."
            )
        self.exclusive = num_labels is None or logits.shape[-1] - 4 == num_labels + 1
        self.num_queries = logits.shape[1]

    def labeled_images(self, batch: Batch) -> torch.Tensor:
        """Images with labels, bool, shape (batch,)."""
        return ~batch[BOXES].isnan().flatten(1).any(1)

    def num_boxes(self, batch: Batch) -> torch.Tensor:
        """Number of true boxes of each image, shape (batch,)."""
        return (batch["labels"] >= 0).sum(1)

    def matched(self, student: Signals, batch: Batch) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The student's class logits, its boxes, and the query of each true box, -1 where there is none."""
        logits, boxes = split_boxes(student.logits)
        return logits, boxes, match_labels(logits, boxes, batch["labels"], batch[BOXES], exclusive=self.exclusive)


class LabeledBoxesTerm(DetectionTerm):
    """A term between the student's queries and the true boxes, matched one to one at the least cost."""

    paper = "Carion et al. 2020, End-to-End Object Detection with Transformers"
    needs_teacher = False

    def setup(self, student: Signals, teacher: Signals, batch: Batch) -> None:
        super().setup(student, teacher, batch)
        missing = [name for name in ("labels", BOXES) if name not in batch]
        if missing:
            raise ValueError(
                f"{type(self).__name__} needs the true boxes, and the data has no {' and no '.join(missing)} (columns: "
                f"{listed(batch)}). Use QuerySoftTargets to learn from the teacher alone, or add them."
            )
        self._check(batch["labels"], batch[BOXES], student.logits.shape[-1] - 4 - self.exclusive)

    def _check(self, labels: torch.Tensor, boxes: torch.Tensor, num_classes: int) -> None:
        if labels.dim() != 2 or boxes.shape != (*labels.shape, 4) or labels.is_floating_point():
            raise ValueError(
                f"An image has several boxes: labels must be whole numbers of shape (batch, most boxes) and boxes of shape "
                f"(batch, most boxes, 4); got {labels.dtype} of shape {tuple(labels.shape)} and {tuple(boxes.shape)}."
            )
        if (labels >= num_classes).any():
            raise ValueError(f"A box has class {labels.max()}, and the student's classes are 0 to {num_classes - 1}.")
        true_boxes = boxes[labels >= 0]
        outside = (true_boxes < 0) | (true_boxes > 1)
        if outside.any():
            raise ValueError(
                f"Boxes must be center x, center y, width and height, each 0 to 1 of the image; got "
                f"{true_boxes[outside.any(-1)][0].tolist()}. Divide by the width and height of the image."
            )


class QueryLabels(LabeledBoxesTerm):
    """Match the classes of the true boxes: each query has the class of the box it is matched to, or "no object".

    An item is a query. With a class "no object" the values are divided by the sum of their weights (DETR), otherwise by
    the number of true boxes (Deformable DETR); both over the whole optimizer step.

    Args:
        weight (`float` or `Schedule`): `1 - kd_ratio` in the default objective.
    """

    name = "classes"

    def items(self, batch: Batch) -> torch.Tensor:
        return self.labeled_images(batch).unsqueeze(1).expand(-1, self.num_queries)

    def normalizer(self, batch: Batch) -> torch.Tensor:
        num_boxes = self.num_boxes(batch)
        if not self.exclusive:
            return num_boxes.sum()
        num_matched = num_boxes.clamp(max=self.num_queries).sum()
        return num_matched + NO_OBJECT_WEIGHT * (self.items(batch).sum() - num_matched)

    def values(self, student: Signals, teacher: Signals, batch: Batch) -> torch.Tensor:
        logits, _, queries = self.matched(student, batch)
        # One column more, for the boxes without a query.
        classes = torch.full((len(logits), self.num_queries + 1), logits.shape[-1] - self.exclusive)
        classes = classes.to(logits.device).scatter(1, queries % (self.num_queries + 1), batch["labels"])
        return query_class_loss(logits, classes[:, :-1], exclusive=self.exclusive)


class BoxLabels(LabeledBoxesTerm):
    """Match the true boxes with the boxes of the queries that are matched to them.

    An item is a true box: the count is the number of true boxes over the whole optimizer step.

    Args:
        weight (`float` or `Schedule`): `1 - kd_ratio` in the default objective.
    """

    name = "boxes"

    def items(self, batch: Batch) -> torch.Tensor:
        return (batch["labels"] >= 0) & self.labeled_images(batch).unsqueeze(1)

    def values(self, student: Signals, teacher: Signals, batch: Batch) -> torch.Tensor:
        _, boxes, queries = self.matched(student, batch)
        predicted = boxes.gather(1, queries.clamp(min=0).unsqueeze(-1).expand(-1, -1, 4))
        true_boxes = batch[BOXES].nan_to_num(posinf=torch.inf)  # of unlabeled images: NaN
        return box_distance(predicted, true_boxes).masked_fill(queries < 0, 0)


class QuerySoftTargets(DetectionTerm):
    """Match the teacher's queries: their softened classes, and their boxes, weighted by the teacher's confidence.

    An item is an image, so images without labels count.

    Args:
        weight (`float` or `Schedule`): `kd_ratio` in the default objective.
        temperature (`float` or `Schedule`): Greater than 0; softens the classes.
        queries (`str`): "same": the student's first query learns from the teacher's first, and so on, for a student
            initialized with the teacher's queries. "nearest": the queries are matched image by image, for any other pair.

    Raises:
        ValueError: Another number of classes; with "same", another number of queries.
    """

    name = "queries"

    def __init__(self, weight: Scheduled, *, temperature: Scheduled = 1.0, queries: str = "nearest"):
        super().__init__(weight)
        self.temperature = self.follow("temperature", temperature, valid_temperature)
        if queries not in QUERIES:
            raise ValueError(f"queries must be one of {', '.join(QUERIES)}; got {shown(queries)}.")
        self.queries = queries

    @property
    def paper(self) -> str:  # type: ignore[override]
        """Its source, for the model card."""
        if self.queries == "same":
            return "Wang et al. 2024, KD-DETR: Knowledge Distillation for Detection Transformer"
        return "Chang et al. 2023, DETRDistill: A Universal Knowledge Distillation Framework for DETR-families"

    def setup(self, student: Signals, teacher: Signals, batch: Batch) -> None:
        super().setup(student, teacher, batch)
        student_shape, teacher_shape = tuple(student.logits.shape), tuple(teacher.logits.shape)
        if student_shape[-1] != teacher_shape[-1]:
            raise ValueError(
                f"A query of the student has {student_shape[-1]} outputs (classes and 4 of a box), one of the teacher "
                f"{teacher_shape[-1]}: their classes differ, or one of the two has a class 'no object' and the other has "
                f"none (DETR and YOLOS have it). Use models of one kind, or the terms between layers, 'pearson' or "
                f"'channels'."
            )
        if self.queries == "same" and student_shape != teacher_shape:
            raise ValueError(
                f"queries='same' compares the student's queries with the teacher's one by one, and there are "
                f"{student_shape[1]} and {teacher_shape[1]}. Initialize the student with the teacher's queries, or use "
                f"queries='nearest'."
            )

    def items(self, batch: Batch) -> torch.Tensor:
        return every_example(batch)

    def values(self, student: Signals, teacher: Signals, batch: Batch) -> torch.Tensor:
        student_queries, teacher_queries = split_boxes(student.logits), split_boxes(teacher.logits)
        counted = None
        if self.queries == "nearest":
            matches = match_teacher(student_queries, teacher_queries, exclusive=self.exclusive)
            counted, matches = matches >= 0, matches.clamp(min=0).unsqueeze(-1)
            classes, boxes = (part.gather(1, matches.expand(-1, -1, part.shape[-1])) for part in teacher_queries)
            teacher_queries = classes, boxes
        return query_soft_target_loss(
            student_queries,
            teacher_queries,
            temperature=self.temperature,
            exclusive=self.exclusive,
            counted=counted,
        )

    def settings(self) -> dict[str, Any]:
        return {"temperature": self.temperature, "queries": self.queries}


@torch.no_grad()
def match_labels(
    logits: torch.Tensor, boxes: torch.Tensor, labels: torch.Tensor, true_boxes: torch.Tensor, *, exclusive: bool
) -> torch.Tensor:
    """The query of each true box: the one-to-one assignment of least cost.

    Args:
        logits (`torch.Tensor`): Shape (batch, queries, classes), see `losses.query_class_loss`.
        boxes (`torch.Tensor`): Shape (batch, queries, 4).
        labels (`torch.LongTensor`): Shape (batch, most boxes), -100 where an image has fewer.
        true_boxes (`torch.Tensor`): Shape (batch, most boxes, 4).
        exclusive (`bool`): See `losses.query_class_loss`.

    Returns:
        `torch.LongTensor` of shape (batch, most boxes): the index of a query, -1 where there is no box, and for some boxes
        of an image with more boxes than queries.
    """
    num_classes = logits.shape[-1] - exclusive
    targets = torch.nn.functional.one_hot(labels.clamp(min=0), num_classes)
    cost = matching_cost(logits, boxes, targets, true_boxes.nan_to_num(), exclusive=exclusive)
    return _assigned(cost.transpose(1, 2), labels >= 0)


@torch.no_grad()
def match_teacher(student: Queries, teacher: Queries, *, exclusive: bool) -> torch.Tensor:
    """The teacher's query for each query of the student: least cost, weighted by the teacher's confidence.

    Args:
        student, teacher (pair of `torch.Tensor`): Class logits and boxes; the numbers of queries may differ.
        exclusive (`bool`): See `losses.query_class_loss`.

    Returns:
        `torch.LongTensor` of shape (batch, queries of the student), -1 where the teacher has fewer.

    Reference: Chang et al. 2023, "DETRDistill", section 3.2, Hungarian-matching logits distillation.
    """
    (logits, boxes), (targets, target_boxes) = student, teacher
    confidence = foreground_probability(targets, exclusive=exclusive)
    classes = targets.float().softmax(-1)[..., :-1] if exclusive else targets.float().sigmoid()
    cost = matching_cost(logits, boxes, classes, target_boxes, exclusive=exclusive) - _ABOVE_ANY_COST[exclusive]
    all_queries = torch.ones(logits.shape[:2], dtype=torch.bool, device=logits.device)
    return _assigned(cost * confidence.unsqueeze(1), all_queries)


def _assigned(cost: torch.Tensor, counted: torch.Tensor) -> torch.Tensor:
    """The column that each row is assigned to, -1 for rows that do not count. Cost: shape (batch, rows, columns)."""
    from scipy.optimize import linear_sum_assignment

    # NaN logits show in the loss; here they would raise an error in scipy.
    most = torch.finfo(cost.dtype).max
    table = cost.nan_to_num(nan=most, posinf=most, neginf=most).double().cpu().numpy()
    row_mask = counted.cpu().numpy()
    assignment = np.full(row_mask.shape, -1)
    for image, rows in enumerate(row_mask):
        chosen, columns = linear_sum_assignment(table[image, rows])
        assignment[image, np.flatnonzero(rows)[chosen]] = columns
    return torch.from_numpy(assignment).to(cost.device)
