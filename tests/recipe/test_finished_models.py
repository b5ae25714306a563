"""Finished models of a run are not used after their files were damaged."""

import json

import pytest

from distil_nlp.recipe.run_folder import RunFolder

RECORD = {"steps": 1, "seconds": 1.0, "objective": [], "log_history": []}


def save(folder):
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(bytes(100))


def test_a_finished_model_is_used_only_as_it_was_written(tmp_path):
    RunFolder(tmp_path).finish("student", save, RECORD)
    (tmp_path / "student" / "README.md").write_text("The card is written later.")
    assert RunFolder(tmp_path).finished("student") == tmp_path / "student"
    assert RunFolder(tmp_path).finished("teacher") is None
    (tmp_path / "student" / "model.safetensors").write_bytes(bytes(99) + b"1")
    with pytest.raises(
        ValueError, match="safetensors was changed .*finished model 'student'.* trains the model again"
    ):
        RunFolder(tmp_path).finished("student")
    (tmp_path / "student" / "_checksums.json").unlink()
    assert RunFolder(tmp_path).finished("student")


def test_a_model_is_trained_again_in_the_place_of_a_damaged_one(tmp_path):
    folder = RunFolder(tmp_path)
    folder.finish("student", save, RECORD)
    folder.finish("student", lambda path: (path / "config.json").write_text(json.dumps({"new": 1})), RECORD)
    assert RunFolder(tmp_path).finished("student")


@pytest.mark.parametrize("selects", [True, False])
def test_the_steps_of_saving_may_change_unless_they_choose_the_model(selects, tmp_path):
    settings = {"save_steps": 5, **({"load_best_model_at_end": True} if selects else {})}
    RunFolder(tmp_path).write_recipe(settings, {})
    RunFolder(tmp_path).check(settings, {})
    if selects:
        with pytest.raises(ValueError, match="save_steps was 5 and is 7"):
            RunFolder(tmp_path).check({**settings, "save_steps": 7}, {})
    else:
        RunFolder(tmp_path).check({**settings, "save_steps": 7}, {})
