"""Rows of pixels become a batch: for each model what it sees, of the same view."""

import copy
import pickle

import pytest
import torch

from distil_nlp.augmentation import Augmentation, PixelPreprocessor
from distil_nlp.collators.images import ImageCollator
from tests.images import LARGER_GRAY, SHAPE, STUDENT_SEES, image_rows, pixels_of

AUGMENTATION = Augmentation(flip=0.5, crop_padding=2, seed=5)


def collator(**settings):
    return ImageCollator(SHAPE, {"": STUDENT_SEES, "teacher_": LARGER_GRAY}, **settings)


def rows_of(numbers, **settings):
    rows = image_rows(**settings)
    return [rows[number] for number in numbers]


def test_a_batch_holds_what_each_model_sees_of_the_stored_pixels():
    rows = rows_of([7, 2, 30])
    batch = collator()(rows)
    assert list(batch) == ["pixel_values", "teacher_pixel_values", "labels", "example_id"]
    assert torch.equal(batch["pixel_values"], STUDENT_SEES(pixels_of(rows)))
    assert torch.equal(batch["teacher_pixel_values"], LARGER_GRAY(pixels_of(rows)))
    assert batch["teacher_pixel_values"].shape == (3, 1, 10, 12)
    assert batch["labels"].tolist() == [row["labels"] for row in rows] and batch["labels"].dtype == torch.int64
    assert batch["example_id"].tolist() == [7, 2, 30] and batch["example_id"].dtype == torch.int64


def test_student_and_teacher_see_the_same_altered_view():
    rows = rows_of(range(6))
    training = collator(augmentation=AUGMENTATION).for_training
    training.set_epoch(3)
    batch = training(rows)
    view, _ = AUGMENTATION(pixels_of(rows), None, torch.arange(6), 3)
    assert not torch.equal(view, pixels_of(rows))
    assert torch.equal(batch["pixel_values"], STUDENT_SEES(view))
    assert torch.equal(batch["teacher_pixel_values"], LARGER_GRAY(view))


def test_the_plain_collator_never_alters_an_image():
    rows = rows_of(range(6))
    plain = collator(augmentation=AUGMENTATION)
    plain.for_training.set_epoch(3)
    assert all(torch.equal(value, plain(rows)[name]) for name, value in collator()(rows).items())


def test_only_a_collator_with_an_augmentation_has_another_for_training():
    assert collator().for_training is None
    training = collator(augmentation=AUGMENTATION).for_training
    assert isinstance(training, ImageCollator) and training.for_training is None
    assert training.reads == ("image", "labels", "example_id")


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_a_copy_makes_the_same_batches(copied):
    plain = collator(augmentation=AUGMENTATION)
    plain.for_training.set_epoch(2)
    again = copied(plain)
    for one, other in ((plain, again), (plain.for_training, again.for_training)):
        ours, theirs = (each(rows_of(range(4))) for each in (one, other))
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    again.for_training.set_epoch(9)  # an epoch of its own
    assert plain.for_training(rows_of(range(4)))["pixel_values"].equal(ours["pixel_values"])


def test_mixed_labels_are_rows_of_shares():
    mixing = Augmentation(mixup=0.4, num_classes=3)
    batch = collator(augmentation=mixing).for_training(rows_of(range(5)))
    assert batch["labels"].shape == (5, 3) and (batch["labels"].sum(1) - 1).abs().max() < 1e-6


def test_images_without_labels_and_labels_that_are_numbers_are_taken_as_they_are():
    unlabeled = [{name: value for name, value in row.items() if name != "labels"} for row in rows_of(range(3))]
    assert "labels" not in collator(augmentation=AUGMENTATION).for_training(unlabeled)
    several = [{**row, "labels": [0.0, 1.0, 1.0]} for row in rows_of(range(3))]
    assert collator()(several)["labels"].dtype == torch.float32


def test_an_image_of_another_size_is_refused_by_its_number():
    rows = rows_of([4, 5])
    rows[1]["image"] = rows[1]["image"][:100]
    with pytest.raises(ValueError, match=r"Example 5 has an image of 100 bytes, .* shape \(3, 8, 8\) .* has 192"):
        collator()(rows)


def test_models_that_cannot_see_the_images_are_refused_before_the_first_batch():
    with pytest.raises(ValueError, match="Images of 2 channels cannot be shown"):
        ImageCollator((2, 8, 8), {"": PixelPreprocessor(8, 8, 3, [0.5] * 3, [0.5] * 3)})


def test_images_without_numbers_are_not_altered_at_random():
    row = {"image": rows_of([0])[0]["image"], "labels": 1}
    with pytest.raises(ValueError, match="no column 'example_id'. Number them"):
        collator(augmentation=AUGMENTATION).for_training([row])
