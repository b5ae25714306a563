"""Losses between what positions say of each other: attention maps and relations, per position.

Padding is left out on both sides: a padded position is no key here, and as a query it is the caller's to mask.
"""

import torch
from torch.nn.functional import log_softmax

from .precision import check_same_shape, product, upcast


def dot_products(queries, keys, num_heads):
    """Scaled dot products of every position with every other, head by head.

    Args:
        queries, keys (`torch.Tensor`): Shape (batch, sequence, width). The same tensor twice gives a self-relation.
        num_heads (`int`): Heads the width is cut into. They need not be the model's own: relations of two models of
            any widths can be compared when both are cut into the same number.

    Returns:
        `torch.Tensor` of shape (batch, heads, sequence, sequence), divided by the square root of a head's width.

    Raises:
        ValueError: The heads do not divide the width.

    References: Vaswani et al. 2017, "Attention Is All You Need", equation 1; Wang et al. 2021, "MiniLMv2",
    section 3.1, for heads that are not the model's.
    """
    width = queries.shape[-1]
    if num_heads < 1 or width % num_heads:
        raise ValueError(
            f"{num_heads} heads do not divide a width of {width} (shape {tuple(queries.shape)}), so queries and keys "
            f"cannot be cut into heads. Use a number of heads that divides the widths of both models."
        )
    ours, theirs = (
        tensor.unflatten(-1, (num_heads, width // num_heads)).transpose(1, 2)
        for tensor in (upcast(queries), upcast(keys))
    )
    return product(ours, theirs.transpose(-1, -2)) / (width // num_heads) ** 0.5


def attention_mse(student_scores, teacher_scores, mask):
    """Squared distance of attention scores before the softmax, averaged over heads and keys, per query.

    Args:
        student_scores (`torch.Tensor`): Shape (batch, heads, queries, keys).
        teacher_scores (`torch.Tensor`): Same shape. No gradient flows into it.
        mask (`torch.BoolTensor`): Shape (batch, keys); True where the key is no padding.

    Returns:
        `torch.Tensor` of shape (batch, queries), not reduced; 0 where there is no key.

    Raises:
        ValueError: The shapes differ.

    Reference: Jiao et al. 2020, "TinyBERT: Distilling BERT for Natural Language Understanding", equation 7.
    """
    check_same_shape(student_scores, teacher_scores, "attention scores")
    keys = mask[:, None, None, :]
    squares = (upcast(student_scores) - upcast(teacher_scores.detach())).square().masked_fill(~keys, 0)
    return squares.mean(dim=1).sum(dim=-1) / mask.sum(dim=-1, keepdim=True).clamp(min=1)


def attention_kl(student_scores, teacher_scores, mask):
    """Divergence of the student's attention from the teacher's, averaged over heads, per query.

    With the scores of queries and keys this compares attention maps, with those of a tensor and itself relations.

    Args:
        student_scores (`torch.Tensor`): Shape (batch, heads, queries, keys), before the softmax.
        teacher_scores (`torch.Tensor`): Same shape. No gradient flows into it.
        mask (`torch.BoolTensor`): Shape (batch, keys); True where the key is no padding.

    Returns:
        `torch.Tensor` of shape (batch, queries), in nats, not reduced; 0 where there is no key.

    Raises:
        ValueError: The shapes differ.

    References: Wang et al. 2020, "MiniLM: Deep Self-Attention Distillation", equations 6 and 8; Wang et al. 2021,
    "MiniLMv2", equation 5.
    """
    check_same_shape(student_scores, teacher_scores, "attention scores")
    padding = ~mask[:, None, None, :]
    student, teacher = _log_attention(student_scores, padding), _log_attention(teacher_scores.detach(), padding)
    return (teacher.exp() * (teacher - student)).masked_fill(padding, 0).sum(dim=-1).mean(dim=1)


def _log_attention(scores, padding):
    scores = upcast(scores)
    # The least finite number, not minus infinity: a row of padding alone would be nan, also in the gradient.
    return log_softmax(scores.masked_fill(padding, torch.finfo(scores.dtype).min), dim=-1)
