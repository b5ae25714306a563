"""What a model says about a batch, and how it is asked."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

LABELS = ("labels", "label", "label_ids")


@dataclass
class Signals:
    """What a model said about a batch.

    Args:
        logits (`torch.Tensor`): Shape (batch, classes) or (batch, sequence, classes).
        features (`dict[str, torch.Tensor]`): Outputs of tapped modules by module name.
    """

    logits: torch.Tensor
    features: dict = field(default_factory=dict)


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


def ask(model, batch, columns):
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
    output = model(**{name: batch[name] for name in names if name in batch})
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
