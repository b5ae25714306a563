"""Outputs of models that contain no prediction: NaN, infinity, or a distribution without a class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .columns import EXAMPLE_ID, FRAMES, POSITIONS
from .problem_kinds import ProblemKind

if TYPE_CHECKING:
    import torch

    from .base import Signals


class NonFiniteError(ValueError):
    """A loss, an output of a model, a label or an input is NaN or infinite, so nothing can be learned or measured."""


class DivergenceError(NonFiniteError):
    """The student's weights or outputs are NaN or infinite: the training has diverged."""


def undefined_items(logits: torch.Tensor, batch: Mapping[str, Any], kind: ProblemKind) -> torch.Tensor:
    """Mask of the items whose logits contain no prediction, padding excluded. Does not wait for the device.

    Args:
        logits (`torch.Tensor`): From `forward_logits`.
        batch (`Mapping[str, torch.Tensor]`): The columns.
        kind (`ProblemKind`): Decides what is no prediction, see `ProblemKind.is_defined`.

    Returns:
        `torch.BoolTensor` of the shape of the logits without their last dimension.
    """
    return real_items(~kind.is_defined(logits), batch)


def real_items(items: torch.Tensor, batch: Mapping[str, Any]) -> torch.Tensor:
    """A mask of items without those of padding, where the batch has a mask of the same shape."""
    for name in (FRAMES, "attention_mask"):
        mask = batch.get(name)
        if mask is not None and mask.shape == items.shape:
            return items & mask.to(items.device).bool()
    return items


def without_padding(signals: Signals, batch: Mapping[str, Any]) -> Signals:
    """Signals with 0 in the place of logits and features at padding, where a model may compute NaN.

    A mask alone would exclude them from the loss and not from the gradient: 0 times NaN is NaN.
    """
    return signals.with_tensors(lambda tensor: _zero_at_padding(tensor, batch))


def _zero_at_padding(tensor: torch.Tensor, batch: Mapping[str, Any]) -> torch.Tensor:
    for name in (FRAMES, "attention_mask"):
        mask = batch.get(name)
        if mask is not None and tensor.ndim > mask.ndim == 2 and tensor.shape[:2] == mask.shape:
            padding = mask.to(tensor.device) == 0
            return tensor.masked_fill(padding.view(*mask.shape, *(1,) * (tensor.ndim - 2)), 0)
    return tensor


def examples_of(items: torch.Tensor, batch: Mapping[str, Any]) -> list[int]:
    """Indices in the batch of the examples of chosen items. Waits for the device.

    Args:
        items (`torch.BoolTensor`): One entry, or one row, for each example; several rows of an example are adjacent; or an
            entry for each of the batch's chosen positions.
        batch (`Mapping[str, torch.Tensor]`): The columns.
    """
    rows = items.reshape(len(items), -1).any(1).nonzero()[:, 0]
    positions = batch.get(POSITIONS)
    if positions is not None and len(items) == int(positions.sum()) != len(positions):
        return positions.to(rows.device).nonzero()[rows, 0].unique().tolist()
    num_examples = min(len(column) for column in batch.values() if getattr(column, "ndim", 0))
    return (rows * num_examples // len(items)).unique().tolist()


def name_of_example(index: int, batch: Mapping[str, Any]) -> str:
    """`row 3 of the batch`, with the example's id where the batch has ids."""
    ids = batch.get(EXAMPLE_ID)
    return f"row {index} of the batch" + ("" if ids is None else f" ({EXAMPLE_ID} {int(ids[index])})")


def describe_values(values: torch.Tensor) -> str | None:
    """What is not finite among some numbers, for messages: "NaN", "inf", "-inf"; None if all are finite."""
    if not values.is_floating_point():
        return None
    if values.isnan().any():
        return "NaN"
    if (values == float("inf")).any():
        return "inf"
    return "-inf" if (values == float("-inf")).any() else None
