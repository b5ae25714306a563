"""A teacher and data that recipes can be run on."""

import pytest

from tests.recipe.runs import save_model, save_rows


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recipe")
    save_model(folder / "teacher")
    save_rows(folder / "train.jsonl", 48)
    save_rows(folder / "validation.jsonl", 24, seed=1)
    return folder
