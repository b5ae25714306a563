"""A teacher and data that recipes can be run on."""

import os
from functools import partial

import pytest

from distil_nlp.evaluation import measure_latency
from distil_nlp.recipe import compare
from distil_nlp.reports import markdown
from tests.recipe.runs import save_model, save_rows


@pytest.fixture(autouse=True, scope="module")
def short_comparison():
    """Time few rounds and draw no report.png: together more than half of a tiny run. Yields the function that draws."""
    draw = markdown._draw
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compare, "measure_latency", partial(measure_latency, min_rounds=2, num_warmup=1))
        patch.setattr(markdown, "_draw", lambda report, path: False)
        yield draw


@pytest.fixture(autouse=True, scope="module")
def no_flushing():
    """Wait for no disk, which takes as long as the training of a tiny run. Tests of the flushing: tests/internals."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda file: None)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recipe")
    save_model(folder / "teacher")
    save_rows(folder / "train.jsonl", 48)
    save_rows(folder / "validation.jsonl", 24, seed=1)
    return folder
