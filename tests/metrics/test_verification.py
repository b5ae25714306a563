"""Embeddings are evaluated by all pairs of images, and by the nearest neighbor of each image."""

import warnings

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score, roc_curve
from transformers import EvalPrediction

from distil_nlp.evaluation import Candidate, compare
from distil_nlp.metrics import VerificationEvaluator, verification_metrics
from distil_nlp.metrics.verification import RATES

PEOPLE = np.repeat(np.arange(12), 5)


def embeddings(people=PEOPLE, *, noise=1.0, width=6, seed=0):
    draw = np.random.default_rng(seed)
    return draw.normal(size=(max(people) + 1, width))[people] + noise * draw.normal(size=(len(people), width))


def evaluated(vectors, people=PEOPLE):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # too few pairs for some rate, NaN in embeddings
        evaluator = VerificationEvaluator(people)
        return evaluator.scores(evaluator.statistics(vectors))


def all_pairs(vectors, people=PEOPLE):
    """(is one person, cosine) of every pair of images, one after the other."""
    pairs = []
    for i, first in enumerate(vectors):
        for j, second in enumerate(vectors[:i]):
            cosine = first @ second / np.sqrt((first @ first) * (second @ second))
            pairs.append((people[i] == people[j], cosine))
    return map(np.array, zip(*pairs, strict=True))


@pytest.mark.parametrize("noise", [0.3, 1.0, 3.0])
def test_auc_and_rates_equal_those_of_the_roc_curve_over_all_pairs(noise):
    vectors = embeddings(noise=noise)
    same, cosines = all_pairs(vectors)
    metrics = evaluated(vectors)
    assert metrics["verification_auc"] == pytest.approx(roc_auc_score(same, cosines))
    false, true, _ = roc_curve(same, cosines, drop_intermediate=False)
    for name, rate in RATES.items():
        assert metrics[name] == pytest.approx(true[false <= rate].max())


def test_rank_1_is_the_share_of_images_whose_nearest_other_image_is_of_the_same_person():
    vectors = embeddings(noise=1.5)
    lengths = np.linalg.norm(vectors, axis=1)
    correct = []
    for i, vector in enumerate(vectors):
        others = [j for j in range(len(vectors)) if j != i]
        nearest = max(others, key=lambda j: vector @ vectors[j] / lengths[i] / lengths[j])
        correct.append(PEOPLE[nearest] == PEOPLE[i])
    assert 0 < evaluated(vectors)["rank_1"] == np.mean(correct) < 1


def test_a_person_with_a_single_image_is_no_query_of_rank_1_but_a_candidate():
    people = np.array([0, 0, 1])
    aside = np.array([[1.0, 0.0], [0.0, 1.0], [0.9, 0.2]])
    assert evaluated(aside, people)["rank_1"] == 0.0
    assert evaluated(aside[[0, 0, 1]], people)["rank_1"] == 1.0


def test_ties_count_half_in_the_auc_and_are_rejected_together_at_a_threshold():
    # 3 people with 20 images each, all pairs equal: no threshold separates them, and no pair is accepted.
    same = np.ones((60, 4))
    metrics = evaluated(same, np.repeat(np.arange(3), 20))
    assert (metrics["verification_auc"], metrics["tar_at_far_0.01"], metrics["tar_at_far_0.001"]) == (0.5, 0.0, 0.0)


def test_as_many_impostors_are_accepted_as_the_rate_allows_and_no_more():
    # 1 genuine pair; of 1,000 impostor pairs, 10 are allowed at 1 % and 1 at 0.1 %.
    from distil_nlp.metrics.verification import _true_accept_rate

    impostors = np.arange(1000) / 1000
    assert _true_accept_rate(np.array([0.9895, 0.9885]), impostors, 0.01) == 0.5
    assert _true_accept_rate(np.array([0.9985, 0.9975]), impostors, 0.001) == 0.5
    assert _true_accept_rate(np.array([0.989]), impostors, 0.01) == 0.0  # ties with the first rejected impostor


