"""Values collected between two log lines, without waiting for the device."""

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.data_loader import DataLoaderDispatcher
from accelerate.utils import find_batch_size

from ..objectives import Objective

logger = logging.getLogger(__name__)


class PartMeter:
    """Means of an objective's parts over items: values and items are summed, and divided once.

    So a mean does not depend on how the items are split into batches, steps and processes. Sums stay tensors on the
    device until they are taken.

    Args:
        objective (`Objective`): Gives the names of the parts, and the term whose items each is a mean over.
        accelerator (`Accelerator`): Adds up over processes.
    """

    def __init__(self, objective: Objective, accelerator: Accelerator):
        self.objective, self.accelerator = objective, accelerator
        self.clear()

    def clear(self) -> None:
        """Forget what was added."""
        self._sums: dict[str, torch.Tensor] = {}
        self._items: torch.Tensor | None = None

    def add_values(self, parts: Mapping[str, torch.Tensor], counts: torch.Tensor) -> None:
        """Add the parts of one micro-batch.

        Args:
            parts (`Mapping[str, torch.Tensor]`): Detached scalars by name, each a sum divided by the count of its term.
            counts (`torch.Tensor`): These counts, shape (terms,).
        """
        for name, part in parts.items():
            total = part * counts[self.objective.part_terms[name]]
            self._sums[name] = self._sums[name] + total if name in self._sums else total

    def add_items(self, counts: torch.Tensor) -> None:
        """Add to the numbers of items, shape (terms,), that the sums are divided by."""
        self._items = counts if self._items is None else self._items + counts

    def take(self, *, sum_items: bool) -> dict[str, float]:
        """Return the means by name since the last call, and start again. Parts without an item are left out.

        Args:
            sum_items (`bool`): Whether each process added its own items, so that they are summed over processes, too.
        """
        sums, items = self._sums, self._items
        self.clear()
        if not sums or items is None:
            return {}
        owners = [self.objective.part_terms[name] for name in sums]
        totals = torch.stack(list(sums.values()))
        divisors = items.to(totals.dtype)[torch.tensor(owners, device=items.device)]
        if sum_items:
            totals, divisors = self.accelerator.reduce(torch.stack([totals, divisors]), "sum")
        else:
            totals = self.accelerator.reduce(totals, "sum")
        means, present = totals / divisors.clamp(min=1), (divisors > 0).tolist()
        return {name: mean for name, mean, has in zip(sums, means.tolist(), present, strict=True) if has}


class StepMeter(PartMeter):
    """Means of the objective's parts over the items of the optimizer steps since the last log line."""

    def __init__(self, objective: Objective, accelerator: Accelerator):
        super().__init__(objective, accelerator)
        self._num_steps, self._num_empty = 0, torch.zeros(())
        self._warned_of: set[str] = set()

    def add(self, parts: Mapping[str, torch.Tensor], counts: torch.Tensor) -> None:
        """Add one micro-batch.

        Args:
            parts (`Mapping[str, torch.Tensor]`): Detached scalars by name, the micro-batch's share of the step.
            counts (`torch.Tensor`): Items of each term over the whole step, shape (terms,).
        """
        self.add_values(parts, counts)
        if self.accelerator.sync_gradients:  # the last micro-batch of a step
            self.add_items(counts)
            self._num_empty = self._num_empty.to(counts.device) + (counts == 0)
            self._num_steps += 1

    def take_means(self) -> dict[str, float]:
        """Return the means by name and start again. A part without an item is 0, as it was in the loss.

        Warns, once for each term, of steps without an item for it.
        """
        if self._num_steps:
            self._warn_of_empty_terms(self._num_empty.tolist())
        self._num_steps, self._num_empty = 0, torch.zeros(())
        names = list(self._sums)
        means = self.take(sum_items=False)
        return {name: means.get(name, 0.0) for name in names}

    def _warn_of_empty_terms(self, num_empty: list[float]) -> None:
        for name, empty in zip(self.objective.names, num_empty, strict=True):
            if empty and name not in self._warned_of:
                self._warned_of.add(name)
                logger.warning(
                    "Some of the last %d steps contained no item for the term '%s', so it was 0 there. This is expected "
                    "if few examples have labels; otherwise check that labels are not missing. (Logged once per term.)",
                    self._num_steps,
                    name,
                )


class EvaluationMeter(PartMeter):
    """Means of the objective's parts over the items of an evaluation."""

    def add(self, parts: Mapping[str, torch.Tensor], counts: torch.Tensor) -> None:
        """Add one batch: its parts, each a mean over its items, and the items of each term, shape (terms,)."""
        # Many batches are summed: in float32 the last digits would depend on their number.
        precise = torch.float32 if counts.device.type == "mps" else torch.float64
        self.add_values({name: part.to(precise) for name, part in parts.items()}, counts)
        self.add_items(counts)

    def take_means(self) -> dict[str, float]:
        """Return the means by name and start again."""
        return self.take(sum_items=True)


def counted_examples(batch: dict[str, Any], dataloader: Any, accelerator: Accelerator) -> tuple[dict[str, Any], int]:
    """The examples of an evaluation batch that count on this process, as a batch of at least one, and their number.

    Of several processes, accelerate fills up the last batches with examples that were evaluated before.

    Args:
        batch (`dict[str, Any]`): The columns.
        dataloader: The one that the batch is from.
        accelerator (`Accelerator`): Tells where the evaluation stands.
    """
    state, size = accelerator.gradient_state, find_batch_size(batch) or 1
    is_filled = state.active_dataloader is dataloader and state.end_of_dataloader and state.remainder > 0
    if accelerator.num_processes == 1 or not is_filled:
        return batch, size
    if not isinstance(dataloader, DataLoaderDispatcher):  # a column may have several rows for each example
        size = dataloader.total_batch_size // accelerator.num_processes
    num_counted = min(max(state.remainder - accelerator.process_index * size, 0), size)
    examples = {
        name: value[: max(len(value) * num_counted // size, 1)] if getattr(value, "ndim", 0) else value
        for name, value in batch.items()
    }
    return (batch if num_counted == size else examples), num_counted


class Stopwatch:
    """Seconds spent in named parts. On CUDA, events are recorded in the stream and read later, without waiting."""

    def __init__(self, device: torch.device | str):
        self._on_cuda = torch.device(device).type == "cuda"
        self._spans: dict[str, list[tuple]] = {}

    @contextmanager
    def measure(self, name: str) -> Iterator[None]:
        """Time the body of the `with` statement as part of `name`."""
        start = self._now()
        yield
        self._spans.setdefault(name, []).append((start, self._now()))

    def take(self) -> dict[str, float]:
        """Return the seconds by name since the last call. On CUDA this waits for the device once."""
        spans, self._spans = self._spans, {}
        if self._on_cuda and spans:
            torch.cuda.synchronize()
            return {name: sum(a.elapsed_time(b) for a, b in pairs) / 1000 for name, pairs in spans.items()}
        return {name: sum(b - a for a, b in pairs) for name, pairs in spans.items()}

    def _now(self) -> "float | torch.cuda.Event":
        if not self._on_cuda:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event
