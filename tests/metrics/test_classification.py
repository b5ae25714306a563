"""Metrics agree with scikit-learn and scipy, and say so when they are undefined."""

import evaluate
import numpy as np
import pytest
from pytest import approx
from scipy import stats
from sklearn import metrics as sklearn_metrics
from transformers import EvalPrediction

from distil_nlp.evaluation import F1, Accuracy, Agreement, MatthewsCorrelation, PearsonSpearman
from distil_nlp.metrics import ClassificationEvaluator, compute_metrics, metrics_for, score

SINGLE, MULTI, REGRESSION = "single_label_classification", "multi_label_classification", "regression"


@pytest.fixture
def random():
    return np.random.default_rng(0)


@pytest.mark.parametrize("num_rows", [1, 3, 200])
@pytest.mark.parametrize("num_labels", [2, 5])
def test_single_label_scores_equal_scikit_learns(random, num_labels, num_rows):
    logits, labels = random.normal(size=(num_rows, num_labels)), random.integers(num_labels, size=num_rows)
    predictions = logits.argmax(axis=1)
    average, f1 = ("binary", "f1") if num_labels == 2 else ("macro", "f1_macro")
    assert score(SINGLE, logits, labels) == approx({
        "accuracy": sklearn_metrics.accuracy_score(labels, predictions),
        f1: sklearn_metrics.f1_score(labels, predictions, average=average, zero_division=0),
        "matthews_correlation": sklearn_metrics.matthews_corrcoef(labels, predictions),
    })  # fmt: skip


@pytest.mark.parametrize("picked", [0, 1])
def test_constant_predictions_score_as_in_scikit_learn(random, picked):
    logits, labels = np.eye(2)[np.full(50, picked)], random.integers(2, size=50)
    predictions = logits.argmax(axis=1)
    assert score(SINGLE, logits, labels) == approx({
        "accuracy": np.mean(labels == picked),
        "f1": sklearn_metrics.f1_score(labels, predictions, zero_division=0),
        "matthews_correlation": 0.0,
    })  # fmt: skip


def test_multi_label_scores_equal_scikit_learns_at_a_probability_of_one_half(random):
    logits, labels = random.normal(size=(200, 4)), random.integers(2, size=(200, 4)).astype(np.float32)
    logits[:, 3] = labels[:, 3] = -1
    labels[:, 3] = 0
    predictions = 1 / (1 + np.exp(-logits)) > 0.5
    assert score(MULTI, logits, labels) == approx({
        "f1_micro": sklearn_metrics.f1_score(labels, predictions, average="micro"),
        "f1_macro": sklearn_metrics.f1_score(labels, predictions, average="macro", zero_division=0),
        "exact_match": sklearn_metrics.accuracy_score(labels, predictions),
    })  # fmt: skip


