"""Trains one run as it should go and one that is killed three times; prints what happened as JSON.

Run by test_kill.py in a process of its own: every attempt is a fork of it, because a fork after a backward pass
cannot run another, and because importing everything anew would cost more than the training.
"""

import json
import os
import random
import signal
import sys
import traceback
from pathlib import Path

import torch
from transformers import TrainerCallback

from tests.training.runs import hint_objective, make_pair, make_rows, make_trainer

NUM_STEPS = 15
MOMENTS = ["before a step", "between two micro-batches", "while saving"]


class Killer(TrainerCallback):
    """Kills its own process, by SIGKILL, as soon as a step is reached and the moment has come."""

    def __init__(self, step, moment):
        self.step, self.moment = step, moment

    def at(self, moment, step):
        if moment == self.moment and step >= self.step:
            os.kill(os.getpid(), signal.SIGKILL)

    def on_step_begin(self, args, state, control, **kwargs):
        self.at("before a step", state.global_step)

    def on_substep_end(self, args, state, control, **kwargs):
        self.at("between two micro-batches", state.global_step)


class StartedAt(TrainerCallback):
    """Writes down the step a run begins with."""

    def __init__(self, path):
        self.path = path

    def on_train_begin(self, args, state, control, **kwargs):
        self.path.write_text(str(state.global_step))


def train(folder, step=NUM_STEPS + 1, moment=None):
    """One attempt, resumed where there is something to resume, and killed where it says so."""
    student, teacher = make_pair(dropout=0.1)
    killer = Killer(step, moment)
    trainer = make_trainer(
        student,
        teacher,
        make_rows(40),
        folder,
        objective=hint_objective(),
        callbacks=[killer, StartedAt(folder / "started.txt")],
        per_device_train_batch_size=4,
        gradient_accumulation_steps=2,
        num_train_epochs=3,
        optim="adamw_torch",
        save_strategy="steps",
        save_steps=3,
    )
    save = trainer._save_rng_state

    def save_and_die(output_dir):
        # Everything is written now but trainer_state.json.
        save(output_dir)
        killer.at("while saving", trainer.state.global_step)

    trainer._save_rng_state = save_and_die
    trainer.train(resume_from_checkpoint=True)
    weights = {"student": trainer.model.state_dict(), "objective": trainer.objective.state_dict()}
    torch.save(weights, folder / "final.pt")


def attempt(folder, *when):
    """`train` in a child process. Returns the signal that ended it, or 0."""
    folder.mkdir(exist_ok=True)
    child = os.fork()
    if child == 0:
        try:
            train(folder, *when)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        sys.exit(f"an attempt {when} failed, see above")
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


def main(folder, seed):
    torch.set_num_threads(1)
    draw = random.Random(seed)
    steps = sorted(draw.sample(range(2, NUM_STEPS - 1), 3))
    moments = draw.sample(MOMENTS, 3)
    whole, killed = folder / "whole", folder / "killed"
    attempt(whole)
    told = []
    for when in [*zip(steps, moments, strict=True), ()]:
        ended = attempt(killed, *when)
        told.append({"when": when, "signal": ended, "began_at": int((killed / "started.txt").read_text())})
    print(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
