"""Invariant 5: evaluation and predict return logits only; evaluation does not run the teacher unless asked."""

import numpy as np
import pytest
import torch

from distil_nlp.losses import soft_target_kl
from distil_nlp.teachers import OnlineTeacher
from distil_nlp.training.arguments import DistillationTrainingArguments
from distil_nlp.training.trainer import DistillationTrainer
from tests.tiny import tiny_tokenizer
from tests.training.runs import PROBLEMS, hint_objective, make_arguments, make_pair, make_rows, make_trainer


class Counted(OnlineTeacher):
    """Counts how often it is asked."""

    asked = 0

    def __call__(self, batch):
        self.asked += 1
        return super().__call__(batch)


def evaluated(tmp_path, rows, **changes):
    student, model = make_pair()
    teacher = Counted(model)
    trainer = make_trainer(student, teacher, rows, tmp_path, objective=hint_objective(), **changes)
    teacher.asked = 0
    return teacher, trainer, trainer.evaluate(rows)


@pytest.mark.parametrize("problem", [*PROBLEMS, "token"])
def test_predict_returns_the_logits_alone_in_the_order_of_the_data(problem, tmp_path):
    rows = make_rows(21, problem=problem, lengths=(5, 5) if problem == "token" else (3, 20))
    student, teacher = make_pair(problem=problem)
    trainer = make_trainer(student, teacher, rows, tmp_path)
    logits = trainer.predict(rows).predictions
    assert isinstance(logits, np.ndarray)
    batch = next(trainer._batches_of(rows, range(21)))
    with torch.no_grad():
        direct = student.eval()(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    np.testing.assert_allclose(logits, direct, atol=1e-5)


def test_predict_returns_no_features_even_where_the_objective_listens_to_layers(tmp_path):
    rows = make_rows(8)
    trainer = make_trainer(*make_pair(), rows, tmp_path, objective=hint_objective())
    assert trainer.predict(rows).predictions.shape == (8, 3)


def test_evaluation_does_not_ask_the_teacher(tmp_path):
    teacher, trainer, metrics = evaluated(tmp_path, make_rows(16))
    assert teacher.asked == 0
    assert "eval_agreement" not in metrics


def test_the_evaluation_loss_without_the_teacher_is_the_cross_entropy(tmp_path):
    rows = make_rows(16)
    _, trainer, metrics = evaluated(tmp_path, rows)
    batch = next(trainer._batches_of(rows, range(16)))
    with torch.no_grad():
        logits = trainer.model.eval()(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    expected = torch.nn.functional.cross_entropy(logits, batch["labels"])
    assert metrics["eval_loss"] == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("problem", [*PROBLEMS, "token"])
def test_losses_and_agreement_do_not_depend_on_the_batches_of_an_evaluation(problem, tmp_path):
    labeled = None if problem == "token" else lambda row: row in (0, 11, 12)  # of the tokens, some have none anyway
    rows = make_rows(13, problem=problem, labeled=labeled)
    student, teacher = make_pair(problem=problem)
    found = []
    for size, data in [(13, rows), (1, rows), (4, rows), (4, rows.select(range(12, -1, -1)))]:
        settings = {"per_device_eval_batch_size": size, "eval_with_teacher": True}
        objective = None if problem != "single_label_classification" else hint_objective()
        trainer = make_trainer(student, teacher, data, tmp_path, objective=objective, **settings)
        found.append(trainer.evaluate(data))
    names = [name for name in found[0] if "loss" in name or "agreement" in name]
    assert {"eval_loss", "eval_loss/hard"} < set(names)
    for metrics in found[1:]:
        assert [metrics[name] for name in names] == pytest.approx([found[0][name] for name in names], rel=1e-4)


def test_the_evaluation_loss_is_the_mean_over_the_labeled_examples(tmp_path):
    rows = make_rows(16, labeled=lambda row: row >= 12)
    _, trainer, metrics = evaluated(tmp_path, rows, per_device_eval_batch_size=8)
    batch = next(trainer._batches_of(rows, range(12, 16)))
    with torch.no_grad():
        logits = trainer.model.eval()(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    expected = torch.nn.functional.cross_entropy(logits, batch["labels"])
    assert metrics["eval_loss"] == pytest.approx(expected.item(), rel=1e-5)


def test_examples_without_a_label_have_no_evaluation_loss(tmp_path, caplog):
    _, _, metrics = evaluated(tmp_path, make_rows(8, labeled=lambda row: False))
    assert "eval_loss" not in metrics and "No evaluation example has a label" in caplog.text


def test_the_log_of_a_training_has_means_over_the_items_of_all_its_steps(tmp_path):
    rows = make_rows(12, labeled=lambda row: row in (8, 9, 11))  # none in the first step
    settings = dict(logging_strategy="epoch", train_sampling_strategy="sequential", learning_rate=0.0)
    trainer = make_trainer(*make_pair(), rows, tmp_path, **settings)
    trainer.train()
    line = next(line for line in trainer.state.log_history if "loss" in line)
    metrics = trainer.evaluate(rows)
    assert line["loss/hard"] == pytest.approx(metrics["eval_loss"], rel=1e-4)
    batch = next(trainer._batches_of(rows, range(12)))
    with torch.no_grad():
        ours = trainer.model.eval()(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    same = ours.argmax(-1) == trainer.teacher(batch).logits.argmax(-1)
    assert line["agreement"] == pytest.approx(same.float().mean().item())


def test_evaluation_asks_the_teacher_where_it_is_told_to_and_reports_agreement(tmp_path):
    rows = make_rows(16)
    teacher, trainer, metrics = evaluated(tmp_path, rows, eval_with_teacher=True)
    assert teacher.asked > 0
    batch = next(trainer._batches_of(rows, range(16)))
    with torch.no_grad():
        ours = trainer.model.eval()(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    agreement = (ours.argmax(-1) == teacher(batch).logits.argmax(-1)).float().mean().item()
    assert metrics["eval_agreement"] == pytest.approx(agreement)
    assert {"eval_loss/hard", "eval_loss/soft", "eval_loss/hidden"} <= metrics.keys()


def test_unlabeled_rows_can_be_predicted_and_evaluated(tmp_path):
    rows = make_rows(8, problem="none")
    trainer = make_trainer(*make_pair(), rows, tmp_path)
    assert trainer.predict(rows).predictions.shape == (8, 3)
    assert "eval_loss" not in trainer.evaluate(rows)


def test_unlabeled_rows_are_compared_with_the_teacher_where_it_is_asked(tmp_path):
    rows = make_rows(8, problem="none")
    student, teacher = make_pair()
    trainer = make_trainer(student, teacher, rows, tmp_path, eval_with_teacher=True)
    metrics = trainer.evaluate(rows)
    batch = next(trainer._batches_of(rows, range(8)))
    with torch.no_grad():
        ours = student.eval()(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    theirs = trainer.teacher(batch).logits
    expected = soft_target_kl(ours, theirs, temperature=2.0).mean().item()
    assert metrics["eval_loss"] == pytest.approx(expected, rel=1e-4) == metrics["eval_loss/soft"]
    assert metrics["eval_agreement"] == (ours.argmax(-1) == theirs.argmax(-1)).float().mean().item()


def test_every_term_agreement_and_the_teachers_share_of_time_are_logged(tmp_path):
    rows = make_rows(16)
    student, teacher = make_pair()
    settings = dict(logging_strategy="steps", logging_steps=1, per_device_train_batch_size=8)
    trainer = make_trainer(
        student, teacher, rows, tmp_path, gradient_accumulation_steps=2, learning_rate=0.0, **settings
    )
    trainer.train()
    line = next(line for line in trainer.state.log_history if "loss" in line)
    batch = next(trainer._batches_of(rows, range(16)))
    with torch.no_grad():
        ours = student.eval()(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    theirs = trainer.teacher(batch).logits
    soft = torch.nn.functional.kl_div(
        (ours / 2).log_softmax(-1), (theirs / 2).log_softmax(-1), log_target=True, reduction="batchmean"
    )
    assert line["loss/hard"] == pytest.approx(
        torch.nn.functional.cross_entropy(ours, batch["labels"]).item(), rel=1e-4
    )
    assert line["loss/soft"] == pytest.approx(4 * soft.item(), rel=1e-4)
    assert line["loss"] == pytest.approx((line["loss/hard"] + line["loss/soft"]) / 2, rel=1e-4)
    assert line["agreement"] == pytest.approx((ours.argmax(-1) == theirs.argmax(-1)).float().mean().item())
    assert 0 < line["teacher_time_share"] < 1


class Plain(torch.nn.Module):
    """Ten lines that return logits."""

    def __init__(self, width):
        super().__init__()
        self.embedding = torch.nn.Embedding(64, width)
        self.head = torch.nn.Linear(width, 3)

    def forward(self, input_ids, attention_mask):
        mask = attention_mask.unsqueeze(-1)
        return self.head((self.embedding(input_ids) * mask).sum(1) / mask.sum(1))


def test_a_pair_of_plain_modules_trains_evaluates_and_predicts(tmp_path):
    rows, student = make_rows(16), Plain(4)
    before = student.head.weight.detach().clone()
    trainer = make_trainer(student, Plain(8), rows, tmp_path)
    trainer.train()
    assert not torch.equal(student.head.weight, before)
    assert trainer.evaluate(rows)["eval_loss"] > 0 and trainer.predict(rows).predictions.shape == (16, 3)


@pytest.mark.parametrize("how", ["autocast", "weights"])
def test_a_run_in_bfloat16_trains_and_evaluates_near_the_one_in_float32(how, tmp_path):
    rows, found = make_rows(16), []
    for half in (False, True):
        student, teacher = make_pair()
        if half and how == "weights":
            student, teacher = student.bfloat16(), teacher.bfloat16()
        settings = {"bf16": half and how == "autocast", "eval_with_teacher": True}
        trainer = make_trainer(student, teacher, rows, tmp_path, objective=hint_objective(), **settings)
        trainer.train()
        found.append(trainer.evaluate(rows))
    for name in ("eval_loss", "eval_loss/hard", "eval_loss/soft", "eval_loss/hidden"):
        assert found[1][name] == pytest.approx(found[0][name], rel=0.1)


def test_an_iterable_data_set_trains(tmp_path):
    rows = make_rows(16).to_iterable_dataset()
    student, teacher = make_pair()
    trainer = DistillationTrainer(
        student,
        teacher,
        make_arguments(tmp_path, max_steps=2, num_train_epochs=1),
        train_dataset=rows,
        processing_class=tiny_tokenizer(),
    )
    trainer.train()
    assert trainer.state.global_step == 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kd_ratio": 1.5}, "kd_ratio must lie in 0 to 1; got 1.5"),
        ({"temperature": 0.0}, "temperature must lie in 0.001 to 1,000; got 0.0"),
        ({"label_smoothing_factor": 0.1}, "label_smoothing_factor=0.1 would have no effect"),
        ({"teacher_dtype": "int8"}, "teacher_dtype must be one of .*'int8'"),
    ],
)
def test_arguments_that_cannot_be_are_refused(settings, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        DistillationTrainingArguments(str(tmp_path), **settings)
