"""Losses between hidden states, position by position or sequence by sequence."""

from torch.nn.functional import cosine_similarity, normalize

from .precision import check_same_shape, upcast


def hidden_mse(student_hidden, teacher_hidden):
    """Squared distance of two hidden states, averaged over their width, per position.

    Args:
        student_hidden (`torch.Tensor`): Shape (batch, sequence, width), brought to the teacher's width.
        teacher_hidden (`torch.Tensor`): Same shape. No gradient flows into it.

    Returns:
        `torch.Tensor` of shape (batch, sequence), not reduced.

    Raises:
        ValueError: The shapes differ.

    Reference: Romero et al. 2015, "FitNets: Hints for Thin Deep Nets", equation 3.
    """
    check_same_shape(student_hidden, teacher_hidden, "hidden states")
    return (upcast(student_hidden) - upcast(teacher_hidden.detach())).square().mean(dim=-1)


def hidden_cosine(student_hidden, teacher_hidden):
    """1 minus the cosine of two hidden states, per position: their direction counts, their length does not.

    Args:
        student_hidden (`torch.Tensor`): Shape (batch, sequence, width), brought to the teacher's width.
        teacher_hidden (`torch.Tensor`): Same shape. No gradient flows into it.

    Returns:
        `torch.Tensor` of shape (batch, sequence), 0 to 2, not reduced.

    Raises:
        ValueError: The shapes differ.

    Reference: Sanh et al. 2019, "DistilBERT, a distilled version of BERT", section 2.
    """
    check_same_shape(student_hidden, teacher_hidden, "hidden states")
    return 1 - cosine_similarity(upcast(student_hidden), upcast(teacher_hidden.detach()), dim=-1)


def normalized_mse(student_hidden, teacher_hidden):
    """Squared distance of two hidden states brought to length 1, summed over their width, per item.

    Args:
        student_hidden (`torch.Tensor`): Shape (..., width), brought to the teacher's width.
        teacher_hidden (`torch.Tensor`): Same shape. No gradient flows into it.

    Returns:
        `torch.Tensor` of shape (...), 0 to 4, not reduced.

    Raises:
        ValueError: The shapes differ.

    Reference: Sun et al. 2019, "Patient Knowledge Distillation for BERT Model Compression", equation 7.
    """
    check_same_shape(student_hidden, teacher_hidden, "hidden states")
    ours, theirs = normalize(upcast(student_hidden), dim=-1), normalize(upcast(teacher_hidden.detach()), dim=-1)
    return (ours - theirs).square().sum(dim=-1)
