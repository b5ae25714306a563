"""Invariant 4: resume is bit-identical to an uninterrupted run, projections and length-grouped sampling included."""

import shutil

import pytest

from distil_nlp.recipe.callbacks import StopAtEpoch
from distil_nlp.training.checkpoints import last_complete_checkpoint
from tests.training.runs import hint_objective, make_pair, make_rows, make_trainer, same_weights

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


def test_a_checkpoint_cut_off_while_it_was_written_is_passed_over(whole, tmp_path):
    folder, uninterrupted = whole
    for step in (6, 7):
        shutil.copytree(folder / f"checkpoint-{step}", tmp_path / f"checkpoint-{step}")
    (tmp_path / "checkpoint-7" / "trainer_state.json").write_text('{"global_step": 7, "epo')
    assert last_complete_checkpoint(tmp_path).name == "checkpoint-6"
    assert same_weights(trained(tmp_path, checkpoint=True).model, uninterrupted.model)


def test_resuming_where_nothing_was_saved_starts_afresh(whole, tmp_path):
    assert same_weights(trained(tmp_path, checkpoint=True, save_strategy="no").model, whole[1].model)


def test_a_checkpoint_without_its_projections_is_refused(whole, tmp_path):
    shutil.copytree(whole[0] / "checkpoint-3", tmp_path / "checkpoint-3")
    (tmp_path / "checkpoint-3" / "projections.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="contains no projections.safetensors"):
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
