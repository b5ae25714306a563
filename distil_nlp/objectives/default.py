"""The default objective: labels and soft targets, and the losses and terms of each problem kind."""

from collections.abc import Callable, Iterable

import torch

from ..internals.messages import shown
from ..internals.numbers import FRACTION
from ..losses import (
    binary_cross_entropy,
    cross_entropy,
    pair_cosine_error,
    soft_target_bce,
    soft_target_kl,
    squared_error,
)
from ..signals.base import Signals
from ..signals.problem_kinds import CTC, DETECTION, NEXT_TOKEN, problem_kind
from .base import Term
from .boxes import BoxLabels, QueryLabels, QuerySoftTargets
from .ctc import CtcLabels, CtcSoftTargets
from .hard_labels import HardLabels
from .kind_objectives import KindObjective, kind_objective, register_kind_objective
from .margins import MarginLabels
from .objective import Objective
from .schedules import Schedule, Scheduled
from .soft import EmbeddingMatching, LogitMatching, SoftTargets

TEMPERATURE = 2.0


def default_objective(
    problem_type: str,
    *,
    kd_ratio: float | None = None,
    temperature: float | None = None,
    kd_ratio_end: float | None = None,
    temperature_end: float | None = None,
    kd_schedule: str = "constant",
    has_labels: bool = True,
    has_teacher: bool = True,
) -> Objective:
    """Hard labels and soft targets, blended by `kd_ratio`.

    Args:
        problem_type (`str`): Name of the problem kind, see `signals.problem_kinds`.
        kd_ratio (`float`, *optional*): Weight of the soft targets, 0 to 1; the hard labels weigh 1 - kd_ratio.
            Default: 0.5; 1 for embeddings and where the data has no labels.
        temperature (`float`, *optional*): Default: 2.
        kd_ratio_end, temperature_end (`float`, *optional*): Values at the last step, see `Schedule`; the hard labels weigh
            1 - kd_ratio at every step.
        kd_schedule (`str`): "linear" or "cosine".
        has_labels, has_teacher (`bool`): Whether the data has labels, and whether there is a teacher.

    Returns:
        `Objective`. For a regression the soft term matches the teacher's number, for embeddings and identities its vector;
        for identities the labels' term uses the teacher's class centers. Without a teacher, labels alone.

    Raises:
        ValueError: A setting that would have no effect, or nothing to learn from.
    """
    if not has_teacher and not has_labels:
        raise ValueError(
            f"There is nothing to learn from: no teacher and no 'labels' column (problem_type={shown(problem_type)}). "
            f"Give the trainer a teacher, or the data labels."
        )
    row = kind_objective(problem_type)
    blend = {"kd_ratio": (kd_ratio, kd_ratio_end), "temperature": (temperature, temperature_end)}
    _refuse_unused_settings(problem_type, blend, has_teacher)
    if not has_teacher:
        return Objective(label_terms(1.0, problem_type=problem_type, has_teacher=False))
    ratio = kd_weight((row.kd_ratio if has_labels else 1.0) if kd_ratio is None else kd_ratio)
    start = TEMPERATURE if temperature is None else temperature
    softening = start if temperature_end is None else Schedule(start, temperature_end, kd_schedule)
    hard: Scheduled = 1 - ratio
    soft: Scheduled = ratio
    ratios: tuple[float, ...] = (ratio,)
    if kd_ratio_end is not None:
        schedule = Schedule(ratio, kd_weight(kd_ratio_end), kd_schedule)
        hard, soft, ratios = schedule.rest(), schedule, (schedule.start, schedule.end)
    terms = []
    if min(ratios) < 1:
        terms += label_terms(hard, problem_type=problem_type, has_teacher=True)
    if max(ratios) > 0:
        terms.append(predictions(soft, temperature=softening, problem_type=problem_type))
    return Objective(terms)


def kd_weight(value: float) -> float:
    """`kd_ratio` as a float; a ValueError unless it lies in 0 to 1."""
    reason = "It is the share of the soft targets; the hard labels weigh 1 - kd_ratio."
    return float(FRACTION.check(value, "kd_ratio", reason))


def label_terms(weight: Scheduled, *, problem_type: str, has_teacher: bool) -> list[Term]:
    """The default terms on the labels: a single one, except for detectors (one on classes, one on boxes).

    Args:
        weight (`float` or `Schedule`): Weight of each term.
        problem_type (`str`): Name of the problem kind.
        has_teacher (`bool`): Whether the student is also compared with a teacher.
    """
    row = kind_objective(problem_type)
    if row.label_terms is not None:
        return row.label_terms(weight, has_teacher=has_teacher)
    return [HardLabels(weight, problem_type=problem_type)]


