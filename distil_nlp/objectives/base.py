"""A term: one comparison of a student with its teacher or with the labels."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import nn

from ..internals.messages import shown
from ..internals.numbers import FRACTION, NOT_NEGATIVE, POSITIVE, TEMPERATURE
from ..signals.base import Signals
from .schedules import Schedule, Scheduled

Batch = Mapping[str, torch.Tensor]


class Term(nn.Module):
    """One comparison of student and teacher, or of student and labels.

    A subclass defines which items count (`items`), computes one value for each (`values`) and names the modules whose
    outputs it reads. It is a module so that its projection, if it has one, is found, trained and saved; it has no other
    state. An item is whatever the term averages over: a sequence, a token, or, for a term that compares the examples
    of a batch with each other, the micro-batch itself (a mask of one item). The teacher's signals are None for terms with
    `needs_teacher = False` where there is no teacher.

    Args:
        weight (`float` or `Schedule`): Weight in the objective, 0 or greater.

    Attributes:
        schedules (`dict[str, Schedule]`): Schedules of its settings that change during training, by name: "weight",
            "temperature". The attribute of that name (`term.weight`) is the present value.
        name (`str`): Its name in logs (`loss/<name>`).
        paper (`str`): Its source, for the model card.
        needs_teacher (`bool`): False for a term on student and labels alone.
        needs_logits (`bool`): Of a term that needs a teacher: False where a stored part of a distribution
            (`Signals.sparse`) is enough, or where it reads no logits.
        softens_logits (`bool`): False where its `temperature`, if it has one, does not soften logits.
        student_taps, teacher_taps (`tuple[str]`): Names of the modules whose outputs it reads from `Signals.features`.
        head (`str` or None): Name of the student's module whose logits it reads; None for the logits of the model.
        needs_fit (`bool`): It reads all training data before the first step (`fit_statistics`).
    """

    name = "term"
    paper = ""
    needs_teacher = True
    needs_logits = True
    softens_logits = True
    student_taps: tuple[str, ...] = ()
    teacher_taps: tuple[str, ...] = ()
    head: str | None = None
    needs_fit = False

    def __init__(self, weight: Scheduled):
        super().__init__()
        self.schedules: dict[str, Schedule] = {}
        self.weight = self.follow("weight", weight, self._weight)

    def _weight(self, value, name):
        return not_negative(value, f"The {name} of {type(self).__name__}")

    def follow(self, name: str, value: Scheduled, check: Callable[[float, str], float]) -> float:
        """Register the schedule of a setting, if it has one, and return the first value of the setting.

        Args:
            name (`str`): Name of the attribute that follows the schedule.
            value (`float`, `Schedule` or `dict`): The setting; a `dict` has the fields of a `Schedule`.
            check (`Callable`): (value, name) -> float; raises for an invalid value. Applied to both ends of a schedule.
        """
        schedule = Schedule.of(value)
        if schedule is None:
            return check(value, name)  # type: ignore[arg-type]  # a number: `of` returns None for it
        self.schedules[name] = Schedule(check(schedule.start, name), check(schedule.end, name), schedule.schedule)
        return self.schedules[name].at(0.0)

    def ends_of(self, setting: str) -> tuple[float, float]:
        """The first and the last value of a setting."""
        schedule = self.schedules.get(setting)
        return (getattr(self, setting),) * 2 if schedule is None else (schedule.start, schedule.end)

    def at_progress(self, progress: float) -> None:
        """Set the settings that have a schedule to their values at this fraction of the training, 0 to 1."""
        for name, schedule in self.schedules.items():
            setattr(self, name, schedule.at(progress))

    def read_from(self, head: str | None) -> None:
        """Read the logits of one of the student's heads, by its module name; None for the logits of the model."""
        self.head = head
        self.student_taps = () if head is None else (head,)

    def logits_of(self, student: Signals) -> torch.Tensor:
        """The student's logits: of its head where the term reads one, of the model otherwise."""
        return student.logits if self.head is None else student.features[self.head]

    def check_head(self, student: Signals) -> None:
        """Raise a ValueError for a head whose output has another shape than the model's logits."""
        shape = tuple(self.logits_of(student).shape)
        if shape != tuple(student.logits.shape):
            raise ValueError(
                f"{type(self).__name__} reads logits from head={shown(self.head)}, which should be of the shape of the "
                f"model's, {tuple(student.logits.shape)}; the module returned {shape}. Name the module that ends the head."
            )

    def items(self, batch: Batch) -> torch.Tensor:
        """Mask of the items that count, from the batch alone: it is needed before the forward pass."""
        raise NotImplementedError(f"{type(self).__name__} must define items(batch).")

    def normalizer(self, batch: Batch) -> torch.Tensor:
        """Divisor of the values: the items that count in a micro-batch. It is summed over the optimizer step."""
        return self.items(batch).sum()

    def values(self, student: Signals, teacher: Signals, batch: Batch) -> torch.Tensor:
        """One value per item, not reduced, of the same shape as `items(batch)`."""
        raise NotImplementedError(f"{type(self).__name__} must define values(student, teacher, batch).")

    def metrics(self, student: Signals, teacher: Signals, batch: Batch) -> dict[str, torch.Tensor]:
        """Values for the log that need no gradient: name -> one value per item."""
        return {}

    def resolve_layers(self, student: nn.Module, teacher: nn.Module | None) -> None:
        """Choose the modules to tap, before any forward pass. Terms must not keep the models.

        Args:
            student, teacher (`nn.Module`): The teacher is None where no model runs (a cache) or there is no teacher.
        """

    def setup(self, student: Signals, teacher: Signals, batch: Batch) -> None:
        """Infer shapes from one dry forward pass, create projections, raise for outputs that do not fit."""

    def fit_statistics(self, batches: Iterable[Batch], teacher: Callable[[Batch], Signals] | None) -> None:
        """Read all training data, once, after `setup`. Called where `needs_fit` is True.

        Results are stored in a buffer, so that they move to the device and are saved in checkpoints.

        Args:
            batches (`Iterable[Mapping[str, torch.Tensor]]`): The columns, as in training, in the order of the data.
            teacher (`Callable`): batch -> the teacher's `Signals`; None without a teacher.
        """

    def settings(self) -> dict[str, Any]:
        """Its settings for the model card, JSON-ready."""
        return {}


