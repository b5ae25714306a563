"""Gradients of one optimizer step do not depend on how the step is cut, and are those of the loss on paper."""

import functools

import pytest
import torch

from . import by_hand
from .runs import (
    FIRST_LAYER,
    Gradients,
    hint_objective,
    in_float64,
    make_pair,
    make_rows,
    make_trainer,
    objective_of,
    relative_difference,
    step_gradients,
)

# Name -> the problem, and what is special about the rows.
CASES = {
    "single label": ("single_label_classification", {}),
    "pairs": ("single_label_classification", {"pairs": True}),
    "multi-label": ("multi_label_classification", {}),
    "regression": ("regression", {}),
    "token": ("token", {}),
    "unlabeled": ("none", {}),
    "a third labeled": ("single_label_classification", {"labeled": lambda row: row % 3 == 0}),
    "labels in the first micro-batch only": ("single_label_classification", {"labeled": lambda row: row < 5}),
    "multi-label, a third labeled": ("multi_label_classification", {"labeled": lambda row: row % 3 == 0}),
    "regression, a third labeled": ("regression", {"labeled": lambda row: row % 3 == 0}),
}
cases = pytest.mark.parametrize("case", CASES)
architectures = pytest.mark.parametrize("architecture", FIRST_LAYER)
# Another architecture changes the forward pass, not what is counted: a case of each shape of labels. The others: slow.
IN_EVERY_ARCHITECTURE = {"pairs", "token", "multi-label, a third labeled"}


def models_and_rows(architecture, case):
    problem, special = CASES[case]
    return in_float64(make_pair(architecture, problem=problem)), make_rows(problem=problem, **special)


@functools.cache
def expected_gradients(architecture, case):
    (student, teacher), rows = models_and_rows(architecture, case)
    return by_hand.gradients(student, teacher, rows, CASES[case][0])


@pytest.mark.parametrize(
    ("architecture", "case"),
    [
        pytest.param(
            architecture,
            case,
            marks=[] if architecture == "bert" or case in IN_EVERY_ARCHITECTURE else pytest.mark.slow,
        )
        for architecture in FIRST_LAYER
        for case in CASES
    ],
)
def test_the_gradients_of_four_micro_batches_are_those_of_the_loss_by_hand(architecture, case, tmp_path):
    models, rows = models_and_rows(architecture, case)
    found = step_gradients(*models, rows, tmp_path, num_micro_batches=4)
    assert relative_difference(found["student"], expected_gradients(architecture, case)) < 1e-9


@pytest.mark.parametrize("num_micro_batches", [1, 2])
@cases
def test_the_gradients_of_fewer_micro_batches_are_the_same(case, num_micro_batches, tmp_path):
    models, rows = models_and_rows("bert", case)
    found = step_gradients(*models, rows, tmp_path, num_micro_batches=num_micro_batches)
    assert relative_difference(found["student"], expected_gradients("bert", case)) < 1e-9


@pytest.mark.parametrize("problem", ["single_label_classification", "none"])
@architectures
def test_the_gradients_of_a_projection_do_not_depend_on_how_a_step_is_cut(architecture, problem, tmp_path):
    rows = make_rows(problem=problem, labeled=lambda row: row % 3 == 0)
    whole, halves, quarters = (
        step_gradients(
            *in_float64(make_pair(architecture)),
            rows,
            tmp_path,
            objective=hint_objective(architecture, problem=problem),
            num_micro_batches=number,
        )
        for number in (1, 2, 4)
    )
    assert len(whole["objective"]) == 1
    for part in ("student", "objective"):
        assert relative_difference(halves[part], whole[part]) < 1e-9
        assert relative_difference(quarters[part], whole[part]) < 1e-9


def test_in_float32_cutting_a_step_changes_gradients_by_rounding_only(tmp_path):
    whole, quarters = (
        step_gradients(*make_pair(), make_rows(), tmp_path, num_micro_batches=number)["student"] for number in (1, 4)
    )
    assert relative_difference(quarters, whole) < 1e-6


@pytest.mark.parametrize(("kd_ratio", "temperature"), [(0.0, None), (0.25, 4.0), (1.0, 1.0)])
def test_kd_ratio_and_temperature_weigh_the_gradients_as_they_say(kd_ratio, temperature, tmp_path):
    rows, (student, teacher) = make_rows(), in_float64(make_pair())
    expected = by_hand.gradients(
        student, teacher, rows, "single_label_classification", kd_ratio=kd_ratio, temperature=temperature or 2.0
    )
    found = step_gradients(student, teacher, rows, tmp_path, kd_ratio=kd_ratio, temperature=temperature)
    assert relative_difference(found["student"], expected) < 1e-9


def test_an_incomplete_last_step_is_divided_by_what_it_holds(tmp_path):
    # 10 rows in micro-batches of 4, 4 and 2: the second step of two micro-batches holds a single one of 2 rows.
    rows, (student, teacher) = make_rows(10), in_float64(make_pair())
    recorder = Gradients()
    settings = {"train_sampling_strategy": "sequential", "learning_rate": 0.0, "gradient_accumulation_steps": 2}
    trainer = make_trainer(
        student, teacher, rows, tmp_path, callbacks=[recorder], per_device_train_batch_size=4, **settings
    )
    recorder.trainer = trainer
    trainer.train()
    for step, members in zip(recorder.steps, (range(8), range(8, 10)), strict=True):
        expected = by_hand.gradients(student, teacher, rows.select(members), "single_label_classification")
        assert relative_difference(step["student"], expected) < 1e-9


def test_projections_are_cleared_between_steps(tmp_path):
    # The same rows twice at a learning rate of 0: the second step's gradients repeat the first's.
    recorder = Gradients()
    trainer = make_trainer(
        *make_pair(),
        make_rows(16),
        tmp_path,
        objective=hint_objective(),
        callbacks=[recorder],
        train_sampling_strategy="sequential",
        per_device_train_batch_size=8,
        gradient_accumulation_steps=2,
        num_train_epochs=2,
        learning_rate=0.0,
    )
    recorder.trainer = trainer
    trainer.train()
    first, second = (step["objective"] for step in recorder.steps)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_clipping_looks_at_student_and_projections_together(tmp_path):
    free = step_gradients(*make_pair(), make_rows(8), tmp_path, objective=hint_objective(weight=50.0))
    clipped = step_gradients(
        *make_pair(), make_rows(8), tmp_path, objective=hint_objective(weight=50.0), max_grad_norm=1.0
    )
    norm = torch.cat([grad.flatten() for part in free.values() for grad in part.values()]).norm()
    assert norm > 2
    for part, gradients in free.items():
        for name, gradient in gradients.items():
            torch.testing.assert_close(clipped[part][name], gradient / norm, rtol=1e-4, atol=1e-7)


@pytest.mark.filterwarnings("ignore:.gradient_checkpointing_enable. is deprecated:FutureWarning")
@pytest.mark.parametrize("architecture", ["bert", "distilbert", "modernbert"])
@pytest.mark.parametrize("make_objective", [hint_objective, lambda architecture: objective_of("relations")])
def test_gradient_checkpointing_changes_no_gradient_of_a_layer(make_objective, architecture, tmp_path):
    gradients = []
    for checkpointing in (False, True):
        student, teacher = in_float64(make_pair(architecture))
        if checkpointing:
            student.gradient_checkpointing_enable()
        gradients.append(
            step_gradients(student, teacher, make_rows(8), tmp_path, objective=make_objective(architecture))
        )
    for part in [part for part, weights in gradients[0].items() if weights]:
        assert relative_difference(gradients[1][part], gradients[0][part]) < 1e-9
