"""An ensemble of teachers, whose probabilities are averaged."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn

from ..internals.messages import shown
from ..losses.ensemble import mean_number, mean_sigmoid, mean_softmax
from ..losses.precision import upcast
from ..signals.base import Signals
from ..signals.problem_kinds import PROBLEM_KINDS, ProblemKind, problem_kind, problem_kind_of
from ..signals.wrappers import config_of
from .base import Teacher
from .online import TeacherSource, as_teacher
from .reconcile import StudentProxy, label_names, listed, shared_labels

if TYPE_CHECKING:
    from accelerate import Accelerator
    from transformers import PreTrainedTokenizerBase


def _mean_number(logits: torch.Tensor, weights: torch.Tensor, *, temperature: float) -> torch.Tensor:
    return mean_number(logits, weights)


# By `ProblemKind.averaging`.
_MEANS = {"softmax": mean_softmax, "sigmoid": mean_sigmoid, "number": _mean_number}


class TeacherEnsemble(Teacher):
    """Several teachers; its prediction is the weighted mean of their probabilities at the temperature of each term.

    The members may be running models and caches. Wrap a teacher with another tokenizer than the student's in
    `SeparateInputs`.

    Labels are reconciled by name, and a teacher may have only some of the student's. Each label gets the mean over the
    teachers that have it, and the probabilities are normalized to a sum of 1. Limit: for a text of a class that a teacher
    does not have, the teacher distributes all probability over its own classes, which distorts the mean. The labels of
    the teachers should overlap widely, or such texts should be rare.

    Args:
        teachers (`list`): Models, Hub ids, folders or `Teacher`s.
        weights (`list[float]`, *optional*): A weight above 0 for each teacher; only their ratios matter. Default: equal.
        problem_type (`str`, *optional*): Determines the mean: of softmaxes, sigmoids (multi_label_classification) or
            numbers (regression). Default: the problem type of the student's config.

    Raises:
        ValueError: There are no teachers, or the weights are invalid. In `reconcile`: no teacher has some label, a member
            raises, or the problem is one whose predictions cannot be averaged, such as embeddings.
    """

    def __init__(
        self,
        teachers: Iterable[TeacherSource],
        *,
        weights: Sequence[float] | None = None,
        problem_type: str | None = None,
    ) -> None:
        self.members = cast(list[Teacher], list(teachers))  # all are Teachers after `load`
        if not self.members:
            raise ValueError(f"An ensemble needs one teacher or more; got {shown(teachers)}.")
        self.weights = normalized(weights, len(self.members))
        self._given_kind = None if problem_type is None else _averaged_kind(problem_type)
        self._kind = self._given_kind or problem_kind("single_label_classification")
        # For each member: indices of the student's labels that it has; None for all.
        self._known: list[list[int] | None] = [None] * len(self.members)
        self._label_weights = torch.tensor(self.weights, dtype=torch.float64).unsqueeze(-1)

    @property
    def name(self) -> str:  # type: ignore[override]
        return " + ".join(getattr(member, "name", str(member)) for member in self.members)

    @property
    def columns(self) -> tuple[str, ...]:  # type: ignore[override]
        return tuple(dict.fromkeys(column for member in self.members for column in member.columns))

    @property
    def takes_any_column(self) -> bool:  # type: ignore[override]
        return any(member.takes_any_column for member in self.members)

    @property
    def is_precomputed(self) -> bool:  # type: ignore[override]
        return any(getattr(member, "is_precomputed", False) for member in self.members)

    @property
    def models(self) -> tuple[nn.Module, ...]:
        models = [member.models for member in self.members]
        return tuple(model for part in models for model in part) if all(models) else ()

    @property
    def num_parameters(self) -> int | None:
        """Number of parameters of the largest member of known size."""
        sizes = [member.num_parameters for member in self.members]
        return max((size for size in sizes if size is not None), default=None)

    def load(self, **settings: Any) -> None:
        self.members = [as_teacher(member, **settings) for member in self.members]

    def reconcile(self, student: nn.Module, tokenizer: "PreTrainedTokenizerBase | None" = None) -> None:
        self.load(student=student)
        self._kind = self._given_kind or problem_kind_of(config_of(student))
        if self._kind.averaging is None:
            raise ValueError(
                f"An ensemble averages probabilities or numbers, and the student's problem is {shown(self._kind.name)}: "
                f"{self._kind.not_averaged_because}. Use one teacher."
            )
        student_labels = label_names(student) or []
        self._known = [shared_labels(student_labels, member.label_names) for member in self.members]
        for member, known in zip(self.members, self._known, strict=True):
            if known is not None and len(known) < 2:
                raise ValueError(
                    f"{member.name}, a teacher of the ensemble, has {len(known)} of the student's labels, and at least two "
                    f"are needed (the teacher's: {listed(member.label_names or [])}; the student's: "
                    f"{listed(student_labels)}). Rename them in `config.id2label` if they mean the same, or remove this "
                    f"teacher."
                )
        self._label_weights = self._weights_by_label(student_labels)
        for member, known in zip(self.members, self._known, strict=True):
            proxy: Any = student
            if known is not None:
                proxy = StudentProxy(student, label_names=[student_labels[index] for index in known])
            try:
                member.reconcile(proxy, tokenizer)
            except ValueError as error:
                raise ValueError(f"{member.name}, a teacher of the ensemble: {error}") from error

    def _weights_by_label(self, student_labels: list[str]) -> torch.Tensor:
        """Weights of the teachers, shape (teachers, labels), or (teachers, 1) if all teachers have all labels."""
        weights = torch.tensor(self.weights, dtype=torch.float64).unsqueeze(-1)
        if all(known is None for known in self._known):
            return weights
        table = torch.zeros(len(self.members), len(student_labels), dtype=torch.float64)
        for row, known, weight in zip(table, self._known, weights, strict=True):
            row[slice(None) if known is None else known] = weight
        missing = [name for name, total in zip(student_labels, table.sum(0).tolist(), strict=True) if total == 0]
        if missing:
            teacher_labels = "; ".join(f"{member.name}: {listed(member.label_names or [])}" for member in self.members)
            raise ValueError(
                f"No teacher of the ensemble has the label{'s' if len(missing) > 1 else ''} {listed(missing)} of the "
                f"student ({teacher_labels}). Rename them in `config.id2label` if they mean the same, or add a teacher "
                f"with these labels."
            )
        return table / table.sum(0)

    def prepare(self, accelerator: "Accelerator") -> None:
        for member in self.members:
            member.prepare(accelerator)

    def tap_layers(self, names: Iterable[str]) -> None:
        if names:
            raise ValueError(
                f"The objective needs outputs of {', '.join(names)}, and an ensemble ({self.name}) has no layers of its "
                f"own. Use one teacher for terms between layers, or terms on predictions only."
            )

    def __call__(self, batch: Mapping[str, torch.Tensor]) -> Signals:
        kind, labels = problem_kind_of(None, batch), batch.get("labels")
        if kind.averaging is None:
            raise ValueError(
                f"An ensemble averages probabilities or numbers, and the problem of the batch is {shown(kind.name)} "
                f"(teachers: {self.name}): {kind.not_averaged_because}. Use one teacher."
            )
        if (
            labels is not None
            and self._kind.exclusive_classes
            and kind.several_labels
            and not self._kind.labels_fit(labels)
        ):
            raise ValueError(
                f"The labels of the batch are floats of shape {tuple(labels.shape)}, several labels per item, and the "
                f"ensemble averages softmaxes, with one label per item. Set problem_type='multi_label_classification' in "
                f"the student's config, or pass it to the TeacherEnsemble."
            )
        return EnsembleSignals([member(batch) for member in self.members], self._mean)

    def member_logits(self, index: int) -> Callable[[Mapping[str, torch.Tensor]], torch.Tensor]:
        """Return a function that computes the logits of one member in the student's labels.

        Args:
            index (`int`): Index of the member, after `reconcile`.

        Returns:
            callable: batch -> logits; a label that the member does not have gets the smallest finite number. Its attribute
            `columns` has the member's columns.
        """

        def compute_logits(batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
            logits = self._in_student_labels(self.members[index](batch).logits, self._known[index])
            return logits.clamp(min=torch.finfo(logits.dtype).min)

        compute_logits.columns = self.members[index].columns  # type: ignore[attr-defined]
        return compute_logits

    def _mean(self, signals: list[Signals], temperature: float) -> torch.Tensor:
        """Mean of the members' predictions at a temperature, as logits."""
        logits = [member_signals.at(temperature) for member_signals in signals]
        sparse = [member.name for member, tensor in zip(self.members, logits, strict=True) if tensor is None]
        if sparse:
            raise ValueError(
                f"An ensemble averages whole distributions, and {', '.join(sparse)} gives parts of them. Build a cache of "
                f"dense logits, or use it as the only teacher."
            )
        logits = [self._in_student_labels(tensor, known) for tensor, known in zip(logits, self._known, strict=True)]
        if len({tensor.shape for tensor in logits}) > 1:
            shapes = "; ".join(
                f"{member.name}: {tuple(tensor.shape)}" for member, tensor in zip(self.members, logits, strict=True)
            )
            raise ValueError(f"The teachers of an ensemble must return logits of one shape; got {shapes}.")
        assert self._kind.averaging is not None
        return _MEANS[self._kind.averaging](torch.stack(logits), self._label_weights, temperature=temperature)

    def _in_student_labels(self, logits: torch.Tensor, known: list[int] | None) -> torch.Tensor:
        """Logits of all of the student's labels from those of a member; -inf for labels that the member does not have."""
        logits = upcast(logits)
        if known is None:
            return logits
        all_logits = logits.new_full((*logits.shape[:-1], self._label_weights.shape[-1]), float("-inf"))
        all_logits[..., known] = logits
        return all_logits

    def fingerprint(self) -> str:
        """Return the SHA-256 of the members' fingerprints, their weights, the problem kind, and the label indices."""
        parts = [[member.fingerprint() for member in self.members], self.weights, self._kind.name, self._known]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


