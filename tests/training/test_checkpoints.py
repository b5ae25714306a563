"""Which checkpoint is the newest whole one, which settings fit to it, and projections that go with it."""

import json
import logging
import os
import shutil

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from transformers import TrainingArguments

from distil_nlp.internals.checksums import CHECKSUMS, check_files, mark_unfinished, write_checksums
from distil_nlp.training.checkpoints import (
    begin_checkpoint,
    check_checkpoint,
    check_settings,
    delete_checkpoints,
    delete_unfinished,
    finish_checkpoint,
    last_complete_checkpoint,
    load_renamed,
    training_settings,
)
from distil_nlp.training.projections import Projections
from tests.tiny import tiny_model

FILES = ["model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json"]


def checkpoint(folder, step, state='{"global_step": 1}', *, own=True):
    """A checkpoint with every file; of this package (with checksums) or of Trainer."""
    path = folder / f"checkpoint-{step}"
    path.mkdir(parents=True)
    save_file({"weight": torch.ones(2)}, path / FILES[0])
    for name in FILES[1:4]:
        torch.save({"weight": torch.ones(2)}, path / name)
    if state is not None:
        (path / "trainer_state.json").write_text(state)
    if own:
        write_checksums(path, training_settings(arguments(folder), range(8)))
    return path


def arguments(folder, **changes):
    return TrainingArguments(str(folder), use_cpu=True, report_to=[], **changes)


def cut(path):
    path.write_bytes(path.read_bytes()[:-30])


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_the_newest_checkpoint_is_the_one_of_the_highest_step_whatever_the_clock_was(tmp_path):
    for age, step in enumerate((2, 10, 9)):
        os.utime(checkpoint(tmp_path, step), (1e9 - age * 1e6,) * 2)
    (tmp_path / "checkpoint-final").mkdir()  # not a step
    assert last_complete_checkpoint(tmp_path).name == "checkpoint-10"


@pytest.mark.parametrize("state", [None, "", '{"global_step": 7, "epo'], ids=["missing", "empty", "cut off"])
@pytest.mark.parametrize("own", [True, False])
def test_a_checkpoint_whose_state_is_not_whole_is_passed_over_with_a_warning(state, own, tmp_path, caplog):
    checkpoint(tmp_path, 5)
    checkpoint(tmp_path, 7, state, own=own)
    with caplog.at_level(logging.WARNING, logger="distil_nlp"):
        assert last_complete_checkpoint(tmp_path).name == "checkpoint-5"
    assert "checkpoint-7" in caplog.text and "cut off while it was written" in caplog.text


@pytest.mark.parametrize("own", [True, False], ids=["ours", "of Trainer"])
@pytest.mark.parametrize("damage", [os.unlink, cut], ids=["missing", "cut"])
@pytest.mark.parametrize("name", FILES)
def test_a_checkpoint_that_lacks_a_part_is_passed_over(name, damage, own, tmp_path, caplog):
    checkpoint(tmp_path, 5, own=own)
    damage(checkpoint(tmp_path, 7, '{"global_step": 7, "log_history": [1, 2, 3, 4, 5, 6]}', own=own) / name)
    with caplog.at_level(logging.WARNING, logger="distil_nlp"):
        assert last_complete_checkpoint(tmp_path).name == "checkpoint-5"
    assert "checkpoint-7" in caplog.text
    with pytest.raises(ValueError, match="checkpoint-7"):
        check_checkpoint(tmp_path / "checkpoint-7")


@pytest.mark.parametrize("name", FILES)
def test_a_changed_bit_is_noticed(name, tmp_path):
    flip(checkpoint(tmp_path, 5) / name)
    with pytest.raises(ValueError, match=f"{name} was changed after it was written .CRC-32"):
        check_checkpoint(tmp_path / "checkpoint-5")


def test_damaged_checksums_are_damage(tmp_path):
    cut(checkpoint(tmp_path, 5) / CHECKSUMS)
    changed = checkpoint(tmp_path, 6) / CHECKSUMS
    changed.write_text(changed.read_text().replace('"seed": 42', '"seed": 43'))
    assert last_complete_checkpoint(tmp_path) is None


