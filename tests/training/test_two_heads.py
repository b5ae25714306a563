"""A student with two heads, DeiT's: labels on one, the teacher on the other, and what it answers is their mean."""

import pytest
import torch

from distil_nlp.objectives import HardLabels, Objective, SoftTargets, TeacherLabels, objective_from, preset
from distil_nlp.signals.base import Signals
from tests.tiny import tiny_image_model, tiny_model

from .images import image_trainer, make_images
from .runs import Gradients, make_pair, make_rows, make_trainer

HEADS = ["cls_classifier", "distillation_classifier"]


def images(num_rows=16, seed=0):
    draw = torch.Generator().manual_seed(seed)
    rows = make_images(num_rows)
    pixels = torch.randn(num_rows, 3, 32, 32, generator=draw).tolist()
    return rows.remove_columns("pixel_values").add_column("pixel_values", pixels)


def deit_objective(kind="hard"):
    if kind == "hard":
        return objective_from(preset("deit")[0]["objective"])
    return Objective([HardLabels(0.9, head=HEADS[0]), SoftTargets(0.1, temperature=3.0, head=HEADS[1])])


def first_gradients(folder, *, kind="hard", teacher_seed=4, rows=None):
    """Of the one step that takes in 16 images."""
    recorder = Gradients()
    trainer = image_trainer(
        tiny_image_model("deit"),
        tiny_image_model("resnet", seed=teacher_seed),
        images() if rows is None else rows,
        folder,
        objective=deit_objective(kind),
        callbacks=[recorder],
        train_sampling_strategy="sequential",
        per_device_train_batch_size=16,
    )
    recorder.trainer = trainer
    trainer.train()
    return recorder.steps[0]["student"]


@pytest.mark.parametrize("kind", ["hard", "soft"])
def test_each_head_learns_from_its_own_source_alone(kind, tmp_path):
    rows = images()
    other_labels = rows.map(lambda row: {"labels": (row["labels"] + 1) % 3})
    here = first_gradients(tmp_path, kind=kind, rows=rows)
    another_teacher = first_gradients(tmp_path, kind=kind, rows=rows, teacher_seed=2)
    relabeled = first_gradients(tmp_path, kind=kind, rows=other_labels)
    of_labels, of_teacher = (f"{head}.weight" for head in HEADS)
    assert here[of_labels].any() and here[of_teacher].any()
    assert torch.equal(another_teacher[of_labels], here[of_labels])
    assert not torch.equal(another_teacher[of_teacher], here[of_teacher])
    assert torch.equal(relabeled[of_teacher], here[of_teacher])
    assert not torch.equal(relabeled[of_labels], here[of_labels])


def test_a_deit_trains_by_its_preset_and_logs_the_agreement_of_its_mean(tmp_path):
    student, teacher = tiny_image_model("deit"), tiny_image_model("resnet", seed=4)
    trainer = image_trainer(
        student,
        teacher,
        images(),
        tmp_path,
        objective=deit_objective(),
        logging_strategy="steps",
        logging_steps=1,
        learning_rate=1e-3,
        train_sampling_strategy="sequential",
    )
    batch = next(trainer._batches_of(trainer.train_dataset, range(8)))
    with torch.no_grad():
        agreement = student(batch["pixel_values"]).logits.argmax(-1) == teacher(batch["pixel_values"]).logits.argmax(
            -1
        )
    trainer.train()
    lines = [line for line in trainer.state.log_history if "loss" in line]
    assert len(lines) == 2
    assert all(line["loss/hard"] > 0 and line["loss/teacher_labels"] > 0 for line in lines)
    assert lines[0]["agreement"] == pytest.approx(agreement.float().mean().item(), abs=1e-4)


def test_a_saved_deit_loads_with_both_heads(tmp_path):
    trainer = image_trainer(
        tiny_image_model("deit"), tiny_image_model("resnet", seed=4), images(), tmp_path, objective=deit_objective()
    )
    trainer.train()
    trainer.save_model(tmp_path / "saved")
    loaded, told = type(trainer.model).from_pretrained(tmp_path / "saved", output_loading_info=True)
    assert not told["missing_keys"] and not told["unexpected_keys"]
    weights = trainer.model.state_dict()
    assert all(torch.equal(loaded.state_dict()[f"{head}.weight"], weights[f"{head}.weight"]) for head in HEADS)


def test_the_teachers_labels_are_cross_entropy_with_its_best_class():
    student, teacher = (Signals(torch.randn(5, 4, generator=torch.Generator().manual_seed(seed))) for seed in (0, 1))
    expected = torch.nn.functional.cross_entropy(student.logits, teacher.logits.argmax(-1), reduction="none")
    torch.testing.assert_close(TeacherLabels(1.0).values(student, teacher, {}), expected)


@pytest.mark.parametrize("problem", ["single_label_classification", "token"])
def test_the_teachers_labels_train_texts_and_tokens_too(problem, tmp_path):
    objective = Objective([HardLabels(0.5), TeacherLabels(0.5)])
    trainer = make_trainer(
        *make_pair(problem=problem),
        make_rows(8, problem=problem),
        tmp_path,
        objective=objective,
        logging_strategy="epoch",
    )
    trainer.train()
    assert trainer.state.log_history[0]["loss/teacher_labels"] > 0


def test_the_evaluation_of_a_student_with_heads_is_that_of_what_it_answers(tmp_path):
    trainer = image_trainer(
        tiny_image_model("deit"), tiny_image_model("resnet", seed=4), images(), tmp_path, objective=deit_objective()
    )
    rows = images(8, seed=5)
    told = trainer.predict(rows)
    with torch.no_grad():
        expected = trainer.model.eval()(torch.tensor(rows["pixel_values"])).logits
    torch.testing.assert_close(torch.tensor(told.predictions), expected)


@pytest.mark.parametrize("term", [lambda **how: HardLabels(1.0, **how), lambda **how: TeacherLabels(1.0, **how)])
def test_a_head_that_gives_no_logits_of_the_models_shape_is_refused(term, tmp_path):
    with pytest.raises(ValueError, match=r"head='deit.layernorm', .*\(2, 3\); the module returned \(2, 18, 16\)"):
        image_trainer(
            tiny_image_model("deit"),
            tiny_image_model("resnet", seed=4),
            images(),
            tmp_path,
            objective=Objective([term(head="deit.layernorm")]),
        )


def test_a_head_that_is_not_there_is_refused_with_those_that_are(tmp_path):
    with pytest.raises(ValueError, match="Layer 'classifer' is not in the model.*classifier"):
        make_trainer(
            tiny_model(num_layers=1),
            None,
            make_rows(8),
            tmp_path,
            objective=Objective([HardLabels(1.0, head="classifer")]),
        )


def test_the_teachers_labels_of_a_problem_without_classes_are_refused():
    with pytest.raises(ValueError, match="exclude each other, and problem_type='regression'"):
        TeacherLabels(1.0, problem_type="regression")


def test_a_head_is_told_in_the_card():
    told = deit_objective().describe()
    assert [term["head"] for term in told] == HEADS
    assert "head" not in HardLabels(1.0).settings()