class EnsembleSignals(Signals):
    """Signals of an ensemble; the mean is computed on first use of a temperature, once for each.

    Args:
        signals (`list[Signals]`): Signals of the members.
        mean (`Callable`): (signals, temperature) -> logits.
    """

    def __init__(self, signals: list[Signals], mean: Callable[[list[Signals], float], torch.Tensor]) -> None:
        self._signals, self._mean = signals, mean
        self._logits: dict[float, torch.Tensor] = {}
        self.features, self.sparse = {}, None

    @property
    def logits(self) -> torch.Tensor:  # type: ignore[override]
        """Logits of the mean at temperature 1."""
        return self.at(1.0)

    def with_tensors(self, change: Callable[[torch.Tensor], torch.Tensor]) -> "EnsembleSignals":
        """A copy in which the logits of the members are changed."""
        return EnsembleSignals([signals.with_tensors(change) for signals in self._signals], self._mean)

    def at(self, temperature: float) -> torch.Tensor:
        temperature = float(temperature)
        if temperature not in self._logits:
            self._logits[temperature] = self._mean(self._signals, temperature)
        return self._logits[temperature]


def _averaged_kind(problem_type: str) -> ProblemKind:
    """The problem kind of this name, if predictions of its models can be averaged; else a ValueError."""
    averaged = {kind.name: kind for kind in PROBLEM_KINDS.values() if kind.averaging is not None}
    kind = averaged.get(problem_type)
    if kind is None:
        raise ValueError(
            f"problem_type of an ensemble must be one of {', '.join(averaged)}; got {shown(problem_type)}."
        )
    return kind


def normalized(weights: Iterable[float] | None, num_teachers: int) -> list[float]:
    """Scale weights to a sum of 1; None gives equal weights.

    Raises:
        ValueError: The number of weights differs from the number of teachers, or a weight is not positive and finite.
    """
    if weights is None:
        return [1 / num_teachers] * num_teachers
    weights = list(weights)
    if len(weights) != num_teachers:
        raise ValueError(f"Expected one weight for each teacher; got {len(weights)} for {num_teachers} ({weights}).")
    if not all(0 < weight < float("inf") for weight in weights):
        raise ValueError(
            f"Weights of teachers must be above 0; got {shown(weights)}. Remove a teacher that should not count."
        )
    return [weight / sum(weights) for weight in weights]
