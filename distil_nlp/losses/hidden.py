"""Losses between the hidden states of a student and a teacher, and the mean of hidden states over tokens."""

import torch
from torch.nn.functional import cosine_similarity, normalize

from .precision import check_same_shape, upcast


def hidden_mse(student_hidden: torch.Tensor, teacher_hidden: torch.Tensor) -> torch.Tensor:
    """Squared difference of two hidden states, averaged over their width, per position.

    Args:
        student_hidden (`torch.Tensor`): Shape (batch, sequence, width), projected to the teacher's width.
        teacher_hidden (`torch.Tensor`): Same shape. No gradient flows into it.

    Returns:
        `torch.Tensor` of shape (batch, sequence), not reduced.

    Raises:
        ValueError: The shapes differ.

    Reference: Romero et al. 2015, "FitNets: Hints for Thin Deep Nets", equation 3.
    """
    check_same_shape(student_hidden, teacher_hidden, "hidden states")
    return (upcast(student_hidden) - upcast(teacher_hidden.detach())).square().mean(dim=-1)


def hidden_cosine(student_hidden: torch.Tensor, teacher_hidden: torch.Tensor) -> torch.Tensor:
    """1 minus the cosine similarity of two hidden states, per position: independent of their length.

    Args:
        student_hidden (`torch.Tensor`): Shape (batch, sequence, width), projected to the teacher's width.
        teacher_hidden (`torch.Tensor`): Same shape. No gradient flows into it.

    Returns:
        `torch.Tensor` of shape (batch, sequence), 0 to 2, not reduced.

    Raises:
        ValueError: The shapes differ.

    Reference: Sanh et al. 2019, "DistilBERT, a distilled version of BERT", section 2.
    """
    check_same_shape(student_hidden, teacher_hidden, "hidden states")
    return 1 - cosine_similarity(upcast(student_hidden), upcast(teacher_hidden.detach()), dim=-1)


def normalized_mse(student_hidden: torch.Tensor, teacher_hidden: torch.Tensor) -> torch.Tensor:
    """Squared distance of two hidden states scaled to length 1, summed over their width, per item.

    Args:
        student_hidden (`torch.Tensor`): Shape (..., width), projected to the teacher's width.
        teacher_hidden (`torch.Tensor`): Same shape. No gradient flows into it.

    Returns:
        `torch.Tensor` of shape (...), 0 to 4, not reduced.

    Raises:
        ValueError: The shapes differ.

    Reference: Sun et al. 2019, "Patient Knowledge Distillation for BERT Model Compression", equation 7.
    """
    check_same_shape(student_hidden, teacher_hidden, "hidden states")
    student, teacher = normalize(upcast(student_hidden), dim=-1), normalize(upcast(teacher_hidden.detach()), dim=-1)
    return (student - teacher).square().sum(dim=-1)


def mean_of_tokens(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean of the hidden states of each text's tokens, without padding.

    Args:
        hidden (`torch.Tensor`): Shape (batch, sequence, width).
        mask (`torch.Tensor`): Shape (batch, sequence), 1 for a token and 0 for padding.

    Returns:
        `torch.Tensor` of shape (batch, width), float32 or wider; 0 for a text without tokens.
    """
    # masked_fill, not a product with 0: padding may contain NaN or infinity.
    total = upcast(hidden).masked_fill(mask.unsqueeze(-1) == 0, 0).sum(dim=1)
    return total / mask.sum(dim=1, keepdim=True).clamp(min=1)
