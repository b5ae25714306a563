"""The comparison says what was kept, and its report keeps its shape."""

import json

import numpy as np
import pytest
import torch

from distil_nlp.evaluation import Candidate, Latency, compare
from distil_nlp.evaluation.comparison import count_parameters, saved_size
from distil_nlp.metrics import ClassificationEvaluator, score

SINGLE, MULTI, REGRESSION = "single_label_classification", "multi_label_classification", "regression"


@pytest.fixture
def labels():
    return np.random.default_rng(0).integers(3, size=200)


def classes(labels, **settings):
    return ClassificationEvaluator(SINGLE, labels, 3, **settings)


def guesses(labels, accuracy, seed):
    """Logits that are right in about this share of the examples."""
    generator = np.random.default_rng(seed)
    picked = np.where(generator.random(len(labels)) < accuracy, labels, (labels + 1) % 3)
    return np.eye(3)[picked]


@pytest.fixture
def candidates(labels):
    return [
        Candidate("teacher", "big", guesses(labels, 0.9, 1), model=torch.nn.Linear(4, 3)),
        Candidate("student", "small", [guesses(labels, 0.85, seed) for seed in (2, 3)], model=torch.nn.Linear(2, 3)),
        Candidate("control", "alone", [guesses(labels, 0.6, seed) for seed in (4, 5)]),
        Candidate("control", "tf-idf", guesses(labels, 0.65, 6)),
    ]


@pytest.fixture
def comparison(candidates, labels):
    latency = {
        "big": Latency(10.0, 12.0, 100.0, (10.0, 10.0, 12.0)),
        "small": Latency(2.0, 3.0, 700.0, (2.0, 2.0, 3.0)),
    }
    return compare(candidates, classes(labels), latency=latency, seeds=[0, 1], task="toy", command="make toy")


def test_the_report_has_the_keys_of_the_design(comparison):
    report = comparison.to_dict()
    assert {"task", "metric", "models", "differences", "environment", "command", "seeds"} <= report.keys()
    for model in report["models"]:
        assert {"role", "name", "metrics", "kept", "agreement", "parameters", "size_bytes"} <= model.keys()
        assert {"latency_ms", "throughput_per_s"} <= model.keys()
        assert model["latency_ms"] is None or model["latency_ms"].keys() == {"p50", "p95"}
    for difference in report["differences"]:
        assert {"of", "to", "metric", "value", "low", "high"} <= difference.keys()
    json.dumps(report, allow_nan=False)


def test_metrics_are_means_over_seeds_with_their_spread(comparison, candidates, labels):
    student = comparison.to_dict()["models"][1]
    values = [score(SINGLE, logits, labels)["accuracy"] for logits in candidates[1].answers]
    assert student["per_seed"]["accuracy"] == values
    assert student["metrics"]["accuracy"] == pytest.approx(np.mean(values))
    assert student["spread"]["accuracy"] == pytest.approx(np.std(values, ddof=1))


def test_kept_is_the_main_metric_over_the_teachers(comparison):
    teacher, student, *_ = comparison.to_dict()["models"]
    assert teacher["kept"] == 1.0
    assert student["kept"] == student["metrics"]["accuracy"] / teacher["metrics"]["accuracy"]


def test_agreement_is_with_the_teacher_over_all_seeds(comparison, candidates):
    teacher = candidates[0].answers[0].argmax(axis=1)
    shares = [np.mean(logits.argmax(axis=1) == teacher) for logits in candidates[1].answers]
    models = comparison.to_dict()["models"]
    assert models[0]["agreement"] == 1.0
    assert models[1]["agreement"] == pytest.approx(np.mean(shares))


def test_a_student_is_compared_to_the_teacher_of_its_own_seed(labels):
    answers = [guesses(labels, 0.8, seed) for seed in (1, 2)]
    models = compare([Candidate("teacher", "t", answers), Candidate("student", "s", answers)], classes(labels)).models
    assert models[1].agreement == 1.0


def test_the_student_is_compared_to_the_teacher_and_to_each_control(comparison):
    found = comparison.to_dict()["differences"]
    assert [(one["of"], one["to"], one["to_name"]) for one in found] == [
        ("student", "teacher", "big"),
        ("student", "control", "alone"),
        ("student", "control", "tf-idf"),
    ]
    models = {model.name: model.metrics["accuracy"] for model in comparison.models}
    for one in found:
        assert one["value"] == pytest.approx(models["small"] - models[one["to_name"]])
        assert one["low"] <= one["value"] <= one["high"]


def test_a_control_is_not_needed(candidates, labels):
    found = compare(candidates[:2], classes(labels))
    assert [one.to for one in found.differences] == ["teacher"]
    assert "small" in found.table()


def test_what_was_not_measured_is_null_and_a_dash(comparison):
    model = comparison.to_dict()["models"][3]
    assert [model[key] for key in ("parameters", "size_bytes", "latency_ms", "speed_up")] == [None] * 4
    line = next(line for line in comparison.table().splitlines() if "tf-idf" in line)
    assert line.split()[-5:] == ["-"] * 5


def test_a_speed_up_is_over_the_teacher(comparison):
    assert comparison.models[1].speed_up.value == 5.0


def test_another_main_metric_decides_what_was_kept(candidates, labels):
    found = compare(candidates[:2], classes(labels, main_metric="matthews_correlation"))
    teacher, student = found.models
    assert found.metric == "matthews_correlation" == found.differences[0].metric
    assert student.retention == student.metrics[found.metric] / teacher.metrics[found.metric]


