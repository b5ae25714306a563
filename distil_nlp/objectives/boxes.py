"""Learning to detect: which things are in an image, and where.

A detector's logits are its class logits followed by its boxes, see `signals.forward.forward_logits`. The batch holds the
true boxes: `labels` of shape (batch, most boxes), int64, -100 where an image has fewer, and `boxes` of shape
(batch, most boxes, 4), center and size, 0 to 1 of the image. A row of NaN boxes is an image whose boxes nobody knows.
"""

import torch

from ..losses.boxes import NO_OBJECT_WEIGHT, box_distance, query_class_loss, query_soft_target_loss
from ..signals.columns import BOXES
from ..signals.forward import split_boxes
from .base import Term, every_example, positive
from .matching import match_labels, match_teacher

QUERIES = ("same", "nearest")


class DetectionTerm(Term):
    """What terms on detectors share: how many queries there are, and whether classes exclude each other.

    Attributes:
        exclusive (`bool`): The student has a class "no object" (DETR, YOLOS); otherwise each class is a yes or no.
        num_queries (`int`): Of the student.
    """

    num_labels, exclusive, num_queries = None, True, None

    def resolve_layers(self, student, teacher):
        self.num_labels = getattr(getattr(student, "config", None), "num_labels", None)

    def setup(self, student, teacher, batch):
        logits, known = student.logits, self.num_labels
        if logits.dim() != 3 or (known is not None and logits.shape[-1] - 4 not in (known, known + 1)):
            raise ValueError(
                f"{type(self).__name__} reads classes and boxes of queries: shape (batch, queries, classes + 4), with "
                f"{known} classes, or one more for 'no object'; the student gave {tuple(logits.shape)}. Its output needs "
                f"`logits` and `pred_boxes`, as those of AutoModelForObjectDetection have."
            )
        self.exclusive = known is None or logits.shape[-1] - 4 == known + 1
        self.num_queries = logits.shape[1]

    def known_images(self, batch):
        """Images whose boxes are known, bool, shape (batch,)."""
        return ~batch[BOXES].isnan().flatten(1).any(1)

    def num_boxes(self, batch):
        """How many true boxes each image has, shape (batch,)."""
        return (batch["labels"] >= 0).sum(1)

    def matched(self, student, batch):
        """The class logits, boxes, and the query for each true box, -1 where there is none."""
        logits, boxes = split_boxes(student.logits)
        return logits, boxes, match_labels(logits, boxes, batch["labels"], batch[BOXES], exclusive=self.exclusive)


class LabeledBoxesTerm(DetectionTerm):
    """A term between the student's queries and the true boxes, matched one to one at the least cost."""

    paper = "Carion et al. 2020, End-to-End Object Detection with Transformers"
    needs_teacher = False

    def setup(self, student, teacher, batch):
        super().setup(student, teacher, batch)
        missing = [name for name in ("labels", BOXES) if name not in batch]
        if missing:
            raise ValueError(
                f"{type(self).__name__} needs the true boxes, and the data has no {' and no '.join(missing)} (columns: "
                f"{', '.join(batch)}). Use QuerySoftTargets to learn from the teacher alone, or add them."
            )
        self._check(batch["labels"], batch[BOXES], student.logits.shape[-1] - 4 - self.exclusive)

    def _check(self, labels, boxes, num_classes):
        if labels.dim() != 2 or boxes.shape != (*labels.shape, 4) or labels.is_floating_point():
            raise ValueError(
                f"An image has several boxes: labels must be whole numbers of shape (batch, most boxes) and boxes of shape "
                f"(batch, most boxes, 4); got {labels.dtype} of shape {tuple(labels.shape)} and {tuple(boxes.shape)}."
            )
        if (labels >= num_classes).any():
            raise ValueError(f"A box has class {labels.max()}, and the student's classes are 0 to {num_classes - 1}.")
        known = boxes[labels >= 0]
        if (known < 0).any() or (known > 1).any():
            raise ValueError(
                f"Boxes must be center x, center y, width and height, each 0 to 1 of the image; one is "
                f"{known[((known < 0) | (known > 1)).any(-1)][0].tolist()}. Divide by the width and height of the image."
            )


