"""The output folder of a run: one run at a time, nothing of a killed run stays, files of others do."""

import json

import pytest

from distil_nlp.cli.commands import build_cache, main, run
from distil_nlp.internals.locks import LOCK, FolderInUseError, FolderLock
from distil_nlp.recipe.run_folder import RunFolder
from distil_nlp.training.trainer import DistillationTrainer
from tests.recipe.runs import words


@pytest.fixture
def in_use(tmp_path):
    """A folder that another run writes to; a lock of this process excludes others as well."""
    lock = FolderLock(tmp_path / "out")
    assert lock.acquire()
    yield tmp_path / "out"
    lock.release()


@pytest.mark.parametrize("action", [run, build_cache])
def test_a_folder_in_use_is_refused_before_anything_is_written(action, in_use, folder, monkeypatch):
    monkeypatch.setattr(DistillationTrainer, "train", lambda *_, **__: pytest.fail("trained"))
    with pytest.raises(FolderInUseError, match="in use by another run, process [0-9]+ on .*another --output_dir"):
        action(words(folder, in_use))
    assert [path.name for path in in_use.iterdir()] == [LOCK]


def test_the_command_line_says_who_uses_the_folder(in_use, folder):
    with pytest.raises(SystemExit, match="error: .*is in use by another run"):
        main(words(folder, in_use))


def test_a_recipe_with_an_error_leaves_no_folder(folder, tmp_path):
    with pytest.raises(FileNotFoundError):
        run(words(folder, tmp_path / "new" / "out", train_file=folder / "missing.jsonl"))
    assert not list(tmp_path.iterdir())


def test_a_folder_is_free_again_after_an_error(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(DistillationTrainer, "train", lambda *_, **__: 1 / 0)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            run(words(folder, tmp_path / "out"))
    assert LOCK not in [path.name for path in (tmp_path / "out").iterdir()]


def test_what_killed_runs_left_is_deleted_and_files_of_the_user_stay(tmp_path):
    left = RunFolder(tmp_path)
    litter = [
        ".recipe.yaml.0123abcd.part",
        "student/.README.md.0123abcd.part",
        "pseudo_labels/.00000000.json.0123abcd.part",
        ".student.part/model.safetensors",
        ".control-seed43.part/model.safetensors",
        "checkpoints/student/checkpoint-3/optimizer.pt",
    ]
    mine = [
        "checkpoints/student/mine.txt",
        ".notes.part",
        "my.part/model",
        ".data.part/train.csv",
        "notes/.a.json.0123abcd.part",
    ]
    needed = ["checkpoints/control/checkpoint-2/optimizer.pt", "pseudo_labels/00000000.json", "recipe.yaml"]
    for name in [*litter, *mine, *needed, "student/_stage.json"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(json.dumps({}))
    with left.claimed():
        files = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert files == {*mine, *needed, "student/_stage.json", LOCK}
    assert not (tmp_path / ".student.part").exists()
    assert [path.name for path in (tmp_path / "checkpoints" / "student").iterdir()] == ["mine.txt"]


def test_partial_files_of_a_run_that_was_killed_at_its_first_file_are_no_files_of_others(
    folder, tmp_path, monkeypatch
):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".recipe.yaml.0123abcd.part").touch()
    monkeypatch.setattr(DistillationTrainer, "train", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run(words(folder, tmp_path / "out"))


def test_a_finished_run_leaves_no_empty_folder_of_checkpoints(tmp_path):
    left = RunFolder(tmp_path)
    (left.checkpoints("student") / "checkpoint-1").mkdir(parents=True)
    left.finish("student", lambda _: None, {})
    assert [path.name for path in tmp_path.iterdir()] == ["student"]


def test_checkpoints_may_be_a_link_to_another_disk(tmp_path):
    left = RunFolder(tmp_path / "out")
    for name in ("disk", "out"):
        (tmp_path / name).mkdir()
    (tmp_path / "out" / "checkpoints").symlink_to(tmp_path / "disk")
    (left.checkpoints("student") / "checkpoint-1").mkdir(parents=True)
    left.finish("student", lambda _: None, {})
    with left.claimed():
        assert not any((tmp_path / "disk").iterdir()) and left.checkpoints("").is_symlink()


def test_an_unfinished_trial_is_deleted_without_the_files_of_a_user(tmp_path):
    trial = RunFolder(tmp_path)
    trial.write_recipe({"teacher": "x"}, {})
    (tmp_path / "teacher").symlink_to(tmp_path / "nowhere")
    (tmp_path / "mine").symlink_to(tmp_path / "nowhere")
    (tmp_path / "checkpoints" / "student" / "checkpoint-1").mkdir(parents=True)
    (tmp_path / "checkpoints" / "notes.txt").touch()
    (tmp_path / "plot.svg").touch()
    trial.delete()
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == [
        "checkpoints", "checkpoints/notes.txt", "mine", "plot.svg",
    ]  # fmt: skip
