"""The objective nobody had to write."""

from ..signals.problem_kinds import CTC, DETECTION
from .base import Objective, kd_weight
from .boxes import BoxLabels, QueryLabels, QuerySoftTargets
from .ctc import CtcLabels, CtcSoftTargets
from .embeddings import EmbeddingMatching
from .hard_labels import HardLabels
from .margins import MarginLabels
from .problems import problem
from .schedules import Schedule
from .soft import LogitMatching, SoftTargets

TEMPERATURE = 2.0
# What the teacher predicts where it is no distribution.
_NOT_SOFTENED = {"regression": LogitMatching, "embedding": EmbeddingMatching, "identity": EmbeddingMatching}


def default_objective(
    problem_type,
    *,
    kd_ratio=None,
    temperature=None,
    kd_ratio_end=None,
    temperature_end=None,
    kd_schedule="constant",
    has_labels=True,
    has_teacher=True,
):
    """Hard labels and soft targets, blended by `kd_ratio`.

    Args:
        problem_type (`str`): transformers' word for the problem.
        kd_ratio (`float`, *optional*): Weight of the soft targets, 0 to 1; the hard labels weigh 1 - kd_ratio.
            Without a word: 0.5, and 1 for embeddings and where the data has no labels.
        temperature (`float`, *optional*): Without a word: 2.
        kd_ratio_end, temperature_end (`float`, *optional*): Where they go, see `Schedule`; the hard labels weigh
            1 - kd_ratio at every step.
        kd_schedule (`str`): How: "linear" or "cosine".
        has_labels, has_teacher (`bool`): What there is to learn from.

    Returns:
        `Objective`. For a regression the soft term matches the teacher's number, for embeddings its vector; for identities,
        too, where the labels' term looks at the teacher's class centers. Without a teacher, labels alone.

    Raises:
        ValueError: A setting that would have no effect, or nothing to learn from.
    """
    if not has_teacher and not has_labels:
        raise ValueError(
            f"There is nothing to learn from: no teacher and no 'labels' column (problem_type={problem_type!r}). "
            f"Give the trainer a teacher, or the data labels."
        )
    kind = problem(problem_type)
    softened = kind.soft_loss is not None
    blend = {"kd_ratio": (kd_ratio, kd_ratio_end), "temperature": (temperature, temperature_end)}
    _refuse_idle_settings(problem_type, blend, has_teacher, softened)
    if not has_teacher:
        return Objective(labeled(1.0, problem_type=problem_type))
    ratio = kd_weight((kind.kd_ratio if has_labels else 1.0) if kd_ratio is None else kd_ratio)
    heat = TEMPERATURE if temperature is None else temperature
    if temperature_end is not None:
        heat = Schedule(heat, temperature_end, kd_schedule)
    if kd_ratio_end is not None:
        scheduled_values = Schedule(ratio, kd_weight(kd_ratio_end), kd_schedule)
        hard, soft, ratios = scheduled_values.rest(), scheduled_values, (scheduled_values.start, scheduled_values.end)
    else:
        hard, soft, ratios = 1 - ratio, ratio, (ratio,)
    terms = []
    if min(ratios) < 1:
        terms += labeled(hard, problem_type=problem_type, centers="teacher")
    if max(ratios) > 0:
        terms.append(predictions(soft, temperature=heat, problem_type=problem_type))
    return Objective(terms)


def labeled(weight, *, problem_type="single_label_classification", centers="trained"):
    """The terms on the labels: one, and for a detector one on classes and one on boxes.

    Args:
        weight (`float` or `Schedule`): Of each.
        problem_type (`str`): transformers' word for the problem.
        centers (`str`): Of identities, see `MarginLabels`.
    """
    if problem_type == CTC:
        return [CtcLabels(weight)]
    if problem_type == DETECTION:
        return [QueryLabels(weight), BoxLabels(weight)]
    if problem_type == "identity":
        return [MarginLabels(weight, centers=centers)]
    return [HardLabels(weight, problem_type=problem_type)]


def predictions(weight, *, temperature=TEMPERATURE, problem_type="single_label_classification"):
    """The term on what the teacher predicts: soft targets, or where there are none its number, its vector, its boxes.

    Args:
        weight (`float` or `Schedule`): Weight in the objective.
        temperature (`float` or `Schedule`): Greater than 0. Without effect for a regression and for embeddings: neither
            can be softened.
        problem_type (`str`): transformers' word for the problem.
    """
    problem(problem_type)  # has the message for one that there is not
    if problem_type == CTC:
        return CtcSoftTargets(weight, temperature=temperature)
    if problem_type == DETECTION:
        return QuerySoftTargets(weight, temperature=temperature)
    if problem_type in _NOT_SOFTENED:
        return _NOT_SOFTENED[problem_type](weight, problem_type=problem_type)
    return SoftTargets(weight, temperature=temperature, problem_type=problem_type)


def _refuse_idle_settings(problem_type, blend, has_teacher, softened):
    def named(settings):
        given = [
            (f"{name}{end}", value) for name in settings for end, value in zip(("", "_end"), blend[name], strict=True)
        ]
        return ", ".join(f"{name}={value:g}" for name, value in given if value is not None)

    if not has_teacher and (idle := named(blend)):
        raise ValueError(f"{idle} would have no effect: there is no teacher. Give one, or leave the setting out.")
    if not softened and (idle := named(["temperature"])):
        raise ValueError(
            f"{idle} would have no effect for problem_type={problem_type!r}: a number or "
            f"a vector has no distribution to soften, so its soft term is the distance to the teacher's. Leave it out."
        )
