"""Stages of a preset or of a recipe, trained in order, each with its own terms, data and learning rate."""

import json
import shutil

import pytest

from distil_nlp.cli.commands import main, run
from distil_nlp.objectives import PRESETS
from distil_nlp.recipe import new_context, parse, prepare
from distil_nlp.recipe.stages import num_steps, stages_of
from distil_nlp.recipe.students import train_student
from distil_nlp.tasks import task_class
from tests.conftest import ROOT
from tests.objectives.test_presets import OF_IMAGES, OF_SOUND
from tests.recipe.runs import checked, save_rows, term_names, weights, words
from tests.training.runs import same_weights

TWO = """
teacher: {folder}/teacher
stages:
  - name: layers
    objective: [relations: {{layers: last}}]
    data: {folder}/more.jsonl
    learning_rate: 1e-3
    max_steps: 3
  - name: logits
    objective:
      - hard: {{weight: 0.5}}
      - soft: {{weight: 0.5, temperature: 4}}
    num_train_epochs: 2
"""


def report_of(output):
    return json.loads((output / "report.json").read_text())


OF_TEXTS = [name for name in PRESETS if name not in OF_IMAGES | OF_SOUND]


@pytest.mark.parametrize("preset", OF_TEXTS)
def test_every_preset_passes_the_checks(preset, folder, tmp_path):
    context = checked(words(folder, tmp_path, preset=preset, num_layers=2))
    assert len(context.stages) == len(PRESETS[preset]) and term_names(context)


# One preset with two stages stands for all, which pass the checks above.
@pytest.mark.parametrize(
    "preset", [pytest.param(name, marks=[] if name == "tinybert" else pytest.mark.slow) for name in OF_TEXTS]
)
def test_the_control_has_the_steps_of_all_stages_of_a_preset(preset, folder, tmp_path):
    changes = {"num_layers": 2} if preset == "pkd" else {}
    run(words(folder, tmp_path / "out", preset=preset, per_device_train_batch_size=8, **changes))
    report = report_of(tmp_path / "out")
    steps = {name: training["steps"] for name, training in report["stages"].items()}
    of_student = sum(count for name, count in steps.items() if name.startswith("student"))
    assert of_student == steps["control"] == 6
    assert len([name for name in steps if name.startswith("student")]) == len(PRESETS[preset])
    assert [model["role"] for model in report["models"]] == ["teacher", "student", "control"]
    papers = {term["paper"] for term in report["objective"]} - {""}
    assert all(paper in (tmp_path / "out" / "student" / "README.md").read_text() for paper in papers)


def test_stages_in_yaml_have_their_own_data_length_and_terms(folder, tmp_path):
    save_rows(folder / "more.jsonl", 20, seed=5, columns=("text",))
    (tmp_path / "two.yaml").write_text(TWO.format(folder=folder))
    flags = words(folder, tmp_path / "out", teacher=None, per_device_train_batch_size=8)
    run([str(tmp_path / "two.yaml"), *flags])
    report = report_of(tmp_path / "out")
    assert [(term["stage"], term["name"]) for term in report["objective"]] == [
        ("layers", "relations"),
        ("logits", "hard"),
        ("logits", "soft"),
    ]
    steps = {name: training["steps"] for name, training in report["stages"].items()}
    assert steps == {"student.layers": 3, "student": 12, "control": 15}


