"""A run goes on with the same data and models only: their content counts, not names, places and times."""

import json
import os
import shutil

import pytest

from distil_nlp.cli.commands import run
from distil_nlp.data.splits import load_splits
from distil_nlp.recipe import inputs, new_context, parse
from distil_nlp.training.trainer import DistillationTrainer
from tests.recipe.runs import checked, save_model, save_rows, words

STAGES = "[{{name: one, objective: [soft], data: {0}/texts.jsonl}}, {{objective: [soft]}}]"


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    folder = tmp_path_factory.mktemp("originals")
    for name in ("teacher", "assistant", "masked"):
        save_model(folder / name)
    for number, name in enumerate(("train", "validation", "unlabeled", "texts")):
        save_rows(folder / f"{name}.jsonl", 8, seed=number)
    return folder


@pytest.fixture
def place(originals, tmp_path):
    shutil.copytree(originals, tmp_path / "in")
    return tmp_path / "in"


def start(place, output, **changes):
    """The check of a start of a run, and what is written after all checks."""
    settings = {
        "unlabeled_file": place / "unlabeled.jsonl",
        "augmentation_model": place / "masked",
        "num_augmented_copies": 1,
        "stages": STAGES.format(place),
        "assistants": f"[{{student: {place}/assistant, learning_rate: 1e-4}}]",
        **changes,
    }
    recipe, training, overrides = parse(words(place, output, **settings))
    context = new_context(recipe, training, overrides, command="")
    context.check_folder()
    context.write_recipe()


def rewrite(path):
    """Another content of the same size at the same time, as a script that writes its data again may leave it."""
    state = path.stat()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


CHANGED = {
    "train_file": "train.jsonl",
    "validation_file": "validation.jsonl",
    "unlabeled_file": "unlabeled.jsonl",
    "stages": "texts.jsonl",
    "teacher": "teacher/model.safetensors",
    "assistants": "assistant/config.json",
    "augmentation_model": "masked/tokenizer.json",
}


@pytest.mark.parametrize("setting", CHANGED)
def test_an_input_with_other_content_under_its_name_is_refused_and_named(setting, place, tmp_path):
    start(place, tmp_path / "out")
    rewrite(place / CHANGED[setting])
    name = CHANGED[setting].rsplit("/")[-1]
    with pytest.raises(ValueError, match=rf"{setting} '.*has other content now \({name}: .* bytes before"):
        start(place, tmp_path / "out")


