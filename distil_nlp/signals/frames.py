"""Outputs of audio models aligned with the frames of a batch, one every 10 ms."""

import torch
from torch import nn

from .wrappers import config_of, unwrapped

_FRAME_HOP = 0.010  # seconds


def frame_stride(model: nn.Module) -> float | None:
    """Frames of 10 ms per output frame of an audio model; None where its config does not define it.

    Outputs are aligned with a clip by this number alone. The ratio of the lengths of a batch and its outputs would depend
    on how far the clip is padded.
    """
    front_end, config = getattr(unwrapped(model), "front_end", None), config_of(model)
    if front_end is not None:
        stride, rate = front_end.hop_length, front_end.sampling_rate
    else:  # transformers' audio models take 16 kHz, and their configs do not contain it
        stride, rate = getattr(config, "inputs_to_logits_ratio", None), getattr(config, "sampling_rate", 16000)
    if stride is None:
        return None
    if config is not None and getattr(config, "add_adapter", False):  # it shortens the output (Wav2Vec2 and similar)
        stride *= config.adapter_stride**config.num_adapter_layers
    return stride / round(_FRAME_HOP * rate)


def align_to_frames(tensor: torch.Tensor, count: int, frame_stride: float | None) -> torch.Tensor:
    """Repeat the outputs of clips so that there is one for each frame of 10 ms: the output during which the frame begins.

    Args:
        tensor (`torch.Tensor`): Shape (batch, output frames, ...).
        count (`int`): Number of frames.
        frame_stride (`float` or None): See `frame_stride`; None where every output belongs to one frame.

    Returns:
        `torch.Tensor` of shape (batch, count, ...).

    Raises:
        ValueError: The number of outputs differs from `count` and `frame_stride` is None; there are far too few outputs.
    """
    if _has_output_per_frame(frame_stride, tensor.shape[1], count):
        return tensor
    indices = _output_index(torch.arange(count, device=tensor.device), frame_stride)
    # A model with a receptive field wider than a frame may have no output for the last frames.
    return tensor[:, indices.clamp(max=tensor.shape[1] - 1)]


def output_frame_mask(frames: torch.Tensor, count: int, frame_stride: float | None) -> torch.Tensor:
    """Mask of the output frames that belong to a clip: the inverse of `align_to_frames`.

    Args:
        frames (`torch.BoolTensor`): Shape (batch, frames), those of the clip first.
        count (`int`): Number of output frames.
        frame_stride (`float` or None): As for `align_to_frames`.

    Returns:
        `torch.BoolTensor` of shape (batch, count).
    """
    if _has_output_per_frame(frame_stride, count, frames.shape[1]):
        return frames
    return torch.arange(count, device=frames.device) < num_output_frames(frames, frame_stride).unsqueeze(1)


def num_output_frames(frames: torch.Tensor, frame_stride: float | None) -> torch.Tensor:
    """Number of output frames that belong to each clip, shape (batch,); arguments as for `output_frame_mask`."""
    num_frames = frames.sum(1)
    return num_frames if frame_stride is None else _output_index(num_frames - 1, frame_stride) + 1


def _output_index(frames, frame_stride):
    """Index of the output frame during which each frame begins; -1 for frame -1."""
    return ((frames + 0.5) / frame_stride).floor().long()


def _has_output_per_frame(frame_stride, num_outputs, num_frames):
    """Whether there is one output for each frame; a ValueError where the numbers do not fit the stride."""
    if frame_stride is None:
        too_few = num_outputs != num_frames
    else:  # the receptive field costs an output or two at the end of a clip, no more
        too_few = num_outputs * frame_stride < num_frames - 2 * frame_stride - 4
    if too_few:
        reason = (
            "the config does not define its stride"
            if frame_stride is None
            else f"by its config there is one output frame for {frame_stride:g} of them"
        )
        raise ValueError(
            f"The model returned {num_outputs} output frames for clips of {num_frames} frames of 10 ms, and {reason}, so "
            f"outputs cannot be aligned with frames. Set its `config.inputs_to_logits_ratio` to the samples per output "
            f"frame, and `config.sampling_rate` where that is not 16000."
        )
    return frame_stride is None or (frame_stride == 1 and num_outputs == num_frames)
