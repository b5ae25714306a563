"""Killed or interrupted runs continue and end with the same weights. Two processes: tests/distributed."""

import random
import signal
import time

import pytest

from distil_nlp.cli.commands import run
from tests.recipe.runs import weights, words
from tests.training.runs import same_weights

# A step that takes a little longer, so that the kill falls into training and not behind it.
SLOWED = """
import sys, time
from distil_nlp.training.trainer import DistillationTrainer
step = DistillationTrainer.training_step
DistillationTrainer.training_step = lambda *a, **k: (time.sleep(0.05), step(*a, **k))[1]
from distil_nlp.cli.commands import main
main(sys.argv[1:])
"""


TRAINING = {"num_train_epochs": 2, "per_device_train_batch_size": 4, "control": "false"}


@pytest.fixture(scope="module")
def uninterrupted(folder, tmp_path_factory):
    """The weights of the student of an uninterrupted run."""
    output = tmp_path_factory.mktemp("run") / "out"
    run(words(folder, output, **TRAINING))
    return weights(output)


def newest(checkpoints):
    steps = [int(path.name.rsplit("-", 1)[-1]) for path in checkpoints.glob("checkpoint-*")]
    return max(steps, default=0)


@pytest.mark.parametrize("num_kills", [1, pytest.param(3, marks=pytest.mark.slow)])  # a process for each
def test_a_killed_run_continues_and_ends_with_the_same_weights(num_kills, folder, uninterrupted, tmp_path, forks):
    arguments = words(folder, tmp_path / "killed", save_strategy="steps", save_steps=3, **TRAINING)
    checkpoints = tmp_path / "killed" / "checkpoints" / "student"
    draw, reached = random.Random(0), 0
    for _ in range(num_kills):
        process = forks.start("-c", SLOWED, *arguments, cwd=tmp_path)
        reached += draw.randint(3, 6)
        while process.poll() is None and newest(checkpoints) < reached:
            time.sleep(0.01)
        assert process.poll() is None, "the run ended before it was killed"
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert newest(checkpoints) > 0 and not (tmp_path / "killed" / "student").exists()
    run(arguments)
    assert same_weights(weights(tmp_path / "killed"), uninterrupted)


# A process for each; the handler of each signal: test_callbacks.py.
OTHERS = [pytest.param(number, marks=pytest.mark.slow) for number in (signal.SIGINT, signal.SIGHUP)]


@pytest.mark.parametrize("number", [signal.SIGTERM, *OTHERS])
def test_a_signal_saves_a_checkpoint_and_the_same_command_continues(number, folder, uninterrupted, tmp_path, forks):
    arguments = words(folder, tmp_path / "stopped", save_strategy="no", logging_steps=1, **TRAINING)
    process = forks.start("-c", SLOWED, *arguments, cwd=tmp_path)
    while process.poll() is None and "'loss'" not in process.stdout():  # until it has made a step
        time.sleep(0.01)
    process.send_signal(number)
    assert process.wait() == 128 + number
    message = process.stderr()
    assert "student is at step" in message and "Run the same command again to continue from there." in message
    assert "Traceback" not in message
    assert newest(tmp_path / "stopped" / "checkpoints" / "student") > 0
    run(arguments)
    assert same_weights(weights(tmp_path / "stopped"), uninterrupted)
