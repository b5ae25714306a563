"""Losses of models that say a token or a blank for every frame of a clip (connectionist temporal classification)."""

import torch
from torch.nn.functional import ctc_loss as torch_ctc_loss

from .precision import upcast
from .soft import soft_target_kl


def ctc_loss(logits, frames, labels, *, blank):
    """How unlikely the labels are, summed over all ways to say them in the frames of a clip, for each token of them.

    Args:
        logits (`torch.Tensor`): Shape (batch, frames, tokens).
        frames (`torch.BoolTensor`): Shape (batch, frames), True in the frames of a clip, which come first.
        labels (`torch.LongTensor`): Shape (batch, most tokens), -100 behind the last token of a clip.
        blank (`int`): The token that says nothing.

    Returns:
        `torch.Tensor` of shape (batch,), in nats a token, not reduced. 0, and no gradient, for a clip without labels, and
        for one with fewer frames than its labels need.

    Reference: Graves et al. 2006, "Connectionist Temporal Classification", equations 8 and 12.
    """
    lengths = (labels >= 0).sum(1)
    values = torch_ctc_loss(
        upcast(logits).log_softmax(-1).transpose(0, 1),
        labels.clamp(min=0),
        frames.sum(1),
        lengths,
        blank=blank,
        reduction="none",
        zero_infinity=True,
    )
    return torch.where(lengths > 0, values / lengths.clamp(min=1), 0 * values)


def frames_needed(labels):
    """The fewest frames in which labels can be said: one a token, and a blank between two that are the same.

    Args:
        labels (`torch.LongTensor`): Shape (batch, most tokens), -100 behind the last token of a clip.

    Returns:
        `torch.LongTensor` of shape (batch,).
    """
    twice = (labels[:, 1:] == labels[:, :-1]) & (labels[:, 1:] >= 0)
    return (labels >= 0).sum(1) + twice.sum(1)


def ctc_frame_kl(student_logits, teacher_logits, *, temperature, blank, blank_weight):
    """Divergence of the student's softened distribution over tokens from the teacher's, frame by frame.

    A model of this kind says blank in most frames; where the teacher does, the frame counts for less, by as much as it
    is sure of it.

    Args:
        student_logits (`torch.Tensor`): Shape (batch, frames, tokens).
        teacher_logits (`torch.Tensor`): Same shape. No gradient flows into it.
        temperature (`float`): Greater than 0. The values are multiplied by its square.
        blank (`int`): The token that says nothing.
        blank_weight (`float`): What a frame counts that is surely blank, 0 to 1; 1 is plain soft targets.

    Returns:
        `torch.Tensor` of shape (batch, frames), in nats, not reduced.

    References: Hinton et al. 2015, "Distilling the Knowledge in a Neural Network"; Takashima et al. 2018, "An Investigation
    of a Knowledge Distillation Method for CTC Acoustic Models", for frames as items and why blanks are in the way.
    """
    says_blank = upcast(teacher_logits.detach()).softmax(-1)[..., blank]
    values = soft_target_kl(student_logits, teacher_logits, temperature=temperature)
    return values * (1 - (1 - blank_weight) * says_blank)


def ctc_transcript(logits, frames, *, blank):
    """What a model says: its best token of every frame, repeats and blanks left out.

    Args:
        logits (`torch.Tensor`): Shape (batch, frames, tokens).
        frames (`torch.BoolTensor`): Shape (batch, frames).
        blank (`int`): The token that says nothing.

    Returns:
        `torch.LongTensor` of shape (batch, most tokens), -100 behind the last token of a clip.
    """
    best = logits.argmax(-1).masked_fill(~frames, blank)
    before = torch.nn.functional.pad(best, (1, 0), value=blank)[:, :-1]
    kept = (best != blank) & (best != before)
    # Stable: the tokens that are kept come first, in their order.
    order = (~kept).to(torch.uint8).argsort(dim=1, stable=True)
    said = best.masked_fill(~kept, -100).gather(1, order)
    return said[:, : max(1, int(kept.sum(1).max()))]
