"""Two processes do what one does: the same gradients, figures and resumption. One launch serves all tests here."""

import json
import os
import socket
import subprocess
import sys

import pytest
from safetensors.torch import load_file

from tests.conftest import ROOT
from tests.distributed.cases import CASES, figures, gradients, short_image_run, weights_of
from tests.recipe.runs import save_model, save_rows
from tests.teachers.cache_building import make_cache, one_example_per_shard
from tests.training.images import WITH_PROJECTION
from tests.training.runs import relative_difference, same_weights

# Terms whose projections are trained, too.
PROJECTED = {"hidden states", "embeddings, cosine", "patient", *(f"images, {term}" for term in WITH_PROJECTION)}
PROJECTED.add("images, soft labels")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where two processes left what they found, see in_two_processes.py."""
    folder = tmp_path_factory.mktemp("two")
    (folder / "recipe").mkdir()
    save_model(folder / "recipe" / "teacher")
    save_rows(folder / "recipe" / "train.jsonl", 48)
    save_rows(folder / "recipe" / "validation.jsonl", 24, seed=1)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # `--cpu` would silently start one process; this way really starts two.
    launch = [
        "-m",
        "accelerate.commands.launch",
        "--multi_gpu",
        "--num_processes",
        "2",
        "--main_process_port",
        str(port),
    ]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    script = str(ROOT / "tests" / "distributed" / "in_two_processes.py")
    done = subprocess.run(
        [sys.executable, *launch, script, str(folder)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr[-5000:]
    (folder / "printed.txt").write_text(done.stdout)
    return folder


def told(folder, rank):
    return json.loads((folder / f"told.rank{rank}.json").read_text())


def test_two_processes_really_ran(folder):
    assert [told(folder, rank)["world_size"] for rank in (0, 1)] == [2, 2]


@pytest.mark.parametrize("name", CASES)
def test_the_gradients_of_two_processes_are_those_of_one(name, folder, tmp_path):
    expected = gradients(name, tmp_path, 1)
    for rank in (0, 1):
        found = load_file(folder / f"case{list(CASES).index(name)}.rank{rank}.safetensors")
        assert relative_difference(found, expected) < 1e-9
        projections = {weight for weight in expected if weight.startswith("objective.")}
        assert bool(projections) == (CASES[name]["hint"] or name in PROJECTED)
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


def test_networks_and_projections_trained_on_images_by_two_processes_are_those_of_one(folder, tmp_path):
    found = load_file(folder / "images.rank0.safetensors")
    trainer = short_image_run(tmp_path, 1)
    assert any("projections" in name for name in trainer.objective.state_dict())
    assert relative_difference(found, weights_of(trainer)) < 1e-9


def test_a_resumed_run_of_two_processes_ends_bit_identical(folder):
    whole, resumed = (load_file(folder / f"{name}.rank0.safetensors") for name in ("whole", "resumed"))
    assert same_weights(resumed, whole)


def test_a_cache_built_by_two_processes_is_that_of_one(folder, tmp_path, monkeypatch):
    one_example_per_shard(monkeypatch.setattr)
    make_cache(tmp_path / "cache")
    one, two = ({path.name: path.read_bytes() for path in (place / "cache").iterdir()} for place in (tmp_path, folder))
    assert one == two and len(one) == 33


def test_a_search_in_two_processes_trains_in_both_what_trainers_with_its_settings_would(folder):
    assert [told(folder, rank)["searched"] for rank in (0, 1)] == [[True, True]] * 2


def test_two_processes_share_a_recipe_and_the_first_prints_its_comparison(folder):
    output = {path.name for path in (folder / "recipe" / "out").iterdir()}
    assert {"student", "control", "teacher_cache", "report.json"} <= output
    assert (folder / "printed.txt").read_text().count("== compare") == 1
