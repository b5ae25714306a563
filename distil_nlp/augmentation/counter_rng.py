"""Counter-based random numbers: pure functions of seed, epoch, example and purpose."""

import functools

import numpy as np

# The purposes of random numbers. Append only: the index in this list is part of every number.
_PURPOSES = (
    "flip", "top", "left",
    "scale", "ratio", "crop top", "crop left",
    "erase", "erased area", "erased ratio", "erased top", "erased left", "noise", "noise start",
    "mix or cut", "mixed share", "cut share", "cut row", "cut column",
    "shift", "audio noise", "audio noise level", "audio noise start", "audio noise radius", "audio noise angle",
    "time mask", "time mask start", "frequency mask", "frequency mask start",
)  # fmt: skip
_GOLDEN = 0x9E3779B97F4A7C15


def uniform(seed: int, epoch: int, example_ids: np.ndarray, purpose: str) -> np.ndarray:
    """Uniform random numbers, one per example, each a pure function of the four arguments.

    There is no random state, so the batch, process or run in which an example occurs does not matter.

    Args:
        seed, epoch (`int`): Any.
        example_ids (`np.ndarray` of int64): Shape (batch,).
        purpose (`str`): One of `_PURPOSES`. Numbers for different purposes are independent.

    Returns:
        `np.ndarray` of float64 in [0, 1), shape (batch,).

    Reference: SplitMix64, of Steele et al. 2014, "Fast Splittable Pseudorandom Number Generators", with the example as
    its counter.
    """
    counters = example_ids.astype(np.int64, copy=False).view(np.uint64)
    numbers = counters * np.uint64(_GOLDEN) + np.uint64(_key(seed, epoch, purpose))
    return (_mix_bits(numbers) >> np.uint64(11)) * 2.0**-53


@functools.lru_cache(maxsize=256)
def _key(seed: int, epoch: int, purpose: str) -> int:
    """The offset of the counters: a hash of seed, epoch and purpose."""
    key = 0
    for word in (seed, epoch, _PURPOSES.index(purpose)):
        key = int(_mix_bits(np.array([(key + word + _GOLDEN) % 2**64], dtype=np.uint64))[0])
    return key


def _mix_bits(numbers: np.ndarray) -> np.ndarray:
    """SplitMix64's finalizer: every bit of the result depends on every bit of the number."""
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))


def beta_quantile(probabilities: np.ndarray, concentration: float) -> np.ndarray:
    """Quantiles of the symmetric Beta(concentration, concentration) distribution, from a cached table.

    Args:
        probabilities (`np.ndarray`): 0 to 1.
        concentration (`float`): Above 0; alpha in the papers on mixup and CutMix.

    Returns:
        `np.ndarray` of the same shape, 0 to 1, to about six digits.
    """
    cumulative, points = _beta_table(float(concentration))
    lower_half = np.interp(np.minimum(probabilities, 1 - probabilities), cumulative, points)
    below = 0.5 * lower_half ** (1 / min(concentration, 1))
    return np.where(probabilities < 0.5, below, 1 - below)


@functools.lru_cache(maxsize=8)
def _beta_table(concentration: float) -> tuple[np.ndarray, np.ndarray]:
    """The distribution function for x up to 1/2: its values, and v = (2 x) ** min(concentration, 1) at each of them.

    As a function of v its density is finite at 0.
    """
    power, points = min(concentration, 1), np.linspace(0, 1, 4097)
    density = points ** ((concentration - power) / power) * (1 - 0.5 * points ** (1 / power)) ** (concentration - 1)
    cumulative = np.concatenate([[0], np.cumsum(density[1:] + density[:-1])])
    return 0.5 * cumulative / cumulative[-1], points
