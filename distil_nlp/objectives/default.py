"""The objective nobody had to write."""

from .base import Objective, kd_weight
from .embeddings import EmbeddingMatching
from .labels import HardLabels
from .problems import problem
from .soft import LogitMatching, SoftTargets

TEMPERATURE = 2.0
# What the teacher predicts where it is no distribution.
_NOT_SOFTENED = {"regression": LogitMatching, "embedding": EmbeddingMatching}


def default_objective(problem_type, *, kd_ratio=None, temperature=None, has_labels=True, has_teacher=True):
    """Hard labels and soft targets, blended by `kd_ratio`.

    Args:
        problem_type (`str`): transformers' word for the problem.
        kd_ratio (`float`, *optional*): Weight of the soft targets, 0 to 1; the hard labels weigh 1 - kd_ratio.
            Without a word: 0.5, and 1 for embeddings and where the data has no labels.
        temperature (`float`, *optional*): Without a word: 2.
        has_labels, has_teacher (`bool`): What there is to learn from.

    Returns:
        `Objective`. For a regression the soft term matches the teacher's number, for embeddings its vector. Without a
        teacher, labels alone.

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
    _refuse_idle_settings(problem_type, kd_ratio, temperature, has_teacher, softened)
    if not has_teacher:
        return Objective([HardLabels(1.0, problem_type=problem_type)])
    ratio = kd_weight((kind.kd_ratio if has_labels else 1.0) if kd_ratio is None else kd_ratio)
    terms = []
    if ratio < 1:
        terms.append(HardLabels(1 - ratio, problem_type=problem_type))
    if ratio > 0:
        heat = TEMPERATURE if temperature is None else temperature
        terms.append(predictions(ratio, temperature=heat, problem_type=problem_type))
    return Objective(terms)


def predictions(weight, *, temperature=TEMPERATURE, problem_type="single_label_classification"):
    """The term on what the teacher predicts: soft targets, or where there are none its number or its vector.

    Args:
        weight (`float`): Weight in the objective.
        temperature (`float`): Greater than 0. Without effect for a regression and for embeddings: neither can be softened.
        problem_type (`str`): transformers' word for the problem.
    """
    problem(problem_type)  # has the message for one that there is not
    if problem_type in _NOT_SOFTENED:
        return _NOT_SOFTENED[problem_type](weight, problem_type=problem_type)
    return SoftTargets(weight, temperature=temperature, problem_type=problem_type)


def _refuse_idle_settings(problem_type, kd_ratio, temperature, has_teacher, softened):
    given = {"kd_ratio": kd_ratio, "temperature": temperature}
    named = ", ".join(f"{name}={value:g}" for name, value in given.items() if value is not None)
    if named and not has_teacher:
        raise ValueError(f"{named} would have no effect: there is no teacher. Give one, or leave the setting out.")
    if temperature is not None and not softened:
        raise ValueError(
            f"temperature={temperature:g} would have no effect for problem_type={problem_type!r}: a number or "
            f"a vector has no distribution to soften, so its soft term is the distance to the teacher's. Leave it out."
        )