def test_where_nothing_is_whole_there_is_no_checkpoint(tmp_path):
    assert last_complete_checkpoint(tmp_path) is None
    checkpoint(tmp_path, 1, None)
    assert last_complete_checkpoint(tmp_path) is None
    assert last_complete_checkpoint(tmp_path / "missing") is None


def test_projections_belong_to_a_checkpoint(tmp_path):
    checkpoint(tmp_path, 5)
    assert last_complete_checkpoint(tmp_path, needs_projections=True) is None


def test_a_checkpoint_needs_the_best_one_where_that_is_loaded_at_the_end(tmp_path):
    state = json.dumps({"global_step": 7, "best_global_step": 5, "best_model_checkpoint": "/nowhere/checkpoint-5"})
    checkpoint(tmp_path, 3)
    best, last = checkpoint(tmp_path, 5), checkpoint(tmp_path, 7, state)
    assert last_complete_checkpoint(tmp_path, needs_best=True) == last  # the folder was moved
    flip(best / "model.safetensors")
    assert last_complete_checkpoint(tmp_path) == last
    assert last_complete_checkpoint(tmp_path, needs_best=True).name == "checkpoint-3"
    shutil.rmtree(best)
    assert last_complete_checkpoint(tmp_path, needs_best=True).name == "checkpoint-3"


