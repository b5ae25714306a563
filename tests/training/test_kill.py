"""Invariant 4 for real: SIGKILL at three random steps of one run, resumed each time."""

import json
import signal
import subprocess
import sys

import pytest
import torch

from tests.conftest import ROOT
from tests.training.runs import same_weights

# A seed takes about 7 s, most of it the import of the libraries: one by default, others where time is no matter.
SEEDS = [11, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (23, 42, 77))]


@pytest.fixture(scope="module", params=SEEDS)
def runs(request, tmp_path_factory):
    """What killed_runs.py told of its attempts, and the folder with both runs' final weights."""
    folder = tmp_path_factory.mktemp("runs")
    command = [sys.executable, "-m", "tests.training.killed_runs", str(folder), str(request.param)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1]), folder


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
