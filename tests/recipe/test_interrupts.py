"""Runs that are killed or interrupted lose nothing. Two processes: tests/distributed."""

import random
import signal
import time

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


def newest(checkpoints):
    steps = [int(path.name.rsplit("-", 1)[-1]) for path in checkpoints.glob("checkpoint-*")]
    return max(steps, default=0)


def test_a_run_killed_three_times_ends_with_the_weights_of_one_that_was_not(folder, tmp_path, forks):
    more = ["--save_strategy", "steps", "--save_steps", "3", "--num_train_epochs", "6", "--control", "false"]
    run(words(folder, tmp_path / "whole", *more, per_device_train_batch_size=4))
    arguments = words(folder, tmp_path / "killed", *more, per_device_train_batch_size=4)
    checkpoints = tmp_path / "killed" / "checkpoints" / "student"
    draw, reached = random.Random(0), 0
    for _ in range(3):
        process = forks.start("-c", SLOWED, *arguments, cwd=tmp_path)
        reached += draw.randint(6, 18)
        while process.poll() is None and newest(checkpoints) < reached:
            time.sleep(0.01)
        assert process.poll() is None, "the run ended before it was killed"
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert newest(checkpoints) > 0 and not (tmp_path / "killed" / "student").exists()
    run(arguments)
    assert same_weights(weights(tmp_path / "killed"), weights(tmp_path / "whole"))


def test_ctrl_c_saves_the_step_says_how_to_go_on_and_the_same_command_does(folder, tmp_path, forks):
    more = ["--save_strategy", "no", "--num_train_epochs", "6", "--control", "false", "--logging_steps", "1"]
    run(words(folder, tmp_path / "whole", *more, per_device_train_batch_size=4))
    arguments = words(folder, tmp_path / "stopped", *more, per_device_train_batch_size=4)
    process = forks.start("-c", SLOWED, *arguments, cwd=tmp_path)
    while process.poll() is None and "'loss'" not in process.stdout():  # until it has made a step
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    assert process.wait() == 1
    said = process.stderr()
    assert "student is at step" in said and "Run the same command again to continue from there." in said
    assert "Traceback" not in said
    assert newest(tmp_path / "stopped" / "checkpoints" / "student") > 0
    run(arguments)
    assert same_weights(weights(tmp_path / "stopped"), weights(tmp_path / "whole"))
