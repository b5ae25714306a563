"""Batches of images: every model gets its own pixel values of the same image."""

import copy
import pickle

import pytest
import torch

from distil_nlp.augmentation import ImageAugmentation
from distil_nlp.collators.images import ImageCollator
from distil_nlp.models.pixel_preprocessor import PixelPreprocessor
from tests.images import LARGER_GRAY, SHAPE, STUDENT_SEES, image_rows, pixels_of

AUGMENTATION = ImageAugmentation(flip=0.5, crop_padding=2, seed=5)


def make_collator(**settings):
    return ImageCollator(SHAPE, {"": STUDENT_SEES, "teacher_": LARGER_GRAY}, **settings)


def rows_of(numbers, **settings):
    rows = image_rows(**settings)
    return [rows[number] for number in numbers]


def test_a_batch_contains_the_stored_pixels_preprocessed_for_each_model():
    rows = rows_of([7, 2, 30])
    batch = make_collator()(rows)
    assert list(batch) == ["pixel_values", "teacher_pixel_values", "labels", "example_id"]
    assert torch.equal(batch["pixel_values"], STUDENT_SEES(pixels_of(rows)))
    assert torch.equal(batch["teacher_pixel_values"], LARGER_GRAY(pixels_of(rows)))
    assert batch["teacher_pixel_values"].shape == (3, 1, 10, 12)
    assert batch["labels"].tolist() == [row["labels"] for row in rows] and batch["labels"].dtype == torch.int64
    assert batch["example_id"].tolist() == [7, 2, 30] and batch["example_id"].dtype == torch.int64


def test_student_and_teacher_get_the_same_augmented_image():
    rows = rows_of(range(6))
    training = make_collator(augmentation=AUGMENTATION).for_training()
    training.set_epoch(3)
    batch = training(rows)
    images, _ = AUGMENTATION(pixels_of(rows), None, torch.arange(6), 3)
    assert not torch.equal(images, pixels_of(rows))
    assert torch.equal(batch["pixel_values"], STUDENT_SEES(images))
    assert torch.equal(batch["teacher_pixel_values"], LARGER_GRAY(images))


def test_only_the_collator_for_training_augments():
    rows = rows_of(range(6))
    collator = make_collator(augmentation=AUGMENTATION)
    collator.for_training().set_epoch(3)
    assert all(torch.equal(value, collator(rows)[name]) for name, value in make_collator()(rows).items())


def test_only_a_collator_with_an_augmentation_has_another_for_training():
    collator = make_collator()
    assert collator.for_training() is collator
    training = make_collator(augmentation=AUGMENTATION).for_training()
    assert isinstance(training, ImageCollator) and training.for_training() is training
    assert training.columns == ("image", "labels", "example_id")


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda collator: pickle.loads(pickle.dumps(collator))])
def test_a_copy_makes_the_same_batches(copied):
    plain = make_collator(augmentation=AUGMENTATION)
    training = plain.for_training()
    training.set_epoch(2)
    copied_training = copied(training)
    for collator, copied_collator in ((plain, copied(plain)), (training, copied_training)):
        batch, copied_batch = collator(rows_of(range(4))), copied_collator(rows_of(range(4)))
        assert all(torch.equal(batch[name], copied_batch[name]) for name in batch)
    copied_training.set_epoch(9)  # an epoch of its own
    assert training(rows_of(range(4)))["pixel_values"].equal(batch["pixel_values"])


def test_mixed_labels_are_rows_of_class_shares():
    mixing = ImageAugmentation(mixup=0.4, num_classes=3)
    batch = make_collator(augmentation=mixing).for_training()(rows_of(range(5)))
    assert batch["labels"].shape == (5, 3) and (batch["labels"].sum(1) - 1).abs().max() < 1e-6


def test_labels_may_be_missing_or_rows_of_numbers():
    unlabeled = [{name: value for name, value in row.items() if name != "labels"} for row in rows_of(range(3))]
    assert "labels" not in make_collator(augmentation=AUGMENTATION).for_training()(unlabeled)
    several = [{**row, "labels": [0.0, 1.0, 1.0]} for row in rows_of(range(3))]
    assert make_collator()(several)["labels"].dtype == torch.float32


def test_an_image_of_another_size_is_refused_by_its_example_id():
    rows = rows_of([4, 5])
    rows[1]["image"] = rows[1]["image"][:100]
    with pytest.raises(ValueError, match=r"Example 5 has an image of 100 bytes, .* shape \(3, 8, 8\) .* has 192"):
        make_collator()(rows)


def test_images_with_channels_that_a_model_cannot_take_are_refused_before_the_first_batch():
    with pytest.raises(ValueError, match="Images of 2 channels cannot be converted"):
        ImageCollator((2, 8, 8), {"": PixelPreprocessor(8, 8, 3, [0.5] * 3, [0.5] * 3)})


def test_images_without_example_ids_are_not_augmented():
    row = {"image": rows_of([0])[0]["image"], "labels": 1}
    with pytest.raises(ValueError, match="no column 'example_id'; they have image, labels. Add it"):
        make_collator(augmentation=AUGMENTATION).for_training()([row])
