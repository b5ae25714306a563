"""Variations of soft targets for single-label classification with three classes or more."""

from typing import Any

import torch

from ..internals.messages import listed
from ..losses import class_correlation, decoupled_kl, normalized_soft_targets, standardized_kl
from ..signals.base import Signals
from .base import Batch, not_negative, valid_temperature
from .kind_objectives import check_exclusive_classes
from .schedules import Scheduled
from .soft import TeacherPredictions


class ClassTargets(TeacherPredictions):
    """Soft targets of single-label classification with three classes or more.

    Args:
        weight (`float` or `Schedule`): Weight in the objective.
        temperature (`float` or `Schedule`): Greater than 0; softens both predictions.
        problem_type (`str`): Must have classes that exclude each other; others raise.

    Raises:
        ValueError: Another problem kind; fewer than three classes.
    """

    def __init__(
        self, weight: Scheduled, *, temperature: Scheduled, problem_type: str = "single_label_classification"
    ):
        super().__init__(weight, problem_type=problem_type)
        self.temperature = self.follow("temperature", temperature, valid_temperature)
        check_exclusive_classes(problem_type, type(self).__name__)

    def settings(self) -> dict[str, Any]:
        return {"temperature": self.temperature}


class StandardizedSoftTargets(ClassTargets):
    """Soft targets of logits standardized to mean 0 and standard deviation 1. See `ClassTargets`."""

    name, paper = "standardized", "Sun et al. 2024, Logit Standardization in Knowledge Distillation"
    over_positions = False

    def values(self, student: Signals, teacher: Signals, batch: Batch) -> torch.Tensor:
        return standardized_kl(student.logits, teacher.logits, temperature=self.temperature)


class ClassCorrelation(ClassTargets):
    """Match how the classes are ranked and spaced, item by item (DIST, inter-class). See `ClassTargets`.

    `weight` is beta of the paper, 2 there; its other half is `BatchCorrelation`.
    """

    name, paper = "class_correlation", "Huang et al. 2022, Knowledge Distillation from A Stronger Teacher"
    over_positions = False

    def values(self, student: Signals, teacher: Signals, batch: Batch) -> torch.Tensor:
        return class_correlation(student.logits, teacher.at(self.temperature), temperature=self.temperature)


class LabeledClassTargets(ClassTargets):
    """Base class of soft targets that treat the labeled class separately: items without a label do not count."""

    def setup(self, student: Signals, teacher: Signals, batch: Batch) -> None:
        super().setup(student, teacher, batch)
        if "labels" not in batch:
            raise ValueError(
                f"{type(self).__name__} treats the labeled class separately, and the data has no 'labels' column "
                f"(columns: {listed(batch)}). Use SoftTargets, which need no labels."
            )

    def items(self, batch: Batch) -> torch.Tensor:
        if batch["labels"].is_floating_point():
            raise ValueError(
                f"{type(self).__name__} treats the labeled class separately, and soft labels of shape "
                f"{tuple(batch['labels'].shape)} have several: mixup or cutmix and {type(self).__name__} exclude each "
                f"other. Train without mixing, or use SoftTargets or ClassCorrelation, which need no label."
            )
        return batch["labels"] >= 0


class DecoupledSoftTargets(LabeledClassTargets):
    """Separate weights for the teacher's confidence in the label and its ranking of the other classes (DKD).

    Args:
        target_weight, other_weight (`float`): Weights of the two parts, alpha and beta of the paper. See `ClassTargets` for
            the rest.
    """

    name, paper = "decoupled", "Zhao et al. 2022, Decoupled Knowledge Distillation"

    def __init__(
        self,
        weight: Scheduled,
        *,
        temperature: Scheduled,
        target_weight: float = 1.0,
        other_weight: float = 8.0,
        problem_type: str = "single_label_classification",
    ):
        super().__init__(weight, temperature=temperature, problem_type=problem_type)
        self.target_weight = not_negative(target_weight, "target_weight")
        self.other_weight = not_negative(other_weight, "other_weight")

    def values(self, student: Signals, teacher: Signals, batch: Batch) -> torch.Tensor:
        weights = {"target_weight": self.target_weight, "other_weight": self.other_weight}
        return decoupled_kl(
            student.logits, teacher.at(self.temperature), batch["labels"], temperature=self.temperature, **weights
        )

    def settings(self) -> dict[str, Any]:
        return {**super().settings(), "target_weight": self.target_weight, "other_weight": self.other_weight}


class NormalizedSoftTargets(LabeledClassTargets):
    """Cross-entropy with the teacher's probabilities, of the label and, normalized, of the other classes (NKD).

    Args:
        other_weight (`float`): Weight of the other classes, gamma of the paper. See `ClassTargets` for the rest.
    """

    name, paper = "normalized", "Yang et al. 2023, From Knowledge Distillation to Self-Knowledge Distillation"

    def __init__(
        self,
        weight: Scheduled,
        *,
        temperature: Scheduled = 1.0,
        other_weight: float = 1.5,
        problem_type: str = "single_label_classification",
    ):
        super().__init__(weight, temperature=temperature, problem_type=problem_type)
        self.other_weight = not_negative(other_weight, "other_weight")

    def values(self, student: Signals, teacher: Signals, batch: Batch) -> torch.Tensor:
        return normalized_soft_targets(
            student.logits,
            teacher.logits,
            batch["labels"],
            temperature=self.temperature,
            other_weight=self.other_weight,
        )

    def settings(self) -> dict[str, Any]:
        return {**super().settings(), "other_weight": self.other_weight}
