"""Invariant 4 for real: SIGKILL at three random steps of one run, resumed each time."""

import json
import signal

import pytest
import torch

from tests.training.runs import same_weights

# A seed takes seconds: one by default, the others with `make test-slow`.
SEEDS = [11, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (23, 42, 77))]


@pytest.fixture(scope="module", params=SEEDS)
def runs(request, tmp_path_factory, forks):
    """What killed_runs.py told of its attempts, and the folder with both runs' final weights."""
    folder = tmp_path_factory.mktemp("runs")
    printed = forks.run("-m", "tests.training.killed_runs", folder, request.param)
    return json.loads(printed.splitlines()[-1]), folder


def test_a_run_killed_three_times_dies_three_times_and_goes_on_from_a_checkpoint(runs):
    told, _ = runs
    assert [attempt["signal"] for attempt in told] == 3 * [signal.SIGKILL] + [0]
    began = [attempt["began_at"] for attempt in told]
    assert began == sorted(began) and began[-1] > 0


def test_a_run_killed_three_times_ends_bit_identical_to_one_that_was_left_alone(runs):
    _, folder = runs
    whole, killed = (torch.load(folder / name / "final.pt") for name in ("whole", "killed"))
    assert same_weights(killed["student"], whole["student"])
    assert same_weights(killed["objective"], whole["objective"]) and whole["objective"]
