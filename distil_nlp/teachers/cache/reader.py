"""Reads the examples of a cache and checks that they are the same at every reading."""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

import numpy as np
import torch

from ...data.collator import as_collator
from ...data.examples import (
    EXAMPLE_ID,
    column_names,
    columns_to_collate,
    longest_first,
    row_digests,
    rows_of_dataset,
    select,
    with_columns,
)
from ...internals.messages import shown
from ...models.weights import device_of
from ...signals.columns import TASK_COLUMNS
from ..base import Teacher
from ..ensemble import TeacherEnsemble

if TYPE_CHECKING:
    from datasets import Dataset

SAMPLE = 16  # examples checked before a build starts


class CacheInputReader:
    """Reads batches of a data set by example ids, on the teacher's device.

    Args:
        teacher (`Teacher`): A teacher that runs.
        dataset: The examples, with a column "example_id".
        collator (callable): list of examples -> batch.
        batch_size (`int`): Number of examples per batch.

    Raises:
        ValueError: There are no examples, or they have no ids; the teacher is an ensemble; the collator augments.
    """

    def __init__(
        self, teacher: Teacher, dataset: "Dataset | Sequence[Mapping]", collator: Callable, batch_size: int
    ) -> None:
        self.teacher, self.batch_size, self._collator = teacher, batch_size, as_collator(collator)
        if isinstance(teacher, TeacherEnsemble):
            raise ValueError(
                f"The logits of an ensemble ({teacher.name}) differ at every temperature, and a cache stores one set of "
                f"logits. Build a cache for each of its teachers, and make the ensemble of `CachedTeacher`s."
            )
        if self._collator.augmentation is not None:
            raise ValueError(
                f"The examples are augmented differently in every epoch ({self._collator.augmentation}), and a cache "
                f"would hold the outputs for examples that the student never sees. Remove the augmentation, or run the "
                f"teacher in every step (cache: false)."
            )
        if len(dataset) == 0:
            raise ValueError(f"A cache needs at least one example; the data set has {len(dataset)}.")
        numbers = (
            np.asarray(cast("Dataset", dataset)[EXAMPLE_ID])
            if hasattr(dataset, "column_names") and EXAMPLE_ID in column_names(dataset)
            else None
        )
        if numbers is None:
            numbers = np.asarray([row.get(EXAMPLE_ID, -1) for row in rows_of_dataset(dataset)])
        order = np.argsort(numbers)
        if not np.array_equal(numbers[order], np.arange(len(dataset))):
            raise ValueError(
                f"A cache is keyed by example id: the column {shown(EXAMPLE_ID)} must contain each of 0 to "
                f"{len(dataset) - 1} once; got {numbers[:5].tolist()}... Use `add_example_ids(dataset)`."
            )
        dataset = dataset if np.array_equal(order, numbers) else select(dataset, order)
        extra_columns = (*TASK_COLUMNS, EXAMPLE_ID, *self._collator.columns)
        self.dataset = with_columns(dataset, columns_to_collate(dataset, teacher.columns, extra_columns))
        self.num_examples = len(dataset)
        self.device = _device_of(teacher)

    def batch(self, numbers: Sequence[int] | np.ndarray) -> dict[str, torch.Tensor]:
        """Collate the examples with these ids, as tensors on the teacher's device."""
        batch = self._collator([self.dataset[int(number)] for number in numbers])
        return {name: value.to(self.device) for name, value in batch.items() if isinstance(value, torch.Tensor)}

    def batches(self, numbers: np.ndarray) -> Iterator[dict[str, torch.Tensor]]:
        """Yield batches of the examples with these ids, the longest first."""
        order = numbers[longest_first(select(self.dataset, numbers))]
        for start in range(0, len(order), self.batch_size):
            yield self.batch(order[start : start + self.batch_size])

    def sample(self) -> np.ndarray:
        """Ids of a few examples at equal distances in the data."""
        return np.unique(np.linspace(0, self.num_examples - 1, SAMPLE).astype(np.int64))

    def columns_read(self) -> list[str]:
        """Columns that the teacher reads, checked on a few examples.

        Raises:
            ValueError: The examples differ when they are read a second time.
        """
        numbers = self.sample()
        first = self.batch(numbers)
        read = [name for name in self.teacher.columns if name in first]
        columns = read or [name for name in first if name not in (*TASK_COLUMNS, EXAMPLE_ID)]
        with _perturbed_rng():
            second = self.batch(numbers)
        for name in columns:
            differ = row_digests(first, [name]) != row_digests(second, [name])
            if differ.any():
                raise ValueError(
                    f"Example {numbers[differ][0]} has another {name} when it is read a second time: the data set or the "
                    f"collator has a random transform, and the cache would hold outputs for examples that the student "
                    f"never sees. Apply the transform once (dataset.map), or run the teacher in every step."
                )
        return columns


def _device_of(teacher: Teacher) -> torch.device:
    return device_of(teacher.models[0]) if teacher.models else torch.device("cpu")


@contextmanager
def _perturbed_rng() -> Iterator[None]:
    """Change the random state inside the context and restore it afterwards."""
    states = random.getstate(), cast(tuple, np.random.get_state())
    with torch.random.fork_rng():
        random.seed(states[0][1][0] + 1)
        np.random.seed((int(states[1][1][0]) + 1) % 2**32)
        torch.manual_seed(torch.initial_seed() + 1)
        yield
    random.setstate(states[0])
    np.random.set_state(states[1])