class QueryLabels(LabeledBoxesTerm):
    """What each query finds: the class of the box it is matched to, or nothing.

    An item is a query. With a class "no object" the values are divided by the sum of their weights (DETR), otherwise by
    the number of true boxes (Deformable DETR); both over the whole optimizer step.

    Args:
        weight (`float` or `Schedule`): `1 - kd_ratio` in the default objective.
    """

    name = "classes"

    def items(self, batch):
        return self.known_images(batch).unsqueeze(1).expand(-1, self.num_queries)

    def normalizer(self, batch):
        found = self.num_boxes(batch)
        if not self.exclusive:
            return found.sum()
        found = found.clamp(max=self.num_queries).sum()
        return found + NO_OBJECT_WEIGHT * (self.items(batch).sum() - found)

    def values(self, student, teacher, batch):
        logits, _, queries = self.matched(student, batch)
        # One column more: where what is matched to no query goes.
        classes = torch.full((len(logits), self.num_queries + 1), logits.shape[-1] - self.exclusive)
        classes = classes.to(logits.device).scatter(1, queries % (self.num_queries + 1), batch["labels"])
        return query_class_loss(logits, classes[:, :-1], exclusive=self.exclusive)


class BoxLabels(LabeledBoxesTerm):
    """Where things are: the boxes of the queries that are matched to a true one.

    An item is a true box: the count is that of true boxes over the whole optimizer step.

    Args:
        weight (`float` or `Schedule`): `1 - kd_ratio` in the default objective.
    """

    name = "boxes"

    def items(self, batch):
        return (batch["labels"] >= 0) & self.known_images(batch).unsqueeze(1)

    def values(self, student, teacher, batch):
        _, boxes, queries = self.matched(student, batch)
        found = boxes.gather(1, queries.clamp(min=0).unsqueeze(-1).expand(-1, -1, 4))
        return box_distance(found, batch[BOXES].nan_to_num()).masked_fill(queries < 0, 0)


class QuerySoftTargets(DetectionTerm):
    """Match what the teacher's queries say: their classes, softened, and their boxes, as sure as the teacher is of them.

    An item is an image, so images without labels count.

    Args:
        weight (`float` or `Schedule`): `kd_ratio` in the default objective.
        temperature (`float` or `Schedule`): Greater than 0; of the classes.
        queries (`str`): "same": the student's first query learns from the teacher's first, for a student that starts from
            the teacher's queries. "nearest": the student's queries learn from those that they are matched to, image by
            image; for any other pair.

    Raises:
        ValueError: Another number of classes; with "same", another number of queries.
    """

    name = "queries"

    def __init__(self, weight, *, temperature=1.0, queries="nearest"):
        super().__init__(weight)
        self.temperature = self.follow("temperature", temperature, positive)
        if queries not in QUERIES:
            raise ValueError(f"queries must be one of {', '.join(QUERIES)}; got {queries!r}.")
        self.queries = queries

    @property
    def paper(self):
        """Where it comes from, for the model card."""
        if self.queries == "same":
            return "Wang et al. 2024, KD-DETR: Knowledge Distillation for Detection Transformer"
        return "Chang et al. 2023, DETRDistill: A Universal Knowledge Distillation Framework for DETR-families"

    def setup(self, student, teacher, batch):
        super().setup(student, teacher, batch)
        ours, theirs = tuple(student.logits.shape), tuple(teacher.logits.shape)
        if ours[-1] != theirs[-1]:
            raise ValueError(
                f"Queries of the student answer with {ours[-1]} numbers (classes and 4 of a box), the teacher's with "
                f"{theirs[-1]}: other classes, or one of the two has a class 'no object' and the other has none (DETR and "
                f"YOLOS have it). Take models of one kind, or the terms between layers, 'pearson' or 'channels'."
            )
        if self.queries == "same" and ours != theirs:
            raise ValueError(
                f"queries='same' compares the student's queries with the teacher's one by one, and there are {ours[1]} "
                f"and {theirs[1]}. Give the student as many and the teacher's as a start, or use queries='nearest'."
            )

    def items(self, batch):
        return every_example(batch)

    def values(self, student, teacher, batch):
        ours, theirs, counted = split_boxes(student.logits), split_boxes(teacher.logits), None
        if self.queries == "nearest":
            chosen = match_teacher(ours, theirs, exclusive=self.exclusive)
            counted, chosen = chosen >= 0, chosen.clamp(min=0).unsqueeze(-1)
            theirs = [part.gather(1, chosen.expand(-1, -1, part.shape[-1])) for part in theirs]
        return query_soft_target_loss(
            ours, theirs, temperature=self.temperature, exclusive=self.exclusive, counted=counted
        )

    def settings(self):
        return {"temperature": self.temperature, "queries": self.queries}