def every_example(batch: Batch) -> torch.Tensor:
    """A mask of the examples of a batch, all of which count: bool, shape (batch,)."""
    first = _first_tensor(batch)
    return torch.ones(first.shape[0], dtype=torch.bool, device=first.device)


def whole_batch(batch: Batch) -> torch.Tensor:
    """A mask of one item, the micro-batch itself: bool, shape (1,)."""
    return torch.ones(1, dtype=torch.bool, device=_first_tensor(batch).device)


def _first_tensor(batch: Batch) -> torch.Tensor:
    """The first column with a row per example; a collator may also return texts, numbers or None."""
    return next(column for column in batch.values() if isinstance(column, torch.Tensor) and column.dim() > 0)


def positive(value: float, name: str) -> float:
    """`value` as a float; a ValueError names the setting if it is not above 0."""
    return float(POSITIVE.check(value, name))


def valid_temperature(value: float, name: str) -> float:
    """`value` as a float; a ValueError names the setting if float32 could not soften logits by it."""
    return float(TEMPERATURE.check(value, name))


def not_negative(value: float, name: str) -> float:
    """`value` as a float; a ValueError names the setting if it is below 0."""
    return float(NOT_NEGATIVE.check(value, name))


def fraction(value: float, name: str) -> float:
    """`value` as a float; a ValueError names the setting if it is not in 0 to 1."""
    return float(FRACTION.check(value, name))