def test_a_finished_stage_is_not_trained_again_and_the_student_is_the_same(folder, tmp_path):
    arguments = words(folder, tmp_path, preset="minilm", control="false", per_device_train_batch_size=8)
    run(arguments)
    uninterrupted = weights(tmp_path)
    shutil.rmtree(tmp_path / "student")  # as if the run had been killed in the second stage
    (tmp_path / "report.json").unlink()
    before = (tmp_path / "student.relations" / "model.safetensors").stat().st_mtime_ns
    run(arguments)
    assert (tmp_path / "student.relations" / "model.safetensors").stat().st_mtime_ns == before
    assert same_weights(weights(tmp_path), uninterrupted)


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ("[]", "stages must be a list of stages"),
        ("relations", "stages must be a list of stages"),
        ("[{name: a}]", "Stage 1 should be a mapping with an `objective:`"),
        ("[{objective: [hard: {}], learning_rat: 1}]", "sets 'learning_rat'.*the nearest is 'learning_rate'"),
        ("[{objective: [hard: {}], share: 2}]", "share of stage 1 .* got 2"),
        ("[{objective: [hard: {}], share: 0.5, max_steps: 3}]", "by share and by max_steps"),
        ("[{objective: [hard: {}], learning_rate: fast}]", "learning_rate of stage 1 must be a number; got 'fast'"),
        ("[{name: a/b, objective: [hard: {}]}]", "name of a folder.*'a/b'"),
        ("[{name: a, objective: [hard: {}]}, {name: a, objective: [hard: {}]}]", "a name of its own"),
        ("[{objective: [hidden: {layers: [[0, 7]]}]}]", "Layer 7 is not in BertFor.*layers 0 to 1"),
        ("[{objective: [relations: {num_heads: 3}]}]", "3 relation heads must divide"),
        ("[{objective: [standardized: {temperature: 2}]}]", "2 classes are always 1 and -1"),
        ("[{objective: [hard: {}], data: unlabeled}]", "data='unlabeled', and there is no such row"),
        ("[{objective: [soft: {temperature: 2}], data: gone.jsonl}]", "data of a stage='gone.jsonl' does not exist"),
    ],
)
def test_an_invalid_stage_is_refused_before_training(stages, message, folder, tmp_path):
    with pytest.raises((ValueError, OSError), match=message):
        run(words(folder, tmp_path / "out", stages=stages))
    assert not (tmp_path / "out" / "checkpoints").exists() and not (tmp_path / "out" / "recipe.yaml").exists()


def test_settings_of_the_default_objective_beside_a_preset_are_refused(folder, tmp_path):
    with pytest.raises(SystemExit, match="temperature=3 would have no effect.*preset 'pkd'"):
        main(words(folder, tmp_path / "out", preset="pkd", temperature=3.0))
    with pytest.raises(SystemExit, match="preset must be one of logits, distilbert, .*; got 'tinybart'"):
        main(words(folder, tmp_path / "out", preset="tinybart"))
    with pytest.raises(SystemExit, match="Both preset='pkd' and stages"):
        main(words(folder, tmp_path / "out", preset="pkd", stages="[{objective: [hard: {}]}]"))


def test_a_preset_on_the_command_line_replaces_the_weights_of_a_file(tmp_path):
    (tmp_path / "r.yaml").write_text("teacher: t\nkd_ratio: 0.5\ntemperature: 4\n")
    recipe, training, _ = parse([str(tmp_path / "r.yaml"), "--preset", "minilm"])
    assert [stage.name for stage in stages_of(recipe, training)] == ["relations", "labels"]


@pytest.mark.parametrize("path", sorted((ROOT / "recipes").rglob("*.yaml")), ids=lambda path: path.stem)
def test_every_recipe_of_the_repository_parses_with_an_existing_task_and_stages(path):
    recipe, training, _ = parse([str(path), "--teacher", "some/teacher"])
    assert task_class(recipe.data.task).name == recipe.data.task
    assert stages_of(recipe, training)


@pytest.mark.parametrize(
    ("flags", "steps"),
    [
        (["--num_train_epochs", "1.5"], 9),
        (["--num_train_epochs", "2", "--gradient_accumulation_steps", "4"], 4),
        (["--max_steps", "5"], 5),
    ],
)
def test_the_number_of_steps_equals_the_trainers(flags, steps, folder, tmp_path):
    flags = [*flags, "--per_device_train_batch_size", "8", "--control", "false"]
    recipe, training, overrides = parse(words(folder, tmp_path, *flags))
    context = new_context(recipe, training, overrides, command="")
    train_student(context, prepare(context), context.seeds[0])
    assert context.folder.training_record("student")["steps"] == num_steps(training, 48) == steps
