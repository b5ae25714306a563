"""Paired bootstrap: is a difference between two models larger than the sampling noise of the evaluation set?

Both models are scored on the same resampled examples, so that examples that are difficult for both cancel out. The
interval is the percentile interval: Efron & Tibshirani 1993, "An Introduction to the Bootstrap", section 13.3; for
comparing systems on one test set: Koehn 2004, "Statistical Significance Tests for Machine Translation Evaluation".

Several seeds: the examples are resampled jointly and each model's metric is the mean over its seeds. The interval is
how much another evaluation set would move these trained models, not how much other seeds would: the spread over seeds
is reported separately.
"""

import warnings
from collections.abc import Callable, Sequence

import numpy as np

from ..internals.numbers import COUNT
from ..reports.report import Difference

_CELLS_AT_ONCE = 4_000_000


def difference_of_means(
    of_values: np.ndarray | Sequence,
    to_values: np.ndarray | Sequence,
    *,
    of: str,
    to: str,
    metric: str,
    num_resamples: int = 10_000,
    seed: int = 0,
) -> Difference:
    """The difference of a metric that is a mean over examples, such as accuracy.

    Args:
        of_values, to_values (`np.ndarray`): The value of each example (1 right, 0 wrong), shape (n,) or (seeds, n); the
            same examples in the same order. The two may have different numbers of seeds.
        of, to, metric (`str`): Names for the result.
        num_resamples (`int`): Number of resampled evaluation sets.
        seed (`int`): Random seed of the resampling.

    Raises:
        ValueError: Different numbers of examples, or none.
    """
    of_values, to_values = _per_seed(of_values), _per_seed(to_values)
    _check_same_examples(of_values.shape[1], to_values.shape[1], of, to)
    differences = of_values.mean(axis=0) - to_values.mean(axis=0)
    # A resample of n examples is only how often each *distinct* difference was drawn, and there are few of them
    # (-1, 0, 1 for one seed): the same distribution as drawing n indices, a hundred times cheaper.
    distinct, counts = np.unique(differences, return_counts=True)
    num_resamples = COUNT.check(num_resamples, "num_resamples")
    generator = np.random.default_rng(seed)
    num_examples, means = len(differences), []
    chunk = max(1, _CELLS_AT_ONCE // len(distinct))
    for start in range(0, num_resamples, chunk):
        size = min(chunk, num_resamples - start)
        means.append(generator.multinomial(num_examples, counts / num_examples, size=size) @ distinct / num_examples)
    return _difference(differences.mean(), np.concatenate(means), of, to, metric)


def difference_of_metrics(
    of_statistics: Sequence[np.ndarray],
    to_statistics: Sequence[np.ndarray],
    function: Callable[[np.ndarray], float],
    *,
    of: str,
    to: str,
    metric: str,
    num_resamples: int = 1_000,
    seed: int = 0,
) -> Difference:
    """The difference of any metric, such as F1 or a correlation.

    The metric is computed on every resample, hence fewer of them: with 1,000 the ends of the interval move by about a
    twentieth of its half-width from one `seed` to the next.

    Args:
        of_statistics, to_statistics (`list[np.ndarray]`): One array for each seed, with n rows: the statistics of each
            example, its reference included (`Evaluator.statistics`).
        function (`Callable`): rows of statistics -> float.
        of, to, metric (`str`): Names for the result.
        num_resamples (`int`): Number of resampled evaluation sets.
        seed (`int`): Random seed of the resampling.

    Returns:
        `Difference`. Resamples on which the metric is undefined are left out.

    Raises:
        ValueError: Different numbers of examples, or none.
    """
    num_examples = len(to_statistics[0])
    for statistics in (*of_statistics, *to_statistics):
        _check_same_examples(len(statistics), num_examples, of, to)

    def mean_difference(rows: np.ndarray) -> float:
        of_values, to_values = (
            [function(statistics[rows]) for statistics in side] for side in (of_statistics, to_statistics)
        )
        return np.mean(of_values) - np.mean(to_values)

    num_resamples = COUNT.check(num_resamples, "num_resamples")
    generator = np.random.default_rng(seed)
    with warnings.catch_warnings():
        # A metric that is undefined on a resample (all of one class, constant) is left out below, without a warning each.
        warnings.simplefilter("ignore")
        value = mean_difference(np.arange(num_examples))
        draws = 0 if np.isnan(value) else num_resamples
        resampled = [mean_difference(generator.integers(num_examples, size=num_examples)) for _ in range(draws)]
    return _difference(value, np.asarray(resampled), of, to, metric)


def _per_seed(values: np.ndarray | Sequence) -> np.ndarray:
    return np.atleast_2d(np.asarray(values, dtype=np.float64))


def _check_same_examples(num_of: int, num_to: int, of: str, to: str) -> None:
    if num_of != num_to or num_of == 0:
        raise ValueError(
            f"A paired comparison of {of} and {to} needs the same examples, at least one; got {num_of} and {num_to}."
        )


def _difference(value: float, resampled: np.ndarray, of: str, to: str, metric: str) -> Difference:
    resampled = resampled[~np.isnan(resampled)]
    if np.isnan(value) or len(resampled) == 0:
        low = high = value = float("nan")
    else:
        low, high = np.quantile(resampled, (0.025, 0.975))
    return Difference(of, to, metric, float(value), float(low), float(high))
