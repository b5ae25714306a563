"""Augmented images under the trainer: the same view for both, the same views after a resume and with loader workers."""

import pytest
import torch

from distil_nlp.augmentation import ImageAugmentation
from distil_nlp.collators.images import ImageCollator
from distil_nlp.evaluation import predict_logits
from distil_nlp.objectives import HardLabels, Objective, SoftTargets
from distil_nlp.teachers import CachedTeacher, OnlineTeacher, SeparateInputs, TeacherEnsemble, build_cache
from distil_nlp.training.trainer import DistillationTrainer
from tests.images import LARGER_GRAY, SHAPE, STUDENT_SEES, TinyCnn, image_rows, pixels_of
from tests.training.runs import make_arguments, same_weights

EVERYTHING = dict(flip=0.5, crop_padding=2, min_scale=0.6, erasing=0.3, mixup=0.4, cutmix=1.0, num_classes=3, seed=3)
# 40 images in batches of 4, two to a step: 5 steps an epoch, 15 in all.
SETTINGS = dict(
    per_device_train_batch_size=4,
    gradient_accumulation_steps=2,
    num_train_epochs=3,
    optim="adamw_torch",
    learning_rate=1e-2,
    lr_scheduler_type="linear",
)


def make_collator(**augmentation):
    """Of images for a student, and for a teacher that sees them larger and gray."""
    sees = {"": STUDENT_SEES, "teacher_": LARGER_GRAY}
    return ImageCollator(SHAPE, sees, augmentation=ImageAugmentation(**augmentation) if augmentation else None)


def make_image_trainer(folder, collator, *, student=None, teacher=None, objective=None, rows=None, **changes):
    return DistillationTrainer(
        model=TinyCnn(dropout=0.1, seed=1) if student is None else student,
        teacher=SeparateInputs(TinyCnn(8, num_channels=1, seed=2), "teacher_") if teacher is None else teacher,
        args=make_arguments(folder, **{**SETTINGS, **changes}),
        objective=objective or Objective([SoftTargets(1.0, temperature=2.0)]),
        train_dataset=image_rows() if rows is None else rows,
        eval_dataset=image_rows(10, seed=1),
        data_collator=collator,
    )


def trained(folder, checkpoint=None, **changes):
    trainer = make_image_trainer(folder, make_collator(**EVERYTHING), save_strategy="steps", save_steps=1, **changes)
    trainer.train(resume_from_checkpoint=checkpoint)
    return trainer


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return folder, trained(folder)


@pytest.mark.parametrize(("step", "num_workers"), [(3, 0), (5, 0), (7, 2)])
def test_a_run_resumed_inside_or_after_an_epoch_ends_bit_identical(step, num_workers, whole, tmp_path):
    folder, uninterrupted = whole
    resumed = trained(tmp_path, str(folder / f"checkpoint-{step}"), dataloader_num_workers=num_workers)
    assert resumed.state.global_step == 15 and same_weights(resumed.model, uninterrupted.model)


def shown(folder, collator, **changes):
    """What the student was shown in training, batch by batch, and its labels."""
    student = TinyCnn(seed=1)
    trainer = make_image_trainer(folder, collator, student=student, **changes)
    labels, compute = [], trainer._student_signals
    trainer._student_signals = lambda model, inputs: labels.append(inputs["labels"]) or compute(model, inputs)
    loader, student.seen = trainer.get_train_dataloader(), []
    trainer.get_train_dataloader = lambda: loader
    trainer.train()
    if trainer.args.dataloader_persistent_workers:  # left to the garbage collector they take ten seconds to end
        loader.base_dataloader._iterator._shutdown_workers()
    return student.seen, labels


@pytest.mark.parametrize("persistent", [False, True])
def test_loader_workers_make_the_batches_of_every_epoch_that_the_process_itself_makes(persistent, tmp_path):
    alone = shown(tmp_path, make_collator(**EVERYTHING))
    workers = dict(dataloader_num_workers=2, dataloader_persistent_workers=persistent)
    with_workers = shown(tmp_path, make_collator(**EVERYTHING), **workers)
    assert len(alone[0]) == 30
    for ours, theirs in zip(alone, with_workers, strict=True):
        assert all(torch.equal(one, other) for one, other in zip(ours, theirs, strict=True))


def test_every_epoch_shows_other_views(tmp_path):
    order = dict(train_sampling_strategy="sequential", num_train_epochs=2)
    views, _ = shown(tmp_path, make_collator(crop_padding=2), **order)
    plain, _ = shown(tmp_path, make_collator(), **order)
    first, second = torch.cat(views[:10]), torch.cat(views[10:])
    assert (first != second).flatten(1).any(1).float().mean() > 0.9
    assert torch.equal(torch.cat(plain[:10]), torch.cat(plain[10:]))


class Recording(OnlineTeacher):
    """Keeps the pixels it is asked about."""

    def __init__(self, model):
        super().__init__(model)
        self.seen = []

    def __call__(self, batch):
        self.seen.append(batch["pixel_values"].clone())
        return super().__call__(batch)


def test_student_and_teacher_are_shown_the_same_view(tmp_path):
    student, teacher = TinyCnn(seed=1), Recording(TinyCnn(8, seed=2))
    collator = ImageCollator(SHAPE, {"": STUDENT_SEES}, augmentation=ImageAugmentation(**EVERYTHING))
    trainer = make_image_trainer(tmp_path, collator, student=student, teacher=teacher)
    teacher.seen, student.seen = [], []
    trainer.probes_teacher = False
    trainer.train()
    assert len(student.seen) == 30
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(student.seen, teacher.seen, strict=True))


