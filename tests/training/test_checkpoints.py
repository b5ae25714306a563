"""Which checkpoint is the newest whole one, and projections that go with it."""

import logging

import pytest
import torch
from torch import nn

from distil_nlp.training.checkpoints import last_complete_checkpoint
from distil_nlp.training.projections import Projections


def checkpoint(folder, step, state='{"global_step": 1}'):
    path = folder / f"checkpoint-{step}"
    path.mkdir()
    if state is not None:
        (path / "trainer_state.json").write_text(state)
    return path


def test_the_newest_checkpoint_is_the_one_of_the_highest_step(tmp_path):
    for step in (2, 10, 9):
        checkpoint(tmp_path, step)
    assert last_complete_checkpoint(tmp_path).name == "checkpoint-10"


@pytest.mark.parametrize("state", [None, "", '{"global_step": 7, "epo'], ids=["missing", "empty", "cut off"])
def test_a_checkpoint_whose_state_is_not_whole_is_passed_over_with_a_warning(state, tmp_path, caplog):
    checkpoint(tmp_path, 5)
    checkpoint(tmp_path, 7, state)
    with caplog.at_level(logging.WARNING, logger="distil_nlp"):
        assert last_complete_checkpoint(tmp_path).name == "checkpoint-5"
    assert "checkpoint-7 was cut off while it was written" in caplog.text


def test_where_nothing_is_whole_there_is_no_checkpoint(tmp_path):
    assert last_complete_checkpoint(tmp_path) is None
    checkpoint(tmp_path, 1, None)
    assert last_complete_checkpoint(tmp_path) is None
    assert last_complete_checkpoint(tmp_path / "missing") is None


def test_projections_come_back_bit_identical(tmp_path):
    torch.manual_seed(0)
    saved, loaded = nn.Linear(3, 5), nn.Linear(3, 5)
    Projections(saved).save(tmp_path)
    Projections(loaded).load(tmp_path)
    assert torch.equal(loaded.weight, saved.weight) and torch.equal(loaded.bias, saved.bias)


def test_an_objective_without_weights_writes_and_needs_no_file(tmp_path):
    Projections(nn.Identity()).save(tmp_path)
    Projections(nn.Identity()).load(tmp_path)
    assert not list(tmp_path.iterdir())


def test_missing_projections_are_an_error_that_names_them(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"contains no projections.safetensors.*2 weights .*\(weight, bias\)"):
        Projections(nn.Linear(3, 5)).load(tmp_path)
