"""Invariant 4: resume is bit-identical to an uninterrupted run, projections and length-grouped sampling included."""

import logging
import re
import shutil

import pytest

from distil_nlp.internals.checksums import mark_unfinished
from distil_nlp.recipe.callbacks import StopAtEpoch
from distil_nlp.training.trainer import DistillationTrainer
from tests.tiny import tiny_model, tiny_tokenizer
from tests.training.runs import hint_objective, make_arguments, make_pair, make_rows, make_trainer, same_weights

# 40 rows in batches of 4, two to a step: 5 steps an epoch, 15 in all.
SETTINGS = dict(
    per_device_train_batch_size=4,
    gradient_accumulation_steps=2,
    num_train_epochs=3,
    optim="adamw_torch",
    learning_rate=1e-2,
    lr_scheduler_type="linear",
    max_grad_norm=1.0,
    save_strategy="steps",
    save_steps=1,
)


def trained(folder, *, checkpoint=None, **changes):
    student, teacher = make_pair(dropout=0.1)
    settings = {**SETTINGS, **changes}
    trainer = make_trainer(student, teacher, make_rows(40), folder, objective=hint_objective(), **settings)
    trainer.train(resume_from_checkpoint=checkpoint)
    return trainer


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return folder, trained(folder)


@pytest.mark.parametrize("step", [3, 5, 7, 14])
def test_a_run_resumed_at_any_step_ends_bit_identical(step, whole, tmp_path):
    folder, uninterrupted = whole
    resumed = trained(tmp_path, checkpoint=str(folder / f"checkpoint-{step}"))
    assert resumed.state.global_step == 15
    assert same_weights(resumed.model, uninterrupted.model)
    assert same_weights(resumed.objective, uninterrupted.objective)


@pytest.mark.parametrize("end", [{"max_steps": 7}, {"num_train_epochs": 1.4}, {"callbacks": [StopAtEpoch(1.4)]}])
def test_a_run_resumed_at_its_end_takes_no_step_more(end, tmp_path):
    whole = trained(tmp_path / "whole", **end)
    assert whole.state.global_step == 7
    resumed = trained(tmp_path / "again", checkpoint=str(tmp_path / "whole" / "checkpoint-7"), **end)
    assert resumed.state.global_step == 7 and same_weights(resumed.model, whole.model)


def test_a_damaged_checkpoint_is_passed_over_and_a_half_written_one_deleted(whole, tmp_path, caplog):
    folder, uninterrupted = whole
    for step in (6, 7, 8):
        shutil.copytree(folder / f"checkpoint-{step}", tmp_path / f"checkpoint-{step}")
    optimizer = tmp_path / "checkpoint-7" / "optimizer.pt"
    optimizer.write_bytes(optimizer.read_bytes()[:-100])
    mark_unfinished(tmp_path / "checkpoint-8")
    with caplog.at_level(logging.WARNING, logger="distil_nlp"):
        resumed = trained(tmp_path, checkpoint=True, save_strategy="no")
    assert "checkpoint-8 was cut off while it was written. The checkpoint before" in caplog.text
    assert re.search(r"optimizer.pt has [\d,]+ bytes, and [\d,]+ were written. The checkpoint before", caplog.text)
    assert same_weights(resumed.model, uninterrupted.model)
    assert same_weights(resumed.objective, uninterrupted.objective)
    assert not (tmp_path / "checkpoint-8").exists()
    with pytest.raises(ValueError, match="optimizer.pt has"):
        trained(tmp_path, checkpoint=str(tmp_path / "checkpoint-7"))


@pytest.mark.parametrize("checkpoint", ["checkpoint-3", True])
def test_other_batches_than_before_the_interruption_are_refused(checkpoint, whole, tmp_path):
    shutil.copytree(whole[0] / "checkpoint-3", tmp_path / "checkpoint-3")
    checkpoint = checkpoint if checkpoint is True else str(tmp_path / checkpoint)
    with pytest.raises(
        ValueError, match="gradient_accumulation_steps was 2 and is 1. Rows would be repeated or left out"
    ):
        trained(tmp_path, checkpoint=checkpoint, gradient_accumulation_steps=1)


def test_the_best_checkpoint_is_found_after_the_folder_was_moved(tmp_path):
    best = dict(load_best_model_at_end=True, eval_strategy="steps", eval_steps=1, max_steps=3, save_total_limit=1)
    trainer = DistillationTrainer(
        tiny_model(num_layers=1),
        args=make_arguments(tmp_path / "a", save_strategy="steps", save_steps=1, learning_rate=0.5, **best),
        train_dataset=make_rows(16),
        eval_dataset=make_rows(8),
        processing_class=tiny_tokenizer(),
    )
    trainer.train()
    (tmp_path / "a").rename(tmp_path / "b")
    newest = trainer._checkpoint_to_resume(str(tmp_path / "b" / "checkpoint-3"))
    trainer._init_training_state(3, 2, 2, newest, None)
    found = tmp_path / "b" / f"checkpoint-{trainer.state.best_global_step}"
    assert trainer.state.best_model_checkpoint == str(found) and found.is_dir()


def test_resuming_where_nothing_was_saved_starts_afresh(whole, tmp_path):
    assert same_weights(trained(tmp_path, checkpoint=True, save_strategy="no").model, whole[1].model)


def test_a_checkpoint_without_its_projections_is_refused(whole, tmp_path):
    shutil.copytree(whole[0] / "checkpoint-3", tmp_path / "checkpoint-3")
    (tmp_path / "checkpoint-3" / "projections.safetensors").unlink()
    with pytest.raises(ValueError, match="contains no projections.safetensors, so the projections would be lost"):
        trained(tmp_path / "run", checkpoint=str(tmp_path / "checkpoint-3"))


def test_the_best_model_comes_back_with_its_projections(tmp_path):
    student, teacher = make_pair()
    trainer = make_trainer(
        student,
        teacher,
        rows := make_rows(16),
        tmp_path,
        objective=hint_objective(),
        save_strategy="steps",
        save_steps=1,
        learning_rate=0.5,
    )
    trainer.train()
    trainer.state.best_model_checkpoint = str(tmp_path / "checkpoint-1")
    last = {name: weight.clone() for name, weight in trainer.objective.state_dict().items()}
    trainer._load_best_model()
    assert len(rows) == 16 and not same_weights(trainer.objective, last)