@pytest.mark.parametrize(
    "changes",
    [
        {"per_device_train_batch_size": 4},
        {"gradient_accumulation_steps": 2},
        {"seed": 1},
        {"data_seed": 1},
        {"dataloader_drop_last": True},
        {"train_sampling_strategy": "group_by_length"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_settings_that_decide_the_rows_of_a_step_may_not_change(changes, tmp_path):
    path = checkpoint(tmp_path, 5)
    check_settings(path, arguments(tmp_path, learning_rate=1.0, max_steps=9, save_steps=3), range(8))
    (name, value), *_ = changes.items()
    with pytest.raises(ValueError, match=f"with other settings: {name} was .* and is '?{value}'?. Rows would be"):
        check_settings(path, arguments(tmp_path, **changes), range(8))
    check_settings(path, arguments(tmp_path, ignore_data_skip=True, **changes), range(8))


def test_the_number_of_examples_and_of_processes_may_not_change(tmp_path):
    path = checkpoint(tmp_path, 5)
    with pytest.raises(ValueError, match="the number of training examples was 8 and is 9"):
        check_settings(path, arguments(tmp_path), range(9))
    write_checksums(path, {**training_settings(arguments(tmp_path), range(8)), "processes": 2})
    with pytest.raises(ValueError, match="the number of processes was 2 and is 1"):
        check_settings(path, arguments(tmp_path), range(8))
    (path / "rng_state.pth").rename(path / "rng_state_0.pth")
    shutil.copy(path / "rng_state_0.pth", path / "rng_state_1.pth")
    (path / CHECKSUMS).unlink()  # a checkpoint of Trainer
    with pytest.raises(ValueError, match="the number of processes was 2 and is 1"):
        check_settings(path, arguments(tmp_path), range(8))


def test_settings_that_choose_the_best_checkpoint_may_not_change_where_it_is_loaded(tmp_path):
    best = {"load_best_model_at_end": True, "eval_strategy": "steps", "eval_steps": 2, "save_steps": 2}
    before = arguments(tmp_path, **best)
    path = checkpoint(tmp_path, 5)
    with pytest.raises(ValueError, match="load_best_model_at_end was False and is True. Rows"):
        check_settings(path, before, range(8))
    write_checksums(path, training_settings(before, range(8)))
    check_settings(path, before, range(8))
    check_settings(path, arguments(tmp_path, save_steps=7), range(8))
    for name, value in (("save_steps", 4), ("metric_for_best_model", "eval_f1")):
        with pytest.raises(ValueError, match=f"{name} was .* and is '?{value}"):
            check_settings(path, arguments(tmp_path, **{**best, name: value}), range(8))
    epochs = {"load_best_model_at_end": True, "eval_strategy": "epoch", "save_strategy": "epoch"}
    write_checksums(path, training_settings(arguments(tmp_path, **epochs), range(8)))
    check_settings(path, arguments(tmp_path, **epochs, save_steps=7, eval_steps=3), range(8))


def test_the_oldest_are_deleted_by_their_steps_and_the_best_is_kept(tmp_path):
    for age, step in enumerate((1, 2, 3, 4, 9)):  # a clock that was set back; 9 was damaged, and passed over
        os.utime(checkpoint(tmp_path, step, own=step != 9), (1e9 - age * 1e6,) * 2)
    settings = training_settings(arguments(tmp_path), range(8))
    finish_checkpoint(tmp_path / "checkpoint-4", settings, limit=2, best=str(tmp_path / "checkpoint-1"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-1", "checkpoint-4", "checkpoint-9"]
    checkpoint(tmp_path, 5)
    finish_checkpoint(tmp_path / "checkpoint-5", settings, limit=1, best=None)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-5", "checkpoint-9"]


def test_what_a_killed_process_began_is_deleted_and_nothing_else(tmp_path):
    mark_unfinished(checkpoint(tmp_path, 5))
    checkpoint(tmp_path, 3)
    checkpoint(tmp_path, 4, None, own=False)  # incomplete, but perhaps not of this package
    delete_unfinished(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-3", "checkpoint-4"]


@pytest.mark.parametrize("delete", [
    lambda folder: delete_checkpoints(folder),
    lambda folder: finish_checkpoint(checkpoint(folder, 9), {}, limit=1, best=None),
])  # fmt: skip
def test_folders_of_a_user_beside_the_checkpoints_stay(delete, tmp_path):
    kept = checkpoint(tmp_path / "elsewhere", 7)
    mine = ["checkpoint-1/thesis.txt", "checkpoint-best/model.safetensors", "checkpoint-07/optimizer.pt", "notes.txt"]
    for name in mine:
        (tmp_path / "run" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "run" / name).touch()
    (tmp_path / "run" / "checkpoint-7").symlink_to(kept)
    checkpoint(tmp_path / "run", 3)
    delete(tmp_path / "run")
    check_checkpoint(kept)
    assert all((tmp_path / "run" / name).is_file() for name in mine)
    assert (tmp_path / "run" / "checkpoint-7").is_symlink() and not (tmp_path / "run" / "checkpoint-3").exists()


def test_a_linked_checkpoint_is_written_again_beside_its_target(tmp_path):
    kept = checkpoint(tmp_path / "elsewhere", 7)
    (tmp_path / "checkpoint-7").symlink_to(kept)
    begin_checkpoint(tmp_path / "checkpoint-7")
    check_checkpoint(kept)
    assert not (tmp_path / "checkpoint-7").is_symlink()


def test_the_card_may_be_edited_and_further_files_added(tmp_path):
    (tmp_path / "README.md").write_text("written")
    (tmp_path / "config.json").write_text("{}")
    write_checksums(tmp_path)
    (tmp_path / "README.md").write_text("edited")
    (tmp_path / "notes.txt").write_text("added")
    check_files(tmp_path)
    (tmp_path / "config.json").write_text("{ }")
    with pytest.raises(ValueError, match="config.json has 3 bytes, and 2 were written"):
        check_files(tmp_path)


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    tiny_model("bert", num_layers=1).save_pretrained(tmp_path / "fewer")
    with pytest.raises(ValueError, match=r"contains 25 weights and lacks 16 of BertForSequenceClassification's"):
        load_renamed(tiny_model("bert"), tmp_path / "fewer")
    tiny_model("bert", hidden_size=8).save_pretrained(tmp_path / "narrow")
    with pytest.raises(ValueError, match=r"contains bert.* with shape \(8,\), and that of .* has shape \(16,\)"):
        load_renamed(tiny_model("bert"), tmp_path / "narrow")
    tied = tiny_model("bert", "mlm")
    tied.save_pretrained(tmp_path / "tied")
    assert load_renamed(tied, tmp_path / "tied") is False  # Trainer loads it


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
