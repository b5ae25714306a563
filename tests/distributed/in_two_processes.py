"""What test_two_processes.py launches: every case, and what each process found, in the folder given."""

import json
import runpy
import sys
from pathlib import Path

import torch
from accelerate import PartialState
from safetensors.torch import save_file

from tests.conftest import ROOT
from tests.distributed.cases import CASES, figures, gradients, short_image_run, short_run, weights_of
from tests.recipe.runs import words
from tests.teachers.cache_building import make_cache, one_example_per_shard
from tests.training.test_search import two_trials_and_alone


def main(folder):
    torch.set_num_threads(1)
    process = PartialState(cpu=True)
    assert torch.distributed.get_world_size() == process.num_processes == 2, process
    for number, name in enumerate(CASES):
        save_file(
            gradients(name, folder / "step", 2), folder / f"case{number}.rank{process.process_index}.safetensors"
        )
    told = {"world_size": torch.distributed.get_world_size(), "figures": figures(folder / "figures", 2)}
    whole = short_run(folder / "whole", 2)
    resumed = short_run(folder / "resumed", 2, checkpoint=str(folder / "whole" / "checkpoint-3"))
    images = short_image_run(folder / "images", 2)
    for name, trainer in {"whole": whole, "resumed": resumed, "images": images}.items():
        save_file(weights_of(trainer), folder / f"{name}.rank{process.process_index}.safetensors")
    told["searched"] = two_trials_and_alone(folder / "search")
    run_recipe(folder / "recipe")
    one_example_per_shard()
    make_cache(folder / "cache")
    (folder / f"told.rank{process.process_index}.json").write_text(json.dumps(told))


def run_recipe(folder):
    """The script of a recipe, as `accelerate launch` runs it."""
    sys.argv = ["text_classification.py", *words(folder, folder / "out", cache="true", max_steps=4)]
    runpy.run_path(str(ROOT / "recipes" / "text_classification.py"), run_name="__main__")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
