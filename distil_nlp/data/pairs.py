"""Rows as PyTorch has them, (input, label), as rows with names."""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset, IterableDataset
from transformers.trainer_utils import has_length

INPUT = "inputs"


def named_rows(dataset: Any, name: str = INPUT) -> Any:
    """A data set with rows {name: input, "labels": label}, where its rows are pairs; otherwise the data set itself.

    Args:
        dataset: With rows by number, such as a `TensorDataset` or a data set of torchvision, or in order.
        name (`str`): Of the column of the inputs.
    """
    if isinstance(dataset, IterableDataset):
        return dataset  # its first row cannot be looked at without taking it
    if not isinstance(dataset, (Dataset, list)) or not has_length(dataset) or len(dataset) == 0:  # type: ignore[arg-type]
        return dataset
    with same_random_numbers():
        is_pair = _is_pair(dataset[0])
    return PairRows(dataset, name) if is_pair else dataset


@contextmanager
def same_random_numbers() -> Iterator[None]:
    """Context after which the global random states are as before: a data set may augment the rows that are read."""
    states = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])


class PairRows(Dataset):
    """Rows (input, label) of a data set as dictionaries.

    Args:
        dataset: With pairs as rows.
        name (`str`): Of the column of the inputs.
    """

    def __init__(self, dataset: Sequence, name: str) -> None:
        self.dataset, self.name = dataset, name

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> dict[str, Any]:
        value, label = self.dataset[index]
        return {self.name: value, "labels": label}

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[index] for index in range(len(self)))


def _is_pair(row: Any) -> bool:
    return isinstance(row, tuple) and len(row) == 2 and isinstance(row[0], torch.Tensor)
