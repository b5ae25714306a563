"""What holds for texts holds for images: micro-batches, resumption, a teacher that is left alone; and where it cannot."""

import copy

import pytest
import torch
from transformers import default_data_collator

from distil_nlp.augmentation import ImageAugmentation
from distil_nlp.collators.images import ImageCollator
from distil_nlp.models.feature_stages import stage_names
from distil_nlp.objectives import DecoupledSoftTargets, HardLabels, NormalizedSoftTargets, Objective, SoftTargets
from distil_nlp.teachers.probe import probe
from tests.images import SHAPE, STUDENT_SEES, image_rows
from tests.tiny import tiny_image_model

from .images import (
    MAP_BATCH_TERMS,
    MAP_TERMS,
    WITH_PROJECTION,
    image_gradients,
    image_trainer,
    make_images,
    make_networks,
    map_objective,
)
from .runs import gradients_of, in_float64, make_trainer, relative_difference, same_weights, step_gradients

norms = pytest.mark.parametrize("norm", ["frozen batch", "group"])


def test_the_networks_of_these_tests_have_two_stages():
    for network in make_networks():
        assert len(stage_names(network)) == 2


@norms
@pytest.mark.parametrize("term", MAP_TERMS)
def test_the_gradients_of_a_term_on_maps_do_not_depend_on_how_a_step_is_cut(term, norm, tmp_path):
    whole, halves, quarters = (
        image_gradients(tmp_path, term, norm=norm, num_micro_batches=number) for number in (1, 2, 4)
    )
    assert bool(whole["objective"]) == (term in WITH_PROJECTION)
    for part in [part for part, gradients in whole.items() if gradients]:
        assert relative_difference(halves[part], whole[part]) < 1e-9
        assert relative_difference(quarters[part], whole[part]) < 1e-9


@pytest.mark.parametrize("term", MAP_BATCH_TERMS)
def test_a_term_between_images_is_the_mean_over_micro_batches(term, tmp_path):
    rows = make_images()
    first, second = (image_gradients(tmp_path, term, rows=rows.select(half)) for half in (range(16), range(16, 32)))
    found = image_gradients(tmp_path, term, rows=rows, num_micro_batches=2)
    for part in [part for part, gradients in found.items() if gradients]:
        mean = {name: (first[part][name] + second[part][name]) / 2 for name in found[part]}
        assert relative_difference(found[part], mean) < 1e-9


@norms
def test_in_float32_cutting_a_step_changes_gradients_of_networks_by_rounding_only(norm, tmp_path):
    whole, quarters = (
        step_gradients(
            *make_networks(norm),
            make_images(),
            tmp_path,
            objective=map_objective(),
            collator=default_data_collator,
            num_micro_batches=number,
        )
        for number in (1, 4)
    )
    for part in whole:
        assert relative_difference(quarters[part], whole[part]) < 1e-6


def test_live_batch_norm_sees_the_micro_batch_so_its_gradients_do_depend_on_how_a_step_is_cut(tmp_path):
    whole, quarters = (image_gradients(tmp_path, norm="batch", num_micro_batches=number) for number in (1, 4))
    assert relative_difference(quarters["student"], whole["student"]) > 1e-3


@pytest.mark.parametrize("mixed", [False, True], ids=["hard labels", "soft labels"])
def test_the_gradients_of_labels_are_those_of_the_loss_by_hand(mixed, tmp_path):
    rows = make_images(mixed=mixed, labeled=lambda row: row % 3 == 0)
    objective = Objective([HardLabels(1.0)])
    settings = {"objective": objective, "collator": default_data_collator, "num_micro_batches": 4}
    found = step_gradients(*in_float64(make_networks()), rows, tmp_path, **settings)["student"]
    labeled = default_data_collator([row for i, row in enumerate(rows) if i % 3 == 0])
    labels = labeled["labels"].double() if mixed else labeled["labels"]
    fresh = in_float64(make_networks())[0]
    torch.nn.functional.cross_entropy(fresh(labeled["pixel_values"]), labels).backward()
    assert relative_difference(found, gradients_of(fresh)) < 1e-9


@pytest.mark.parametrize("kind", ["small", "resnet"])
def test_the_teachers_batch_norm_is_bit_identical_after_training(kind, tmp_path):
    small = kind == "small"
    student, teacher = make_networks("batch") if small else [tiny_image_model("resnet", seed=seed) for seed in (0, 1)]
    teacher.train()  # as somebody may have left it
    before, learned = (copy.deepcopy(model.state_dict()) for model in (teacher, student))
    assert any("num_batches_tracked" in name for name in before)
    trainer = image_trainer(student, teacher, make_images(), tmp_path, objective=map_objective("hints"))
    trainer.train()
    assert same_weights(teacher.state_dict(), before)
    moved = {name for name, tensor in student.state_dict().items() if not torch.equal(tensor, learned[name])}
    assert any("running_mean" in name for name in moved)


