"""Checks before training that a student's logits and labels belong to the same positions."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from ..internals.messages import listed, shown
from ..losses import cross_entropy
from ..signals.base import Signals
from ..signals.columns import POSITIONS
from ..signals.forward import accepted_columns, model_inputs
from ..signals.problem_kinds import NEXT_TOKEN, problem_kind_of_model
from ..signals.wrappers import config_of, unwrapped


def check_logits(student: nn.Module, logits: torch.Tensor) -> None:
    """Raise a ValueError for logits whose classes are not in the last of two or three dimensions."""
    if logits.dim() > 3:
        raise ValueError(
            f"Logits must have the shape (batch, classes) or (batch, sequence, classes); {type(student).__name__} returned "
            f"{tuple(logits.shape)}. Semantic segmentation, with classes in the second place and a label per pixel, is not "
            f"supported. A wrapper may return logits of shape (batch, pixels, classes), with labels (batch, pixels)."
        )


def check_decoder(student: nn.Module, batch: Mapping[str, torch.Tensor]) -> None:
    """Raise a ValueError for an encoder-decoder over a vocabulary whose batch has no inputs of the decoder."""
    is_encoder_decoder = getattr(config_of(student), "is_encoder_decoder", False)
    if is_encoder_decoder and _predicts_tokens(student) and "decoder_input_ids" not in batch:
        raise ValueError(
            f"{type(student).__name__} has a decoder, and the batch has no decoder_input_ids (columns: "
            f"{listed(batch)}), so its logits would not be of the labels. Use "
            f"DataCollatorForSeq2Seq(tokenizer, model=student), which makes them from the labels."
        )


def _predicts_tokens(student: nn.Module) -> bool:
    inner: Any = unwrapped(student)
    return getattr(inner, "get_output_embeddings", lambda: None)() is not None


def check_alignment(student: nn.Module, logits: torch.Tensor, batch: Mapping[str, torch.Tensor]) -> None:
    """Raise a ValueError for a language model that assigns labels to positions in another way than its problem kind.

    The loss that the model computes itself, from labels as its data collator makes them, must be the cross-entropy of its
    logits with the labels of the kind (`ProblemKind.align`).

    Args:
        student (`nn.Module`): In evaluation mode. Models without output embeddings pass.
        logits (`torch.Tensor`): Its logits for the batch.
        batch (`Mapping[str, torch.Tensor]`): The columns.
    """
    if POSITIONS in batch or not _predicts_tokens(student) or logits.dim() != 3:
        return
    kind, columns = problem_kind_of_model(student, batch), accepted_columns(student)
    # Labels of the batch are aligned already; where that moves them, any tokens serve for the comparison.
    labels = batch["input_ids"] if kind.name == NEXT_TOKEN else batch.get("labels")
    if labels is None or labels.shape != logits.shape[:-1] or not (labels >= 0).any():
        return
    own_loss = getattr(student(**model_inputs(batch, columns), labels=labels), "loss", None)
    aligned = kind.align(labels)
    loss = cross_entropy(logits, aligned).sum() / (aligned >= 0).sum()
    if own_loss is None or torch.isclose(own_loss.float(), loss.float(), rtol=1e-3) or not own_loss.isfinite():
        return
    raise ValueError(
        f"{type(student).__name__} assigns labels to positions in its own way: its loss on these rows is {own_loss:.4g}, "
        f"and the cross-entropy of its logits with labels of problem kind {shown(kind.name)} is {loss:.4g}. Such models "
        f"are not supported; a causal language model of transformers predicts the next token at each position."
    )


def check_lengths(
    name: str,
    signals: Signals,
    run: Callable[[Mapping[str, torch.Tensor]], Signals],
    batch: Mapping[str, torch.Tensor],
) -> None:
    """Raise a ValueError for a model whose outputs follow the length of some texts and not of others.

    The same texts are run without their last position: a model that pads to whole windows, or drops the rest of one,
    returns outputs of another length at one of the two.

    Args:
        name (`str`): Of the model, for the message.
        signals (`Signals`): Outputs for the batch.
        run (`Callable`): Computes signals of a batch.
        batch (`Mapping[str, torch.Tensor]`): The columns.
    """
    mask = batch.get("attention_mask")
    if "input_ids" not in batch or mask is None or mask.dim() != 2 or mask.shape[1] < 2:
        return
    length = mask.shape[1]
    shorter = {
        column: value[:, :-1] if getattr(value, "ndim", 0) >= 2 and value.shape[:2] == mask.shape else value
        for column, value in batch.items()
    }
    try:
        others = _outputs(run(shorter))
    except Exception:  # a text without its last token may be none for the model
        return
    for part, tensor in _outputs(signals).items():
        if tensor.dim() != 3 or tensor.shape[1] != length or others[part].shape[1] == length - 1:
            continue
        raise ValueError(
            f"{part} of {name} have {length} positions for texts of {length}, and {others[part].shape[1]} for texts of "
            f"{length - 1}: the model pads texts inside or drops positions, so they cannot be compared by position. "
            f"Pad all texts to whole windows (pad_to_multiple_of of the collator), or tap other modules."
        )


def _outputs(signals: Signals) -> dict[str, torch.Tensor]:
    logits = {} if signals.logits is None else {"The logits": signals.logits}
    return logits | {f"The outputs of '{name}'": tensor for name, tensor in signals.features.items()}
