"""A problem kind that the package does not have is added through the public hooks alone, and trained.

The kind: ordinal regression. Labels are levels 0 to 3 in an order, and the logits are those of "above level 0", "above
level 1", "above level 2" (Cao et al. 2020, "Rank Consistent Ordinal Regression for Neural Networks", section 3).
"""

import numpy as np
import pytest
import torch

from distil_nlp.losses import soft_target_bce
from distil_nlp.metrics import Evaluator
from distil_nlp.metrics.default import EVALUATORS, default_evaluator, register_evaluator
from distil_nlp.objectives import KindObjective, default_objective, register_kind_objective
from distil_nlp.objectives.kind_objectives import KIND_OBJECTIVES
from distil_nlp.signals.problem_kinds import PROBLEM_KINDS, ProblemKind, problem_kind_of, register_problem_kind
from distil_nlp.teachers.ensemble import TeacherEnsemble
from tests.training.runs import make_pair, make_rows, make_trainer

NUM_LEVELS = 4


def ordinal_loss(logits, labels):
    """Binary cross-entropy of "the label is above level k", averaged over the levels, per item; 0 where missing."""
    is_above = (labels.unsqueeze(1) > torch.arange(NUM_LEVELS - 1)).to(logits.dtype)
    values = torch.nn.functional.binary_cross_entropy_with_logits(logits, is_above, reduction="none").mean(1)
    return values.masked_fill(labels < 0, 0)


def same_level(student, teacher):
    return ((student.logits > 0).sum(-1) == (teacher.logits > 0).sum(-1)).float()


class OrdinalLevels(Evaluator):
    def __init__(self, labels):
        super().__init__(["accuracy"], num_rows=len(labels), num_examples=len(labels), problem_type="ordinal")
        self._labels = labels

    def statistics(self, answers):
        return np.column_stack([(np.asarray(answers) > 0).sum(axis=1), self._labels])

    def compute(self, name, facts):
        return float(np.mean(facts[:, 0] == facts[:, 1]))

    def agreement(self, student_answers, teacher_answers):
        levels = [(np.asarray(answers) > 0).sum(axis=1) for answers in (student_answers, teacher_answers)]
        return float(np.mean(levels[0] == levels[1]))


@pytest.fixture(autouse=True)
def ordinal_kind():
    """One row in each table; the tables are restored afterwards."""
    register_problem_kind(
        ProblemKind(
            "ordinal",
            labels="whole numbers, one per item, -100 where missing",
            is_labeled=lambda labels: labels >= 0,
            labels_fit=lambda labels: not labels.is_floating_point(),
            config_field="num_levels",
            named_classes=False,
            averaging="sigmoid",
        )
    )
    register_kind_objective(
        "ordinal", KindObjective(hard_loss=ordinal_loss, soft_loss=soft_target_bce, agreement=same_level)
    )
    register_evaluator("ordinal", lambda labels, num_classes: OrdinalLevels(np.concatenate(labels)))
    yield
    for table in (PROBLEM_KINDS, KIND_OBJECTIVES, EVALUATORS):
        del table["ordinal"]


def ordinal_rows(num_rows=32, num_labeled=24):
    """Rows whose level is the share of large token ids, so that it can be learned; some without a label."""
    rows = make_rows(num_rows, problem="none")
    levels = [min(NUM_LEVELS - 1, int(NUM_LEVELS * np.mean(np.array(ids) > 34))) for ids in rows["input_ids"]]
    return rows.add_column("labels", [level if i < num_labeled else -100 for i, level in enumerate(levels)])


def ordinal_pair():
    pair = make_pair(num_labels=NUM_LEVELS - 1)
    for model in pair:
        model.config.num_levels = NUM_LEVELS
    return pair


def test_a_config_field_of_the_new_kind_decides_before_the_built_in_kinds():
    student, _ = ordinal_pair()
    assert problem_kind_of(student.config, {"labels": torch.tensor([[0.0, 1.0]])}).name == "ordinal"


def test_the_default_objective_of_the_new_kind_has_its_losses():
    hard, soft = default_objective("ordinal", kd_ratio=0.25, temperature=3.0).describe()
    assert (hard["name"], hard["weight"], hard["problem_type"]) == ("hard", 0.75, "ordinal")
    assert (soft["name"], soft["weight"], soft["temperature"]) == ("soft", 0.25, 3.0)


def test_the_new_kind_trains_with_the_default_objective(tmp_path):
    student, teacher = ordinal_pair()
    rows = ordinal_rows()
    trainer = make_trainer(
        student, teacher, rows, tmp_path, num_train_epochs=8, logging_strategy="steps", logging_steps=4
    )
    trainer.train()
    lines = [line for line in trainer.state.log_history if "loss/hard" in line]
    assert lines[-1]["loss/hard"] < lines[0]["loss/hard"] and lines[-1]["loss"] < lines[0]["loss"]
    assert all(line["loss/soft"] > 0 and 0 <= line["agreement"] <= 1 for line in lines)


def test_the_hard_loss_of_a_batch_is_the_loss_of_the_new_kind(tmp_path):
    student, teacher = ordinal_pair()
    trainer = make_trainer(student, teacher, ordinal_rows(), tmp_path, kd_ratio=0.0)
    batch = next(trainer._batches_of(trainer.train_dataset, range(32)))
    student.eval()
    logits = student(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    expected = ordinal_loss(logits, batch["labels"]).sum() / 24
    assert trainer.compute_loss(student, batch).item() == pytest.approx(expected.item())


def test_labels_that_do_not_fit_the_new_kind_are_refused_with_its_description(tmp_path):
    rows = make_rows(8, problem="regression")
    with pytest.raises(ValueError, match="For ordinal labels must be whole numbers, one per item"):
        make_trainer(*ordinal_pair(), rows, tmp_path)


def test_compare_uses_the_evaluator_of_the_new_kind(tmp_path):
    rows = ordinal_rows(num_labeled=32)
    trainer = make_trainer(*ordinal_pair(), rows, tmp_path)
    report = trainer.compare(rows, seconds=0.05).to_dict()
    levels = (trainer.predict(rows).predictions > 0).sum(axis=1)
    student = next(model for model in report["models"] if model["role"] == "student")
    assert report["problem_type"] == "ordinal"
    assert student["metrics"]["accuracy"] == pytest.approx(np.mean(levels == np.array(rows["labels"])))


def test_an_ensemble_averages_the_probabilities_of_the_new_kind(tmp_path):
    student, teacher = ordinal_pair()
    _, other_teacher = ordinal_pair()
    with torch.no_grad():
        other_teacher.classifier.weight.neg_()
    trainer = make_trainer(student, TeacherEnsemble([teacher, other_teacher]), ordinal_rows(), tmp_path)
    batch = next(trainer._batches_of(trainer.train_dataset, range(4)))
    members = [
        model(batch["input_ids"], batch["attention_mask"]).logits.sigmoid() for model in (teacher, other_teacher)
    ]
    mean = trainer.teacher(batch).logits.sigmoid()
    assert torch.allclose(mean, (members[0] + members[1]) / 2, atol=1e-5)


def test_a_kind_without_an_evaluator_is_refused_by_its_name():
    with pytest.raises(ValueError, match="no default evaluator for problem_type='object_detection'"):
        default_evaluator("object_detection", [np.zeros((2, 3))], 2)
