"""Soft targets that treat the labeled class by itself. A missing label (-100) gives 0 and no gradient."""

from torch.nn.functional import log_softmax

from .precision import check_same_shape, upcast

_LEAST = -1e30  # stands for a class left out; its probability is exactly 0 and its gradient is, too


def decoupled_kl(student_logits, teacher_logits, labels, *, temperature, target_weight=1.0, other_weight=8.0):
    """Divergence of soft targets cut in two and weighed anew, per item.

    One part says how sure the teacher is of the labeled class, the other how it ranks the remaining ones. In plain
    soft targets the second weighs 1 minus the teacher's confidence: least where the teacher knows best.

    Args:
        student_logits (`torch.Tensor`): Shape (batch, classes) or (batch, sequence, classes).
        teacher_logits (`torch.Tensor`): Same shape. No gradient flows into it.
        labels (`torch.LongTensor`): Shape (batch,) or (batch, sequence); -100 where there is none.
        temperature (`float`): Dimensionless, greater than 0.
        target_weight, other_weight (`float`): Weights of the two parts, alpha and beta of the paper.

    Returns:
        `torch.Tensor` of the labels' shape, in nats, not reduced. Multiplied by temperature**2.

    Raises:
        ValueError: The shapes differ, or there are fewer than 3 classes: nothing remains to be ranked.

    Reference: Zhao et al. 2022, "Decoupled Knowledge Distillation", equation 7.
    """
    _check_classes(student_logits, teacher_logits)
    missing, target = _target(labels, student_logits)
    student, teacher = (upcast(logits) / temperature for logits in (student_logits, teacher_logits.detach()))
    ours, theirs = _yes_or_no(student, target), _yes_or_no(teacher, target)
    sure = sum(his.exp() * (his - mine) for mine, his in zip(ours, theirs, strict=True))
    mine, his = _others(student, target), _others(teacher, target)
    ranked = (his.exp() * (his - mine)).sum(dim=-1)
    return (target_weight * sure + other_weight * ranked).masked_fill(missing, 0) * temperature**2


def normalized_soft_targets(student_logits, teacher_logits, labels, *, temperature, other_weight=1.5):
    """Cross-entropy with the teacher on the labeled class and, brought to a sum of 1, on the others, per item.

    Args:
        student_logits (`torch.Tensor`): Shape (batch, classes) or (batch, sequence, classes).
        teacher_logits (`torch.Tensor`): Same shape. No gradient flows into it.
        labels (`torch.LongTensor`): Shape (batch,) or (batch, sequence); -100 where there is none.
        temperature (`float`): Dimensionless, greater than 0; softens the other classes only.
        other_weight (`float`): Weight of the other classes, gamma of the paper.

    Returns:
        `torch.Tensor` of the labels' shape, in nats, not reduced. It is a cross-entropy: its least value is not 0.

    Raises:
        ValueError: The shapes differ, or there are fewer than 3 classes.

    Reference: Yang et al. 2023, "From Knowledge Distillation to Self-Knowledge Distillation: A Unified Approach with
    Normalized Loss and Customized Soft Labels", equation 6.
    """
    _check_classes(student_logits, teacher_logits)
    missing, target = _target(labels, student_logits)
    student, teacher = upcast(student_logits), upcast(teacher_logits.detach())
    ours, theirs = (log_softmax(logits, -1).gather(-1, target).squeeze(-1) for logits in (student, teacher))
    mine, his = _others(student / temperature, target), _others(teacher / temperature, target)
    others = -(his.exp() * mine).sum(dim=-1) * temperature**2
    return (-theirs.exp() * ours + other_weight * others).masked_fill(missing, 0)


def _check_classes(student_logits, teacher_logits):
    check_same_shape(student_logits, teacher_logits, "logits")
    if student_logits.shape[-1] < 3:
        raise ValueError(
            f"Of {student_logits.shape[-1]} classes (logits of shape {tuple(student_logits.shape)}) one is the label, and "
            f"of what remains nothing can be ranked. This loss needs 3 classes or more; use soft_target_kl."
        )


def _target(labels, logits):
    """Where the label is missing, and the label as an index of the last dimension (0 where missing)."""
    if labels.shape != logits.shape[:-1] or labels.is_floating_point():
        raise ValueError(
            f"The labeled class must be a whole number per item of logits {tuple(logits.shape)}; got {labels.dtype} of "
            f"shape {tuple(labels.shape)}. Soft or several labels have no single labeled class; use soft_target_kl."
        )
    missing = labels < 0
    return missing, labels.masked_fill(missing, 0).unsqueeze(-1)


def _yes_or_no(logits, target):
    """Log-probabilities of the target and of everything else, stable where one of them is nearly 1."""
    everything = logits.logsumexp(dim=-1)
    others = logits.scatter(-1, target, _LEAST).logsumexp(dim=-1)
    return logits.gather(-1, target).squeeze(-1) - everything, others - everything


def _others(logits, target):
    """Log-probabilities among the classes that are not the target; the target's own entry is 0 probability and 0."""
    left_out = logits.scatter(-1, target, _LEAST)
    kept = log_softmax(left_out, dim=-1)
    return kept.scatter(-1, target, _LEAST)
