"""What test_two_processes.py starts twice: every case, and what each process found, in the folder given."""

import json
import os
import runpy
import signal
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import TrainerCallback

from distil_nlp.recipe.callbacks import SaveOnSignal
from distil_nlp.reports import markdown
from distil_nlp.training.checkpoints import check_checkpoint
from tests.conftest import ROOT
from tests.distributed.cases import (
    CASES,
    SEVERAL_STEPS,
    SINGLE_TERMS,
    UNREACHED,
    figures,
    gradients,
    several_steps,
    short_image_run,
    short_run,
    weights_of,
)
from tests.distributed.launching import join
from tests.recipe.runs import words
from tests.teachers.cache_building import make_cache, one_example_per_shard
from tests.training.runs import make_pair, make_rows, make_trainer
from tests.training.test_search import two_trials_and_alone


def main(what, folder, rank, port):
    process = join(rank, port)
    for name in {"cases": CASES, "single terms": SINGLE_TERMS}[what]:
        found = gradients(name, folder / "step", 2)
        save_file(found, folder / f"{name}.rank{process.process_index}.safetensors")
    for name in {"cases": UNREACHED, "single terms": SEVERAL_STEPS}[what]:
        weights = weights_of(several_steps(name, folder / "steps", 2))
        save_file(weights, folder / f"steps, {name}.rank{process.process_index}.safetensors")
    if what == "cases":
        runs(process, folder)


def runs(process, folder):
    """Everything but the gradients of single steps."""
    told = {"world_size": torch.distributed.get_world_size(), "figures": figures(folder / "figures", 2)}
    whole = short_run(folder / "whole", 2)
    resumed = short_run(folder / "resumed", 2, checkpoint=str(folder / "whole" / "checkpoint-3"))
    images = short_image_run(folder / "images", 2)
    for name, trainer in {"whole": whole, "resumed": resumed, "images": images}.items():
        save_file(weights_of(trainer), folder / f"{name}.rank{process.process_index}.safetensors")
    told["stopped"] = stopped_by_one(folder / "stopped", process)
    told["searched"] = two_trials_and_alone(folder / "search")
    run_recipe(folder / "recipe")
    one_example_per_shard()
    make_cache(folder / "cache")
    (folder / f"told.rank{process.process_index}.json").write_text(json.dumps(told))


def stopped_by_one(folder, process):
    """The step after which a training stops that gets a signal in its second process only, and the number of the signal."""

    class Signal(TrainerCallback):
        def on_step_begin(self, args, state, control, **kwargs):
            if process.process_index == 1 and state.global_step == 1:
                os.kill(os.getpid(), signal.SIGTERM)

    stop = SaveOnSignal(process)
    callbacks = [Signal(), stop]
    trainer = make_trainer(*make_pair(), make_rows(24), folder, per_device_train_batch_size=2, callbacks=callbacks)
    try:
        trainer.train()
    finally:
        stop.close()
    check_checkpoint(folder / f"checkpoint-{trainer.state.global_step}")
    return [trainer.state.global_step, stop.signal_number]


def run_recipe(folder):
    """The script of a recipe, as `accelerate launch` runs it, without report.png."""
    markdown._draw = lambda report, path: False
    sys.argv = ["text_classification.py", *words(folder, folder / "out", cache="true", max_steps=4)]
    runpy.run_path(str(ROOT / "recipes" / "text_classification.py"), run_name="__main__")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:])