@pytest.mark.parametrize("term", ["hints", "pearson"])
def test_a_run_on_images_resumes_bit_identical(term, tmp_path):
    def trained(folder, checkpoint=None):
        settings = {"optim": "adamw_torch", "learning_rate": 1e-2, "save_strategy": "steps", "save_steps": 1}
        trainer = image_trainer(
            *make_networks("batch"),
            make_images(16),
            folder,
            objective=map_objective(term),
            per_device_train_batch_size=4,
            **settings,
        )
        trainer.train(resume_from_checkpoint=checkpoint)
        return trainer

    whole = trained(tmp_path / "whole")
    resumed = trained(tmp_path / "resumed", str(tmp_path / "whole" / "checkpoint-2"))
    assert same_weights(resumed.model, whole.model)
    assert same_weights(resumed.objective, whole.objective)


@pytest.mark.parametrize("term", [DecoupledSoftTargets, NormalizedSoftTargets])
def test_soft_labels_and_a_term_of_the_labeled_class_exclude_each_other(term, tmp_path):
    objective = Objective([HardLabels(0.5), term(0.5, temperature=2.0)])
    with pytest.raises(ValueError, match=f"mixup or cutmix and {term.__name__} exclude each other.*use SoftTargets"):
        image_trainer(*make_networks(), make_images(mixed=True), tmp_path, objective=objective)


def mixing_trainer(objective, folder, **settings):
    collator = ImageCollator(SHAPE, {"": STUDENT_SEES}, augmentation=ImageAugmentation(mixup=0.4, num_classes=3))
    return make_trainer(*make_networks(), image_rows(16), folder, collator=collator, objective=objective, **settings)


@pytest.mark.parametrize("term", [DecoupledSoftTargets, NormalizedSoftTargets])
def test_mixing_in_training_only_is_found_out_before_the_first_step(term, tmp_path):
    with pytest.raises(ValueError, match=f"mixup or cutmix and {term.__name__} exclude each other"):
        mixing_trainer(Objective([HardLabels(0.5), term(0.5, temperature=2.0)]), tmp_path)


def test_mixed_images_train_with_labels_soft_targets_and_hints_and_are_judged_unmixed(tmp_path):
    trainer = mixing_trainer(
        map_objective("hints"), tmp_path, logging_strategy="epoch", train_sampling_strategy="random"
    )
    trainer.train()
    line = trainer.state.log_history[0]
    assert {"loss/hard", "loss/soft", "loss/hints"} <= line.keys() and line["loss/hints"] > 0
    assert trainer.predict(image_rows(8)).label_ids.shape == (8,)


def test_soft_labels_of_a_problem_of_several_labels_are_refused(tmp_path):
    objective = Objective([HardLabels(1.0, problem_type="multi_label_classification")])
    with pytest.raises(ValueError, match="For multi_label_classification labels must be floats.*0 or 1"):
        image_trainer(*make_networks(), make_images(mixed=True), tmp_path, objective=objective)


def test_labels_of_several_classes_at_once_are_no_soft_labels(tmp_path):
    rows = make_images(4)
    rows = rows.remove_columns("labels").add_column("labels", [[1.0, 1.0, 0.0]] * 4)
    with pytest.raises(ValueError, match="or rows of class probabilities that sum to 1; got torch.float32 of shape"):
        image_trainer(*make_networks(), rows, tmp_path, objective=Objective([HardLabels(1.0)]))


def test_soft_labels_train_and_the_probe_asks_about_unmixed_images_only(tmp_path):
    rows = make_images(mixed=True)
    rows = rows.map(lambda row, i: {"labels": [0.0, 1.0, 0.0] if i % 2 else row["labels"]}, with_indices=True)
    objective = Objective([HardLabels(0.5), SoftTargets(0.5, temperature=2.0)])
    trainer = image_trainer(*make_networks(), rows, tmp_path, objective=objective, logging_strategy="epoch")
    batches = list(trainer._batches_of(rows, range(32)))
    found = probe(trainer.teacher, batches)
    assert (found.num_items, found.majority) == (16, 1.0)
    trainer.train()
    assert trainer.state.log_history[0]["loss/hard"] > 0


def test_a_probe_that_meets_mixed_images_only_says_nothing(tmp_path):
    rows = make_images(mixed=True)
    objective = Objective([HardLabels(0.5), SoftTargets(0.5, temperature=2.0)])
    trainer = image_trainer(*make_networks(), rows, tmp_path, objective=objective)
    assert probe(trainer.teacher, list(trainer._batches_of(rows, range(8)))) is None
