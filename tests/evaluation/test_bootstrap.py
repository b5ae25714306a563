"""The interval holds the truth as often as it says."""

import numpy as np
import pytest
from sklearn.metrics import f1_score

from distil_nlp.evaluation import difference_of_means, difference_of_metrics

NAMES = {"of": "student", "to": "teacher", "metric": "accuracy"}


def answers(generator, num_examples):
    """Right or wrong for two models that find the same examples hard; the true difference is -0.08."""
    difficulty = generator.random(num_examples)
    chances = np.where(difficulty < 0.5, 0.95, 0.65), np.where(difficulty < 0.5, 0.95, 0.81)
    return [generator.random(num_examples) < chance for chance in chances]


def test_the_interval_covers_the_true_difference_about_95_times_in_100():
    generator = np.random.default_rng(0)
    covered = []
    for seed in range(400):
        found = difference_of_means(*answers(generator, 200), **NAMES, num_resamples=1000, seed=seed)
        covered.append(found.low <= -0.08 <= found.high)
    assert 0.91 <= np.mean(covered) <= 0.98


def test_the_fast_path_draws_the_distribution_that_drawing_indices_does():
    generator = np.random.default_rng(0)
    ours, theirs = answers(generator, 300)
    fast = difference_of_means(ours, theirs, **NAMES, num_resamples=20_000)
    rows = generator.integers(300, size=(20_000, 300))
    slow = np.quantile(ours[rows].mean(axis=1) - theirs[rows].mean(axis=1), (0.025, 0.975))
    assert fast.value == pytest.approx(ours.mean() - theirs.mean())
    assert (fast.low, fast.high) == pytest.approx(tuple(slow), abs=0.004)


def test_values_that_are_all_different_are_drawn_alike():
    generator = np.random.default_rng(0)
    ours, theirs = generator.normal(size=(2, 5000))
    found = difference_of_means(ours, theirs, **NAMES, num_resamples=2000)
    half_width = 1.96 * (ours - theirs).std() / np.sqrt(5000)
    assert (found.high - found.low) / 2 == pytest.approx(half_width, rel=0.1)


def test_two_equal_models_differ_by_nothing():
    right = answers(np.random.default_rng(0), 100)[0]
    found = difference_of_means(right, right, **NAMES)
    assert (found.value, found.low, found.high) == (0.0, 0.0, 0.0)


def test_seeds_are_averaged_before_examples_are_drawn():
    generator = np.random.default_rng(0)
    students = np.stack([answers(generator, 200)[0] for _ in range(3)])
    teacher = answers(generator, 200)[1]
    several = difference_of_means(students, teacher, **NAMES)
    averaged = difference_of_means(students.mean(axis=0), teacher, **NAMES)
    assert several == averaged
    assert several.value == pytest.approx(students.mean() - teacher.mean())


def test_the_same_seed_gives_the_same_interval():
    ours, theirs = np.random.default_rng(0).normal(size=(2, 200))
    first = difference_of_means(ours, theirs, **NAMES, seed=3)
    assert first == difference_of_means(ours, theirs, **NAMES, seed=3)
    assert first != difference_of_means(ours, theirs, **NAMES, seed=4)


def test_any_metric_gives_the_interval_that_the_fast_path_gives():
    ours, theirs = answers(np.random.default_rng(0), 300)
    fast = difference_of_means(ours, theirs, **NAMES)
    general = difference_of_metrics([ours], [theirs], np.mean, **NAMES)
    assert general.value == pytest.approx(fast.value)
    assert (general.low, general.high) == pytest.approx((fast.low, fast.high), abs=0.015)


def test_a_metric_of_several_seeds_is_the_mean_of_their_metrics():
    generator = np.random.default_rng(0)
    references = generator.integers(2, size=100)
    students, teacher = generator.integers(2, size=(3, 100)), references.copy()
    ours = [np.column_stack([student, references]) for student in students]
    theirs = [np.column_stack([teacher, references])]
    found = difference_of_metrics(
        ours, theirs, lambda facts: f1_score(facts[:, 1], facts[:, 0]), num_resamples=10, **NAMES
    )
    assert found.value == pytest.approx(np.mean([f1_score(references, one) for one in students]) - 1.0)


def test_an_undefined_metric_has_an_undefined_interval():
    found = difference_of_metrics([np.ones(5)], [np.ones(5)], lambda facts: float("nan"), num_resamples=5, **NAMES)
    assert np.isnan([found.value, found.low, found.high]).all()


@pytest.mark.parametrize("sizes", [(3, 4), (0, 0)])
def test_models_judged_on_other_examples_are_not_compared(sizes):
    with pytest.raises(ValueError, match=f"needs the same examples, at least one; got {sizes[0]} and {sizes[1]}"):
        difference_of_means(np.ones(sizes[0]), np.ones(sizes[1]), **NAMES)
