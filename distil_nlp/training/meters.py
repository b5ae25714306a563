"""What is remembered between two log lines, without waiting for the device."""

import time
from contextlib import contextmanager

import torch


class MetricSums:
    """Sums of scalars by name, kept as tensors until somebody reads them."""

    def __init__(self):
        self._sums = {}

    def add(self, values):
        """Add one micro-batch: `dict[str, torch.Tensor]` of detached scalars."""
        for name, value in values.items():
            self._sums[name] = self._sums[name] + value if name in self._sums else value

    def take(self):
        """The sums since the last call, by name, as tensors; the tally is empty afterwards."""
        sums, self._sums = self._sums, {}
        return sums


class Stopwatch:
    """Seconds spent in named parts. On CUDA it places events in the stream and reads them later: no waiting."""

    def __init__(self, device):
        self._on_cuda = torch.device(device).type == "cuda"
        self._spans = {}

    @contextmanager
    def measure(self, name):
        """Time the body as part of `name`."""
        start = self._now()
        yield
        self._spans.setdefault(name, []).append((start, self._now()))

    def take(self):
        """Seconds by name since the last call. On CUDA this waits for the device once."""
        spans, self._spans = self._spans, {}
        if self._on_cuda and spans:
            torch.cuda.synchronize()
            return {name: sum(a.elapsed_time(b) for a, b in pairs) / 1000 for name, pairs in spans.items()}
        return {name: sum(b - a for a, b in pairs) for name, pairs in spans.items()}

    def _now(self):
        if not self._on_cuda:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event
