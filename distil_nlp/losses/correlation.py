"""Losses from the correlation of two predictions: only the relative order and spacing of their values counts."""

import torch
from torch.nn.functional import normalize

from .precision import check_same_shape, upcast

_ROUNDING = 1e-6


def class_correlation(
    student_logits: torch.Tensor, teacher_logits: torch.Tensor, *, temperature: float
) -> torch.Tensor:
    """1 minus the correlation of the two softened predictions over the classes, per item (DIST's inter-class part).

    Args:
        student_logits (`torch.Tensor`): Shape (batch, classes) or (batch, sequence, classes).
        teacher_logits (`torch.Tensor`): Same shape. No gradient flows into it.
        temperature (`float`): Dimensionless, greater than 0.

    Returns:
        `torch.Tensor` of shape (batch,) or (batch, sequence), 0 to 2 times temperature**2, not reduced.

    Raises:
        ValueError: The shapes differ, or there are fewer than 3 classes: two always correlate by 1 or -1.

    Reference: Huang et al. 2022, "Knowledge Distillation from A Stronger Teacher", equations 5 to 7.
    """
    check_same_shape(student_logits, teacher_logits, "logits")
    if student_logits.shape[-1] < 3:
        raise ValueError(
            f"A correlation needs 3 classes or more; got logits of shape {tuple(student_logits.shape)}. Over "
            f"{student_logits.shape[-1]} classes it is always 1 or -1 and has no gradient. Use soft_target_kl."
        )
    student, teacher = _softened(student_logits, teacher_logits, temperature)
    return (1 - correlation(student, teacher, dim=-1)) * temperature**2


def batch_correlation(
    student_logits: torch.Tensor, teacher_logits: torch.Tensor, *, temperature: float
) -> torch.Tensor:
    """1 minus the correlation of the two softened predictions over the batch (DIST's intra-class part).

    Averaged over the classes. It compares which examples have a higher probability of a class than others.

    Args:
        student_logits (`torch.Tensor`): Shape (items, classes).
        teacher_logits (`torch.Tensor`): Same shape. No gradient flows into it.
        temperature (`float`): Dimensionless, greater than 0.

    Returns:
        `torch.Tensor` of shape (1,), 0 to 2 times temperature**2; 0 for fewer than two items.

    Raises:
        ValueError: The shapes differ.

    Reference: Huang et al. 2022, "Knowledge Distillation from A Stronger Teacher", equation 8.
    """
    check_same_shape(student_logits, teacher_logits, "logits")
    if len(student_logits) < 2:
        return student_logits[:0].sum().reshape(1)  # 0, in the graph
    student, teacher = _softened(student_logits, teacher_logits, temperature)
    return (1 - correlation(student, teacher, dim=0)).mean().reshape(1) * temperature**2


def _softened(
    student_logits: torch.Tensor, teacher_logits: torch.Tensor, temperature: float
) -> tuple[torch.Tensor, torch.Tensor]:
    student, teacher = upcast(student_logits), upcast(teacher_logits.detach())
    return (student / temperature).softmax(-1), (teacher / temperature).softmax(-1)


def correlation(student: torch.Tensor, teacher: torch.Tensor, dim: int) -> torch.Tensor:
    """Pearson correlation along a dimension; 1 where either tensor is constant.

    The correlation of a constant is undefined; it counts as matched, because no gradient step could improve it.
    """
    student_direction, student_constant = _direction(student, dim)
    teacher_direction, teacher_constant = _direction(teacher, dim)
    return (student_direction * teacher_direction).sum(dim=dim).masked_fill(student_constant | teacher_constant, 1)


def _direction(values: torch.Tensor, dim: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Deviations from the mean, scaled to length 1, and a mask of the rows that are constant up to rounding.

    Constant are also rows so near 0 that their deviations lose digits and the inverse of the largest one would be infinite.
    """
    deviations = values - values.mean(dim=dim, keepdim=True)
    largest = deviations.detach().abs().amax(dim=dim, keepdim=True)
    limits = torch.finfo(values.dtype)
    rounding = _ROUNDING * values.detach().abs().amax(dim=dim, keepdim=True)
    constant = largest <= rounding.clamp(min=limits.tiny / limits.eps)
    # Scaled before squaring: the squares of probabilities near 1e-20 would all be 0.
    return normalize(deviations / largest.masked_fill(constant, 1), dim=dim), constant.squeeze(dim)
