"""Outputs of audio models aligned with the frames of a batch, one every 10 ms."""

import torch

_FRAME_HOP = 0.010  # seconds


def frame_stride(model):
    """From an answer of a model of sound to the next, in frames of 10 ms; None where the model does not say.

    What it says about a clip is read off by this number alone: by how long the batch and its answers are, it would depend
    on what the clip is padded to.
    """
    model = getattr(model, "module", model)  # DistributedDataParallel
    front_end, config = getattr(model, "front_end", None), getattr(model, "config", None)
    if front_end is not None:
        frame_stride, rate = front_end.hop_length, front_end.sampling_rate
    else:  # transformers' own models of sound hear 16 kHz, which none of them says
        frame_stride, rate = getattr(config, "inputs_to_logits_ratio", None), getattr(config, "sampling_rate", 16000)
    if frame_stride is None:
        return None
    if getattr(config, "add_adapter", False):  # of Wav2Vec2 and its kin: it makes fewer of the answers
        frame_stride *= config.adapter_stride**config.num_adapter_layers
    return frame_stride / round(_FRAME_HOP * rate)


def align_to_frames(tensor, count, frame_stride):
    """What was said of clips, for each of their frames: an answer counts for all the frames that begin in its time.

    Args:
        tensor (`torch.Tensor`): Shape (batch, answers, ...).
        count (`int`): Of frames.
        frame_stride (`float` or None): See `frame_stride`; None where an answer is a frame.

    Returns:
        `torch.Tensor` of shape (batch, count, ...).

    Raises:
        ValueError: Another number of answers, and nobody knows how far apart they are; far too few for that.
    """
    if _is_a_frame(frame_stride, tensor.shape[1], count):
        return tensor
    places = _places(torch.arange(count, device=tensor.device), frame_stride)
    # A model that looks further than a frame may have no answer for the very last of them.
    return tensor[:, places.clamp(max=tensor.shape[1] - 1)]


def output_frame_mask(frames, count, frame_stride):
    """Which answers are about a clip: those that count for a frame of it. The other way round than `align_to_frames`.

    Args:
        frames (`torch.BoolTensor`): Shape (batch, frames), those of the clip first.
        count (`int`): Of answers.
        frame_stride (`float` or None): As for `align_to_frames`.

    Returns:
        `torch.BoolTensor` of shape (batch, count).
    """
    if _is_a_frame(frame_stride, count, frames.shape[1]):
        return frames
    return torch.arange(count, device=frames.device) < num_answers(frames, frame_stride).unsqueeze(1)


def num_answers(frames, frame_stride):
    """How many answers are about each clip, shape (batch,); see `output_frame_mask`."""
    frames = frames.sum(1)
    return frames if frame_stride is None else _places(frames - 1, frame_stride) + 1


def _places(frames, frame_stride):
    """The answer that each frame is in; -1 for frame -1."""
    return ((frames + 0.5) / frame_stride).floor().long()


def _is_a_frame(frame_stride, answers, frames):
    # What a model looks at beyond a frame costs it an answer or two at the end of a clip, no more.
    too_few = answers != frames if frame_stride is None else answers * frame_stride < frames - 2 * frame_stride - 4
    if too_few:
        said = (
            "nothing says how far apart its answers are"
            if frame_stride is None
            else f"an answer should be about {frame_stride:g} of them"
        )
        raise ValueError(
            f"A model gave {answers} answers to clips of {frames} frames of 10 ms, and {said}, so it cannot be told which "
            f"is about which frame. Set its `config.inputs_to_logits_ratio` to the samples from one answer to the next, "
            f"and `config.sampling_rate` where that is not 16000."
        )
    return frame_stride is None or (frame_stride == 1 and answers == frames)
