"""Files are written completely or not at all."""

import os
import time
from pathlib import Path

import pytest

from distil_nlp.internals.files import clear_partial_files, flush_folder, read_json, replacing, write_json, write_text
from distil_nlp.recipe.run_folder import RunFolder


def test_a_written_file_exists_and_no_temporary_file_is_left(tmp_path):
    write_text(tmp_path / "new" / "a.txt", "grüße\n")
    assert (tmp_path / "new" / "a.txt").read_text(encoding="utf-8") == "grüße\n"
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.txt"]


def test_a_failed_write_leaves_the_old_file_and_no_temporary_file(tmp_path):
    write_text(tmp_path / "a.txt", "old")
    with pytest.raises(ZeroDivisionError), replacing(tmp_path / "a.txt") as temporary:
        temporary.write_text("half of the n")
        raise ZeroDivisionError
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


def test_until_the_end_the_old_file_is_in_place(tmp_path):
    write_text(tmp_path / "a.txt", "old")
    with replacing(tmp_path / "a.txt") as temporary:
        temporary.write_text("new")
        assert (tmp_path / "a.txt").read_text() == "old"
    assert (tmp_path / "a.txt").read_text() == "new"


@pytest.mark.parametrize(("age_s", "is_kept"), [(10, True), (-10, True), (2 * 3600, False), (-10 * 3600, False)])
def test_the_clock_of_the_file_system_decides_what_is_abandoned(age_s, is_kept, tmp_path, monkeypatch):
    monkeypatch.setattr(time, "time", lambda: 10.0)  # of this machine, set back to 1970
    part = tmp_path / ".a.txt.0123abcd.part"
    part.touch()
    now = part.stat().st_mtime
    os.utime(part, (now - age_s, now - age_s))
    write_text(tmp_path / "a.txt", "new")
    assert part.exists() == is_kept
    clear_partial_files(tmp_path)  # without an age, every one is deleted
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_json_is_read_as_it_was_written(tmp_path):
    value = {"name": "señal", "numbers": [1, 2.5, None], "nested": {"yes": True}}
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json") == value


def test_nan_is_refused_as_json(tmp_path):
    with pytest.raises(ValueError):
        write_json(tmp_path / "a.json", {"loss": float("nan")})
    assert not list(tmp_path.iterdir())


def test_broken_json_is_an_error_that_names_the_file(tmp_path):
    (tmp_path / "a.json").write_text('{"cut": ')
    with pytest.raises(ValueError, match=r"a\.json should contain JSON but does not parse .*line 1"):
        read_json(tmp_path / "a.json")


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    order, flush, replace = [], os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda file: (order.append(os.readlink(f"/proc/self/fd/{file}")), flush(file)))
    monkeypatch.setattr(os, "replace", lambda *paths: (order.append("replace"), replace(*paths)))
    write_text(tmp_path / "a.txt", "new")
    assert order[0].endswith(".part") and order[1:] == ["replace", str(tmp_path)]


def test_a_folder_is_flushed_with_everything_in_it(tmp_path, monkeypatch):
    write_text(tmp_path / "in" / "a.txt", "a")
    write_text(tmp_path / "b.txt", "b")
    flushed = []
    monkeypatch.setattr(os, "fsync", lambda file: flushed.append(os.readlink(f"/proc/self/fd/{file}")))
    flush_folder(tmp_path)
    assert {Path(path).name for path in flushed} == {"a.txt", "b.txt", "in", tmp_path.name}


def test_a_folder_with_the_name_of_a_model_that_no_run_wrote_is_not_replaced(tmp_path):
    folder = RunFolder(tmp_path)
    folder.write_recipe({"teacher": "x"}, {})
    (tmp_path / "teacher_cache").mkdir()
    folder.check({"teacher": "x"}, {})
    (tmp_path / "student").mkdir()
    (tmp_path / "student" / "thesis.txt").touch()
    with pytest.raises(ValueError, match="student has the name of a model of this run, and no run wrote it"):
        folder.check({"teacher": "x"}, {})
