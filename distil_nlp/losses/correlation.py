"""Losses that ask for the same ranking, not the same numbers: correlations of the two predictions."""

from torch import softmax
from torch.nn.functional import normalize

from .precision import check_same_shape, upcast

_ROUNDING = 1e-6


def class_correlation(student_logits, teacher_logits, *, temperature):
    """1 minus the correlation of the two softened predictions over the classes, per item (DIST's inter-class part).

    Args:
        student_logits (`torch.Tensor`): Shape (batch, classes) or (batch, sequence, classes).
        teacher_logits (`torch.Tensor`): Same shape. No gradient flows into it.
        temperature (`float`): Dimensionless, greater than 0.

    Returns:
        `torch.Tensor` of shape (batch,) or (batch, sequence), 0 to 2 times temperature**2, not reduced.

    Raises:
        ValueError: The shapes differ, or there are two classes: any two predictions then correlate by 1 or -1.

    Reference: Huang et al. 2022, "Knowledge Distillation from A Stronger Teacher", equations 5 to 7.
    """
    check_same_shape(student_logits, teacher_logits, "logits")
    if student_logits.shape[-1] < 3:
        raise ValueError(
            f"A correlation over {student_logits.shape[-1]} classes is always 1 or -1 (logits of shape "
            f"{tuple(student_logits.shape)}) and has no gradient. It needs 3 classes or more; use soft_target_kl."
        )
    student, teacher = _softened(student_logits, teacher_logits, temperature)
    return (1 - correlation(student, teacher, dim=-1)) * temperature**2


def batch_correlation(student_logits, teacher_logits, *, temperature):
    """1 minus the correlation of the two softened predictions over the batch, averaged over the classes (DIST's
    intra-class part): which examples look more like a class than others.

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
        return student_logits.sum().reshape(1) * 0
    student, teacher = _softened(student_logits, teacher_logits, temperature)
    return (1 - correlation(student, teacher, dim=0)).mean().reshape(1) * temperature**2


def _softened(student_logits, teacher_logits, temperature):
    return (softmax(upcast(logits) / temperature, -1) for logits in (student_logits, teacher_logits.detach()))


def correlation(ours, theirs, dim):
    """Pearson's correlation along a dimension; 1 where either does not vary."""
    (ours, constant), (theirs, also_constant) = _direction(ours, dim), _direction(theirs, dim)
    # What does not vary correlates with nothing; it counts as matched, since no step could improve it.
    return (ours * theirs).sum(dim=dim).masked_fill(constant | also_constant, 1)


def _direction(values, dim):
    """Deviations from the mean, brought to length 1, and where there are none beyond rounding."""
    deviations = values - values.mean(dim=dim, keepdim=True)
    largest = deviations.detach().abs().amax(dim=dim, keepdim=True)
    constant = largest <= _ROUNDING * values.detach().abs().amax(dim=dim, keepdim=True)
    # Scaled before squares are taken: those of a probability of 1e-20 would all be 0.
    return normalize(deviations / largest.masked_fill(constant, 1), dim=dim), constant.squeeze(dim)
