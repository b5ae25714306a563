"""Wrappers, data set classes, label forms, precisions and optimizers go together: the first step is the one by hand."""

import pytest

from .combinations import check, draw


@pytest.mark.parametrize(("name", "combination"), draw(40, seed=1).items(), ids=range(40))
def test_a_combination_takes_the_first_step_by_hand_or_is_refused_before_it(name, combination, tmp_path):
    check(combination, tmp_path)


# Several hundred trainings.
@pytest.mark.slow
@pytest.mark.parametrize(("name", "combination"), draw(300, seed=2).items(), ids=range(300))
def test_any_combination_takes_the_first_step_by_hand_or_is_refused_before_it(name, combination, tmp_path):
    check(combination, tmp_path)
