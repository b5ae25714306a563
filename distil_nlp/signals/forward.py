"""Run a model on a batch and return its logits."""

import inspect
from collections.abc import Mapping
from contextlib import contextmanager, nullcontext

import torch

from .columns import FRAMES, LABELS, POSITIONS
from .frames import align_to_frames, frame_stride

# What detectors of transformers call the boxes in their output.
BOXES_SAID = "pred_boxes"
# Padding of logits over positions: no probability at any temperature, and finite at any.
NO_PROBABILITY = -1e30


def accepted_columns(model):
    """The names of the columns a model's forward takes, labels excepted.

    Labels stay out because the loss is ours: with them a head computes its own, divided its own way.

    Returns:
        `tuple[str]`, or None where the forward names none and takes whatever comes (`**kwargs`).
    """
    parameters = inspect.signature(model.forward).parameters.values()
    named = [p.name for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    takes_anything = any(p.kind is p.VAR_KEYWORD for p in parameters)
    if not named and takes_anything:
        return None
    return tuple(name for name in named if name not in LABELS)


def marks_spans(model):
    """Whether a model says where an answer begins and ends: its logits are over positions, not over classes."""
    return model is not None and "start_positions" in (accepted_columns(model) or ())


def forward_logits(model, batch, columns):
    """Run `model` on the columns it takes and return its logits.

    A column that is not named is not passed, even where `**kwargs` would swallow it.

    Args:
        model (`torch.nn.Module`): Returns logits, a mapping with "logits", an object with `.logits`, or a tuple
            that begins with them.
        batch (`Mapping[str, torch.Tensor]`): All columns of the batch.
        columns (`tuple[str]` or `None`): From `accepted_columns`; kept by the caller, who asks many times.

    Raises:
        TypeError: The model returned nothing that can be read as logits.
    """
    names = [name for name in batch if name not in LABELS] if columns is None else columns
    inputs = {name: batch[name] for name in names if name in batch}
    with _only(model, batch[POSITIONS]) if POSITIONS in batch else nullcontext():
        output = model(**inputs)
    if getattr(output, "start_logits", None) is not None:
        return _span_logits(output, batch)
    if _part(output, BOXES_SAID) is not None:
        return torch.cat([_part(output, "logits"), _part(output, BOXES_SAID)], dim=-1)
    if isinstance(output, Mapping):
        output = output.get("logits")
    elif isinstance(output, (tuple, list)):
        output = output[0]
    else:
        output = getattr(output, "logits", output)
    if not isinstance(output, torch.Tensor):
        raise TypeError(
            f"{type(model).__name__} returned no logits ({type(output).__name__} came). Return a tensor, a tuple that "
            f"begins with it, or an output with `.logits`; a bare encoder needs a head (AutoModelFor...)."
        )
    return output


def frame_logits(model, batch, columns):
    """As `forward_logits`; where the batch has frames, an answer for each of them, whatever the model's frame stride."""
    logits = forward_logits(model, batch, columns)
    return align_to_frames(logits, batch[FRAMES].shape[1], frame_stride(model)) if FRAMES in batch else logits


def _part(output, name):
    return output.get(name) if isinstance(output, Mapping) else getattr(output, name, None)


def split_boxes(logits):
    """The two halves of what `forward_logits` returns of a detector.

    Args:
        logits (`torch.Tensor`): Shape (batch, queries, classes + 4).

    Returns:
        Class logits of shape (batch, queries, classes), "no object" last where there is such a class, and boxes of shape
        (batch, queries, 4), center and size.
    """
    return logits[..., :-4], logits[..., -4:]


def to_gather(model, logits, labels):
    """Logits as Trainer can gather them from batches and processes: it joins along the first dimension, by examples,
    and pads the second.

    Args:
        model (`torch.nn.Module`): Whose logits they are.
        logits (`torch.Tensor`): From `forward_logits`.
        labels (`torch.Tensor` or None): One row an example.

    Returns:
        `torch.Tensor`, as it came; of shape (examples, texts, width) where an example is several texts, which stand side
        by side in the batch; a tuple of starts and ends, each (batch, sequence), of a model that marks spans.
    """
    if marks_spans(model):
        return tuple(logits.unbind(1))
    several = labels is not None and labels.dim() == 1 and logits.dim() == 2 and len(logits) > len(labels) > 0
    return logits.view(len(labels), -1, logits.shape[-1]) if several else logits


def _span_logits(output, batch):
    """A question's answer begins at one position and ends at another: two distributions over the text."""
    logits = torch.stack([output.start_logits, output.end_logits], dim=1)
    mask = batch.get("attention_mask")
    if mask is None:
        return logits
    # Padding is no answer: left in, it would take part in the softmax, and longer padding would change the loss.
    return logits.masked_fill(mask.unsqueeze(1) == 0, max(NO_PROBABILITY, torch.finfo(logits.dtype).min))


@contextmanager
def _only(model, positions):
    """Inside, the model's last map, over its vocabulary, sees the chosen positions alone: logits (chosen, vocabulary).

    It is the dearest part of a small model over 30,000 words, and masked language modeling reads one position in seven.
    """
    unwrapped = getattr(model, "module", model)  # DistributedDataParallel
    head = getattr(unwrapped, "get_output_embeddings", lambda: None)()
    if head is None:
        raise ValueError(
            f"The batch asks for {int(positions.sum())} positions only, and {type(unwrapped).__name__} has no output "
            f"embeddings whose input could be cut down to them. Use a model with a masked-language head."
        )
    handle = head.register_forward_pre_hook(lambda module, inputs: (inputs[0][positions], *inputs[1:]))
    try:
        yield
    finally:
        handle.remove()
