"""An objective is a weighted sum; terms define which items count."""

import json

import pytest
import torch

from distil_nlp.losses import cross_entropy, soft_target_kl
from distil_nlp.objectives import (
    HardLabels,
    HiddenStates,
    LogitMatching,
    Objective,
    SoftTargets,
    Term,
    default_objective,
)
from distil_nlp.signals.base import Signals

DRAW = torch.Generator().manual_seed(0)
OURS, THEIRS = (Signals(2 * torch.randn(4, 3, generator=DRAW)) for _ in range(2))
BATCH = {"input_ids": torch.ones(4, 6, dtype=torch.long), "labels": torch.tensor([0, -100, 2, 1])}


def both(hard=0.25, soft=0.75):
    return Objective([HardLabels(hard), SoftTargets(soft, temperature=3.0)])


def test_the_loss_is_the_weighted_sum_of_means_over_the_items_that_count():
    objective = both()
    loss, parts = objective(OURS, THEIRS, BATCH, objective.count([BATCH]))
    hard = cross_entropy(OURS.logits, BATCH["labels"]).sum() / 3
    soft = soft_target_kl(OURS.logits, THEIRS.logits, temperature=3.0).sum() / 4
    torch.testing.assert_close(parts["loss/hard"], hard)
    torch.testing.assert_close(parts["loss/soft"], soft)
    torch.testing.assert_close(loss, 0.25 * hard + 0.75 * soft)


def test_names_of_terms_are_unique_whatever_the_terms_are_called():
    class Numbered(HardLabels):
        name = "hard_2"

    assert Objective([HardLabels(1.0), HardLabels(1.0), Numbered(1.0), Numbered(1.0)]).names == [
        "hard",
        "hard_2",
        "hard_2_2",
        "hard_2_3",
    ]


def test_counts_are_taken_over_all_batches_for_each_term():
    assert both().count([BATCH, BATCH, {**BATCH, "labels": torch.full((4,), -100)}]).tolist() == [6, 12]


def test_the_losses_of_micro_batches_sum_to_the_loss_of_the_step():
    objective = both()
    halves = [{name: column[part] for name, column in BATCH.items()} for part in (slice(0, 2), slice(2, 4))]
    cuts = [Signals(signals.logits[part]) for signals in (OURS, THEIRS) for part in (slice(0, 2), slice(2, 4))]
    counts = objective.count(halves)
    losses = [objective(cuts[i], cuts[i + 2], halves[i], counts)[0] for i in (0, 1)]
    torch.testing.assert_close(sum(losses), objective(OURS, THEIRS, BATCH, counts)[0])


def test_agreement_is_the_share_of_items_with_the_same_predicted_class():
    objective = both()
    _, parts = objective(OURS, THEIRS, BATCH, objective.count([BATCH]))
    assert parts["agreement"] == (OURS.logits.argmax(-1) == THEIRS.logits.argmax(-1)).float().mean()


def test_logged_values_have_no_gradient():
    objective = both()
    student = Signals(OURS.logits.clone().requires_grad_())
    loss, parts = objective(student, THEIRS, BATCH, objective.count([BATCH]))
    assert loss.requires_grad and not any(part.requires_grad for part in parts.values())


def test_without_teacher_signals_the_terms_that_need_them_are_omitted():
    objective = both()
    loss, parts = objective(OURS, None, BATCH, objective.count([BATCH]))
    assert list(parts) == ["loss/hard"]
    torch.testing.assert_close(loss, 0.25 * parts["loss/hard"])


def test_without_teacher_scales_the_remaining_weights_to_a_sum_of_one():
    objective = Objective([HardLabels(0.1), HardLabels(0.3), SoftTargets(0.6, temperature=1.0)])
    assert [term.weight for term in objective.without_teacher().terms] == pytest.approx([0.25, 0.75])
    assert [term.weight for term in objective.terms] == [0.1, 0.3, 0.6]
    assert Objective([SoftTargets(1.0, temperature=1.0)]).without_teacher() is None


def test_terms_of_one_class_get_unique_names():
    objective = Objective([HiddenStates(1.0, layers=[(str(i), str(2 * i))]) for i in (1, 2, 1)])
    objective.resolve_layers(torch.nn.Module(), torch.nn.Module())
    assert objective.names == ["hidden", "hidden_2", "hidden_3"]
    assert objective.student_taps == ("1", "2") and objective.teacher_taps == ("2", "4")


def test_the_description_of_an_objective_is_json():
    told = json.loads(json.dumps(both().describe()))
    assert [(term["name"], term["weight"]) for term in told] == [("hard", 0.25), ("soft", 0.75)]
    assert told[1]["temperature"] == 3.0 and "Hinton" in told[1]["paper"]


