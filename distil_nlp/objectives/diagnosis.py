"""Why a loss is not finite: the first term, the row of the batch, and whose value is the cause."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch

from ..internals.messages import shown
from ..signals.base import Signals
from ..signals.columns import BOXES, LABELS
from ..signals.finite import describe_values, examples_of, name_of_example, real_items, undefined_items
from ..signals.problem_kinds import ProblemKind
from .base import Batch
from .objective import Objective

_ADVICE = {
    "input": "Correct the example, or remove it.",
    "label": "Correct the label, or leave it empty if it is missing.",
    "teacher": "Run the teacher in float32 (teacher_dtype), check its weights, and build a new cache of its outputs in "
    "float32; or remove the example.",
    "student": "The training has diverged if it was finite before: lower the learning rate, or warm it up.",
    "term": "Lower the weight or raise the temperature of the term, or use another one.",
}


@dataclass(frozen=True)
class Diagnosis:
    """Why a loss is not finite.

    Args:
        cause (`str`): "input", "label", "teacher", "student", or "term" where all of these are finite.
        sentence (`str`): Names the term, the row and the cause, with the way out.
    """

    cause: str
    sentence: str

    def __str__(self) -> str:
        return self.sentence


@torch.no_grad()
def diagnose(
    objective: Objective, student: Signals, teacher: Signals | None, batch: Batch, kind: ProblemKind
) -> Diagnosis | None:
    """Find the first term whose loss is not finite.

    Args:
        objective (`Objective`): Its terms are computed one by one.
        student, teacher (`Signals`): Outputs for the batch; None without a teacher.
        batch (`Mapping[str, torch.Tensor]`): The columns.
        kind (`ProblemKind`): Of the student; decides which logits are no prediction.

    Returns:
        `Diagnosis`, or None if every term is finite.
    """
    for name, term in zip(objective.names, objective.terms, strict=True):
        if teacher is None and term.needs_teacher:
            continue
        values = term.values(student, teacher, batch)  # type: ignore[arg-type]
        undefined = term.items(batch) & ~values.isfinite()
        if not undefined.any():
            continue
        value = describe_values(values[undefined])
        rows = examples_of(undefined, batch)
        # A term that compares the examples of a batch has one value for all of them.
        rows = rows if len(values) > 1 else list(range(max(map(len, _columns(batch).values()))))
        cause, place, reason = _cause(rows, student, teacher, batch, kind)
        where = f" for {place}" if place else ""
        return Diagnosis(cause, f"The loss of the term {shown(name)} is {value}{where}: {reason}. {_ADVICE[cause]}")
    return None


def _columns(batch: Batch) -> dict[str, torch.Tensor]:
    return {name: column for name, column in batch.items() if getattr(column, "ndim", 0)}


def _cause(
    rows: list[int], student: Signals, teacher: Signals | None, batch: Batch, kind: ProblemKind
) -> tuple[str, str, str]:
    """The cause, the name of the row, and the reason in words."""
    for cause, owner, items, tensor in _suspects(student, teacher, batch, kind):
        bad = [row for row in examples_of(items, batch) if row in rows] if items.any() else []
        if bad:
            what = describe_values(_of_example(tensor, bad[0], batch))
            return cause, name_of_example(bad[0], batch), f"{owner} {what}"
    place = name_of_example(rows[0], batch) if len(rows) == 1 else ""
    for owner, signals in (("teacher", teacher), ("student", student)):
        if signals is not None and signals.sparse is None and (signals.logits == float("-inf")).any():
            reason = f"the {owner} excludes classes (logits of -inf), which leaves this term without a value"
            return "term", place, reason
    return "term", place, "the outputs of student and teacher are finite, but too large for this term in float32"


def _suspects(
    student: Signals, teacher: Signals | None, batch: Batch, kind: ProblemKind
) -> Iterator[tuple[str, str, torch.Tensor, torch.Tensor]]:
    """What may be the cause, in the order in which it spreads: cause, owner in words, mask of bad items, values."""
    for name, column in _columns(batch).items():
        if column.is_floating_point():
            is_label = name in (*LABELS, BOXES)
            # NaN marks missing labels.
            bad = column.isinf() if is_label else ~column.isfinite()
            yield ("label" if is_label else "input"), f"its column {shown(name)} contains", bad, column
    for owner, signals in (("teacher", teacher), ("student", student)):
        if signals is None:
            continue
        if signals.sparse is not None:
            yield (
                owner,
                f"the {owner}'s stored probabilities contain",
                ~signals.sparse.weights.isfinite(),
                signals.sparse.weights,
            )
        else:
            yield owner, f"the {owner}'s logits contain", undefined_items(signals.logits, batch, kind), signals.logits
        for name, feature in signals.features.items():
            bad = real_items(
                ~feature.isfinite().flatten(2).all(-1) if feature.dim() > 2 else ~feature.isfinite(), batch
            )
            yield owner, f"the {owner}'s outputs of {name} contain", bad, feature


def _of_example(tensor: torch.Tensor, row: int, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """The part of a tensor that belongs to an example, or all of it if its rows are not examples."""
    size = max(map(len, _columns(batch).values()))
    return tensor[row] if len(tensor) == size else tensor
