"""After training: a comparison, a card, a push."""

import pytest

from tests.training.runs import make_pair, make_rows, make_trainer


def test_compare_shows_teacher_and_student_on_the_evaluation_data(tmp_path):
    rows = make_rows(24)
    trainer = make_trainer(*make_pair(), rows, tmp_path)
    comparison = trainer.compare(rows, seconds=0.1)
    roles = {model["role"]: model for model in comparison.to_dict()["models"]}
    logits = trainer.predict(rows).predictions
    right = sum(int(row.argmax()) == label for row, label in zip(logits, rows["labels"], strict=True)) / 24
    assert roles["student"]["metrics"]["accuracy"] == pytest.approx(right)
    assert roles["teacher"]["kept"] == 1 and 0 <= roles["student"]["agreement"] <= 1
    assert roles["student"]["latency_ms"]["p50"] > 0 and "teacher" in str(comparison)


def test_compare_without_a_teacher_is_refused(tmp_path):
    trainer = make_trainer(make_pair()[0], None, rows := make_rows(8), tmp_path)
    with pytest.raises(ValueError, match="needs a teacher and labeled data; got teacher=None"):
        trainer.compare(rows)


def test_a_card_of_a_student_without_a_teacher_is_refused(tmp_path):
    student, teacher = make_pair()
    trainer = make_trainer(student, None, rows := make_rows(8), tmp_path)
    trainer.compare(rows, teacher=teacher, seconds=0.1)
    with pytest.raises(ValueError, match=r"was trained without one \(teacher=None\)"):
        trainer.create_model_card()


def test_the_card_of_a_trainer_names_teacher_objective_and_figures(tmp_path):
    rows = make_rows(24)
    trainer = make_trainer(*make_pair(), rows, tmp_path, temperature=3.0)
    trainer.compare(rows, seconds=0.1)
    trainer.create_model_card()
    card = (tmp_path / "README.md").read_text()
    assert "Hinton" in card and "knowledge-distillation" in card and "teacher" in card


def test_the_training_curves_are_in_the_report_of_the_comparison(tmp_path):
    rows = make_rows(16)
    trainer = make_trainer(*make_pair(), rows, tmp_path, logging_strategy="steps", logging_steps=1)
    trainer.train()
    report = trainer.compare(rows, seconds=0.1)
    lines = report.to_dict()["training_curves"]["student"]
    assert [line["step"] for line in lines if "loss" in line] == [1, 2]
    assert {"loss", "loss/hard", "loss/soft", "learning_rate", "epoch"} <= lines[0].keys()
    assert [term["name"] for term in report.objective] == ["hard", "soft"]


@pytest.mark.parametrize(
    ("setting", "argument", "expected"),
    [(None, True, True), (True, None, True), (True, False, False), (None, None, None)],
)
def test_a_private_push_is_private_by_argument_and_by_setting(tmp_path, monkeypatch, setting, argument, expected):
    trainer = make_trainer(*make_pair(), make_rows(), tmp_path, hub_private_repo=setting)
    calls = []
    monkeypatch.setattr("distil_nlp.training.reporting.push_to_hub", lambda *args, **settings: calls.append(settings))
    monkeypatch.setattr(trainer, "create_model_card", lambda **settings: None)
    trainer.push_to_hub(private=argument)
    assert calls[0]["private"] is expected
