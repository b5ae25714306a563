"""Layouts: how the rows of a batch's tensor belong to its examples."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from ...signals.columns import FRAMES, POSITIONS, SOFT_ITEMS
from ...signals.forward import NO_PROBABILITY

Batch = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class Layout:
    """How a tensor of a batch is split into rows of its examples, without padding.

    Args:
        matches: (tensor, batch) -> whether the tensor has this layout.
        counts: (tensor, batch, num_examples) -> number of rows of each example.
        rows: (tensor, batch) -> concatenated rows of all examples.
        tensor: (rows, batch) -> the tensor, with 0 at padding, or a probability of 0 for span logits.
    """

    matches: Callable[[torch.Tensor, Batch], bool]
    counts: Callable[[torch.Tensor, Batch, int], torch.Tensor]
    rows: Callable[[torch.Tensor, Batch], torch.Tensor]
    tensor: Callable[[torch.Tensor, Batch], torch.Tensor]


def layout_of(tensor: torch.Tensor, batch: Batch, *, predicts_spans: bool = False) -> str:
    """Return the name of the layout of a tensor.

    Args:
        tensor (`torch.Tensor`): Logits or features.
        batch (`Mapping[str, torch.Tensor]`): The batch they were computed for.
        predicts_spans (`bool`): Whether the tensor has span logits, shape (batch, 2, sequence).
    """
    if predicts_spans:
        return "spans"
    return next(name for name, layout in LAYOUTS.items() if layout.matches(tensor, batch))


def _masked(name: str) -> Layout:
    """Layout with a row for each nonzero entry of a column of the batch."""

    def matches(tensor: torch.Tensor, batch: Batch) -> bool:
        return batch.get(name) is not None and tensor.dim() >= 3 and tensor.shape[:2] == batch[name].shape

    def tensor(rows: torch.Tensor, batch: Batch) -> torch.Tensor:
        mask = batch[name].bool()
        return rows.new_zeros((*mask.shape, *rows.shape[1:])).index_put((mask,), rows)

    return Layout(matches, _count(name), lambda tensor, batch: tensor[batch[name].bool()], tensor)


def _spans(rows: torch.Tensor, batch: Batch) -> torch.Tensor:
    mask = batch["attention_mask"].bool()
    return rows.new_full((*mask.shape, 2), NO_PROBABILITY).index_put((mask,), rows).transpose(1, 2)


def _count(name: str) -> Callable[[torch.Tensor, Batch, int], torch.Tensor]:
    def counts(tensor: torch.Tensor, batch: Batch, num_examples: int) -> torch.Tensor:
        return batch[name].bool().reshape(num_examples, -1).sum(1)

    return counts


# In this order: the first that matches a tensor is its layout.
LAYOUTS = {
    # Logits of the chosen positions only, as `forward_logits` returns them.
    "positions": Layout(
        lambda tensor, batch: POSITIONS in batch and tensor.dim() == 2,
        _count(POSITIONS),
        lambda tensor, batch: tensor,
        lambda rows, batch: rows,
    ),
    "tokens": _masked("attention_mask"),
    # Of audio models with one prediction per frame: the attention mask is over samples.
    "frames": _masked(SOFT_ITEMS),
    "ctc_frames": _masked(FRAMES),
    # Logits over positions: a property of the model, not of the shape, see `layout_of`.
    "spans": Layout(
        lambda tensor, batch: False,
        _count("attention_mask"),
        lambda tensor, batch: tensor.transpose(1, 2)[batch["attention_mask"].bool()],
        _spans,
    ),
    # One row or one tensor per example, or several if an example has several texts.
    "examples": Layout(
        lambda tensor, batch: True,
        lambda tensor, batch, num_examples: torch.full((num_examples,), len(tensor) // num_examples),
        lambda tensor, batch: tensor,
        lambda rows, batch: rows,
    ),
}
