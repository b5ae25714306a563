"""The table of losses and default terms, keyed by problem kind. Its rows are in `objectives.default`."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from ..internals.messages import shown
from ..signals.base import Signals
from ..signals.problem_kinds import problem_kind
from .base import Term


@dataclass(frozen=True)
class KindObjective:
    """Losses and default terms of one problem kind: a row of the table.

    Args:
        hard_loss (`Callable`, *optional*): (logits, labels) -> one value per item, for `HardLabels`; None where another
            term compares with the labels.
        soft_loss (`Callable`, *optional*): (student_logits, teacher_logits, temperature=) -> one value per item, for
            `SoftTargets`; None where predictions are not distributions, or another term compares them.
        agreement (`Callable`, *optional*): (student, teacher), both `Signals` -> a value from 0 to 1 per item, for the log.
        kd_ratio (`float`): Default weight of the soft targets, 0 to 1.
        label_terms (`Callable`, *optional*): (weight, has_teacher=) -> the default terms on the labels. Default:
            `HardLabels`.
        teacher_term (`Callable`, *optional*): (weight, temperature=) -> the default term on the teacher's predictions.
            Default: `SoftTargets`.
        no_label_per_prediction (`str`): For kinds whose predictions do not each have a label: the reason, and the
            terms to use instead. It ends the error message of terms that compare one prediction with one label.
    """

    hard_loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] | None = None
    soft_loss: Callable[..., torch.Tensor] | None = None
    agreement: Callable[[Signals, Signals], torch.Tensor] | None = None
    kd_ratio: float = 0.5
    label_terms: Callable[..., list[Term]] | None = None
    teacher_term: Callable[..., Term] | None = None
    no_label_per_prediction: str = ""


KIND_OBJECTIVES: dict[str, KindObjective] = {}


def register_kind_objective(name: str, row: KindObjective) -> None:
    """Add the losses and default terms of a problem kind.

    Args:
        name (`str`): Of a registered `ProblemKind`.
        row (`KindObjective`): Its losses and terms.

    Raises:
        ValueError: No registered kind has this name, or it has losses already.
    """
    problem_kind(name)
    if name in KIND_OBJECTIVES:
        raise ValueError(f"The problem kind {shown(name)} has losses already. Register a new kind under another name.")
    KIND_OBJECTIVES[name] = row


def kind_objective(problem_type: str) -> KindObjective:
    """The row of a problem kind; a ValueError lists the registered kinds."""
    problem_kind(problem_type)
    row = KIND_OBJECTIVES.get(problem_type)
    if row is None:
        raise ValueError(
            f"The problem kind {shown(problem_type)} has no losses, so there is no objective for it. Add them with "
            f"register_kind_objective({shown(problem_type)}, KindObjective(...)), or write an objective of terms."
        )
    return row


def check_label_per_prediction(problem_type: str, term: str) -> None:
    """Raise for a kind whose predictions do not each have a label (frames of a clip, queries of a detector).

    Args:
        problem_type (`str`): Name of the problem kind.
        term (`str`): Name of the term that needs a label for each prediction.

    Raises:
        ValueError: Names the terms to use instead.
    """
    row = KIND_OBJECTIVES.get(problem_type)
    if row is not None and row.no_label_per_prediction:
        raise ValueError(f"{term} compares one prediction with one label, and {row.no_label_per_prediction}")


def check_exclusive_classes(problem_type: str, term: str) -> None:
    """Raise for a kind whose predictions are not distributions over classes, one of which is the label.

    Args:
        problem_type (`str`): Name of the problem kind.
        term (`str`): Name of the term that needs such probabilities.

    Raises:
        ValueError: Names the terms to use instead.
    """
    if not problem_kind(problem_type).exclusive_classes:
        raise ValueError(
            f"{term} compares probabilities of classes that exclude each other, and problem_type={shown(problem_type)} has "
            f"none. Use SoftTargets for several labels, LogitMatching for a regression."
        )
