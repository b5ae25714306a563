"""Which rows of an answer are whose, and how they go back into a batch."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from ...signals.columns import FRAMES, POSITIONS, SOFT_ITEMS
from ...signals.forward import NO_PROBABILITY


@dataclass(frozen=True)
class Layout:
    """How a tensor about a batch is cut into rows of examples, padding left out.

    Args:
        matches: (tensor, batch) -> whether the tensor has this layout.
        counts: (tensor, batch, num_examples) -> how many rows each example has.
        rows: (tensor, batch) -> the rows of all examples, end to end.
        tensor: (rows, batch) -> the tensor; what stood at padding is 0, or no probability where it marks spans.
    """

    matches: Callable
    counts: Callable
    rows: Callable
    tensor: Callable


def layout_of(tensor, batch, *, predicts_spans=False):
    """The name of the layout of a tensor.

    Args:
        tensor (`torch.Tensor`): Logits or features.
        batch (`Mapping[str, torch.Tensor]`): Which they are about.
        predicts_spans (`bool`): Whether they are logits of a model that marks spans, shape (batch, 2, sequence).
    """
    if predicts_spans:
        return "spans"
    return next(name for name, layout in LAYOUTS.items() if layout.matches(tensor, batch))


def _at(name):
    """Rows where a column of the batch is not 0, and 0 elsewhere."""

    def matches(tensor, batch):
        return batch.get(name) is not None and tensor.dim() >= 3 and tensor.shape[:2] == batch[name].shape

    def tensor(rows, batch):
        mask = batch[name].bool()
        return rows.new_zeros((*mask.shape, *rows.shape[1:])).index_put((mask,), rows)

    return Layout(matches, _marked(name), lambda tensor, batch: tensor[batch[name].bool()], tensor)


def _spans(rows, batch):
    mask = batch["attention_mask"].bool()
    return rows.new_full((*mask.shape, 2), NO_PROBABILITY).index_put((mask,), rows).transpose(1, 2)


def _marked(name):
    def counts(tensor, batch, num_examples):
        return batch[name].bool().reshape(num_examples, -1).sum(1)

    return counts


# In this order: the first that matches a tensor is its layout.
LAYOUTS = {
    # Logits of the chosen positions only, as `forward_logits` returns them.
    "positions": Layout(
        lambda tensor, batch: POSITIONS in batch and tensor.dim() == 2,
        _marked(POSITIONS),
        lambda tensor, batch: tensor,
        lambda rows, batch: rows,
    ),
    "tokens": _at("attention_mask"),
    # Of audio models with one prediction per frame: the attention mask is over samples.
    "frames": _at(SOFT_ITEMS),
    "ctc_frames": _at(FRAMES),
    # Logits over positions: a property of the model, not of the shape, see `layout_of`.
    "spans": Layout(
        lambda tensor, batch: False,
        _marked("attention_mask"),
        lambda tensor, batch: tensor.transpose(1, 2)[batch["attention_mask"].bool()],
        _spans,
    ),
    # One row or one tensor an example; where an example is several texts, one for each.
    "examples": Layout(
        lambda tensor, batch: True,
        lambda tensor, batch, num_examples: torch.full((num_examples,), len(tensor) // num_examples),
        lambda tensor, batch: tensor,
        lambda rows, batch: rows,
    ),
}
