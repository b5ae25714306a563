"""COCO data becomes batches, and invalid boxes are refused with their row."""

import datasets
import numpy as np
import pytest
import torch
from PIL import Image

from distil_nlp.augmentation import ImageAugmentation
from distil_nlp.collators.boxes import BoxCollator
from distil_nlp.data.images import input_shape, preprocessor_of
from distil_nlp.reports.box_plots import draw_pictures, true_boxes
from distil_nlp.tasks import ObjectDetection, task_class
from tests.detectors import CLASSES, SIZE, as_dataset, detector_processor, draw_things, png_bytes, tiny_detector

BLANK = np.zeros((64, 96, 3), dtype=np.uint8)


def splits_of(train, validation=None):
    return {"train": train, "validation": validation if validation is not None else draw_things(3, seed=5)}


def task_of(rows=None):
    return ObjectDetection.from_splits(splits_of(draw_things() if rows is None else rows))


def one_image(boxes, categories, image=None):
    return as_dataset([png_bytes(BLANK) if image is None else image], [{"bbox": boxes, "category": categories}])


def test_the_task_goes_by_its_name_on_the_hub_and_knows_the_categories_of_the_feature():
    task = task_of()
    assert task_class("object-detection") is ObjectDetection
    assert task.label_names == list(CLASSES) and task.num_labels == 3
    assert task.config_labels()["id2label"] == dict(enumerate(CLASSES))


def test_boxes_become_center_and_size_in_parts_of_the_image():
    rows = one_image([[24, 16, 48, 32], [0, 0, 96, 64]], [2, 0])
    prepared = task_of().prepare(rows, detector_processor())
    assert prepared["labels"][0] == [2, 0]
    assert prepared["boxes"][0] == [[0.5, 0.5, 0.5, 0.5], [0.5, 0.5, 1.0, 1.0]]
    assert len(prepared["image"][0]) == 3 * SIZE[0] * SIZE[1]


def test_a_batch_is_padded_to_the_image_with_most_boxes():
    task, processor = task_of(), detector_processor()
    prepared = task.prepare(draw_things(3, counts=(2, 0, 3)), processor)
    batch = task.collator(processor)(list(prepared))
    assert batch["pixel_values"].shape == (3, 3, *SIZE) and batch["pixel_values"].dtype == torch.float32
    assert batch["labels"].shape == (3, 3) and batch["boxes"].shape == (3, 3, 4)
    assert (batch["labels"] >= 0).sum(1).tolist() == [2, 0, 3]
    assert (batch["labels"][1] == -100).all() and not batch["boxes"].isnan().any()
    assert batch["example_id"].tolist() == [0, 1, 2]


def test_a_batch_of_images_without_objects_has_room_for_a_single_box():
    task, processor = task_of(), detector_processor()
    batch = task.collator(processor)(list(task.prepare(draw_things(2, counts=(0,)), processor)))
    assert batch["labels"].tolist() == [[-100], [-100]] and (batch["boxes"] == 0).all()


def test_nothing_in_an_image_is_a_label_and_null_is_none():
    known, unknown = draw_things(2, counts=(0,)), draw_things(2, seed=4, counts=(1,))
    unknown = unknown.map(lambda row: {"objects": None}, features=unknown.features)
    rows = datasets.concatenate_datasets([known, unknown])
    task, processor = task_of(), detector_processor()
    prepared = task.prepare(rows, processor)
    assert task.labeled(prepared).tolist() == [True, True, False, False]
    batch = task.collator(processor)(list(prepared))
    assert batch["boxes"].isnan().any(-1).any(-1).tolist() == [False, False, True, True]


def test_unlabeled_images_follow_the_labeled_ones_and_their_boxes_are_not_read():
    task, processor = task_of(), detector_processor()
    train = task.prepare(draw_things(3, counts=(1,)), processor)
    more = task.prepare(draw_things(2, counts=(2,)), processor, with_labels=False)
    both = task.with_unlabeled(train, more)
    assert task.labeled(both).tolist() == [True] * 3 + [False] * 2 and both["example_id"][:] == [0, 1, 2, 3, 4]


def collators(processor, **settings):
    """The collator, and the one for training."""
    shape, reads = input_shape(processor), {"": preprocessor_of(processor)}
    collator = BoxCollator(shape, reads, augmentation=ImageAugmentation(crop_padding=0, **settings))
    return collator, collator.for_training()


