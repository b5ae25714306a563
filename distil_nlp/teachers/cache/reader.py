"""The examples a teacher is asked about when a cache is built, read so that an answer is certain to be about them."""

import random
from contextlib import contextmanager

import numpy as np
import torch

from ...collators import as_collator
from ...data.examples import EXAMPLE_ID, column_names, columns_read, longest_first, row_digests, select, with_columns
from ...signals.columns import TASK_COLUMNS
from ..ensemble import TeacherEnsemble

SAMPLE = 16  # examples looked at before a build starts


class CacheInputReader:
    """Batches of the examples of a data set by their numbers, as a teacher is asked about them.

    Args:
        teacher (`Teacher`): One that runs.
        dataset: The examples, with a column "example_id".
        collator (callable): list of examples -> batch.
        batch_size (`int`): Examples at once.

    Raises:
        ValueError: No examples, or not numbered; an ensemble; a collator that alters examples for training.
    """

    def __init__(self, teacher, dataset, collator, batch_size):
        self.teacher, self.batch_size, self._collator = teacher, batch_size, as_collator(collator)
        if isinstance(teacher, TeacherEnsemble):
            raise ValueError(
                f"An ensemble ({teacher.name}) says something else at every temperature, and a cache would keep one of "
                f"them. Build a cache for each of its teachers, and make the ensemble of `CachedTeacher`s."
            )
        if self._collator.augmentation is not None:
            raise ValueError(
                f"The examples are altered anew in every epoch ({self._collator.augmentation}), and a cache would answer "
                f"about the unaltered ones, which the student never sees. Leave the augmentation out, or ask the teacher "
                f"at every step (cache: false)."
            )
        if len(dataset) == 0:
            raise ValueError(f"A cache needs examples to ask about; the data set has {len(dataset)}.")
        numbers = (
            np.asarray(dataset[EXAMPLE_ID])
            if hasattr(dataset, "column_names") and EXAMPLE_ID in column_names(dataset)
            else None
        )
        if numbers is None:
            numbers = np.asarray([row.get(EXAMPLE_ID, -1) for row in dataset])
        order = np.argsort(numbers)
        if not np.array_equal(numbers[order], np.arange(len(dataset))):
            raise ValueError(
                f"A cache is keyed by example: the column {EXAMPLE_ID!r} must hold each of 0 to {len(dataset) - 1} once; "
                f"got {numbers[:5].tolist()}... Use `add_example_ids(dataset)`."
            )
        dataset = dataset if np.array_equal(order, numbers) else select(dataset, order)
        beside = (*TASK_COLUMNS, EXAMPLE_ID, *self._collator.columns)
        self.dataset = with_columns(dataset, columns_read(dataset, teacher.columns, beside))
        self.num_examples = len(dataset)
        self.device = _device_of(teacher)

    def batch(self, numbers):
        """The examples of these numbers as tensors where the teacher is."""
        batch = self._collator([self.dataset[int(number)] for number in numbers])
        return {name: value.to(self.device) for name, value in batch.items() if isinstance(value, torch.Tensor)}

    def batches(self, numbers):
        """Batches of the examples, the longest first."""
        order = numbers[longest_first(select(self.dataset, numbers))]
        for start in range(0, len(order), self.batch_size):
            yield self.batch(order[start : start + self.batch_size])

    def sample(self):
        """Numbers of a few examples from all over the data."""
        return np.unique(np.linspace(0, self.num_examples - 1, SAMPLE).astype(np.int64))

    def columns_read(self):
        """The columns that the teacher reads, after a look at a few examples.

        Raises:
            ValueError: They were different when they were read a second time.
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
                    f"collator transforms it at random. An answer kept now would be about an example the student never "
                    f"sees. Make the transform once (dataset.map), or ask the teacher at every step."
                )
        return columns


def _device_of(teacher):
    first = next((one for model in teacher.models for one in model.parameters()), None)
    return torch.device("cpu") if first is None else first.device


@contextmanager
def _perturbed_rng():
    """Other random numbers inside, the same as before afterwards."""
    states = random.getstate(), np.random.get_state()
    with torch.random.fork_rng():
        random.seed(states[0][1][0] + 1)
        np.random.seed((int(states[1][1][0]) + 1) % 2**32)
        torch.manual_seed(torch.initial_seed() + 1)
        yield
    random.setstate(states[0])
    np.random.set_state(states[1])
