"""Recipes of the package are found, listed and copied by name."""

import pytest

from distil_nlp.internals import recipe_files
from distil_nlp.recipe.yaml_loader import read_yaml_file
from tests.conftest import ROOT


def test_every_recipe_is_listed_with_a_sentence():
    lines = recipe_files.listing().splitlines()
    for path in (ROOT / "recipes").glob("*/*.yaml"):
        (line,) = (line for line in lines if line.split()[:1] == [path.stem] and line in lines_of(lines, path))
        assert len(line.split()) > 4 and len(line) <= 120


def lines_of(lines, path):
    """The lines below the task of a recipe."""
    start = lines.index(path.parent.name.replace("_", " "))
    return lines[start + 1 : lines.index("", start)]


def test_a_recipe_is_found_by_its_name_with_or_without_the_task():
    expected = ROOT / "recipes" / "text_classification" / "sst2.yaml"
    assert recipe_files.resolve("sst2") == recipe_files.resolve("text_classification/sst2") == expected


def test_a_file_comes_before_a_recipe_of_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sst2").write_text("teacher: x")
    assert recipe_files.resolve("sst2") == "sst2" and recipe_files.resolve("missing.yaml") == "missing.yaml"


@pytest.mark.parametrize(
    ("word", "message"),
    [("sst3", "no recipe of the package; the nearest is 'sst2'"), ("fsdd", "audio_classification/fsdd, speech_rec")],
)
def test_a_word_that_is_no_recipe_or_several_is_refused(word, message):
    with pytest.raises(ValueError, match=message):
        recipe_files.resolve(word)


def test_a_recipe_is_copied_once(tmp_path):
    copied = recipe_files.copy("mrpc", tmp_path)
    assert read_yaml_file(copied)["dataset_config_name"] == "mrpc"
    with pytest.raises(FileExistsError, match="would overwrite it"):
        recipe_files.copy("mrpc", tmp_path)
    with pytest.raises(ValueError, match="nearest is 'mrpc'"):
        recipe_files.copy("mrcp", tmp_path)
