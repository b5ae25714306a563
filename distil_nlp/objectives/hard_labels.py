"""The term on the labels."""

from typing import Any

import torch

from ..internals.messages import listed, shown
from ..signals.base import Signals
from ..signals.problem_kinds import problem_kind, problem_kind_of
from .base import Batch, Term
from .kind_objectives import check_label_per_prediction, kind_objective
from .schedules import Scheduled


class HardLabels(Term):
    """Match the labels: cross-entropy, binary cross-entropy, or squared error for a regression.

    Args:
        weight (`float` or `Schedule`): `1 - kd_ratio` in the default objective.
        problem_type (`str`): Name of the problem kind. Labels of single-label classification may be soft: rows of class
            probabilities, as mixup and cutmix make them.
        head (`str`, *optional*): A module of the student whose logits are read instead of the model's.

    Raises:
        ValueError: Labels of another problem kind, or of a kind with label terms of its own; a head that does not exist, or
            has logits of another shape.
    """

    name = "hard"
    needs_teacher = False

    def __init__(
        self, weight: Scheduled, *, problem_type: str = "single_label_classification", head: str | None = None
    ):
        super().__init__(weight)
        self.read_from(head)
        self.problem_type = problem_type
        self._kind, loss = problem_kind(problem_type), kind_objective(problem_type).hard_loss
        check_label_per_prediction(problem_type, "HardLabels")
        if loss is None:
            raise ValueError(
                f"HardLabels compare predictions with labels, and problem_type={shown(problem_type)} has no loss for "
                f"that. Use MarginLabels for embeddings with identities as labels: they have a center for each identity."
            )
        self._loss = loss

    def setup(self, student: Signals, teacher: Signals | None, batch: Batch) -> None:
        self.check_head(student)
        if "labels" not in batch:
            schedule = self.schedules.get("weight")
            weight = f"{self.weight:g}" if schedule is None else f"{schedule.start:g} to {schedule.end:g}"
            raise ValueError(
                f"The objective weighs hard labels with {weight}, but the data has no 'labels' column "
                f"(columns: {listed(batch)}). Use kd_ratio=1 to learn from the teacher alone, or add labels."
            )
        check_label_per_prediction(problem_kind_of(None, batch).name, "HardLabels")
        if not self._kind.labels_fit(batch["labels"]):
            labels = batch["labels"]
            raise ValueError(
                f"For {self.problem_type} labels must be {self._kind.labels}; got {labels.dtype} of shape "
                f"{tuple(labels.shape)}, the first is {labels.flatten()[:1].tolist()}. Set the student's "
                f"`config.problem_type` (and `HardLabels(problem_type=...)`) to the kind of the data."
            )
        self._check_shape(self.logits_of(student), batch["labels"])

    def _check_shape(self, logits: torch.Tensor, labels: torch.Tensor) -> None:
        """Raise a ValueError unless there is a label for each prediction (a row of labels where there are several)."""
        if not self._kind.exclusive_classes and not self._kind.several_labels:
            return
        expected = logits.shape if labels.is_floating_point() else logits.shape[:-1]
        if labels.shape != expected:
            raise ValueError(
                f"For {self.problem_type} labels must be {self._kind.labels}, of shape {tuple(expected)} for the student's "
                f"logits of shape {tuple(logits.shape)}; got {labels.dtype} of shape {tuple(labels.shape)}, the first is "
                f"{labels.flatten()[:1].tolist()}. Several labels per example are rows of 0 and 1 with "
                f"config.problem_type='multi_label_classification'."
            )

    def items(self, batch: Batch) -> torch.Tensor:
        return self._kind.is_labeled(batch["labels"])

    def values(self, student: Signals, teacher: Signals | None, batch: Batch) -> torch.Tensor:
        return self._loss(self.logits_of(student), batch["labels"])

    def settings(self) -> dict[str, Any]:
        return {"problem_type": self.problem_type, **({} if self.head is None else {"head": self.head})}
