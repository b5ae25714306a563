"""Losses between attention maps, and between relations of positions, per query position.

Padded keys are excluded here. Padded queries are masked by the caller.
"""

import torch
from torch.nn.functional import log_softmax

from .divergence import divergence
from .precision import check_same_shape, product, upcast


def dot_products(queries: torch.Tensor, keys: torch.Tensor, num_heads: int) -> torch.Tensor:
    """Scaled dot products of all pairs of positions, for each head.

    Args:
        queries, keys (`torch.Tensor`): Shape (batch, sequence, width). The same tensor twice gives a self-relation.
        num_heads (`int`): Number of heads the width is split into. It may differ from the model's own number: relations
            of two models of any widths can be compared when both are split into the same number of heads.

    Returns:
        `torch.Tensor` of shape (batch, heads, sequence, sequence), divided by the square root of the head width.

    Raises:
        ValueError: The width is not a multiple of the number of heads.

    References: Vaswani et al. 2017, "Attention Is All You Need", equation 1; Wang et al. 2021, "MiniLMv2",
    section 3.1, for a number of heads other than the model's.
    """
    width = queries.shape[-1]
    if num_heads < 1 or width % num_heads:
        raise ValueError(
            f"{num_heads} heads do not divide a width of {width} (shape {tuple(queries.shape)}), so queries and keys "
            f"cannot be split into heads. Use a number of heads that divides the widths of both models."
        )
    head_queries, head_keys = (
        tensor.unflatten(-1, (num_heads, width // num_heads)).transpose(1, 2)
        for tensor in (upcast(queries), upcast(keys))
    )
    return product(head_queries, head_keys.transpose(-1, -2)) / (width // num_heads) ** 0.5


def attention_mse(student_scores: torch.Tensor, teacher_scores: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Squared difference of attention scores before the softmax, averaged over heads and keys, per query.

    Args:
        student_scores (`torch.Tensor`): Shape (batch, heads, queries, keys).
        teacher_scores (`torch.Tensor`): Same shape. No gradient flows into it.
        mask (`torch.BoolTensor`): Shape (batch, keys); False for padded keys.

    Returns:
        `torch.Tensor` of shape (batch, queries), not reduced; 0 where all keys are padding.

    Raises:
        ValueError: The shapes differ.

    Reference: Jiao et al. 2020, "TinyBERT: Distilling BERT for Natural Language Understanding", equation 7.
    """
    check_same_shape(student_scores, teacher_scores, "attention scores")
    keys = mask[:, None, None, :]
    # Masked before the square: 0 times an infinite difference is NaN, in the gradient.
    differences = (upcast(student_scores) - upcast(teacher_scores.detach())).masked_fill(~keys, 0)
    return differences.square().mean(dim=1).sum(dim=-1) / mask.sum(dim=-1, keepdim=True).clamp(min=1)


def attention_kl(student_scores: torch.Tensor, teacher_scores: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """KL divergence of the student's attention from the teacher's, averaged over heads, per query.

    Scores of queries and keys compare attention maps; scores of a tensor with itself compare relations.

    Args:
        student_scores (`torch.Tensor`): Shape (batch, heads, queries, keys), before the softmax.
        teacher_scores (`torch.Tensor`): Same shape. No gradient flows into it.
        mask (`torch.BoolTensor`): Shape (batch, keys); False for padded keys.

    Returns:
        `torch.Tensor` of shape (batch, queries), in nats, not reduced; 0 where all keys are padding.

    Raises:
        ValueError: The shapes differ.

    References: Wang et al. 2020, "MiniLM: Deep Self-Attention Distillation", equations 6 and 8; Wang et al. 2021,
    "MiniLMv2", equation 5.
    """
    check_same_shape(student_scores, teacher_scores, "attention scores")
    padding = ~mask[:, None, None, :]
    student, teacher = _log_attention(student_scores, padding), _log_attention(teacher_scores.detach(), padding)
    return divergence(student, teacher).mean(dim=1)  # 0 for padding: its probability is 0, or equal in both


def _log_attention(scores: torch.Tensor, padding: torch.Tensor) -> torch.Tensor:
    scores = upcast(scores)
    # The smallest finite number instead of -inf: a row of padding only would be NaN, also in the gradient.
    return log_softmax(scores.masked_fill(padding, torch.finfo(scores.dtype).min), dim=-1)