@pytest.mark.filterwarnings("error")
def test_a_rate_for_which_there_are_too_few_pairs_of_different_people_is_nan_with_a_warning():
    people = np.repeat(np.arange(3), 7)
    with pytest.raises(UserWarning, match=r"tar_at_far_0.001 is nan: there are 147 pairs .* more than 0.1 %.* 1,000"):
        VerificationEvaluator(people)
    metrics = evaluated(embeddings(people), people)
    assert np.isnan(metrics["tar_at_far_0.001"]) and not np.isnan(metrics["tar_at_far_0.01"])


def test_an_image_drawn_twice_is_no_pair_with_itself():
    evaluator = VerificationEvaluator(PEOPLE)
    statistics = evaluator.statistics(embeddings(noise=3.0))
    first_of_each = statistics[np.arange(0, 60, 5)]
    twice = np.concatenate([first_of_each, first_of_each])
    assert np.isnan(evaluator.compute("verification_auc", twice)) and np.isnan(evaluator.compute("rank_1", twice))
    # With every image drawn four times every pair counts sixteen times, which changes no share.
    again = np.concatenate([statistics] * 4)
    for name in ("verification_auc", "rank_1"):
        assert evaluator.compute(name, again) == pytest.approx(evaluator.compute(name, statistics), abs=1e-3)


def test_images_without_a_known_identity_do_not_count():
    people = np.concatenate([PEOPLE, [-100, -100]])
    vectors = embeddings()
    assert evaluated(np.concatenate([vectors, vectors[:2]]), people) == evaluated(vectors)


def test_neither_the_length_of_an_embedding_nor_a_rotation_changes_the_metrics():
    vectors = embeddings()
    turn, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(6, 6)))
    scaled = vectors @ turn * np.linspace(0.1, 9, 60)[:, None]
    assert evaluated(scaled) == pytest.approx(evaluated(vectors))


@pytest.mark.filterwarnings("error")
def test_nan_in_one_embedding_makes_every_metric_nan():
    vectors = embeddings()
    vectors[3] = np.nan
    evaluator = VerificationEvaluator(PEOPLE)
    with pytest.raises(UserWarning, match="1 of 60 embeddings are NaN"):
        evaluator.statistics(vectors)
    assert all(np.isnan(value) for value in evaluated(vectors).values())


def test_the_metrics_during_training_equal_those_of_the_evaluator():
    vectors = embeddings()
    assert verification_metrics(EvalPrediction(vectors, PEOPLE)) == evaluated(vectors)


def test_a_comparison_reports_the_auc_first_with_an_interval_and_agreement_on_the_nearest():
    evaluator = VerificationEvaluator(PEOPLE)
    noisy = {"teacher": 0.5, "student": 1.0, "control": 2.0}
    answers = {role: evaluator.answers(torch.tensor(embeddings(noise=noise)), {}) for role, noise in noisy.items()}
    comparison = compare([Candidate(role, role, [of_role]) for role, of_role in answers.items()], evaluator)
    assert comparison.metric == "verification_auc" and comparison.problem_type == "identity"
    assert comparison.models[0].agreement == 1.0 > comparison.models[1].agreement
    to_control = comparison.differences[1]
    assert 0 < to_control.low < to_control.value < to_control.high
    below_the_verdict = comparison.table().split("\n\n")[1]
    assert below_the_verdict.splitlines()[0].split()[2:6] == ["AUC", "TAR@1%", "TAR@0.1%", "rank-1"]


@pytest.mark.parametrize(
    ("people", "message"),
    [
        ([0, 1, 2], "3 labeled images of 3 people, at most 1 of the same"),
        ([4, 4, 4], "of 1 people"),
        ([-100, -100], "0 labeled images of 0 people"),
        ([[0, 0, 1]], r"shape \(1, 3\)"),
        ([0.0, 0.0, 1.0], "whole numbers.*float64"),
    ],
)
def test_labels_that_allow_no_verification_are_refused(people, message):
    with pytest.raises(ValueError, match=message):
        VerificationEvaluator(np.array(people))


def test_another_number_of_answers_than_images_is_refused():
    with pytest.raises(ValueError, match="one embedding for each of the 60 images"):
        VerificationEvaluator(PEOPLE).statistics(np.zeros((59, 4)))
