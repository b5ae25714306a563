"""How fast models are, measured so that they can be compared: the same batches, at the same time, in turn.

A machine that is slow for a minute (another program, heat, a governor) is then slow for all of them. What is timed
is the forward pass: no tokenization, no move to the device, inference mode, the precision the model is in, as many
threads as torch has at that moment.
"""

import time
from contextlib import ExitStack
from dataclasses import dataclass, field

import numpy as np
import torch

from .predict import device_of, inference_mode


@dataclass(frozen=True)
class Latency:
    """How fast one model is.

    Attributes:
        p50_ms, p95_ms (`float`): Milliseconds for a batch of 1: the median, and what 19 of 20 calls stay under.
        throughput_per_s (`float`): Examples a second in large batches, from the median batch.
        times_ms (tuple of `float`): The batch-1 times behind it, one a round, rounds shared with the other models.
    """

    p50_ms: float
    p95_ms: float
    throughput_per_s: float
    times_ms: tuple = field(default=(), repr=False)


def measure_latency(models, make_batch, *, batch_size=32, seconds=10.0, min_rounds=20, num_warmup=3, device=None):
    """Time models against each other. In each round every model gets the same batch; who begins rotates.

    Args:
        models (`dict[str, torch.nn.Module or callable]`): Name to model, called as `predict_logits` calls it.
        make_batch (callable): batch size -> batch (dictionary of CPU tensors).
        batch_size (`int`): Of the throughput rounds. The latency rounds have a batch of 1.
        seconds (`float`): For everything but the warm-up, all models together; half for either kind of round. Slow
            models take longer, because `min_rounds` comes first.
        min_rounds (`int`): Rounds of either kind at least. p95 of 20 rounds is the second slowest.
        num_warmup (`int`): Rounds that are not counted, of either kind.
        device (`torch.device`, *optional*): Where all of them run. By default where they are.

    Returns:
        `dict[str, Latency]`: by the names of `models`.

    Raises:
        ValueError: No models; `min_rounds` below 1; models on different devices and no `device`.
    """
    if not models or min_rounds < 1:
        raise ValueError(f"Timing needs a model and a round; got {len(models)} models and min_rounds={min_rounds}.")
    homes = {name: str(device_of(model)) for name, model in models.items()}
    if device is None and len(set(homes.values())) > 1:
        raise ValueError(
            f"Models on different devices cannot be compared for speed: {homes}. Pass device= to run all on one."
        )
    device = torch.device(device or next(iter(homes.values())))
    with ExitStack() as stack:
        speakers = {name: stack.enter_context(inference_mode(model, device)) for name, model in models.items()}
        budget = dict(seconds=seconds / 2, min_rounds=min_rounds, num_warmup=num_warmup, device=device)
        single = _rounds(speakers, make_batch(1), **budget)
        large = _rounds(speakers, make_batch(batch_size), **budget)
    return {name: _latency(single[name], large[name], batch_size) for name in models}


def speed_up(of, to, *, num_resamples=1_000, seed=0):
    """How many times faster `of` is than `to` at batch 1: the ratio of the medians over the rounds they shared.

    Args:
        of, to (`Latency`): From one call of `measure_latency`.
        num_resamples (`int`): For the interval: rounds are drawn anew with both times of a round together.
        seed (`int`): Of the draws.

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
    for _ in range(num_resamples):
        rounds = generator.integers(len(of_times), size=len(of_times))
        ratios.append(np.median(to_times[rounds]) / np.median(of_times[rounds]))
    low, high = np.quantile(ratios, (0.025, 0.975))
    return float(np.median(to_times) / np.median(of_times)), float(low), float(high)


def _rounds(speakers, batch, *, seconds, min_rounds, num_warmup, device):
    """Seconds each model took in each round: name to list, all of the same length."""
    batch = {name: value.to(device) if isinstance(value, torch.Tensor) else value for name, value in batch.items()}
    for _ in range(num_warmup):
        for speak in speakers.values():
            _seconds(speak, batch, device)
    names, num_rounds = list(speakers), 0
    times = {name: [] for name in names}
    end = time.perf_counter() + seconds
    while num_rounds < min_rounds or time.perf_counter() < end:
        first = num_rounds % len(names)
        for name in names[first:] + names[:first]:
            times[name].append(_seconds(speakers[name], batch, device))
        num_rounds += 1
    return times


def _seconds(speak, batch, device):
    _finish(device)
    start = time.perf_counter()
    speak(batch)
    _finish(device)
    return time.perf_counter() - start


def _finish(device):
    # An accelerator returns before it has computed; without this one would time the launch.
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def _latency(single, large, batch_size):
    single = np.asarray(single) * 1000
    return Latency(
        p50_ms=float(np.median(single)),
        p95_ms=float(np.quantile(single, 0.95)),
        throughput_per_s=float(batch_size / np.median(large)),
        times_ms=tuple(single.tolist()),
    )
