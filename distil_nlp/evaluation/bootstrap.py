"""Is a difference between two models more than the luck of the evaluation set? The paired bootstrap.

Both models are judged on the same resampled examples, so that what is hard for both cancels out. The interval is
the percentile interval: Efron & Tibshirani 1993, "An Introduction to the Bootstrap", section 13.3; for comparing
systems on one test set: Koehn 2004, "Statistical Significance Tests for Machine Translation Evaluation".

Several seeds: the examples are resampled jointly and each model's metric is the mean over its seeds. The interval
says how much another evaluation set would move these trained models, not how much other seeds would: the spread
over seeds is reported beside it.
"""

import warnings
from dataclasses import dataclass

import numpy as np

_CELLS_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class Difference:
    """`metric` of one model minus that of another, with its 95 % interval.

    Attributes:
        of, to (`str`): Who is compared to whom.
        metric (`str`): Its name.
        value (`float`): metric(of) - metric(to), in the metric's own unit: of accuracy, a fraction.
        low, high (`float`): The interval. nan where the metric is undefined.
    """

    of: str
    to: str
    metric: str
    value: float
    low: float
    high: float


def difference_of_means(of_values, to_values, *, of, to, metric, num_resamples=10_000, seed=0):
    """The difference of a metric that is a mean over examples, such as accuracy.

    Args:
        of_values, to_values (`np.ndarray`): What each example adds (1 right, 0 wrong), shape (n,) or (seeds, n); the
            same examples in the same order. The two may have different numbers of seeds.
        of, to, metric (`str`): Names for the result.
        num_resamples (`int`): How many evaluation sets are drawn.
        seed (`int`): Of the draws.

    Returns:
        `Difference`

    Raises:
        ValueError: Different numbers of examples, or none.
    """
    of_values, to_values = _per_seed(of_values), _per_seed(to_values)
    _check_same_examples(of_values.shape[1], to_values.shape[1], of, to)
    differences = of_values.mean(axis=0) - to_values.mean(axis=0)
    # A resample of n examples is only how often each *distinct* difference was drawn, and there are few of them
    # (-1, 0, 1 for one seed): the same distribution as drawing n indices, a hundred times cheaper.
    distinct, counts = np.unique(differences, return_counts=True)
    generator = np.random.default_rng(seed)
    num_examples, means = len(differences), []
    chunk = max(1, _CELLS_AT_ONCE // len(distinct))
    for start in range(0, num_resamples, chunk):
        size = min(chunk, num_resamples - start)
        means.append(generator.multinomial(num_examples, counts / num_examples, size=size) @ distinct / num_examples)
    return _difference(differences.mean(), np.concatenate(means), of, to, metric)


def difference_of_metrics(of_facts, to_facts, function, *, of, to, metric, num_resamples=1_000, seed=0):
    """The difference of any metric, such as F1 or a correlation.

    The metric is computed anew on every resample, hence fewer of them: with 1,000 the ends of the interval move by
    about a twentieth of its half-width from one `seed` to the next.

    Args:
        of_facts, to_facts (list of `np.ndarray`): One array a seed, each with n rows: what each example adds, its
            reference included (`Evaluator.statistics`).
        function (callable): rows of facts -> float.
        of, to, metric (`str`): Names for the result.
        num_resamples (`int`): How many evaluation sets are drawn.
        seed (`int`): Of the draws.

    Returns:
        `Difference`. Resamples on which the metric is undefined are left out.

    Raises:
        ValueError: Different numbers of examples, or none.
    """
    num_examples = len(to_facts[0])
    for facts in (*of_facts, *to_facts):
        _check_same_examples(len(facts), num_examples, of, to)

    def mean_difference(rows):
        of_values, to_values = ([function(facts[rows]) for facts in side] for side in (of_facts, to_facts))
        return np.mean(of_values) - np.mean(to_values)

    generator = np.random.default_rng(seed)
    with warnings.catch_warnings():
        # What is undefined on a resample (all of one class, constant) is counted below, not said a thousand times.
        warnings.simplefilter("ignore")
        value = mean_difference(np.arange(num_examples))
        draws = 0 if np.isnan(value) else num_resamples
        resampled = [mean_difference(generator.integers(num_examples, size=num_examples)) for _ in range(draws)]
    return _difference(value, np.asarray(resampled), of, to, metric)


def _per_seed(values):
    return np.atleast_2d(np.asarray(values, dtype=np.float64))


def _check_same_examples(num_of, num_to, of, to):
    if num_of != num_to or num_of == 0:
        raise ValueError(
            f"A paired comparison of {of} and {to} needs the same examples, at least one; got {num_of} and {num_to}."
        )


def _difference(value, resampled, of, to, metric):
    resampled = resampled[~np.isnan(resampled)]
    if np.isnan(value) or len(resampled) == 0:
        low = high = value = float("nan")
    else:
        low, high = np.quantile(resampled, (0.025, 0.975))
    return Difference(of, to, metric, float(value), float(low), float(high))