@pytest.mark.parametrize("shape", [(200,), (200, 1)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_regression_scores_equal_scipys_also_with_ties(random, shape, dtype):
    logits = random.normal(size=200).round(1).astype(dtype)
    labels = logits + random.normal(size=200).astype(dtype)
    assert score(REGRESSION, logits.reshape(shape), labels) == approx({
        "pearson": stats.pearsonr(logits, labels).statistic,
        "spearmanr": stats.spearmanr(logits, labels).statistic,
    }, rel=1e-6 if dtype == np.float32 else 1e-12)  # fmt: skip


@pytest.mark.parametrize(
    ("problem_type", "logits", "labels", "missing"),
    [
        (SINGLE, np.eye(3), [0, 1, 1], -100),
        (MULTI, np.eye(3) - 0.5, [[1, 0, 0], [0, 1, 1], [0, 0, 1]], [-100, -100, -100]),
        (REGRESSION, np.array([[1.0], [2.0], [4.0]]), [1.0, 3.0, 2.0], np.nan),
    ],
)
def test_a_row_without_a_label_changes_no_score(problem_type, logits, labels, missing):
    with_missing = np.concatenate([np.array([missing]), labels])
    with_row = np.concatenate([logits[:1] * 9 - 5, logits])
    assert score(problem_type, with_row, with_missing) == score(problem_type, logits, np.array(labels))


def test_a_data_set_without_labels_is_refused():
    with pytest.raises(ValueError, match="None of the 4 rows has a label"):
        score(SINGLE, np.zeros((4, 2)), np.full(4, -100))


def test_a_partly_labeled_row_is_refused():
    with pytest.raises(ValueError, match=r"Row 1 of the labels mixes -100 with labels \(\[-100, 1\]\)"):
        score(MULTI, np.zeros((2, 2)), np.array([[0, 1], [-100, 1]]))


def test_labels_beyond_the_classes_are_refused():
    with pytest.raises(ValueError, match="whole numbers from 0 to 1, for 2 columns of logits; got 4"):
        score(SINGLE, np.zeros((3, 2)), np.array([0, 1, 4]))


def test_logits_of_one_column_are_refused_for_classification():
    with pytest.raises(ValueError, match=r"shape \(3, 1\) do not fit single_label_classification"):
        score(SINGLE, np.zeros((3, 1)), np.array([0, 1, 1]))


def test_another_number_of_labels_than_logits_is_refused():
    with pytest.raises(ValueError, match="3 rows of logits and 2 labels"):
        score(SINGLE, np.zeros((3, 2)), np.array([0, 1]))


def test_the_correlation_of_constant_predictions_is_nan_and_not_zero():
    with pytest.warns(
        UserWarning, match="Pearson correlation of 3 rows is undefined because all predictions are equal"
    ):
        values = score(REGRESSION, np.ones((3, 1)), np.array([1.0, 2.0, 3.0]))
    assert np.isnan(list(values.values())).all()


def test_nan_in_the_logits_makes_every_metric_nan():
    logits = np.array([[1.0, 0.0], [np.nan, np.nan]])
    with pytest.warns(UserWarning, match="1 of 2 rows of logits contain NaN"):
        values = score(SINGLE, logits, np.array([0, 0]))
    assert np.isnan(values["accuracy"])


def test_the_main_metric_can_be_chosen():
    labels = np.array([0, 1])
    assert ClassificationEvaluator(SINGLE, labels, 2).main == "accuracy"
    chosen = ClassificationEvaluator(SINGLE, labels, 2, main_metric="f1")
    assert (chosen.names, chosen.main) == (["accuracy", "f1", "matthews_correlation"], "f1")


def test_an_unknown_main_metric_is_refused_with_the_nearest_name():
    with pytest.raises(ValueError, match="got 'matthews'; the nearest is 'matthews_correlation'"):
        ClassificationEvaluator(SINGLE, np.array([0, 1]), 2, main_metric="matthews")


@pytest.mark.parametrize("problem_type", [SINGLE, MULTI, REGRESSION])
def test_a_metric_with_per_example_values_is_their_mean(problem_type, random):
    labels = {
        SINGLE: random.integers(3, size=50),
        MULTI: random.integers(2, size=(50, 3)),
        REGRESSION: np.arange(50.0),
    }
    num_labels = 1 if problem_type == REGRESSION else 3
    evaluator = ClassificationEvaluator(problem_type, labels[problem_type], num_labels)
    statistics = evaluator.statistics(list(random.normal(size=(50, num_labels))))
    means = {name: evaluator.per_example(name, statistics) for name in evaluator.names}
    means = {name: np.mean(values) for name, values in means.items() if values is not None}
    assert means == {name: evaluator.compute(name, statistics) for name in means}
    assert list(means) == {SINGLE: ["accuracy"], MULTI: ["exact_match"], REGRESSION: []}[problem_type]


def test_an_unknown_problem_type_is_refused_with_the_nearest_name():
    with pytest.raises(ValueError, match="got 'multi_label'; the nearest is 'multi_label_classification'"):
        metrics_for("multi_label", 2)


def test_trainer_metrics_take_the_logits_out_of_a_tuple():
    logits, labels = np.eye(3), np.array([0, 1, 1])
    prediction = EvalPrediction(predictions=(logits, np.zeros((3, 8))), label_ids=(labels, np.zeros(3)))
    assert compute_metrics(SINGLE)(prediction) == score(SINGLE, logits, labels)


def test_metric_objects_equal_scikit_learn(random):
    predictions, references = random.integers(3, size=(2, 100))
    given = {"predictions": predictions, "references": references}
    assert Accuracy().compute(**given) == {"accuracy": sklearn_metrics.accuracy_score(references, predictions)}
    assert MatthewsCorrelation().compute(**given) == approx(
        {"matthews_correlation": sklearn_metrics.matthews_corrcoef(references, predictions)}
    )
    assert Agreement().compute(**given) == {"agreement": np.mean(predictions == references)}


@pytest.mark.parametrize(
    ("num_labels", "given", "average"),
    [(2, None, "binary"), (3, None, "macro"), (2, "macro", "macro"), (3, "micro", "micro")],
)
def test_f1_is_scikit_learns_binary_for_two_classes_and_macro_for_more(random, num_labels, given, average):
    predictions, references = random.integers(num_labels, size=(2, 100))
    found = F1().compute(predictions=predictions, references=references, average=given)
    assert found == approx({"f1": sklearn_metrics.f1_score(references, predictions, average=average)})


def test_an_unknown_average_is_refused_with_the_nearest_name():
    with pytest.raises(ValueError, match="got 'marco'; the nearest is 'macro'"):
        F1().compute(predictions=[0, 1], references=[0, 1], average="marco")


def test_metric_objects_refuse_rows_without_a_label():
    with pytest.raises(ValueError, match="Accuracy takes classes from 0; got -100"):
        Accuracy().compute(predictions=[0, 1], references=[0, -100])


def test_pearson_and_spearman_equal_scipys(random):
    predictions, references = random.normal(size=(2, 100))
    assert PearsonSpearman().compute(predictions=predictions, references=references) == approx({
        "pearson": stats.pearsonr(predictions, references).statistic,
        "spearmanr": stats.spearmanr(predictions, references).statistic,
    })  # fmt: skip


@pytest.mark.parametrize("metric", [Accuracy("multilabel"), F1("multilabel")])
def test_metric_objects_take_sets_of_labels(random, metric):
    predictions, references = random.integers(2, size=(2, 100, 4))
    expected = {
        "accuracy": sklearn_metrics.accuracy_score(references, predictions),
        "f1": sklearn_metrics.f1_score(references, predictions, average="micro"),
    }
    assert metric.compute(predictions=predictions, references=references) == approx(
        {metric.name: expected[metric.name]}
    )


def test_batches_add_up_to_the_whole_and_are_forgotten_afterwards(random):
    predictions, references = random.integers(2, size=(2, 90))
    metric = MatthewsCorrelation()
    for _ in range(2):
        for start in range(0, 90, 30):
            part = slice(start, start + 30)
            metric.add_batch(predictions=predictions[part], references=references[part])
        expected = sklearn_metrics.matthews_corrcoef(references, predictions)
        assert metric.compute() == approx({"matthews_correlation": expected})


def test_metrics_combine(random):
    predictions, references = random.integers(2, size=(2, 90))
    combined = evaluate.combine([Accuracy(), F1(), Agreement()])
    values = combined.compute(predictions=predictions, references=references)
    assert values.keys() == {"accuracy", "f1", "agreement"}
    assert values["accuracy"] == values["agreement"] == np.mean(predictions == references)
