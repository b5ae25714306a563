"""An objective: a weighted sum of terms."""

import copy
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from ..losses import mean_over_items
from ..signals.base import Signals
from .base import Batch, Term


class Objective(nn.Module):
    """A weighted sum of terms.

    loss = sum over terms of weight x sum(values x mask) / count, with the count taken over the whole optimizer
    step, all micro-batches and all processes.

    Args:
        terms (`Iterable[Term]`): At least one with a weight above 0. Names are made unique (`hidden`, `hidden_2`).

    Raises:
        ValueError: No term has a weight above 0, or none has at the first or the last step.
    """

    terms: Sequence[Term]

    def __init__(self, terms: Iterable[Term]):
        super().__init__()
        self.terms = nn.ModuleList(terms)  # type: ignore[assignment]
        for end, when in enumerate(("", " at the end of the training")):
            weights = {term.name: term.ends_of("weight")[end] for term in self.terms}
            if not any(weight > 0 for weight in weights.values()):
                raise ValueError(
                    f"An objective needs a term with a weight above 0{when}; got {weights or 'no terms'}."
                )
        self.names: list[str] = []
        for term in self.terms:
            numbered = (f"{term.name}_{number}" for number in itertools.count(2))
            self.names.append(next(name for name in itertools.chain([term.name], numbered) if name not in self.names))
        # Index of the term whose items each part is averaged over, by the part's name; `forward` adds them.
        self.part_terms: dict[str, int] = {}

    @property
    def needs_teacher(self) -> bool:
        """Whether any term needs a teacher."""
        return any(term.needs_teacher for term in self.terms)

    @property
    def temperatures(self) -> list[float]:
        """The temperatures at which its terms soften the teacher, without repetition; of a schedule both ends."""
        softening = [term for term in self.terms if term.softens_logits and hasattr(term, "temperature")]
        return list(dict.fromkeys(temperature for term in softening for temperature in term.ends_of("temperature")))

    @property
    def needs_labels(self) -> bool:
        """Whether any term compares the student with the labels alone."""
        return not all(term.needs_teacher for term in self.terms)

    @property
    def student_taps(self) -> tuple[str, ...]:
        """Names of the student's modules whose outputs the terms read."""
        return tuple(dict.fromkeys(name for term in self.terms for name in term.student_taps))

    @property
    def teacher_taps(self) -> tuple[str, ...]:
        """Names of the teacher's modules whose outputs the terms read."""
        return tuple(dict.fromkeys(name for term in self.terms for name in term.teacher_taps))

    def without_teacher(self) -> "Objective | None":
        """The terms that need no teacher, their weights scaled to a sum of 1, or None where there are none.

        A weight with a schedule has its largest value, so that evaluations during a training can be compared.
        """
        terms = [term for term in self.terms if not term.needs_teacher]
        weights = [max(term.ends_of("weight")) for term in terms]
        pairs = [(term, weight) for term, weight in zip(terms, weights, strict=True) if weight]
        return (
            Objective([_without_schedules(term, weight / sum(weights)) for term, weight in pairs]) if pairs else None
        )

    def at_end(self) -> "Objective":
        """The same terms, with shared projections and the last values of their schedules; itself without schedules.

        With it evaluations during a training can be compared.
        """
        return Objective([_without_schedules(term) for term in self.terms]) if self.scheduled_values else self

    def at_progress(self, progress: float) -> None:
        """Set every term to a fraction of the training, 0 (first step) to 1 (last step): schedules follow."""
        for term in self.terms:
            term.at_progress(progress)

    @property
    def scheduled_values(self) -> dict[str, float]:
        """Present values of the settings with a schedule, for the log: `weight/<term>`, `temperature/<term>`."""
        return {
            f"{setting}/{name}": getattr(term, setting)
            for name, term in zip(self.names, self.terms, strict=True)
            for setting in term.schedules
        }

    def resolve_layers(self, student: nn.Module, teacher: nn.Module | None) -> None:
        """Have every term choose the modules it taps, see `Term.resolve_layers`."""
        for term in self.terms:
            term.resolve_layers(student, teacher)

    def setup(self, student: Signals, teacher: Signals | None, batch: Batch) -> torch.Tensor:
        """Set up every term with one dry forward pass, then compute and return the loss once to raise errors early."""
        for term in self.terms:
            _check_dense(term, teacher)
            term.setup(student, teacher, batch)  # type: ignore[arg-type]  # None: for terms without a teacher
        with torch.no_grad():
            return self(student, teacher, batch, self.count([batch]))[0]

    @property
    def needs_fit(self) -> bool:
        """Whether any term reads all training data before the first step."""
        return any(term.needs_fit for term in self.terms)

    def fit_statistics(
        self, batches: Callable[[], Iterable[Batch]], teacher: Callable[[Batch], Signals] | None
    ) -> None:
        """Pass all training data to the terms that read it before the first step.

        Args:
            batches (`Callable`): No arguments; returns a new iterator over all batches.
            teacher (`Callable`): batch -> the teacher's `Signals`; None without a teacher.
        """
        for term in self.terms:
            if term.needs_fit:
                term.fit_statistics(batches(), teacher)

    def count(self, batches: Iterable[Batch]) -> torch.Tensor:
        """Items of each term in a list of batches: a tensor of shape (terms,), in the order of `terms`."""
        counts = [sum(term.normalizer(batch) for batch in batches) for term in self.terms]
        return torch.stack(counts)  # type: ignore[arg-type]

    def forward(
        self, student: Signals, teacher: Signals | None, batch: Batch, counts: torch.Tensor
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The loss of one micro-batch.

        Args:
            student, teacher (`Signals`): Outputs for the batch. Without a teacher (None), terms that need one are omitted.
            batch (`Mapping[str, torch.Tensor]`): The columns.
            counts (`torch.Tensor`): From `count`, over the whole optimizer step.

        Returns:
            `(loss, parts)`: a scalar, and detached scalars by name for the log, each the share of this micro-batch.
        """
        loss: Any = 0.0
        parts: dict[str, torch.Tensor] = {}
        for index, (name, term, count) in enumerate(zip(self.names, self.terms, counts, strict=True)):
            if teacher is None and term.needs_teacher:
                continue
            mask = term.items(batch)
            values = term.values(student, teacher, batch)  # type: ignore[arg-type]
            part = mean_over_items(values, mask, count)
            loss = loss + term.weight * part
            parts[f"loss/{name}"] = part.detach()
            self.part_terms[f"loss/{name}"] = index
            with torch.no_grad():
                metrics = term.metrics(student, teacher, batch)  # type: ignore[arg-type]
                for metric, metric_values in metrics.items():
                    parts[metric] = mean_over_items(metric_values, mask, count)
                    self.part_terms[metric] = index
        return loss, parts

    def weighted_sum(self, parts: Mapping[str, float]) -> float:
        """The loss from means of its parts: weight x `loss/<term>`, summed over the terms among the parts."""
        weights = {f"loss/{name}": term.weight for name, term in zip(self.names, self.terms, strict=True)}
        return sum(weights[name] * value for name, value in parts.items() if name in weights)

    def describe(self) -> list[dict[str, Any]]:
        """The terms with weights, settings and papers, JSON-ready, for the report and the model card.

        A setting with a schedule is described by it: {"start": ..., "end": ..., "schedule": ...}.
        """
        return [
            {
                "name": name,
                "weight": term.weight,
                "paper": term.paper,
                **term.settings(),
                **{setting: schedule.to_dict() for setting, schedule in term.schedules.items()},
            }
            for name, term in zip(self.names, self.terms, strict=True)
        ]


def _check_dense(term: Term, teacher: Signals | None) -> None:
    """Raise a ValueError for a term that needs all logits, if the teacher has a stored part of its distribution.

    Forward KL and cross-entropy are linear in the teacher's probabilities, so they are unbiased with sampled tokens.
    """
    if teacher is not None and teacher.sparse is not None and term.needs_teacher and term.needs_logits:
        raise ValueError(
            f"{type(term).__name__} reads all of the teacher's logits, and this teacher stores a part of its distribution "
            f"over {teacher.sparse.vocabulary} classes ({teacher.sparse.ids.shape[-1]} per item at most). From sampled or "
            f"top-k targets only forward KL and cross-entropy can be learned. Use SoftTargets, or a teacher that runs."
        )


def _without_schedules(term: Term, weight: float | None = None) -> Term:
    """A copy with shared modules, whose settings are fixed at their last values; with another weight if given."""
    fixed = copy.copy(term)
    fixed.at_progress(1.0)
    fixed.schedules = {}
    fixed.weight = fixed.weight if weight is None else weight
    return fixed