@pytest.mark.parametrize("weight", [-0.1, float("nan")])
def test_a_weight_below_zero_is_refused(weight):
    with pytest.raises(ValueError, match="weight of HardLabels must be 0 or greater.*; got"):
        HardLabels(weight)


@pytest.mark.parametrize("terms", [[], [HardLabels(0.0)]])
def test_an_objective_without_weight_is_refused(terms):
    with pytest.raises(ValueError, match="needs a term with a weight above 0"):
        Objective(terms)


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan")])
def test_a_temperature_that_is_not_above_zero_is_refused(temperature):
    with pytest.raises(ValueError, match="temperature must lie in 0.001 to 1,000"):
        SoftTargets(1.0, temperature=temperature)


def test_an_unknown_problem_type_is_refused():
    with pytest.raises(ValueError, match="problem_type must be one of single_label_.*; got 'ranking'"):
        HardLabels(1.0, problem_type="ranking")


def test_a_term_may_compare_the_items_of_a_batch_with_each_other():
    class Spread(Term):
        name = "spread"

        def items(self, batch):
            return torch.ones(1, dtype=torch.bool)

        def values(self, student, teacher, batch):
            return (student.logits.std() - teacher.logits.std()).square().view(1)

    objective = Objective([Spread(2.0)])
    loss, _ = objective(OURS, THEIRS, BATCH, objective.count([BATCH, BATCH]))
    torch.testing.assert_close(loss, (OURS.logits.std() - THEIRS.logits.std()).square())


# ---- Which items count ----

TOKENS = Signals(torch.zeros(2, 3, 5))
TOKEN_BATCH = {
    "input_ids": torch.ones(2, 3, dtype=torch.long),
    "attention_mask": torch.tensor([[1, 1, 1], [1, 0, 0]]),
}


def soft_items(signals, batch):
    objective = Objective([SoftTargets(1.0, temperature=1.0)])
    objective.setup(signals, signals, batch)
    return objective.terms[0].items(batch).tolist()


def test_every_sequence_counts_for_soft_targets_labeled_or_not():
    assert soft_items(OURS, BATCH) == [True] * 4


def test_every_real_token_counts_for_soft_targets_where_there_are_no_labels():
    assert soft_items(TOKENS, TOKEN_BATCH) == [[True, True, True], [True, False, False]]


def test_every_labeled_token_counts_for_soft_targets_where_there_are_labels():
    batch = {**TOKEN_BATCH, "labels": torch.tensor([[-100, 4, -100], [0, -100, -100]])}
    assert soft_items(TOKENS, batch) == [[False, True, False], [True, False, False]]


@pytest.mark.parametrize(
    ("problem_type", "labels", "expected"),
    [
        ("single_label_classification", torch.tensor([2, -100, 0]), [True, False, True]),
        ("multi_label_classification", torch.tensor([[0.0, 1.0], [-100.0, -100.0]]), [True, False]),
        ("regression", torch.tensor([0.5, float("nan"), -2.0]), [True, False, True]),
    ],
)
def test_rows_whose_label_is_missing_do_not_count_for_hard_labels(problem_type, labels, expected):
    assert HardLabels(1.0, problem_type=problem_type).items({"labels": labels}).tolist() == expected


# ---- The default ----


def weights(objective):
    return dict(zip(objective.names, (term.weight for term in objective.terms), strict=True))


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, {"hard": 0.5, "soft": 0.5}),
        ({"kd_ratio": 0.2}, {"hard": 0.8, "soft": 0.2}),
        ({"kd_ratio": 1.0}, {"soft": 1.0}),
        ({"kd_ratio": 0.0}, {"hard": 1.0}),
        ({"has_labels": False}, {"soft": 1.0}),
        ({"has_teacher": False}, {"hard": 1.0}),
    ],
)
def test_the_default_objective_weighs_soft_targets_with_kd_ratio(settings, expected):
    assert weights(default_objective("single_label_classification", **settings)) == pytest.approx(expected)


def test_the_default_objective_of_a_regression_matches_the_teachers_number():
    objective = default_objective("regression")
    assert weights(objective) == {"hard": 0.5, "logits": 0.5} and isinstance(objective.terms[1], LogitMatching)


def test_a_default_objective_without_teacher_and_labels_is_refused():
    with pytest.raises(ValueError, match="nothing to learn from: no teacher and no 'labels' column"):
        default_objective("regression", has_labels=False, has_teacher=False)