def test_a_teacher_that_sees_other_pixels_gets_them_of_the_student_s_view(tmp_path):
    student, teacher = TinyCnn(seed=1), Recording(TinyCnn(8, num_channels=1, seed=2))
    trainer = make_image_trainer(
        tmp_path, make_collator(crop_padding=2), student=student, teacher=SeparateInputs(teacher, "teacher_")
    )
    teacher.seen, student.seen, trainer.probes_teacher = [], [], False
    trainer.train()
    for ours, theirs in zip(student.seen, teacher.seen, strict=True):
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in (STUDENT_SEES.mean, STUDENT_SEES.std))
        assert torch.equal(LARGER_GRAY((ours * std + mean).mul(255).round().byte()), theirs)


def test_nothing_but_training_batches_is_ever_altered(tmp_path):
    student = TinyCnn(seed=1)
    settings = dict(eval_strategy="epoch", per_device_eval_batch_size=10)
    trainer = make_image_trainer(tmp_path, make_collator(**EVERYTHING), student=student, **settings)
    rows, student.seen = image_rows(), []
    trainer.evaluate()
    trainer.predict(rows)
    student.seen.append(next(trainer._batches_of(rows, range(4)))["pixel_values"])  # of rehearsal and probe
    expected = [STUDENT_SEES(pixels_of(image_rows(10, seed=1))), STUDENT_SEES(pixels_of(rows))]
    expected.append(expected[1][:4])
    assert torch.equal(torch.cat(student.seen), torch.cat(expected))
    student.seen = []
    trainer.train()
    evaluated = [seen for seen in student.seen if len(seen) > 4]
    assert len(evaluated) == 3 and all(torch.equal(seen, expected[0]) for seen in evaluated)
    assert trainer.data_collator.augmentation is not None


def test_labels_mixed_for_training_are_learned_from_and_those_of_evaluation_are_whole(tmp_path):
    rows = image_rows(16)
    missing = rows.add_column("known", [place % 4 for place in range(16)]).map(
        lambda row: {"labels": row["labels"] if row["known"] else -100}, remove_columns="known"
    )
    for data in (rows, missing):
        objective = Objective([HardLabels(0.5), SoftTargets(0.5, temperature=2.0)])
        trainer = make_image_trainer(
            tmp_path, make_collator(**EVERYTHING), objective=objective, rows=data, num_train_epochs=1,
            logging_strategy="steps", logging_steps=1,
        )  # fmt: skip
        trainer.train()
        losses = [line["loss/hard"] for line in trainer.state.log_history if "loss/hard" in line]
        assert len(losses) == 2 and all(0 < loss < 10 for loss in losses)
    assert trainer.predict(rows).label_ids.tolist() == list(rows["labels"])


def test_an_ensemble_speaks_about_mixed_images_as_about_whole_ones(tmp_path):
    ensemble = TeacherEnsemble([TinyCnn(seed=2), TinyCnn(8, seed=3)])
    trainer = make_image_trainer(tmp_path, make_collator(**EVERYTHING), teacher=ensemble, num_train_epochs=1)
    trainer.train()
    assert trainer.state.global_step == 5


# ---- A teacher that was asked beforehand ----


def asked(folder, collator):
    teacher = SeparateInputs(TinyCnn(8, num_channels=1, seed=2), "teacher_")
    teacher.load(student=TinyCnn())
    build_cache(folder, teacher, image_rows(), collator)
    return CachedTeacher(folder)


def test_a_cache_of_images_that_are_altered_in_training_is_refused_before_the_teacher_is_asked(tmp_path):
    for collator in (make_collator(flip=0.5), make_collator(flip=0.5).for_training()):
        with pytest.raises(
            ValueError, match=r"differently in every epoch \(ImageAugmentation\(flip=0.5.*cache: false"
        ):
            asked(tmp_path / "cache", collator)
    assert not (tmp_path / "cache").exists()


def test_a_precomputed_teacher_is_refused_with_augmented_images(tmp_path):
    cached = asked(tmp_path / "cache", make_collator())
    for teacher in (cached, TeacherEnsemble([cached, TinyCnn(seed=3)])):
        with pytest.raises(
            ValueError, match="computed beforehand from the unaltered examples. Remove the augmentation"
        ):
            make_image_trainer(tmp_path, make_collator(flip=0.5), teacher=teacher)


def test_a_cache_is_compared_on_the_images_it_was_made_of(tmp_path):
    # It reads example_id, which the rows have, and pixels, which the collator makes of a column it does not name.
    cached, rows = asked(tmp_path / "cache", make_collator()), image_rows()
    said = predict_logits(cached, rows, make_collator())
    teacher = TinyCnn(8, num_channels=1, seed=2).eval()
    expected = teacher(LARGER_GRAY(pixels_of(rows))).detach().numpy()
    assert said.shape == (40, 3) and abs(said - expected).max() < 1e-5


def test_a_student_learns_from_a_cache_of_images_what_it_learns_from_the_teacher(tmp_path):
    ends = []
    for teacher in (None, asked(tmp_path / "cache", make_collator())):
        trainer = make_image_trainer(tmp_path, make_collator(), teacher=teacher)
        trainer.train()
        ends.append(trainer.model.state_dict())
    for name, weight in ends[0].items():
        torch.testing.assert_close(ends[1][name], weight, rtol=0, atol=1e-5)
