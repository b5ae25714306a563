"""Wrappers, data set classes, label forms, precisions, optimizers and numbers of processes go together.

The first step of each combination is the one by hand, or it is refused before it.
"""

import json

import pytest

from tests.conftest import ROOT
from tests.distributed.launching import in_two_processes

from .combinations import TWO, check, draw

SEEDS = {40: 1, 300: 2}  # number of combinations -> seed


@pytest.fixture(scope="module")
def results(tmp_path_factory, forks):
    """number of combinations -> what those of two processes came to, in each process."""
    known = {}

    def results_of(number):
        if number not in known:
            folder = tmp_path_factory.mktemp("two")
            script = ROOT / "tests" / "training" / "combinations.py"
            # A training takes a second in two processes, and more on a busy machine.
            in_two_processes(forks, folder, script, number, SEEDS[number], folder, seconds=10 * number)
            known[number] = [json.loads((folder / f"results.rank{rank}.json").read_text()) for rank in (0, 1)]
        return known[number]

    return results_of


def combinations(number):
    return pytest.mark.parametrize(("name", "combination"), draw(number, SEEDS[number]).items(), ids=range(number))


@combinations(40)
def test_a_combination_takes_the_first_step_by_hand_or_is_refused_before_it(name, combination, results, tmp_path):
    check_with(40, name, combination, results, tmp_path)


# Several hundred trainings.
@pytest.mark.slow
@combinations(300)
def test_any_combination_takes_the_first_step_by_hand_or_is_refused_before_it(name, combination, results, tmp_path):
    check_with(300, name, combination, results, tmp_path)


def check_with(number, name, combination, results, tmp_path):
    if combination["processes"] == TWO:
        for found in results(number):
            assert found[name] is None, found[name]
    else:
        check(combination, tmp_path)
