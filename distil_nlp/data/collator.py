"""The base class of collators, which make batches of tensors from rows, and padding."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence

from ..internals.messages import listed, shown
from .examples import EXAMPLE_ID

Row = Mapping[str, Any]
Batch = dict[str, torch.Tensor]


class Collator(ABC):
    """Makes a batch from a list of rows.

    The trainer makes batches for training with `for_training()` and all other batches with the collator itself.

    Attributes:
        columns (`tuple[str]`): Columns of the rows that are kept for the collator although no model takes them, such as
            raw images.
        augmentation: Alters the examples of training batches at random. None: no augmentation.
    """

    columns: tuple[str, ...] = ()
    augmentation: Callable | None = None
    _epoch: torch.Tensor | None = None

    @abstractmethod
    def __call__(self, rows: Sequence[Row]) -> Batch:
        """The batch of these rows: column name -> tensor."""

    def for_training(self) -> Collator:
        """The collator for training batches: a copy that applies the `augmentation`; without one, the collator itself."""
        if self.augmentation is None or self.augments:
            return self
        training = copy.copy(self)
        # In memory that loader workers share: persistent workers live through several epochs.
        training._epoch = torch.zeros((), dtype=torch.int64)
        return training

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the batches that follow, from 0. Epoch and example id determine how an example is augmented."""
        if self._epoch is None:
            return
        if not self._epoch.is_shared():
            self._epoch.share_memory_()
        self._epoch.fill_(epoch)

    @property
    def augments(self) -> bool:
        """Whether the collator applies its augmentation; only collators returned by `for_training()` do."""
        return self._epoch is not None

    @property
    def epoch(self) -> int:
        """The epoch set last, 0 by default."""
        return 0 if self._epoch is None else int(self._epoch.item())


class FunctionCollator(Collator):
    """A plain function from rows to a batch, such as transformers' `DataCollatorWithPadding`, as a `Collator`."""

    def __init__(self, function: Callable[[list], Mapping[str, Any]]):
        self.function = function

    def __call__(self, rows: Sequence[Row]) -> Mapping[str, Any]:
        return self.function(rows)


def as_collator(collator: Callable) -> Collator:
    """Return a `Collator` unchanged, and wrap any other callable in a `FunctionCollator`."""
    return collator if isinstance(collator, Collator) else FunctionCollator(collator)


def require_example_ids(rows: Sequence[Row]) -> None:
    """Raise ValueError if rows to be augmented have no example ids."""
    if rows[0].get(EXAMPLE_ID) is None:
        raise ValueError(
            f"Augmentation depends on the example id, and the rows have no column {shown(EXAMPLE_ID)}; they have "
            f"{listed(rows[0])}. Add it: `add_example_ids(dataset)`."
        )


def pad(
    rows: Sequence[Any], value: int | float | bool, *, length: int = 0, padding_side: str = "right"
) -> torch.Tensor:
    """Rows of different length as one tensor.

    Args:
        rows (`list`): One list, array or tensor of values for each row, shape (length of the row, ...).
        value (`int`, `float` or `bool`): The value of padding. Its type is the tensor's: int64, float32 or bool.
        length (`int`): Pad to this length where all rows are shorter.
        padding_side (`str`): "right" or "left".

    Returns:
        `torch.Tensor` of shape (rows, longest row or `length`, ...).
    """
    dtype = torch.tensor(value).dtype
    tensors = [torch.as_tensor(row, dtype=dtype) for row in rows]
    # The last row is only there to make all as long as `length`.
    tensors.append(torch.zeros((length, *tensors[0].shape[1:]), dtype=dtype))
    return pad_sequence(tensors, batch_first=True, padding_value=value, padding_side=padding_side)[:-1]
