"""Embeddings are evaluated by the correlation of cosines with gold scores."""

import numpy as np
import pytest
import torch
from scipy.stats import pearsonr, spearmanr
from transformers import EvalPrediction

from distil_nlp.evaluation import Candidate, compare
from distil_nlp.metrics import SimilarityEvaluator, similarity_metrics
from distil_nlp.metrics.similarity import pair_cosines


def embeddings(num_pairs=30, width=5, seed=0):
    return torch.randn(2 * num_pairs, width, generator=torch.Generator().manual_seed(seed))


SCORES = np.linspace(0, 1, 30)


def evaluated(vectors, scores=SCORES):
    evaluator = SimilarityEvaluator(scores)
    return evaluator.scores(evaluator.statistics(evaluator.answers(vectors, {})))


def test_the_metrics_are_the_correlations_of_cosines_with_scores():
    vectors = embeddings()
    cosines = torch.cosine_similarity(vectors[0::2], vectors[1::2]).numpy()
    metrics = evaluated(vectors)
    assert metrics["spearmanr"] == pytest.approx(spearmanr(cosines, SCORES).statistic)
    assert metrics["pearson"] == pytest.approx(pearsonr(cosines, SCORES).statistic)
    assert SimilarityEvaluator(SCORES).main == "spearmanr"


def test_a_pair_without_a_score_does_not_count():
    scores = SCORES.copy()
    scores[10:] = np.nan
    assert evaluated(embeddings(), scores) == evaluated(embeddings()[:20], SCORES[:10])


def test_a_vector_of_length_0_has_cosine_0_with_all():
    assert pair_cosines(np.array([[0.0, 0.0], [1.0, 0.0]])).tolist() == [0.0]


@pytest.mark.filterwarnings("error")
def test_nan_in_one_embedding_makes_every_metric_nan():
    vectors = embeddings()
    vectors[3] = float("nan")
    with pytest.raises(UserWarning, match="1 of 30 cosines are NaN"):
        evaluated(vectors)


def test_the_metrics_during_training_equal_those_of_the_evaluator():
    vectors = embeddings().numpy()
    for predictions in (vectors, vectors.reshape(30, 2, 5)):
        assert similarity_metrics(EvalPrediction(predictions, SCORES)) == evaluated(torch.tensor(vectors))


def test_a_comparison_of_embeddings_has_an_interval_and_no_agreement():
    evaluator = SimilarityEvaluator(SCORES)
    answers = {role: evaluator.answers(embeddings(seed=seed), {}) for seed, role in enumerate(["teacher", "student"])}
    comparison = compare([Candidate(role, role, of_role) for role, of_role in answers.items()], evaluator)
    assert comparison.metric == "spearmanr" and comparison.problem_type == "embedding"
    assert all(model.agreement is None for model in comparison.models)
    assert comparison.differences[0].low < comparison.differences[0].high


@pytest.mark.parametrize(
    ("scores", "message"),
    [([np.nan, np.nan], "None of the 2 pairs has a score"), ([[0.1, 0.2]], r"shape \(pairs,\).*got \(1, 2\)")],
)
def test_scores_that_cannot_be_used_are_refused(scores, message):
    with pytest.raises(ValueError, match=message):
        SimilarityEvaluator(scores)


def test_another_number_of_answers_than_pairs_is_refused():
    with pytest.raises(ValueError, match="one cosine for each of the 30 pairs"):
        SimilarityEvaluator(SCORES).statistics(np.zeros(29))
