"""Losses of models that predict a token or a blank per audio frame (connectionist temporal classification)."""

import torch
from torch.nn.functional import ctc_loss as torch_ctc_loss

from .precision import upcast
from .soft import soft_target_kl

# Logarithm of a probability of 0, of which torch's gradient would be NaN.
_IMPOSSIBLE = -1e30


def ctc_loss(logits: torch.Tensor, frames: torch.Tensor, labels: torch.Tensor, *, blank: int) -> torch.Tensor:
    """Negative log-likelihood of the labels, over all their alignments with the frames of a clip, per label token.

    Args:
        logits (`torch.Tensor`): Shape (batch, frames, tokens).
        frames (`torch.BoolTensor`): Shape (batch, frames), True for the valid frames of a clip, which come first.
        labels (`torch.LongTensor`): Shape (batch, max tokens), padded with -100.
        blank (`int`): Id of the blank token.

    Returns:
        `torch.Tensor` of shape (batch,), in nats per token, not reduced. 0 without gradient for a clip that has no
        labels, or fewer frames than its labels need.

    Reference: Graves et al. 2006, "Connectionist Temporal Classification", equations 8 and 12.
    """
    lengths = (labels >= 0).sum(1)
    values = torch_ctc_loss(
        upcast(logits).log_softmax(-1).clamp(min=_IMPOSSIBLE).transpose(0, 1),
        labels.clamp(min=0),
        frames.sum(1),
        lengths,
        blank=blank,
        reduction="none",
        zero_infinity=True,
    )
    values = values.masked_fill(values >= -_IMPOSSIBLE, float("inf"))
    return (values / lengths.clamp(min=1)).masked_fill(lengths == 0, 0)


def frames_needed(labels: torch.Tensor) -> torch.Tensor:
    """Minimum number of frames for the labels: one per token, plus a blank between equal neighbors.

    Args:
        labels (`torch.LongTensor`): Shape (batch, max tokens), padded with -100.

    Returns:
        `torch.LongTensor` of shape (batch,).
    """
    repeated = (labels[:, 1:] == labels[:, :-1]) & (labels[:, 1:] >= 0)
    return (labels >= 0).sum(1) + repeated.sum(1)


def ctc_frame_kl(
    student_logits: torch.Tensor, teacher_logits: torch.Tensor, *, temperature: float, blank: int, blank_weight: float
) -> torch.Tensor:
    """KL divergence of the student's softened distribution over tokens from the teacher's, per frame.

    CTC models predict blank in most frames, so a frame's weight falls with the teacher's probability of blank.

    Args:
        student_logits (`torch.Tensor`): Shape (batch, frames, tokens).
        teacher_logits (`torch.Tensor`): Same shape. No gradient flows into it.
        temperature (`float`): Greater than 0. The values are multiplied by its square.
        blank (`int`): Id of the blank token.
        blank_weight (`float`): Weight of a frame with blank probability 1, from 0 to 1; 1 is plain soft targets.

    Returns:
        `torch.Tensor` of shape (batch, frames), in nats, not reduced.

    References: Hinton et al. 2015, "Distilling the Knowledge in a Neural Network"; Takashima et al. 2018, "An Investigation
    of a Knowledge Distillation Method for CTC Acoustic Models", for frame-level targets and the problem of blanks.
    """
    blank_probability = upcast(teacher_logits.detach()).softmax(-1)[..., blank]
    values = soft_target_kl(student_logits, teacher_logits, temperature=temperature)
    return values * (1 - (1 - blank_weight) * blank_probability)


def ctc_transcript(logits: torch.Tensor, frames: torch.Tensor, *, blank: int) -> torch.Tensor:
    """Greedy CTC decoding: the best token of every frame, without repeats and blanks.

    Args:
        logits (`torch.Tensor`): Shape (batch, frames, tokens).
        frames (`torch.BoolTensor`): Shape (batch, frames), True for valid frames.
        blank (`int`): Id of the blank token.

    Returns:
        `torch.LongTensor` of shape (batch, max tokens), padded with -100.
    """
    best = logits.argmax(-1).masked_fill(~frames, blank)
    previous = torch.nn.functional.pad(best, (1, 0), value=blank)[:, :-1]
    emitted = (best != blank) & (best != previous)
    # A stable sort moves the emitted tokens to the front and keeps their order.
    order = (~emitted).to(torch.uint8).argsort(dim=1, stable=True)
    tokens = best.masked_fill(~emitted, -100).gather(1, order)
    return tokens[:, : max(1, int(emitted.sum(1).max()))]
