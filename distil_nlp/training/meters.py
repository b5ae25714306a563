"""Values collected between two log lines, without waiting for the device."""

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from accelerate import Accelerator

from ..objectives import Objective

logger = logging.getLogger(__name__)


class MetricSums:
    """Sums of scalars by name, kept as tensors on the device until they are taken."""

    def __init__(self) -> None:
        self._sums: dict[str, torch.Tensor] = {}

    def add(self, values: Mapping[str, torch.Tensor]) -> None:
        """Add the values of one micro-batch, detached scalars by name."""
        for name, value in values.items():
            self._sums[name] = self._sums[name] + value if name in self._sums else value

    def take(self) -> dict[str, torch.Tensor]:
        """Return the sums since the last call, by name, and start again from nothing."""
        sums, self._sums = self._sums, {}
        return sums


def sum_over_processes(sums: Mapping[str, torch.Tensor], accelerator: Accelerator) -> dict[str, float]:
    """Add up scalars over all processes, in one message, and return them as numbers."""
    totals = accelerator.reduce(torch.stack(list(sums.values())), "sum")
    return dict(zip(sums, totals.tolist(), strict=True))


class StepMeter:
    """Means of the objective's parts over the optimizer steps since the last log line.

    Args:
        objective (`Objective`): Gives the names of the terms.
        accelerator (`Accelerator`): Tells where an optimizer step ends, and adds up over processes.
    """

    def __init__(self, objective: Objective, accelerator: Accelerator):
        self._objective, self._accelerator = objective, accelerator
        self._sums, self._num_steps = MetricSums(), 0
        self._warned_of: set[str] = set()

    def add(self, parts: Mapping[str, torch.Tensor], counts: torch.Tensor) -> None:
        """Add one micro-batch.

        Args:
            parts (`Mapping[str, torch.Tensor]`): Detached scalars by name, the micro-batch's share of the step.
            counts (`torch.Tensor`): Items of each term over the whole step, shape (terms,).
        """
        self._sums.add({**parts, "empty": (counts == 0).float()})
        self._num_steps += bool(self._accelerator.sync_gradients)

    def take(self) -> dict[str, float]:
        """Return the means by name and start again. Warns, once for each term, of steps without an item for it."""
        sums, num_steps = self._sums.take(), max(self._num_steps, 1)
        self._num_steps = 0
        self._warn_of_empty_terms(sums.pop("empty").tolist(), num_steps)
        return {name: value / num_steps for name, value in sum_over_processes(sums, self._accelerator).items()}

    def _warn_of_empty_terms(self, num_empty: list[float], num_steps: int) -> None:
        for name, empty in zip(self._objective.names, num_empty, strict=True):
            if empty and name not in self._warned_of:
                self._warned_of.add(name)
                logger.warning(
                    "Some of the last %d steps contained no item for the term '%s', so it was 0 there. This is expected "
                    "if few examples have labels; otherwise check that labels are not missing. (Logged once per term.)",
                    num_steps,
                    name,
                )


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
