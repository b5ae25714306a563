"""A schedule is a function of the step alone: accumulation, resume and evaluation cannot bend it."""

import pytest

from distil_nlp.objectives import HardLabels, Objective, Schedule, SoftTargets
from tests.training.runs import make_arguments, make_pair, make_rows, make_trainer, same_weights

# 40 rows in batches of 4, two to a step: 5 steps an epoch, 10 in all.
SETTINGS = dict(
    per_device_train_batch_size=4,
    gradient_accumulation_steps=2,
    num_train_epochs=2,
    optim="adamw_torch",
    learning_rate=1e-2,
)
MOVING = dict(kd_ratio=1.0, kd_ratio_end=0.0, temperature=4.0, temperature_end=1.0, kd_schedule="cosine")


class Listening(SoftTargets):
    """Writes down the weight and temperature of every micro-batch."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.heard = []

    def values(self, student, teacher, batch):
        self.heard.append((self.weight, self.temperature))
        return super().values(student, teacher, batch)


def trained(folder, *, objective=None, checkpoint=None, **changes):
    student, teacher = make_pair(dropout=0.1)
    settings = {**SETTINGS, **({} if objective else MOVING), **changes}
    trainer = make_trainer(student, teacher, make_rows(40), folder, objective=objective, **settings)
    trainer.train(resume_from_checkpoint=checkpoint)
    return trainer


def test_all_micro_batches_of_a_step_see_one_value_and_the_ends_are_met(tmp_path):
    listening = Listening(Schedule(1.0, 0.0), temperature=Schedule(4.0, 1.0))
    trained(tmp_path, objective=Objective([HardLabels(Schedule(0.0, 1.0)), listening]))
    heard = listening.heard[1:]  # after the rehearsal
    assert len(heard) == 20 and heard[0::2] == heard[1::2]
    assert heard[0] == (1.0, 4.0) and heard[-1] == (0.0, 1.0)
    assert [weight for weight, _ in heard[0::2]] == pytest.approx([1 - step / 9 for step in range(10)])


@pytest.mark.parametrize("step", [3, 5])
def test_a_resumed_run_with_schedules_ends_bit_identical(step, tmp_path):
    saving = {"save_strategy": "steps", "save_steps": 1}
    whole = trained(tmp_path / "whole", **saving)
    resumed = trained(tmp_path / "cut", checkpoint=str(tmp_path / "whole" / f"checkpoint-{step}"), **saving)
    assert same_weights(resumed.model, whole.model)
    assert resumed.objective.scheduled_values == {"weight/hard": 1.0, "weight/soft": 0.0, "temperature/soft": 1.0}


def test_schedules_change_what_is_learned(tmp_path):
    constant = trained(tmp_path / "constant", temperature_end=None, kd_ratio_end=None, kd_schedule="constant")
    assert not same_weights(constant.model, trained(tmp_path / "scheduled_values").model)


def test_present_values_stand_in_every_line_of_the_log(tmp_path):
    trainer = trained(tmp_path, logging_strategy="steps", logging_steps=1, kd_schedule="linear")
    lines = [line for line in trainer.state.log_history if "loss" in line]
    assert [line["temperature/soft"] for line in lines] == pytest.approx([4 - 3 * step / 9 for step in range(10)])
    assert [line["weight/soft"] + line["weight/hard"] for line in lines] == pytest.approx([1.0] * 10)


def test_a_training_that_does_not_move_logs_no_settings(tmp_path):
    still = {"temperature_end": None, "kd_ratio_end": None, "kd_schedule": "constant"}
    trainer = trained(tmp_path, logging_strategy="steps", logging_steps=1, **still)
    assert not [name for line in trainer.state.log_history for name in line if name.startswith("weight/")]


def test_the_loss_of_an_evaluation_is_the_same_before_and_after_a_schedule_moved(tmp_path):
    for with_teacher in (False, True):
        student, teacher = make_pair()
        changes = {**SETTINGS, **MOVING, "learning_rate": 0.0, "eval_with_teacher": with_teacher}
        trainer = make_trainer(student, teacher, rows := make_rows(16), tmp_path, **changes)
        before = trainer.evaluate(rows)["eval_loss"]
        trainer.train()
        assert trainer.evaluate(rows)["eval_loss"] == before


def test_a_training_of_one_step_takes_the_first_value(tmp_path):
    trainer = trained(tmp_path, max_steps=1)
    assert trainer.objective.scheduled_values["temperature/soft"] == 4.0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature_end": 1.0}, "temperature_end=1 would have no effect: kd_schedule is 'constant'"),
        (
            {"kd_schedule": "linear"},
            "kd_schedule='linear' would have no effect: neither temperature nor kd_ratio has an end",
        ),
        (
            {"kd_schedule": "step", "kd_ratio_end": 0.0},
            "kd_schedule must be one of constant, linear, cosine; got 'step'",
        ),
        ({"kd_schedule": "linear", "kd_ratio_end": 1.5}, "kd_ratio_end must lie in 0 to 1; got 1.5"),
        ({"kd_schedule": "linear", "temperature_end": 0.0}, "temperature_end must lie in 0.001 to 1,000; got 0.0"),
    ],
)
def test_arguments_that_cannot_be_are_refused(settings, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        make_arguments(tmp_path, **settings)


def test_an_objective_beside_a_schedule_is_refused(tmp_path):
    objective = Objective([SoftTargets(1.0, temperature=2.0)])
    with pytest.raises(ValueError, match="Got an objective and temperature_end=1, kd_schedule=linear; these set"):
        trained(tmp_path, objective=objective, temperature_end=1.0, kd_schedule="linear")
