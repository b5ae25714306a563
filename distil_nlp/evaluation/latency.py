"""Latency and throughput of models that are timed against each other: the same batches, at the same time, in turn.

A machine that is slow for a minute (another program, heat, a governor) is then slow for all of them. The forward pass is
timed: no tokenization, no move to the device, inference mode, the precision the model is in, torch's present number of
threads.
"""

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from ..internals.numbers import COUNT, NOT_NEGATIVE
from ..models.weights import device_of
from .predict import inference_mode

_RESAMPLED_AT_ONCE = 1_000_000  # numbers in memory


@dataclass(frozen=True)
class Latency:
    """Latency and throughput of one model.

    Attributes:
        p50_ms, p95_ms (`float`): Milliseconds for a batch of 1: the median, and the 95th percentile.
        throughput_per_s (`float`): Examples per second in large batches, from the median batch.
        times_ms (tuple of `float`): The batch-1 times behind these, one for each round. All models share the rounds.
    """

    p50_ms: float
    p95_ms: float
    throughput_per_s: float
    times_ms: tuple[float, ...] = field(default=(), repr=False)


def measure_latency(
    models: Mapping[str, torch.nn.Module | Callable],
    make_batch: Callable[[int], dict[str, Any]],
    *,
    batch_size: int = 32,
    seconds: float = 10.0,
    min_rounds: int = 20,
    num_warmup: int = 3,
    device: torch.device | str | None = None,
) -> dict[str, Latency]:
    """Time models against each other. In each round every model gets the same batch; the first model rotates.

    Args:
        models (`dict[str, torch.nn.Module or callable]`): By name; called as in `predict_logits`.
        make_batch (`Callable`): batch size -> batch (dictionary of CPU tensors).
        batch_size (`int`): Batch size of the throughput rounds. The latency rounds have a batch of 1.
        seconds (`float`): Total time of all models without the warm-up; half for each kind of round. Slow models
            take longer, because `min_rounds` has precedence.
        min_rounds (`int`): Minimum number of rounds of each kind. p95 of 20 rounds is the second slowest.
        num_warmup (`int`): Rounds of each kind that are not counted.
        device (`torch.device`, *optional*): The device all models run on. Default: the device they are on.

    Returns:
        `dict[str, Latency]`: By the names of `models`.

    Raises:
        ValueError: No models; `min_rounds` below 1; models on different devices and no `device`.
    """
    if not models or min_rounds < 1:
        raise ValueError(
            f"Timing needs at least one model and one round; got {len(models)} models and min_rounds={min_rounds}."
        )
    NOT_NEGATIVE.check(seconds, "seconds", "It is the time for measuring speed.")
    COUNT.check(batch_size, "batch_size")
    devices = {name: str(device_of(model)) for name, model in models.items()}
    if device is None and len(set(devices.values())) > 1:
        raise ValueError(
            f"Models on different devices cannot be compared for speed: {devices}. Pass device= to run all on one."
        )
    device = torch.device(device or next(iter(devices.values())))
    with ExitStack() as stack:
        predictors = {name: stack.enter_context(inference_mode(model, device)) for name, model in models.items()}
        budget = dict(seconds=seconds / 2, min_rounds=min_rounds, num_warmup=num_warmup, device=device)
        single = _rounds(predictors, make_batch(1), **budget)
        large = _rounds(predictors, make_batch(batch_size), **budget)
    return {name: _latency(single[name], large[name], batch_size) for name in models}


def speed_up(of: Latency, to: Latency, *, num_resamples: int = 1_000, seed: int = 0) -> tuple[float, float, float]:
    """How many times faster `of` is than `to` at batch 1: the ratio of the medians over their shared rounds.

    Args:
        of, to (`Latency`): From one call of `measure_latency`.
        num_resamples (`int`): Resamples for the interval; the two times of a round are drawn together.
        seed (`int`): Random seed of the resampling.

    Returns:
        `(value, low, high)`: the ratio (2 is twice as fast) and its 95 % bootstrap interval.

    Raises:
        ValueError: The two were not timed in the same rounds.
    """
    of_times, to_times = np.asarray(of.times_ms), np.asarray(to.times_ms)
    if len(of_times) != len(to_times) or len(of_times) == 0:
        raise ValueError(
            f"A speed-up compares models timed in the same rounds; got {len(of_times)} and {len(to_times)} times. "
            f"Give both models to one call of measure_latency."
        )
    generator, ratios = np.random.default_rng(seed), []
    chunk = max(1, _RESAMPLED_AT_ONCE // len(of_times))
    for start in range(0, num_resamples, chunk):
        rounds = generator.integers(len(of_times), size=(min(chunk, num_resamples - start), len(of_times)))
        ratios.append(np.median(to_times[rounds], axis=1) / np.median(of_times[rounds], axis=1))
    low, high = np.quantile(np.concatenate(ratios), (0.025, 0.975))
    return float(np.median(to_times) / np.median(of_times)), float(low), float(high)


def _rounds(
    predictors: Mapping[str, Callable],
    batch: dict[str, Any],
    *,
    seconds: float,
    min_rounds: int,
    num_warmup: int,
    device: torch.device,
) -> dict[str, list[float]]:
    """Seconds each model took in each round: name to list, all of the same length."""
    batch = {name: value.to(device) if isinstance(value, torch.Tensor) else value for name, value in batch.items()}
    for _ in range(num_warmup):
        for predict in predictors.values():
            _seconds(predict, batch, device)
    names, num_rounds = list(predictors), 0
    times: dict[str, list[float]] = {name: [] for name in names}
    end = time.perf_counter() + seconds
    while num_rounds < min_rounds or time.perf_counter() < end:
        first = num_rounds % len(names)
        for name in names[first:] + names[:first]:
            times[name].append(_seconds(predictors[name], batch, device))
        num_rounds += 1
    return times


def _seconds(predict: Callable, batch: dict[str, Any], device: torch.device) -> float:
    _synchronize(device)
    start = time.perf_counter()
    predict(batch)
    _synchronize(device)
    return time.perf_counter() - start


def _synchronize(device: torch.device) -> None:
    # An accelerator returns before it has computed; without this the launch would be timed.
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def _latency(single_s: list[float], large_s: list[float], batch_size: int) -> Latency:
    single = np.asarray(single_s) * 1000
    return Latency(
        p50_ms=float(np.median(single)),
        p95_ms=float(np.quantile(single, 0.95)),
        throughput_per_s=float(batch_size / np.median(large_s)),
        times_ms=tuple(single.tolist()),
    )
