"""Run a model on a batch and return its logits."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import nn

from ..internals.messages import listed
from .arguments import forward_parameters, sole_input, takes_any_keyword
from .columns import FRAMES, LABELS, NOT_FOR_MODELS, POSITIONS, SPAN_LABELS
from .frames import align_to_frames, frame_stride
from .wrappers import taken_arguments, unwrapped, without_library_wrappers

# The name of the boxes in the output of transformers' detectors.
PREDICTED_BOXES = "pred_boxes"
# Logits of padding positions: probability 0 at any temperature, and finite after division by it.
NO_PROBABILITY = -1e30


def accepted_columns(model: nn.Module) -> tuple[str, ...] | None:
    """The names of the columns that the model's forward takes, labels excepted.

    A module that takes any keyword (PEFT, DataParallel, torch.compile, a module of the user) also takes what it reads from
    them or passes on, see `signals.wrappers.taken_arguments`. Labels are left out because a head that receives them
    computes its own loss, which the objective replaces.

    Returns:
        `tuple[str]`, or None where any column may be read: by `**kwargs`, or as the one input of the model, such as x.
    """
    if sole_input(without_library_wrappers(model)) is not None:
        return None
    taken = taken_arguments(model)
    if not taken.are_all or not (taken.names or taken.is_strict):
        return None
    return tuple(name for name in taken.names if name not in (*LABELS, *SPAN_LABELS))


def predicts_spans(model: nn.Module | None) -> bool:
    """Whether a model predicts the start and end of an answer: its logits are over positions, not over classes."""
    return model is not None and SPAN_LABELS[0] in taken_arguments(model).names


def forward_logits(
    model: nn.Module, batch: Mapping[str, torch.Tensor], columns: tuple[str, ...] | None
) -> torch.Tensor:
    """Run `model` on the columns it takes and return its logits.

    A column that no forward names is not passed, even where `**kwargs` would take it.

    Args:
        model (`nn.Module`): Returns logits, a mapping with "logits", an object with `.logits`, or a tuple that begins with
            them.
        batch (`Mapping[str, torch.Tensor]`): All columns of the batch.
        columns (`tuple[str]` or `None`): From `accepted_columns`. An argument, so that callers compute it once.

    Raises:
        TypeError: The model returned nothing that can be read as logits.
        ValueError: The forward takes none of the batch's columns, or requires another.
    """
    inputs = model_inputs(batch, columns)
    if columns is None and (name := sole_input(without_library_wrappers(model))) is not None:
        inputs = _with_sole_input(model, name, inputs)
    if not inputs:
        raise _no_column(model, batch)
    with _at_positions(model, batch[POSITIONS]) if POSITIONS in batch else nullcontext():
        try:
            output = model(**inputs)
        except (TypeError, KeyError) as error:
            if missing := _missing_columns(model, error) - inputs.keys():
                raise _no_column(model, batch, missing) from error
            if columns is None and "unexpected keyword argument" in str(error):
                raise _no_column(model, batch, cause=error) from error
            raise
    if getattr(output, "start_logits", None) is not None:
        return _span_logits(output, batch)
    if _part(output, PREDICTED_BOXES) is not None:
        return torch.cat([_part(output, "logits"), _part(output, PREDICTED_BOXES)], dim=-1)
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


def _with_sole_input(model: nn.Module, name: str, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The columns that a model names, and for its one required input the only other one; none where there are several."""
    named = taken_arguments(model).names
    taken = {column: value for column, value in inputs.items() if column in named}
    others = [value for column, value in inputs.items() if column not in named]
    if name in taken:
        return taken
    return {name: others[0], **taken} if len(others) == 1 else {}


def frame_logits(model: nn.Module, batch: Mapping[str, torch.Tensor], columns: tuple[str, ...] | None) -> torch.Tensor:
    """As `forward_logits`; where the batch has frames, with logits for each of them, whatever the model's frame stride."""
    logits = forward_logits(model, batch, columns)
    return align_to_frames(logits, batch[FRAMES].shape[1], frame_stride(model)) if FRAMES in batch else logits


def _part(output: Any, name: str) -> Any:
    return output.get(name) if isinstance(output, Mapping) else getattr(output, name, None)


