"""Soft-target losses that separate the labeled class from the others. A missing label (-100) gives 0 and no gradient."""

import torch
from torch.nn.functional import log_softmax

from .divergence import divergence, expected, logsumexp_without, without
from .precision import check_same_shape, upcast


def decoupled_kl(
    student_logits: torch.Tensor,
    teacher_logits: torch.Tensor,
    labels: torch.Tensor,
    *,
    temperature: float,
    target_weight: float = 1.0,
    other_weight: float = 8.0,
) -> torch.Tensor:
    """KL divergence of soft targets, split into a target-class part and a non-target part, per item.

    The first part compares the probability of the labeled class, the second the distribution over the other classes. In
    plain soft targets the second part is weighted by 1 minus the teacher's confidence in the labeled class.

    Args:
        student_logits (`torch.Tensor`): Shape (batch, classes) or (batch, sequence, classes).
        teacher_logits (`torch.Tensor`): Same shape. No gradient flows into it.
        labels (`torch.LongTensor`): Shape (batch,) or (batch, sequence); -100 where missing.
        temperature (`float`): Dimensionless, greater than 0.
        target_weight, other_weight (`float`): Weights of the two parts, alpha and beta of the paper.

    Returns:
        `torch.Tensor` of the labels' shape, in nats, not reduced. Multiplied by temperature**2.

    Raises:
        ValueError: The shapes differ, or there are fewer than 3 classes: at most one other class exists.

    Reference: Zhao et al. 2022, "Decoupled Knowledge Distillation", equation 7.
    """
    _check_classes(student_logits, teacher_logits)
    missing, target = _target(labels, student_logits)
    student, teacher = (upcast(logits) / temperature for logits in (student_logits, teacher_logits.detach()))
    target_part = divergence(_target_and_rest(student, target), _target_and_rest(teacher, target))
    other_part = divergence(_others(student, target), _others(teacher, target))
    return (target_weight * target_part + other_weight * other_part).masked_fill(missing, 0) * temperature**2


def normalized_soft_targets(
    student_logits: torch.Tensor,
    teacher_logits: torch.Tensor,
    labels: torch.Tensor,
    *,
    temperature: float,
    other_weight: float = 1.5,
) -> torch.Tensor:
    """Cross-entropy with the teacher on the labeled class, and on the other classes normalized to a sum of 1, per item.

    Args:
        student_logits (`torch.Tensor`): Shape (batch, classes) or (batch, sequence, classes).
        teacher_logits (`torch.Tensor`): Same shape. No gradient flows into it.
        labels (`torch.LongTensor`): Shape (batch,) or (batch, sequence); -100 where missing.
        temperature (`float`): Dimensionless, greater than 0; softens the other classes only.
        other_weight (`float`): Weight of the other classes, gamma of the paper.

    Returns:
        `torch.Tensor` of the labels' shape, in nats, not reduced. As a cross-entropy, its minimum is not 0.

    Raises:
        ValueError: The shapes differ, or there are fewer than 3 classes.

    Reference: Yang et al. 2023, "From Knowledge Distillation to Self-Knowledge Distillation: A Unified Approach with
    Normalized Loss and Customized Soft Labels", equation 6.
    """
    _check_classes(student_logits, teacher_logits)
    missing, target = _target(labels, student_logits)
    student, teacher = upcast(student_logits), upcast(teacher_logits.detach())
    student_target, teacher_target = (
        log_softmax(logits, -1).gather(-1, target).squeeze(-1) for logits in (student, teacher)
    )
    student_others, teacher_others = _others(student / temperature, target), _others(teacher / temperature, target)
    other_part = -expected(teacher_others.exp(), student_others).sum(dim=-1) * temperature**2
    target_part = -expected(teacher_target.exp(), student_target)
    return (target_part + other_weight * other_part).masked_fill(missing, 0)


def _check_classes(student_logits: torch.Tensor, teacher_logits: torch.Tensor) -> None:
    check_same_shape(student_logits, teacher_logits, "logits")
    if student_logits.shape[-1] < 3:
        raise ValueError(
            f"This loss needs 3 classes or more; got {student_logits.shape[-1]} (logits of shape "
            f"{tuple(student_logits.shape)}). Without the labeled class, at most one is left. Use soft_target_kl."
        )


def _target(labels: torch.Tensor, logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A mask of the missing labels, and the labels as indices of the last dimension (0 where missing)."""
    if labels.shape != logits.shape[:-1] or labels.is_floating_point():
        raise ValueError(
            f"Labels must be a whole number per item of logits {tuple(logits.shape)}; got {labels.dtype} of shape "
            f"{tuple(labels.shape)}. Soft labels and several labels have no single labeled class; use soft_target_kl."
        )
    missing = labels < 0
    return missing, labels.masked_fill(missing, 0).unsqueeze(-1)


def _target_and_rest(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Log-probabilities of the target and of all other classes together, (..., 2), stable where either is nearly 1."""
    total = logits.logsumexp(dim=-1)
    others = logsumexp_without(logits, target)
    return torch.stack([logits.gather(-1, target).squeeze(-1) - total, others - total], dim=-1)


def _others(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Log-probabilities among the non-target classes; the target has probability 0 and no gradient."""
    return without(log_softmax(without(logits, target), dim=-1), target)
