"""The term on identities: embeddings close to the center of their own class, by a margin."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from ..internals.messages import listed, shown
from ..losses import angular_margin_loss, class_centers, cosine_margin_loss
from ..losses.hard import MISSING
from ..losses.margins import check_labels
from ..losses.precision import upcast
from ..signals.base import Signals
from ..signals.wrappers import config_of
from .base import Batch, Term, not_negative, positive
from .schedules import Schedule, Scheduled

# Loss, margin and scale of the paper.
_KINDS = {
    "angular": (angular_margin_loss, 0.5, "Deng et al. 2019, ArcFace: Additive Angular Margin Loss"),
    "cosine": (cosine_margin_loss, 0.35, "Wang et al. 2018, CosFace: Large Margin Cosine Loss"),
}
_CENTERS = {
    "trained": "",
    "teacher": "Shi et al. 2020, ProxylessKD: Direct Knowledge Distillation with Inherited Classifier for Face Recognition",
}


class MarginLabels(Term):
    """Make an embedding closer to the center of its own class, by a margin, than to the center of any other class.

    The centers belong to the term and not to the student: embeddings are compared without them.

    - "trained": they are learned with the student, as the weights of a classifier are, and saved beside it for resuming.
    - "teacher": each is the mean direction of the teacher's embeddings of a class over the training data, computed once
      before the first step and fixed. The student then has the teacher's embedding space, so that its embeddings can be
      compared with those enrolled with the teacher. It must be as wide as the teacher.

    ProxylessKD uses the weights of the teacher's classifier instead of means. A teacher that was trained on other people,
    or loaded from a file without its classifier, has no such weights; means can always be computed.

    Args:
        weight (`float` or `Schedule`): `1 - kd_ratio` in the default objective of identities.
        centers (`str`): "trained" or "teacher".
        num_classes (`int`, *optional*): Default: the student's `config.num_labels`.
        kind (`str`): "angular": the margin is added to an angle (ArcFace). "cosine": it is subtracted from a cosine
            (CosFace).
        margin (`float` or `Schedule`, *optional*): Default: from 0 to the margin of the paper, 0.5 radians or 0.35. An
            untrained network cannot satisfy a margin, and the full margin from the first step may prevent it from learning.
        scale (`float`): Scale of the cosines, greater than 0. The papers use 64 for tens of thousands of people; 16 is
            enough for a probability of 0.99 among 10,000, by the bound in CosFace.

    Raises:
        ValueError: Invalid settings; a class without a training example, with the teacher's centers; a student of another
            width.
    """

    name = "margin"
    needs_fit = True

    centers: torch.Tensor
    num_classes: int

    def __init__(
        self,
        weight: Scheduled,
        *,
        centers: str = "trained",
        num_classes: int | None = None,
        kind: str = "angular",
        margin: Scheduled | None = None,
        scale: float = 16.0,
    ):
        super().__init__(weight)
        for name, value, choices in (("kind", kind, _KINDS), ("centers", centers, _CENTERS)):
            if value not in choices:
                raise ValueError(f"{name} must be one of {', '.join(choices)}; got {shown(value)}.")
        self._loss, default_margin, paper = _KINDS[kind]
        self.paper = "; ".join(filter(None, (paper, _CENTERS[centers])))
        self.kind = kind
        self.margin = self.follow("margin", Schedule(0.0, default_margin) if margin is None else margin, not_negative)
        self.scale = positive(scale, "scale")
        self.num_classes = num_classes  # type: ignore[assignment]  # set by resolve_layers
        self.needs_teacher = centers == "teacher"
        (self.register_buffer if self.needs_teacher else self.register_parameter)("centers", None)

    def resolve_layers(self, student: nn.Module, teacher: nn.Module | None) -> None:
        if self.num_classes is None:
            self.num_classes = getattr(config_of(student), "num_labels", None)
        if self.num_classes is None:
            raise ValueError(
                f"MarginLabels need the number of classes, and {type(student).__name__} has no config.num_labels. Give "
                f"num_classes."
            )

    def setup(self, student: Signals, teacher: Signals, batch: Batch) -> None:
        if "labels" not in batch:
            raise ValueError(
                f"MarginLabels need the identity of each example, and the data has no 'labels' column (columns: "
                f"{listed(batch)}). Add labels, or use kd_ratio=1 to learn from the teacher's embeddings alone."
            )
        labels = batch["labels"]
        if labels.is_floating_point() or labels.dim() != 1 or student.logits.dim() != 2:
            raise ValueError(
                f"MarginLabels need one embedding and one whole number an example, shapes (batch, width) and (batch,); "
                f"got {tuple(student.logits.shape)} and {labels.dtype} of shape {tuple(labels.shape)}."
            )
        width = (teacher if self.needs_teacher else student).logits.shape[-1]
        if student.logits.shape[-1] != width:
            raise ValueError(
                f"The student's embeddings are {student.logits.shape[-1]} wide and the teacher's {width}, so its class "
                f"centers cannot be compared with the student's embeddings. Make the student as wide "
                f"(embedding_width={width}), or train centers: MarginLabels(centers='trained')."
            )
        if self.needs_teacher:  # filled by fit_statistics
            self.centers = upcast(student.logits).new_zeros(self.num_classes, width)
        else:
            # Drawn on the CPU, so that one seed gives the same on every device. Only the direction counts.
            start = nn.init.normal_(torch.empty(self.num_classes, width), std=width**-0.5)
            self.centers = nn.Parameter(start.to(student.logits.device, upcast(student.logits).dtype))

    def fit_statistics(self, batches: Iterable[Batch], teacher: Callable[[Batch], Signals] | None) -> None:
        if not self.needs_teacher:
            for batch in batches:
                check_labels(batch["labels"], self.num_classes)
            return
        assert teacher is not None
        self.centers.copy_(
            class_centers(((teacher(batch).logits, batch["labels"]) for batch in batches), self.num_classes)
        )
        missing = (self.centers == 0).all(dim=-1).nonzero().flatten().tolist()
        if missing:
            raise ValueError(
                f"{len(missing)} of {self.num_classes} classes have no training example ({listed(missing, 8)}), so the "
                f"teacher has no center for them. Number the classes of the training data from 0 without a gap, or give "
                f"num_classes."
            )

    def items(self, batch: Batch) -> torch.Tensor:
        # Evaluation data may have identities that are not in the training data: they have no center. Training data cannot,
        # see `fit_statistics`.
        return (batch["labels"] >= 0) & (batch["labels"] < self.num_classes)

    def values(self, student: Signals, teacher: Signals, batch: Batch) -> torch.Tensor:
        labels = batch["labels"].masked_fill(~self.items(batch), MISSING)
        return self._loss(student.logits, self.centers, labels, margin=self.margin, scale=self.scale)

    def settings(self) -> dict[str, Any]:
        centers = "teacher" if self.needs_teacher else "trained"
        return {"centers": centers, "kind": self.kind, "margin": self.margin, "scale": self.scale}