def test_a_mirrored_image_has_its_boxes_mirrored():
    task, processor = task_of(), detector_processor(size=(64, 96))
    prepared = list(task.prepare(draw_things(4, counts=(2, 0, 1)), processor))
    batch, flipped = (collate(prepared) for collate in collators(processor, flip=1.0))
    torch.testing.assert_close(flipped["pixel_values"], batch["pixel_values"].flip(-1))
    for image, box in (batch["labels"] >= 0).nonzero().tolist():
        for one in (batch, flipped):
            x, y, width, height = (one["boxes"][image, box] * torch.tensor([96, 64, 96, 64])).round().tolist()
            inside = one["pixel_values"][image, :, int(y - height / 2) : int(y), int(x - width / 2) : int(x)]
            assert inside.amax(0).mean() > 1.5  # filled with one full color
    assert (flipped["boxes"][batch["labels"] < 0] == 0).all()


def test_flips_depend_on_seed_epoch_and_example_alone():
    task, processor = task_of(), detector_processor()
    rows = list(task.prepare(draw_things(16, counts=(1,)), processor))
    (plain, first), (_, again), (_, other) = (collators(processor, seed=seed) for seed in (0, 0, 1))
    whole, halves = first(rows)["boxes"], torch.cat([again(rows[8:])["boxes"], again(rows[:8])["boxes"]])
    assert torch.equal(whole, halves.roll(8, 0)) and not torch.equal(whole, other(rows)["boxes"])
    assert 0 < (whole != plain(rows)["boxes"]).any(-1).any(-1).sum() < 16
    first.set_epoch(1)
    assert not torch.equal(whole, first(rows)["boxes"])


def test_an_augmentation_that_boxes_cannot_follow_is_refused():
    with pytest.raises(ValueError, match="mixup=0.2.*would move"):
        collators(detector_processor(), mixup=0.2, num_classes=3)


def test_flips_are_the_only_augmentation_and_other_settings_are_refused():
    task, processor = task_of(), detector_processor()
    for settings in ({"flip": 0.5}, {"flip": 0.5, "crop_padding": 0}):
        assert task.collator_for(processor, {}, augmentation=settings).for_training().augments
    for settings, message in (
        ({"mixup": 0.2}, r"Boxes follow a flip, and mixup=0.2 would"),
        ({"crop_padding": 4}, r"and crop_padding=4 would .* Use ImageAugmentation\(flip=0.5, crop_padding=0\)"),
        ({"flips": 0.5}, r"such as {flip: 0.5}; got {'flips': 0.5}"),
    ):
        with pytest.raises(ValueError, match=message):
            task.collator_for(processor, {}, augmentation=settings)


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ([[10, 10, 0, 5]], r"1 of 1 boxes of the train split are no wider or higher than 0 \(rows 0"),
        (
            [[10, 10, 20, 10], [60, 40, 40, 10]],
            r"1 of 2 boxes .* outside .*In row 0 the box is \[60.0, 40.0, 40.0, 10.0\]",
        ),
        ([[-5, 10, 20, 10]], "96 pixels wide and 64 high"),
        ([[96, 5, 1, 5], [10, 10, 5, 5]], r"1 of 2 boxes .* outside .*\[96.0, 5.0, 1.0, 5.0\]"),
        ([[5, -1, 5, 1], [10, 10, 5, 5]], r"1 of 2 boxes .* outside .*\[5.0, -1.0, 5.0, 1.0\]"),
        ([[60, 40, 90, 60], [10, 10, 30, 30]], r"\[left, top, right, bottom\]: subtract"),
        ([[0.1, 0.1, 0.5, 0.5]], "multiply by its width and height"),
    ],
)
def test_a_box_that_cannot_be_is_refused_with_its_row(boxes, message):
    with pytest.raises(ValueError, match=message):
        task_of(one_image(boxes, [0] * len(boxes)))


def test_a_box_that_stands_over_the_edge_by_rounding_is_cut_there():
    prepared = task_of().prepare(one_image([[90, 60, 6.6, 4.4]], [0]), detector_processor())
    assert prepared["boxes"][0] == [pytest.approx([93 / 96, 62 / 64, 6 / 96, 4 / 64])]


def test_an_image_that_cannot_be_read_is_refused_with_its_row():
    rows = as_dataset(
        [png_bytes(BLANK), png_bytes(BLANK)[:20], b"no image"], [{"bbox": [[1, 1, 5, 5]], "category": [0]}] * 3
    )
    with pytest.raises(ValueError, match="Row 1 .counted from 0. of the train split"):
        task_of(rows)