def predictions(
    weight: Scheduled,
    *,
    temperature: Scheduled = TEMPERATURE,
    problem_type: str = "single_label_classification",
) -> Term:
    """The default term on the teacher's predictions: soft targets, or a match of numbers, of embeddings or of boxes.

    Args:
        weight (`float` or `Schedule`): Weight in the objective.
        temperature (`float` or `Schedule`): Greater than 0. Without effect for a regression and for embeddings: neither
            can be softened.
        problem_type (`str`): Name of the problem kind.
    """
    row = kind_objective(problem_type)
    if row.teacher_term is not None:
        return row.teacher_term(weight, temperature=temperature)
    return SoftTargets(weight, temperature=temperature, problem_type=problem_type)


def _refuse_unused_settings(
    problem_type: str, blend: dict[str, tuple[float | None, float | None]], has_teacher: bool
) -> None:
    def listed(settings: Iterable[str]) -> str:
        values = [
            (f"{name}{end}", value) for name in settings for end, value in zip(("", "_end"), blend[name], strict=True)
        ]
        return ", ".join(f"{name}={value:g}" for name, value in values if value is not None)

    if not has_teacher and (unused := listed(blend)):
        raise ValueError(f"{unused} would have no effect: there is no teacher. Give one, or leave the setting out.")
    if not problem_kind(problem_type).has_temperature and (unused := listed(["temperature"])):
        raise ValueError(
            f"{unused} would have no effect for problem_type={shown(problem_type)}: a number or "
            f"a vector has no distribution to soften, so its soft term is the distance to the teacher's. Leave it out."
        )


def _same_class(student: Signals, teacher: Signals) -> torch.Tensor:
    return (student.best() == teacher.best()).float()


def _same_decisions(student: Signals, teacher: Signals) -> torch.Tensor:
    return ((student.logits > 0) == (teacher.logits > 0)).float().mean(-1)


def _embedding_matching(problem_type: str) -> Callable[..., Term]:
    return lambda weight, *, temperature: EmbeddingMatching(weight, problem_type=problem_type)


for _name in ("single_label_classification", NEXT_TOKEN):
    register_kind_objective(
        _name, KindObjective(hard_loss=cross_entropy, soft_loss=soft_target_kl, agreement=_same_class)
    )
register_kind_objective(
    "multi_label_classification",
    KindObjective(hard_loss=binary_cross_entropy, soft_loss=soft_target_bce, agreement=_same_decisions),
)
register_kind_objective(
    "regression",
    KindObjective(
        hard_loss=squared_error,
        teacher_term=lambda weight, *, temperature: LogitMatching(weight, problem_type="regression"),
    ),
)
# Default kd_ratio 1: the scores of the data's pairs may be on another scale than the cosines of the teacher's vectors.
register_kind_objective(
    "embedding",
    KindObjective(hard_loss=pair_cosine_error, kd_ratio=1.0, teacher_term=_embedding_matching("embedding")),
)
register_kind_objective(
    "identity",
    KindObjective(
        label_terms=lambda weight, *, has_teacher: [
            MarginLabels(weight, centers="teacher" if has_teacher else "trained")
        ],
        teacher_term=_embedding_matching("identity"),
    ),
)
register_kind_objective(
    CTC,
    KindObjective(
        label_terms=lambda weight, *, has_teacher: [CtcLabels(weight)],
        teacher_term=lambda weight, *, temperature: CtcSoftTargets(weight, temperature=temperature),
        no_label_per_prediction="labels of a clip are for all its frames together. Use CtcLabels ('ctc') for the labels, "
        "CtcSoftTargets ('ctc_frames') and CtcTranscript ('ctc_transcript') for the teacher.",
    ),
)
register_kind_objective(
    DETECTION,
    KindObjective(
        label_terms=lambda weight, *, has_teacher: [QueryLabels(weight), BoxLabels(weight)],
        teacher_term=lambda weight, *, temperature: QuerySoftTargets(weight, temperature=temperature),
        no_label_per_prediction="a detector predicts a set of queries, each a class and a box. Use QueryLabels and "
        "BoxLabels ('classes' and 'boxes') for the labels, QuerySoftTargets ('queries') for the teacher.",
    ),
)