def test_examples_without_a_label_count_for_agreement_only(candidates, labels):
    hidden = np.where(np.arange(200) < 50, -100, labels)
    found = compare(candidates[:2], classes(hidden))
    whole = compare(candidates[:2], classes(labels))
    assert found.num_examples == 150
    assert found.models[1].agreement == whole.models[1].agreement
    shown = [Candidate(one.role, one.name, [logits[50:] for logits in one.answers]) for one in candidates[:2]]
    assert found.models[1].metrics == compare(shown, classes(labels[50:])).models[1].metrics


def test_regression_has_no_agreement():
    generator = np.random.default_rng(0)
    labels = generator.normal(size=60)
    noisy = [(labels + generator.normal(size=60) * noise)[:, None] for noise in (0.1, 0.5)]
    found = compare(
        [Candidate("teacher", "t", noisy[0]), Candidate("student", "s", noisy[1])],
        ClassificationEvaluator(REGRESSION, labels, 1),
    )
    assert [model.agreement for model in found.models] == [None, None]
    assert found.differences[0].low <= found.differences[0].value < 0


def test_sets_of_labels_agree_when_they_are_the_same_set():
    labels = np.array([[0, 1], [1, 0], [1, 1], [0, 0]])
    teacher = labels - 0.5
    student = teacher.copy()
    student[0, 0] = 0.5
    found = compare(
        [Candidate("teacher", "t", teacher), Candidate("student", "s", student)],
        ClassificationEvaluator(MULTI, labels, 2),
    )
    assert found.models[1].agreement == 0.75


def test_a_model_that_gave_nan_is_in_the_report_without_numbers(candidates, labels):
    broken = Candidate("student", "broken", np.full((200, 3), np.nan))
    with pytest.warns(UserWarning, match="200 of 200 rows of logits contain NaN"):
        report = compare([candidates[0], broken], classes(labels)).to_dict()
    model, difference = report["models"][1], report["differences"][0]
    assert [model["metrics"]["accuracy"], model["kept"], model["agreement"], difference["low"]] == [None] * 4
    json.dumps(report, allow_nan=False)


def test_nothing_is_kept_of_a_teacher_below_zero():
    labels = np.arange(10.0)
    pair = [Candidate("teacher", "t", -labels[:, None]), Candidate("student", "s", labels[:, None])]
    assert compare(pair, ClassificationEvaluator(REGRESSION, labels, 1)).models[1].retention is None


@pytest.mark.parametrize(
    ("roles", "message"),
    [(["student", "control"], r"got 0 \(student, control\)"), (["teacher", "teacher"], r"got 2 \(teacher, teacher\)")],
)
def test_a_comparison_has_one_teacher(labels, roles, message):
    candidates = [Candidate(role, str(index), guesses(labels, 0.5, 0)) for index, role in enumerate(roles)]
    with pytest.raises(ValueError, match=message):
        compare(candidates, classes(labels))


def test_a_name_twice_is_refused(labels):
    pair = [Candidate(role, "bert", guesses(labels, 0.5, 0)) for role in ("teacher", "student")]
    with pytest.raises(ValueError, match=r"a unique name.*\['bert', 'bert'\]"):
        compare(pair, classes(labels))


def test_answers_to_other_examples_are_refused(candidates, labels):
    short = Candidate("student", "short", np.zeros((150, 3)))
    with pytest.raises(ValueError, match=r"'short' should have 200 answers per seed.*got 150\."):
        compare([candidates[0], short], classes(labels))


def test_logits_of_other_classes_are_refused(candidates, labels):
    other = Candidate("student", "other", np.zeros((200, 4)))
    with pytest.raises(ValueError, match=r"answers of 'other'.*should have 3 columns.*\(200, 4\)"):
        compare([candidates[0], other], classes(labels))


def test_a_contender_without_answers_is_refused():
    with pytest.raises(ValueError, match="'small' needs the answers of one seed or more"):
        Candidate("student", "small", [])


def test_a_latency_of_nobody_is_refused(candidates, labels):
    with pytest.raises(ValueError, match="latency for 'smal', which is not a candidate; the nearest is 'small'"):
        compare(candidates, classes(labels), latency={"smal": Latency(1.0, 1.0, 1.0)})


def test_seeds_that_do_not_match_are_refused(labels):
    pair = [
        Candidate("teacher", "t", [guesses(labels, 0.9, 0)] * 2),
        Candidate("student", "s", [guesses(labels, 0.8, 0)] * 3),
    ]
    with pytest.raises(ValueError, match="teacher has 2 seeds and 's' has 3"):
        compare(pair, classes(labels))


def test_an_unknown_role_is_answered_with_the_nearest(labels):
    with pytest.raises(ValueError, match="got 'students'; the nearest is 'student'"):
        Candidate("students", "s", guesses(labels, 0.5, 0))


@pytest.mark.parametrize("architecture", ["bert", "distilbert"])
def test_the_size_is_that_of_the_saved_tensors(make_model, tmp_path, architecture):
    model = make_model(architecture)
    model.save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    header = int.from_bytes(path.read_bytes()[:8], "little")
    assert saved_size(model) == path.stat().st_size - 8 - header


def test_tied_weights_are_counted_once(tmp_path):
    model = torch.nn.Module()
    model.embedding, model.output = torch.nn.Embedding(10, 4), torch.nn.Linear(4, 10, bias=False)
    model.output.weight = model.embedding.weight
    assert (count_parameters(model), saved_size(model)) == (40, 160)
