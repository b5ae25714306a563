"""Schedules of settings: first and last values, descriptions, errors."""

import json

import pytest
import torch

from distil_nlp.objectives import (
    BatchCorrelation,
    ClassCorrelation,
    DecoupledSoftTargets,
    HardLabels,
    LogitMatching,
    NormalizedSoftTargets,
    Objective,
    Schedule,
    SimilarityTargets,
    SoftTargets,
    StandardizedSoftTargets,
    default_objective,
    objective_from,
)
from distil_nlp.signals.base import Signals, SparseTargets

MOVING = {"kd_ratio": 1.0, "kd_ratio_end": 0.0, "temperature": 4.0, "temperature_end": 1.0, "kd_schedule": "linear"}
SINGLE = "single_label_classification"


def weights(objective):
    return {name: term.weight for name, term in zip(objective.names, objective.terms, strict=True)}


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
@pytest.mark.parametrize(("start", "end"), [(4.0, 1.0), (0.0, 1.0), (1.0, 0.0), (0.1, 0.7)])
def test_a_schedule_has_exactly_its_start_and_end_and_their_mean_in_the_middle(start, end, schedule):
    scheduled_values = Schedule(start, end, schedule)
    assert (scheduled_values.at(0.0), scheduled_values.at(1.0)) == (start, end)
    assert scheduled_values.at(0.5) == pytest.approx((start + end) / 2)


def test_a_cosine_schedule_starts_and_ends_slower_than_a_linear_one():
    assert Schedule(0, 1, "cosine").at(0.1) < 0.1 and Schedule(0, 1, "cosine").at(0.9) > 0.9


@pytest.mark.parametrize("progress", [0.0, 0.1, 1 / 3, 0.5, 0.999, 1.0])
@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_hard_labels_weigh_one_minus_a_scheduled_kd_ratio(schedule, progress):
    objective = default_objective(SINGLE, **{**MOVING, "kd_schedule": schedule})
    objective.at_progress(progress)
    assert sum(weights(objective).values()) == pytest.approx(1.0, abs=1e-15)
    assert weights(objective)["soft"] == Schedule(1.0, 0.0, schedule).at(progress)


@pytest.mark.parametrize(("start", "end"), [(1.0, 0.0), (0.0, 1.0)])
def test_a_scheduled_kd_ratio_may_reach_0_and_1(start, end):
    objective = default_objective(SINGLE, kd_ratio=start, kd_ratio_end=end, kd_schedule="linear")
    assert weights(objective) == {"hard": 1 - start, "soft": start}
    objective.at_progress(1.0)
    assert weights(objective) == {"hard": 1 - end, "soft": end}


def test_the_default_start_of_a_schedule_is_the_default_of_the_setting():
    objective = default_objective(SINGLE, temperature_end=1.0, kd_ratio_end=0.0, kd_schedule="linear")
    assert weights(objective) == {"hard": 0.5, "soft": 0.5} and objective.terms[1].temperature == 2.0


def test_the_term_on_the_teachers_number_follows_a_schedule():
    objective = default_objective("regression", kd_ratio_end=0.0, kd_schedule="cosine")
    objective.at_progress(1.0)
    assert isinstance(objective.terms[1], LogitMatching) and weights(objective) == {"hard": 1.0, "logits": 0.0}


@pytest.mark.parametrize(
    "term",
    [
        SoftTargets,
        StandardizedSoftTargets,
        ClassCorrelation,
        DecoupledSoftTargets,
        NormalizedSoftTargets,
        BatchCorrelation,
        SimilarityTargets,
    ],
)
def test_every_term_with_a_temperature_follows_a_schedule(term):
    scheduled_values = term(1.0, temperature=Schedule(4.0, 1.0))
    assert scheduled_values.temperature == 4.0 and "temperature" in scheduled_values.schedules
    scheduled_values.at_progress(1.0)
    assert scheduled_values.temperature == 1.0
    assert "temperature" not in term(1.0, temperature=4.0).schedules


def test_the_loss_uses_the_present_values_of_schedules():
    said = [Signals(torch.randn(4, 3, generator=torch.Generator().manual_seed(seed))) for seed in (0, 1)]
    batch = {"input_ids": torch.ones(4, 6, dtype=torch.long), "labels": torch.tensor([0, 2, 2, 1])}
    scheduled_values = default_objective(SINGLE, **MOVING)
    scheduled_values.at_progress(0.5)
    still = Objective([HardLabels(0.5), SoftTargets(0.5, temperature=2.5)])
    assert (
        scheduled_values(*said, batch, scheduled_values.count([batch]))[0]
        == still(*said, batch, still.count([batch]))[0]
    )