def split_boxes(logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Class logits and boxes of a detector, from the logits that `forward_logits` returns.

    Args:
        logits (`torch.Tensor`): Shape (batch, queries, classes + 4).

    Returns:
        Class logits of shape (batch, queries, classes), "no object" last where there is such a class, and boxes of shape
        (batch, queries, 4), center and size.
    """
    return logits[..., :-4], logits[..., -4:]


def gatherable_logits(
    model: nn.Module, logits: torch.Tensor, labels: torch.Tensor | tuple[torch.Tensor, ...] | None
) -> torch.Tensor | tuple[torch.Tensor, ...]:
    """Logits in the form in which Trainer can gather them from batches and processes.

    Trainer concatenates along the first dimension, by examples, and pads the second.

    Args:
        model (`nn.Module`): The model that returned the logits.
        logits (`torch.Tensor`): From `forward_logits`.
        labels (`torch.Tensor` or tuple, *optional*): One row for each example.

    Returns:
        `torch.Tensor`, unchanged; of shape (examples, texts, width) where an example is several texts, adjacent in the
        batch; a tuple of start and end logits, each (batch, sequence), of a model that predicts spans.
    """
    if predicts_spans(model):
        return tuple(logits.unbind(1))
    if isinstance(labels, torch.Tensor) and labels.dim() == 1 and logits.dim() == 2 and len(logits) > len(labels) > 0:
        return logits.view(len(labels), -1, logits.shape[-1])
    return logits


def model_inputs(batch: Mapping[str, torch.Tensor], columns: tuple[str, ...] | None) -> dict[str, torch.Tensor]:
    """The columns of a batch that a model takes; arguments as for `forward_logits`."""
    names = [name for name in batch if name not in NOT_FOR_MODELS] if columns is None else columns
    return {name: batch[name] for name in names if name in batch}


def _missing_columns(model: nn.Module, error: Exception) -> set[str]:
    """Names of the columns without which the forward of a model raised an error."""
    if isinstance(error, KeyError):  # of `**kwargs`
        return {str(key) for key in error.args if takes_any_keyword(forward_parameters(model))}
    named = (p for p in forward_parameters(model) if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL))
    return {parameter.name for parameter in named if parameter.default is parameter.empty}


def _no_column(
    model: nn.Module, batch: Mapping[str, torch.Tensor], missing: Iterable[str] = (), cause: Exception | None = None
) -> ValueError:
    requires = f"requires {', '.join(sorted(missing))}" if missing else "names none of these"
    if cause is not None:
        requires = f"raised: {cause}"
    taken = ", ".join(str(parameter) for parameter in forward_parameters(model)) or "no arguments"
    return ValueError(
        f"The batch has the columns {listed(batch)}, and the forward of {type(model).__name__} {requires} (it takes "
        f"{taken}). Columns are passed by name, labels excepted. Wrap the model in a module whose forward names columns of "
        f"the batch and returns logits: `def forward(self, input_ids, attention_mask): ...`. Encoders of "
        f"sentence-transformers are loaded by `SentenceEncoder.from_pretrained(folder)`."
    )


def _span_logits(output, batch):
    """Start and end logits over the positions of a text, shape (batch, 2, sequence)."""
    logits = torch.stack([output.start_logits, output.end_logits], dim=1)
    mask = batch.get("attention_mask")
    if mask is None:
        return logits
    # No answer is in the padding: with its logits in the softmax, the loss would depend on how far a text is padded.
    return logits.masked_fill(mask.unsqueeze(1) == 0, max(NO_PROBABILITY, torch.finfo(logits.dtype).min))


@contextmanager
def _at_positions(model: nn.Module, positions: torch.Tensor) -> Iterator[None]:
    """Context in which the model computes logits at the chosen positions only, shape (chosen, vocabulary).

    With a vocabulary of 30,000 the output layer is the most expensive layer of a small model, and masked language modeling
    uses one position in seven.
    """
    inner: Any = unwrapped(model)
    head = getattr(inner, "get_output_embeddings", lambda: None)()
    if head is None:
        raise ValueError(
            f"The batch has {int(positions.sum())} chosen positions, the only ones whose logits are needed, and "
            f"{type(inner).__name__} has no output embeddings whose input could be reduced to them. Use a model with a "
            f"masked-language head."
        )
    handle = head.register_forward_pre_hook(lambda module, inputs: (inputs[0][positions], *inputs[1:]))
    try:
        yield
    finally:
        handle.remove()
