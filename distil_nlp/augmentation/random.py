"""Random numbers that are pure functions of what they are for."""

import functools

import numpy as np

# What a number is drawn for. Append only: the place in this list is part of every draw.
_PURPOSES = (
    "flip", "top", "left",
    "scale", "ratio", "crop top", "crop left",
    "erase", "erased area", "erased ratio", "erased top", "erased left", "noise", "noise place",
    "mix or cut", "mixed share", "cut share", "cut row", "cut column",
    "shift", "hiss", "hiss level", "hiss place", "hiss radius", "hiss angle",
    "silence", "silence from", "band", "band from",
)  # fmt: skip
_GOLDEN = 0x9E3779B97F4A7C15


def uniform(seed, epoch, example_ids, purpose):
    """One number for each example, a pure function of the four arguments.

    No random state is read or moved, so it does not matter in which batch, process or run an example is met.

    Args:
        seed, epoch (`int`): Any.
        example_ids (`np.ndarray` of int64): Shape (batch,).
        purpose (`str`): One of `_PURPOSES`, what is decided by it.

    Returns:
        `np.ndarray` of float64 in [0, 1), shape (batch,).

    Reference: SplitMix64, of Steele et al. 2014, "Fast Splittable Pseudorandom Number Generators", with the example as
    its counter.
    """
    counters = example_ids.astype(np.int64, copy=False).view(np.uint64)
    numbers = counters * np.uint64(_GOLDEN) + np.uint64(_key(seed, epoch, purpose))
    return (_scrambled(numbers) >> np.uint64(11)) * 2.0**-53


@functools.lru_cache(maxsize=256)
def _key(seed, epoch, purpose):
    key = 0
    for word in (seed, epoch, _PURPOSES.index(purpose)):
        key = int(_scrambled(np.array([(key + word + _GOLDEN) % 2**64], dtype=np.uint64))[0])
    return key


def _scrambled(numbers):
    """SplitMix64's finalizer: every bit of the outcome depends on every bit of the number."""
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))


def beta_quantile(uniforms, alpha):
    """The value below which this part of the symmetric Beta(alpha, alpha) distribution lies.

    Args:
        uniforms (`np.ndarray`): 0 to 1.
        alpha (`float`): Above 0.

    Returns:
        `np.ndarray` of the same shape, 0 to 1, to about six digits.
    """
    parts, places = _beta_table(float(alpha))
    below = 0.5 * np.interp(np.minimum(uniforms, 1 - uniforms), parts, places) ** (1 / min(alpha, 1))
    return np.where(uniforms < 0.5, below, 1 - below)


@functools.lru_cache(maxsize=8)
def _beta_table(alpha):
    """Half of the distribution over v = (2 x) ** min(alpha, 1), in which its density has no pole at 0."""
    power, places = min(alpha, 1), np.linspace(0, 1, 4097)
    density = places ** ((alpha - power) / power) * (1 - 0.5 * places ** (1 / power)) ** (alpha - 1)
    parts = np.concatenate([[0], np.cumsum(density[1:] + density[:-1])])
    return 0.5 * parts / parts[-1], places
