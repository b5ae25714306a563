"""Losses between layers."""

from .precision import check_same_shape, widened


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
    return (widened(student_hidden) - widened(teacher_hidden.detach())).square().mean(dim=-1)