@pytest.mark.parametrize(
    "objects",
    [
        {"bbox": [[1.0, 2.0, 3.0]], "category": ["disc"]},
        {"bbox": [[1.0, 2.0, 3.0, 4.0]], "category": []},
        {"bbox": [[1.0, 2.0, 3.0, float("nan")]], "category": ["disc"]},
        {"where": [[1.0, 2.0, 3.0, 4.0]]},
    ],
)
def test_a_row_that_is_not_of_the_form_is_refused(objects):
    rows = datasets.Dataset.from_dict(
        {"image": [{"bytes": png_bytes(BLANK), "path": None}], "objects": [objects]}
    ).cast_column("image", datasets.Image())
    with pytest.raises(ValueError, match=r"Row 0 .*\[left, top, width, height\]"):
        task_of(rows)


def test_things_may_be_a_list_of_dictionaries_with_names_as_categories():
    things = [{"bbox": [4.0, 4.0, 8.0, 8.0], "category": "square"}, {"bbox": [0.0, 0.0, 9.0, 9.0], "category": "disc"}]
    images = [{"bytes": png_bytes(BLANK), "path": None}] * 2
    rows = datasets.Dataset.from_dict({"image": images, "objects": [things, []]}).cast_column(
        "image", datasets.Image()
    )
    task = ObjectDetection.from_splits({"train": rows, "validation": rows})
    prepared = task.prepare(rows, detector_processor())
    assert task.label_names == ["disc", "square"] and prepared["labels"][:] == [[1, 0], []]


def test_a_category_that_the_training_data_does_not_have_is_refused_with_its_row():
    images = [{"bytes": png_bytes(BLANK), "path": None}]

    def rows(name):
        things = {"bbox": [[4.0, 4.0, 8.0, 8.0]], "category": [name]}
        return datasets.Dataset.from_dict({"image": images, "objects": [things]}).cast_column(
            "image", datasets.Image()
        )

    with pytest.raises(
        ValueError, match="Row 0 .* validation split has an object of category 'cat', and the categories are the 1 dog"
    ):
        ObjectDetection.from_splits({"train": rows("dog"), "validation": rows("cat")})


def test_classes_follow_the_order_of_a_model():
    names = ["square", "disc", "ring"]
    task = ObjectDetection.from_splits(splits_of(draw_things()), label_names=names)
    prepared = task.prepare(one_image([[1, 1, 5, 5]] * 3, [0, 1, 2]), detector_processor())
    assert task.label_names == names and prepared["labels"][0] == [1, 2, 0]


def test_a_processor_that_keeps_the_shape_of_images_is_refused():
    processor = type(detector_processor())()
    with pytest.raises(ValueError, match="shortest_edge.*one height and width"):
        task_of().prepare(draw_things(2), processor)


def test_detections_of_a_model_on_prepared_rows_are_evaluated(tmp_path):
    from distil_nlp.evaluation import predict

    task, processor, raw = task_of(), detector_processor(), draw_things(5, counts=(2, 0, 1))
    prepared = task.prepare(raw, processor)
    evaluator = task.evaluator(prepared, raw)
    answers = predict(tiny_detector(), prepared, task.collator(processor), keep=evaluator.answers, batch_size=2)
    statistics = evaluator.statistics(answers)
    assert evaluator.main == "map" and 0 <= evaluator.compute("map_50", statistics) <= 1
    assert evaluator.agreement(answers, answers) == 1


def test_a_picture_shows_true_boxes_beside_found_ones_of_which_the_doubtful_are_left_out(tmp_path):
    images = [Image.new("RGB", (320, 160), "white")]
    sure, doubtful = [1, 0.9, 0.5, 0.25, 0.75, 0.75], [2, 0.1, 0.0, 0.0, 0.25, 0.25]
    columns = {
        "true": [true_boxes(np.array([0]), np.array([[0.5, 0.5, 0.5, 0.5]]))],
        "model": [np.array([sure, doubtful])],
    }
    draw_pictures(tmp_path / "boxes.png", images, columns, list(CLASSES))
    with Image.open(tmp_path / "boxes.png") as picture:
        assert picture.size == (644, 36 + 160 + 4)
        cells = [picture.crop((left, 36, left + 320, 196)) for left in (0, 324)]
    first, second = (cell.getcolors() for cell in cells)
    assert len(first) == len(second) == 2  # white, and the color of one class
    assert cells[0].getpixel((80, 80)) != cells[1].getpixel((160, 80)) != (255, 255, 255)
    assert cells[1].getpixel((80, 20)) == (255, 255, 255)