def test_a_changed_file_is_refused_before_training(originals, place, tmp_path, monkeypatch):
    monkeypatch.setattr(DistillationTrainer, "train", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run(words(place, tmp_path / "out"))
    rewrite(place / "train.jsonl")
    with pytest.raises(ValueError, match="train_file .* has other content .*another --output_dir, or delete"):
        run(words(place, tmp_path / "out"))


def test_other_rows_of_a_data_set_whose_files_are_the_same_are_refused(place, tmp_path, monkeypatch):
    monkeypatch.setattr(DistillationTrainer, "train", lambda *_, **__: 1 / 0)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            run(words(place, tmp_path / "out"))

    def other_rows(**settings):  # as a data set of the Hub that was changed there, or images that a file names
        splits = load_splits(**settings)
        splits["train"] = splits["train"].select(range(7))
        return splits

    monkeypatch.setattr("distil_nlp.recipe.data.load_splits", other_rows)
    with pytest.raises(ValueError, match=r"contains a run on other rows \(train\)"):
        run(words(place, tmp_path / "out"))


def test_inputs_may_move_be_copied_be_touched_and_be_named_otherwise(place, tmp_path, monkeypatch):
    start(place, tmp_path / "out")
    os.utime(place / "train.jsonl")
    start(place, tmp_path / "out")
    shutil.copytree(place, tmp_path / "copy")
    start(tmp_path / "copy", tmp_path / "out")
    monkeypatch.chdir(tmp_path)
    place.rename(tmp_path / "moved")
    start(type(place)("moved"), tmp_path / "out")


def test_a_relative_path_from_another_folder_is_another_file(place, tmp_path, monkeypatch):
    shutil.copytree(place, tmp_path / "other" / "in")
    monkeypatch.chdir(tmp_path)
    start(type(place)("in"), tmp_path / "out")
    monkeypatch.chdir(tmp_path / "other")
    rewrite(tmp_path / "other" / "in" / "train.jsonl")
    with pytest.raises(ValueError, match=f"is {tmp_path}/other/in/train.jsonl now and was {tmp_path}/"):
        start(type(place)("in"), tmp_path / "out")


def test_files_that_are_not_loaded_may_change_and_a_teacher_may_be_gone(place, tmp_path):
    start(place, tmp_path / "out")
    (place / "teacher" / "README.md").write_text("A card.")
    (place / "teacher" / "checkpoint-1").mkdir()
    start(place, tmp_path / "out")
    shutil.rmtree(place / "teacher")
    start(place, tmp_path / "out")


def test_a_folder_of_data_is_compared_file_by_file_without_the_runs_own(place, tmp_path):
    changes = {"dataset_name": place, "train_file": None, "validation_file": None}
    start(place, place / "runs", **changes)
    start(place, place / "runs", **changes)
    save_rows(place / "more.jsonl", 2)
    with pytest.raises(ValueError, match=r"dataset_name .* \(more.jsonl: no such file before, .* bytes now\)"):
        start(place, place / "runs", **changes)


def test_what_was_read_once_is_not_read_again(place, tmp_path, monkeypatch):
    start(place, tmp_path / "out")
    inputs._digests.clear()  # as in another process
    read = []
    monkeypatch.setattr(inputs, "_starts", lambda size, **_: read.append(size) or [0])
    start(place, tmp_path / "out")
    assert not read


def test_of_a_large_folder_blocks_of_every_file_are_compared(place, tmp_path, monkeypatch):
    monkeypatch.setattr(inputs, "_MAX_WHOLE", 100)
    monkeypatch.setattr(inputs, "_BLOCK", 16)
    monkeypatch.setattr(inputs, "_NUM_SAMPLES", 2)
    start(place, tmp_path / "out")
    assert list(inputs._starts(1000, sampled=True)) == [0, 984]
    (place / "train.jsonl").write_text((place / "train.jsonl").read_text() + "\n")
    with pytest.raises(ValueError, match="train_file"):
        start(place, tmp_path / "out")


def test_a_run_of_an_earlier_version_goes_on_with_a_warning(place, tmp_path, caplog):
    start(place, tmp_path / "out")
    (tmp_path / "out" / "inputs.json").unlink()
    (tmp_path / "out" / "checkpoints").mkdir()
    start(place, tmp_path / "out")
    assert "by an earlier version" in caplog.text
    assert json.loads((tmp_path / "out" / "inputs.json").read_text())


@pytest.mark.parametrize(
    "changes", [{"output_dir": "data/run/test-1"}, {"teacher_cache": "data/dev", "cache": "true"}]
)
def test_a_run_does_not_write_into_its_data(changes, place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    data = {"dataset_name": "data", "train_file": None, "validation_file": None}
    with pytest.raises(ValueError, match="lies in the folder of the data set .* name of a split"):
        checked(words(place, changes.pop("output_dir", "out"), **data, **changes))
    assert not list((tmp_path / "data").iterdir())


def test_a_recipe_of_a_user_in_the_output_folder_is_not_overwritten(place, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "recipe.yaml").write_text("# My notes.\nseeds: 3\n")
    with pytest.raises(ValueError, match="written by no run.*Rename yours"):
        start(place, tmp_path / "out")
    assert (tmp_path / "out" / "recipe.yaml").read_text() == "# My notes.\nseeds: 3\n"


@pytest.mark.parametrize("content", ["[]", '{"a": 1}', '{"a": {"setting": "x"}}', "{"])
def test_a_damaged_record_of_inputs_is_refused(content, place, tmp_path):
    start(place, tmp_path / "out")
    (tmp_path / "out" / "inputs.json").write_text(content)
    with pytest.raises(ValueError, match=r"inputs.json (is damaged|should contain JSON)"):
        start(place, tmp_path / "out")


def test_a_hub_model_with_another_commit_is_another_teacher(place, tmp_path, monkeypatch):
    commit = ["a" * 40]
    monkeypatch.setattr(inputs, "try_to_load_from_cache", lambda name, file: f"/hub/snapshots/{commit[0]}/{file}")
    start(place, tmp_path / "out", teacher="someone/teacher")
    start(place, tmp_path / "out", teacher="someone/teacher")
    commit[0] = "b" * 40
    with pytest.raises(ValueError, match="teacher 'someone/teacher' has other content now"):
        start(place, tmp_path / "out", teacher="someone/teacher")
