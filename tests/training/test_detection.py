"""AutoDetector under the trainer: one optimizer step is the same however it is cut, and the teacher teaches."""

import pytest
import torch

from distil_nlp.metrics import DetectionEvaluator
from distil_nlp.objectives import (
    BoxLabels,
    HardLabels,
    Objective,
    QueryLabels,
    QuerySoftTargets,
    SoftTargets,
    objective_from,
)
from distil_nlp.students import student_from_teacher
from distil_nlp.teachers import OnlineTeacher, TeacherEnsemble
from distil_nlp.training.checkpoints import load_renamed
from tests.detectors import CLASSES, KINDS, tiny_detector
from tests.training.detection_runs import detection_gradients, pair, rows_and_collator
from tests.training.runs import make_trainer, relative_difference, same_weights

LEARNING = {"num_train_epochs": 40, "optim": "adamw_torch", "learning_rate": 3e-3, "logging_strategy": "epoch"}


def losses_of(trainer):
    """Of the first and of the last epoch."""
    trainer.train()
    losses = [line["loss"] for line in trainer.state.log_history if "loss" in line]
    return losses[0], losses[-1]


@pytest.mark.parametrize("queries", ["same", "nearest"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_gradients_of_a_step_do_not_depend_on_how_it_is_cut(kind, queries, tmp_path):
    whole, quarters = (detection_gradients(kind, tmp_path, number, queries=queries) for number in (1, 4))
    assert relative_difference(quarters, whole) < 1e-9


def test_images_whose_boxes_nobody_knows_count_for_the_teacher_alone(tmp_path):
    whole, halves = (detection_gradients("detr", tmp_path, number, unlabeled=(0, 4)) for number in (1, 4))
    assert relative_difference(halves, whole) < 1e-9
    rows, collator = rows_and_collator(unlabeled=(0, 4))
    term = QueryLabels(1.0)
    term.num_queries = 6
    assert term.items(collator(list(rows))).any(1).tolist() == [index not in (0, 4) for index in range(8)]


def test_the_default_objective_of_a_detector_is_its_labels_and_its_teacher(tmp_path):
    rows, collator = rows_and_collator()
    trainer = make_trainer(*pair("yolos"), rows, tmp_path, collator=collator, kd_ratio=0.3,
                           logging_strategy="steps", logging_steps=1)  # fmt: skip
    assert [(term.name, term.weight) for term in trainer.objective.terms] == [
        ("classes", 0.7),
        ("boxes", 0.7),
        ("queries", 0.3),
    ]
    trainer.train()
    logged = trainer.state.log_history[0]
    assert {"loss/classes", "loss/boxes", "loss/queries"} <= set(logged) and logged["loss"] > 0


def test_without_a_teacher_a_detector_learns_from_the_boxes_alone(tmp_path):
    rows, collator = rows_and_collator()
    trainer = make_trainer(tiny_detector(), None, rows, tmp_path, collator=collator, **LEARNING)
    assert [term.name for term in trainer.objective.terms] == ["classes", "boxes"]
    first, last = losses_of(trainer)
    assert last < 0.9 * first


def test_a_student_learns_what_its_teacher_finds_without_a_label(tmp_path):
    rows, collator = rows_and_collator(unlabeled=range(8))
    student, teacher = pair("detr")
    objective = Objective([QuerySoftTargets(1.0)])
    trainer = make_trainer(student, teacher, rows, tmp_path, objective=objective, collator=collator, **LEARNING)
    first, last = losses_of(trainer)
    assert last < 0.7 * first


def test_a_teacher_with_its_classes_in_another_order_teaches_the_same_boxes():
    student, teacher = tiny_detector(), tiny_detector(seed=2)
    other = tiny_detector(seed=2, names=CLASSES[::-1])
    order = [2, 1, 0, 3]
    with torch.no_grad():
        for part in other.class_labels_classifier.parameters():
            part.copy_(part[order].clone())
    batch = {"pixel_values": torch.randn(2, 3, 32, 48)}
    answers = []
    for model in (teacher, other):
        speaker = OnlineTeacher(model)
        speaker.reconcile(student)
        answers.append(speaker(batch).logits)
    torch.testing.assert_close(*answers)


def test_terms_read_from_yaml():
    terms = [{"classes": {"weight": 1}}, {"boxes": {}}, {"queries": {"queries": "same", "temperature": 2}}]
    objective = objective_from(terms, problem_type="object_detection")
    assert objective.names == ["classes", "boxes", "queries"] and objective.terms[2].temperature == 2
    found = objective_from([{"predictions": {}}], problem_type="object_detection").terms[0]
    assert isinstance(found, QuerySoftTargets)


@pytest.mark.parametrize(
    ("objective", "teacher", "message"),
    [
        (lambda: Objective([HardLabels(1.0)]), {}, "QueryLabels and BoxLabels"),
        (lambda: Objective([SoftTargets(1.0, temperature=2.0)]), {}, "QuerySoftTargets"),
        (lambda: Objective([QuerySoftTargets(1.0, queries="same")]), {"num_queries": 9}, "there are 6 and 9"),
    ],
)
def test_terms_that_cannot_be_of_a_detector_are_refused_before_the_first_step(objective, teacher, message, tmp_path):
    rows, collator = rows_and_collator()
    with pytest.raises(ValueError, match=message):
        make_trainer(*pair("detr", **teacher), rows, tmp_path, objective=objective(), collator=collator)


def test_a_teacher_without_a_class_for_no_object_is_refused_beside_a_student_with_one(tmp_path):
    rows, collator = rows_and_collator()
    student, teacher = tiny_detector("detr"), tiny_detector("conditional_detr")
    with pytest.raises(ValueError, match="'no object'"):
        make_trainer(student, teacher, rows, tmp_path, objective=Objective([QuerySoftTargets(1.0)]), collator=collator)


def test_an_ensemble_of_detectors_is_refused(tmp_path):
    rows, collator = rows_and_collator()
    ensemble = TeacherEnsemble([tiny_detector(seed=3), tiny_detector(seed=4)])
    with pytest.raises(ValueError, match="queries of two detectors"):
        make_trainer(tiny_detector(), ensemble, rows, tmp_path, collator=collator)


def test_a_student_whose_answer_has_no_boxes_is_refused(tmp_path):
    class Flat(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(3, 5)

        def forward(self, pixel_values):
            return self.layer(pixel_values.mean((2, 3)))

    rows, collator = rows_and_collator()
    with pytest.raises(ValueError, match="pred_boxes"):
        make_trainer(Flat(), None, rows, tmp_path, objective=Objective([BoxLabels(1.0)]), collator=collator)


def test_teacher_and_student_are_compared_by_the_boxes_they_find(tmp_path):
    rows, collator = rows_and_collator()
    trainer = make_trainer(*pair("detr"), rows, tmp_path, collator=collator)
    comparison = trainer.compare(
        rows, evaluator=DetectionEvaluator(rows["labels"][:], rows["boxes"][:], 3), seconds=0.1
    )
    assert comparison.metric == "map" and comparison.models[0].agreement == 1.0
    with pytest.raises(ValueError, match="of tokens, boxes or pairs"):
        trainer.compare(rows)


def test_a_student_of_the_teachers_layers_has_its_queries(tmp_path):
    rows, collator = rows_and_collator()
    teacher = tiny_detector("yolos", num_layers=2)
    student = student_from_teacher(teacher, num_layers=2)
    objective = Objective([QuerySoftTargets(1.0, queries="same")])
    trainer = make_trainer(student, teacher, rows, tmp_path, objective=objective, collator=collator, learning_rate=0.0,
                           logging_strategy="steps", logging_steps=1)  # fmt: skip
    trainer.train()
    assert trainer.state.log_history[0]["loss/queries"] < 1e-6


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_resumes_bit_identical_whatever_its_weights_are_called_in_the_checkpoint(kind, tmp_path):
    """transformers saves a backbone under another name than the model's own, and Trainer looks for the latter."""
    rows, collator = rows_and_collator()

    def trained(folder, seed=1, checkpoint=None):
        models = (
            tiny_detector(kind, seed=seed),
            tiny_detector(kind, seed=2),
        )  # a resumed one begins with other weights
        settings = {"save_strategy": "steps", "save_steps": 1, "num_train_epochs": 3, "optim": "adamw_torch"}
        trainer = make_trainer(*models, rows, folder, collator=collator, **settings)
        trainer.train(resume_from_checkpoint=checkpoint)
        return trainer

    whole = trained(tmp_path / "whole")
    checkpoint = str(tmp_path / "whole" / "checkpoint-1")
    resumed = trained(tmp_path / "resumed", seed=5, checkpoint=checkpoint)
    assert same_weights(resumed.model, whole.model)
    resumed.state.best_model_checkpoint = checkpoint
    resumed._load_best_model()
    assert same_weights(resumed.model, type(resumed.model).from_pretrained(checkpoint))


def test_a_checkpoint_without_some_of_the_weights_is_refused(tmp_path):
    tiny_detector("detr").save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"lacks \d+ of DetrForObjectDetection's \(.*Resume with the model"):
        load_renamed(tiny_detector("detr", num_layers=2), tmp_path)