def test_a_schedule_can_be_a_mapping_in_any_term():
    spec = [
        {"hard": {"weight": {"start": 0.2, "end": 1}}},
        {"soft": {"temperature": {"start": 4, "end": 1, "schedule": "cosine"}}},
    ]
    objective = objective_from(spec)
    assert objective.scheduled_values == {"weight/hard": 0.2, "temperature/soft": 4.0}
    objective.at_progress(1.0)
    assert objective.scheduled_values == {"weight/hard": 1.0, "temperature/soft": 1.0}


def test_the_description_of_an_objective_has_the_whole_schedule_at_any_progress():
    objective = default_objective(SINGLE, **MOVING)
    objective.at_progress(0.7)
    hard, soft = json.loads(json.dumps(objective.describe()))
    assert hard["weight"] == {"start": 0.0, "end": 1.0, "schedule": "linear"}
    assert soft["temperature"] == {"start": 4.0, "end": 1.0, "schedule": "linear"}
    assert objective_from([{"soft": {"weight": soft["weight"], "temperature": soft["temperature"]}}, {"hard": {}}])


def test_an_objective_without_schedules_logs_none_and_is_its_own_end():
    objective = default_objective(SINGLE)
    assert objective.scheduled_values == {} and objective.at_end() is objective


def test_the_evaluation_objective_does_not_change_with_progress():
    objective = Objective([HardLabels(Schedule(0.0, 0.6)), HardLabels(0.2), SoftTargets(1.0, temperature=2.0)])
    evaluation = objective.without_teacher()
    assert weights(evaluation) == pytest.approx({"hard": 0.75, "hard_2": 0.25})
    evaluation.at_progress(0.5)
    assert weights(evaluation) == pytest.approx({"hard": 0.75, "hard_2": 0.25})
    assert objective.terms[0].weight == 0.0 and "weight" in objective.terms[0].schedules
    assert weights(objective.at_end()) == pytest.approx({"hard": 0.6, "hard_2": 0.2, "soft": 1.0})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Schedule(1.0, 0.0, "constant"), "schedule must be linear or cosine; got 'constant'. .* plain number"),
        (lambda: Schedule(1.0, float("nan")), "end of a schedule must be a number; got nan"),
        (lambda: Schedule("4", 1.0), "start of a schedule must be a number; got '4'"),
        (lambda: SoftTargets(1.0, temperature={"start": 4}), r"is written \{start: 4, end: 1.*got \{'start': 4\}"),
        (lambda: SoftTargets(1.0, temperature={"start": 4, "stop": 1}), r"is written \{start: 4, end: 1"),
        (lambda: SoftTargets(1.0, temperature=Schedule(4.0, 0.0)), "temperature must lie in 0.001 to 1,000; got 0.0"),
        (lambda: HardLabels(Schedule(1.0, -1.0)), "weight of HardLabels must be 0 or greater; got -1.0"),
        (lambda: Objective([HardLabels(Schedule(1.0, 0.0))]), "a weight above 0 at the end of the training; got"),
        (lambda: Objective([HardLabels(Schedule(0.0, 1.0))]), "a weight above 0; got {'hard': 0.0}"),
        (
            lambda: default_objective("regression", temperature_end=1.0, kd_schedule="linear"),
            "temperature_end=1 would have no effect for problem_type='regression'",
        ),
        (
            lambda: default_objective(SINGLE, kd_ratio_end=0.0, kd_schedule="linear", has_teacher=False),
            "kd_ratio_end=0 would have no effect: there is no teacher",
        ),
    ],
)
def test_an_invalid_schedule_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_sparse_targets_with_a_scheduled_temperature_are_refused_before_the_first_step():
    kept = SparseTargets(torch.zeros(4, 2, dtype=torch.long), torch.full((4, 2), 0.5), None, torch.zeros(4), 4.0, 3)
    batch = {"input_ids": torch.ones(4, 6, dtype=torch.long)}
    objective = Objective([SoftTargets(1.0, temperature=Schedule(4.0, 1.0))])
    with pytest.raises(
        ValueError, match="goes from 4 to 1, and the stored part .* has temperature 4, which cannot change"
    ):
        objective.setup(Signals(torch.zeros(4, 3)), Signals(None, {}, kept), batch)
    assert objective.temperatures == [4.0, 1.0]
