"""Two processes do what one does: the same gradients, figures and resumption. One pair of them serves all tests here."""

import json
import os
import signal
import subprocess
import sys

import pytest
from safetensors.torch import load_file

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
    trains_projections,
    weights_of,
)
from tests.distributed.launching import free_port, in_two_processes
from tests.recipe.runs import save_model, save_rows, words
from tests.teachers.cache_building import make_cache, one_example_per_shard
from tests.training.runs import relative_difference, same_weights

SCRIPT = ROOT / "tests" / "distributed" / "in_two_processes.py"


@pytest.fixture(scope="module")
def folder(tmp_path_factory, forks):
    """Where two processes left what they found, see in_two_processes.py."""
    folder = tmp_path_factory.mktemp("two")
    make_recipe(folder / "recipe")
    in_two_processes(forks, folder, SCRIPT, "cases", folder)
    return folder


@pytest.fixture(scope="module")
def folder_of_single_terms(tmp_path_factory, forks):
    folder = tmp_path_factory.mktemp("terms")
    in_two_processes(forks, folder, SCRIPT, "single terms", folder)
    return folder


def make_recipe(folder):
    folder.mkdir()
    save_model(folder / "teacher")
    save_rows(folder / "train.jsonl", 48)
    save_rows(folder / "validation.jsonl", 24, seed=1)


def told(folder, rank):
    return json.loads((folder / f"told.rank{rank}.json").read_text())


def test_two_processes_really_ran(folder):
    assert [told(folder, rank)["world_size"] for rank in (0, 1)] == [2, 2]


@pytest.mark.parametrize("name", CASES)
def test_the_gradients_of_two_processes_are_those_of_one(name, folder, tmp_path):
    assert_equal_gradients(name, folder, tmp_path)


@pytest.mark.slow  # two more processes and a step each; by default all terms are in one sum
@pytest.mark.parametrize("name", SINGLE_TERMS)
def test_the_gradients_of_a_single_term_in_two_processes_are_those_of_one(name, folder_of_single_terms, tmp_path):
    assert_equal_gradients(name, folder_of_single_terms, tmp_path)


def assert_equal_gradients(name, folder, tmp_path):
    expected = gradients(name, tmp_path, 1)
    for rank in (0, 1):
        found = load_file(folder / f"{name}.rank{rank}.safetensors")
        assert relative_difference(found, expected) < 1e-9
        projections = {weight for weight in expected if weight.startswith("objective.")}
        assert bool(projections) == trains_projections(name)
        for weight in projections:
            assert relative_difference({weight: found[weight]}, {weight: expected[weight]}) < 1e-9


def test_two_processes_log_and_evaluate_what_one_does(folder, tmp_path):
    expected = figures(tmp_path, 1)
    assert {
        "loss",
        "loss/hard",
        "loss/soft",
        "loss/hidden",
        "agreement",
        "eval_5_rows_loss",
        "eval_27_stream_agreement",
    } <= expected.keys()
    # transformers rounds some of what it logs to a few places.
    assert told(folder, 0)["figures"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("run", ["whole", "images"])
def test_both_processes_end_with_the_same_weights(run, folder):
    first, second = (load_file(folder / f"{run}.rank{rank}.safetensors") for rank in (0, 1))
    assert same_weights(first, second)


@pytest.mark.parametrize("name", UNREACHED)
def test_parts_of_the_student_that_the_loss_does_not_reach_are_left_alone_as_by_one_process(name, folder, tmp_path):
    first, second = (load_file(folder / f"steps, {name}.rank{rank}.safetensors") for rank in (0, 1))
    assert same_weights(first, second)
    assert relative_difference(first, weights_of(several_steps(name, tmp_path, 1))) < 1e-9


@pytest.mark.slow  # several steps of each term alone and of each preset: 0.3 s each in both processes
@pytest.mark.parametrize("name", SEVERAL_STEPS)
def test_every_term_alone_and_every_preset_trains_several_steps_in_two_processes(name, folder_of_single_terms):
    folder = folder_of_single_terms
    first, second = (load_file(folder / f"steps, {name}.rank{rank}.safetensors") for rank in (0, 1))
    assert same_weights(first, second)


def test_networks_and_projections_trained_on_images_by_two_processes_are_those_of_one(folder, tmp_path):
    found = load_file(folder / "images.rank0.safetensors")
    trainer = short_image_run(tmp_path, 1)
    assert any("projections" in name for name in trainer.objective.state_dict())
    assert relative_difference(found, weights_of(trainer)) < 1e-9


def test_a_resumed_run_of_two_processes_ends_bit_identical(folder):
    whole, resumed = (load_file(folder / f"{name}.rank0.safetensors") for name in ("whole", "resumed"))
    assert same_weights(resumed, whole)


def test_a_signal_to_one_process_stops_both_after_the_same_step(folder):
    stopped = [told(folder, rank)["stopped"] for rank in (0, 1)]
    assert stopped == [[2, signal.SIGTERM]] * 2


def test_a_cache_built_by_two_processes_is_that_of_one(folder, tmp_path, monkeypatch):
    one_example_per_shard(monkeypatch.setattr)
    make_cache(tmp_path / "cache")
    one, two = ({path.name: path.read_bytes() for path in (place / "cache").iterdir()} for place in (tmp_path, folder))
    assert one == two and len(one) == 33


def test_a_search_in_two_processes_trains_in_both_what_trainers_with_its_settings_would(folder):
    assert [told(folder, rank)["searched"] for rank in (0, 1)] == [[True, True]] * 2


def test_two_processes_share_a_recipe_and_the_first_prints_its_comparison(folder):
    assert_shared_recipe(folder / "recipe" / "out", (folder / "printed.txt").read_text())


def assert_shared_recipe(output, printed):
    assert {"student", "control", "teacher_cache", "report.json"} <= {path.name for path in output.iterdir()}
    assert printed.count("== compare") == 1


@pytest.mark.slow  # three fresh interpreters; by default two forks are told what `accelerate launch` tells its processes
def test_accelerate_launches_a_recipe_in_two_processes(tmp_path):
    make_recipe(tmp_path / "recipe")
    # `--cpu` would silently start one process; this way really starts two.
    launch = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    script = [ROOT / "recipes" / "text_classification.py", *words(tmp_path / "recipe", tmp_path / "out", max_steps=4)]
    done = subprocess.run(
        [sys.executable, *launch, "--main_process_port", str(free_port()), *script, "--cache", "true"],
        cwd=tmp_path,
        env={**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr[-5000:]
    assert_shared_recipe(tmp_path / "out", done.stdout)
