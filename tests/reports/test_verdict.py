"""Each rule of the verdict fires where it should, and only there."""

import pytest

from distil_nlp.reports import Report
from distil_nlp.reports.verdict import verdict
from tests.hub.sample import make_report


@pytest.fixture
def report():
    """Of a run in which all went well."""
    return Report.from_dict(make_report())


def falling(*losses):
    return {"student": [{"loss": loss, "step": step} for step, loss in enumerate(losses)]}


def test_a_clear_gain_is_told_with_quality_speed_and_control(report):
    (sentence,) = verdict(report)
    assert sentence == (
        "The student keeps 99 % of the teacher's accuracy, is 2.0 times as fast and is better than the control by 4.0 "
        "points, which is beyond the noise."
    )


def test_a_gain_comes_before_what_could_be_improved_and_not_beside_a_doubt(report):
    report.training_curves = falling(8, 7, 6, 5, 4, 3, 2, 1)
    gain, advice = verdict(report)
    assert gain.startswith("The student keeps") and "has not finished learning" in advice
    report.of_role("student").most_frequent = 1.0
    assert not any(sentence.startswith("The student keeps") for sentence in verdict(report))


@pytest.mark.parametrize(
    ("student", "teacher", "fires"), [(1.0, 0.4, True), (0.985, 0.5, True), (0.9, 0.4, False), (1.0, 0.99, False)]
)
def test_one_answer_to_everything(student, teacher, fires, report):
    report.of_role("student").most_frequent, report.of_role("teacher").most_frequent = student, teacher
    assert any("The student gives the same answer to" in sentence for sentence in verdict(report)) == fires


@pytest.mark.parametrize(
    ("losses", "evaluations", "fires"),
    [
        ([8, 7, 6, 5, 4, 3, 2, 1], [], True),
        ([8, 7, 6, 5, 4, 3, 2, 1], [3, 2, 1], True),
        ([8, 7, 6, 5, 4, 3, 2, 1], [3, 2, 2.5], False),
        ([8, 4, 2, 1.5, 1.1, 1.1, 1.1, 1.05], [], False),
        ([8, 4, 2, 1], [], False),  # too few to tell
    ],
)
def test_a_student_that_has_not_finished_learning(losses, evaluations, fires, report):
    report.training_curves = falling(*losses)
    report.training_curves["student"] += [{"eval_loss": loss} for loss in evaluations]
    assert any("has not finished learning" in sentence for sentence in verdict(report)) == fires


@pytest.mark.parametrize(("teacher", "fires"), [(0.85, True), (0.91, False)])
def test_a_teacher_that_is_weaker_than_the_control(teacher, fires, report):
    report.of_role("teacher").metrics["accuracy"] = teacher
    assert any("The teacher is weaker than the control" in sentence for sentence in verdict(report)) == fires


@pytest.mark.parametrize(("share", "fires"), [(0.99, True), (0.6, False)])
def test_a_teacher_with_one_answer(share, fires, report):
    report.of_role("teacher").most_frequent = share
    assert any("The teacher gives the same answer to" in sentence for sentence in verdict(report)) == fires


@pytest.mark.parametrize(("teacher", "fires"), [(0.4, True), (0.6, False)])
def test_a_teacher_that_is_weak_itself(teacher, fires, report):
    report.of_role("teacher").metrics["accuracy"] = teacher
    report.of_role("control").metrics["accuracy"] = 0.3
    assert any("The teacher itself is weak: accuracy" in sentence for sentence in verdict(report)) == fires


@pytest.mark.parametrize(
    ("value", "low", "high", "words"),
    [
        (0.04, 0.02, 0.06, None),
        (0.01, -0.01, 0.03, "within the noise"),
        (-0.01, -0.03, 0.01, "The control is as good as the student"),
        (-0.04, -0.06, -0.02, "worse than the control"),
        (None, None, None, "has no interval"),
    ],
)
def test_the_gain_over_the_control(value, low, high, words, report):
    report.differences[1] = type(report.differences[1])("student", "control", "accuracy", value, low, high)
    found = [sentence for sentence in verdict(report) if words is not None and words in sentence]
    assert len(found) == (words is not None) and (len(verdict(report)) == 1)


def test_the_gain_in_a_metric_of_which_less_is_better(report):
    report.differences[1] = type(report.differences[1])("student", "control", "perplexity", -2.0, -3.0, -1.0)
    report.metric = "perplexity"
    assert not any("control" in sentence and "help" in sentence for sentence in verdict(report))
    report.differences[1] = type(report.differences[1])("student", "control", "perplexity", 2.0, 1.0, 3.0)
    assert any("worse than the control" in sentence for sentence in verdict(report))


@pytest.mark.parametrize(("examples", "value", "needed"), [(200, 0.02, "about 1,300"), (200, 0.0499, None)])
def test_an_evaluation_split_that_is_too_small(examples, value, needed, report):
    report.num_examples = examples
    report.differences[1] = type(report.differences[1])(
        "student", "control", "accuracy", value, value - 0.05, value + 0.05
    )
    (sentence,) = (one for one in verdict(report) if "noise" in one)
    if needed:
        assert f"The 200 examples are too few to tell a difference of this size; {needed} would." in sentence
    else:
        assert "about 210 would" in sentence


@pytest.mark.parametrize(
    ("control_ms", "parameters", "fires"), [(12.1, None, True), (11.0, None, False), (20.0, 7, False)]
)
def test_times_of_models_of_one_size_that_are_apart(control_ms, parameters, fires, report):
    control = report.of_role("control")
    control.latency_ms = type(control.latency_ms)(control_ms, 20.0)
    control.parameters = parameters or control.parameters
    assert any("the machine was busy" in sentence for sentence in verdict(report)) == fires


def test_a_report_without_a_teacher_has_no_verdict(report):
    report.models = report.models[1:]
    assert verdict(report) == []
