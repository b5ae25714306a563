"""Images of data sets become rows of pixels and batches of model inputs."""

import io
import struct
from unittest.mock import Mock

import datasets
import numpy as np
import pytest
import torch
from PIL import Image, ImageFile
from transformers import ConvNextImageProcessorPil, MobileNetV2ImageProcessorPil, ViTImageProcessorPil

from distil_nlp.data.images import image_sizes, input_shape, open_images, pixel_rows, same_crop
from distil_nlp.data.splits import load_splits
from distil_nlp.models import image_processor_for
from distil_nlp.tasks import ImageClassification

NAMES = ["cat", "dog", "owl"]


def picture(seed, size=(6, 8), mode="RGB"):
    height, width = size
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


def encoded(image, format="PNG", **settings):
    buffer = io.BytesIO()
    image.save(buffer, format, **settings)
    return buffer.getvalue()


def split(num_rows, *, mode="RGB", size=(6, 8), image="image", label="label", files=None):
    files = files or [{"bytes": encoded(picture(row, size, mode)), "path": None} for row in range(num_rows)]
    features = datasets.Features({image: datasets.Image(decode=False), label: datasets.ClassLabel(names=NAMES)})
    return datasets.Dataset.from_dict({image: files, label: [row % 3 for row in range(num_rows)]}, features=features)


def splits(**settings):
    return {"train": split(9, **settings), "validation": split(3, **settings)}


def test_gray_images_of_equal_size_are_unchanged():
    task = ImageClassification.from_splits(splits(mode="L"))
    assert (task.num_channels, task.image_size, task.label_names) == (1, (6, 8), NAMES)
    assert input_shape(task.load_processor("resnet8")) == (1, 6, 8)


def test_a_single_color_image_makes_all_images_color():
    mixed = splits(mode="L")
    files = [{"bytes": encoded(picture(row, mode="RGB" if row == 4 else "L")), "path": None} for row in range(9)]
    assert ImageClassification.from_splits({**mixed, "train": split(9, files=files)}).num_channels == 3


def test_images_of_different_sizes_are_resized_to_the_given_size():
    files = [{"bytes": encoded(picture(row, (6 + row, 8))), "path": None} for row in range(9)]
    of_many = {**splits(), "train": split(9, files=files)}
    assert ImageClassification.from_splits(of_many).image_size == (64, 64)
    task = ImageClassification.from_splits(of_many, image_size=5)
    rows = task.prepare(of_many["train"], task.load_processor("cnn8"))
    assert {len(pixels) for pixels in rows["image"]} == {3 * 5 * 5}


def test_a_row_has_the_pixels_of_its_file_and_a_batch_equals_the_processors_output():
    task, processor = ImageClassification.from_splits(splits()), image_processor_for((6, 8), 3)
    rows = task.prepare(split(4), processor)
    batch = task.collator(processor)([rows[index] for index in range(4)])
    expected = processor([picture(row) for row in range(4)], return_tensors="pt")["pixel_values"]
    assert np.array_equal(
        np.frombuffer(rows[2]["image"], np.uint8).reshape(3, 6, 8), np.asarray(picture(2)).transpose(2, 0, 1)
    )
    torch.testing.assert_close(batch["pixel_values"], expected, rtol=0, atol=1e-6)
    assert batch["labels"].tolist() == [0, 1, 2, 0] and batch["example_id"].tolist() == [0, 1, 2, 3]


def test_every_processor_of_transformers_is_followed_in_size_crop_and_normalization(tmp_path):
    from transformers import AutoImageProcessor, ResNetConfig, ResNetForImageClassification
    from transformers.models.mobilenet_v2.image_processing_pil_mobilenet_v2 import MobileNetV2ImageProcessorPil

    config = ResNetConfig(embedding_size=4, hidden_sizes=[4, 8], depths=[1, 1], layer_type="basic", num_labels=3)
    ResNetForImageClassification(config).save_pretrained(tmp_path)
    MobileNetV2ImageProcessorPil(size={"shortest_edge": 7}, crop_size={"height": 5, "width": 5}).save_pretrained(
        tmp_path
    )
    task = ImageClassification.from_splits(splits())
    processor = task.load_processor(tmp_path)
    rows = task.prepare(split(3), processor)
    batch = task.collator(processor)([rows[index] for index in range(3)])
    expected = AutoImageProcessor.from_pretrained(tmp_path)([picture(row) for row in range(3)], return_tensors="pt")
    torch.testing.assert_close(batch["pixel_values"], expected["pixel_values"], rtol=0, atol=1e-6)


def test_a_model_without_a_processor_is_refused(tmp_path):
    with pytest.raises(ValueError, match="has no image processor beside it"):
        ImageClassification.from_splits(splits()).load_processor(tmp_path)


@pytest.mark.parametrize("format", ["JPEG", "PNG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_is_rotated_by_its_exif_orientation(orientation, format):
    exif = Image.Exif()
    exif[0x0112] = orientation
    rows = split(1, files=[{"bytes": encoded(picture(0), format, exif=exif), "path": None}])
    seen, expected = next(open_images(rows, "image", "train")), rows.cast_column("image", datasets.Image())[0]["image"]
    assert np.array_equal(np.asarray(seen), np.asarray(expected))
    assert image_sizes(rows, "image", "train").tolist() == [list(expected.size)]


@pytest.mark.parametrize("names", [{"image": "img"}, {"image": "picture", "label": "labels"}])
def test_the_usual_names_of_columns_are_found(names):
    assert ImageClassification.from_splits(splits(**names)).image_column == names["image"]


def test_data_without_images_is_refused_with_its_columns():
    text = {"train": datasets.Dataset.from_dict({"text": ["a"], "label": [0]})}
    with pytest.raises(ValueError, match=r"columns are text, label\. None of them contains images\. Set image_column"):
        ImageClassification.from_splits(text)


@pytest.mark.parametrize(
    ("file", "complaint"),
    [
        (b"", r"cannot be read as an image"),
        (
            b"not an image",
            r"cannot be read as an image: it is none of PNG, JPEG, .*AVIF \(12 bytes, the first b'not an i'\)",
        ),
        (encoded(picture(0, (40, 40)))[:-700], r"cannot be read as an image"),
    ],
)
def test_a_file_that_is_no_image_is_named_with_its_row(file, complaint):
    files = [{"bytes": encoded(picture(row)), "path": None} for row in range(4)] + [
        {"bytes": file, "path": "owl-17.png"}
    ]
    broken = split(5, files=files)
    with pytest.raises(ValueError, match=rf"Row 4 \(counted from 0\) of the train split \(owl-17.png\) {complaint}"):
        pixel_rows(broken, "image", "train", image_processor_for((6, 8), 3))


@pytest.mark.parametrize("error", [RuntimeError("Failed to decode"), struct.error("no integer")])  # of AVIF, of Exif
def test_any_decoder_error_is_reported_with_the_row(error, monkeypatch):
    monkeypatch.setattr(ImageFile.ImageFile, "load", Mock(side_effect=error))
    with pytest.raises(ValueError, match=f"Row 0 .* cannot be read as an image: {error}"):
        next(open_images(split(1), "image", "train"))


@pytest.mark.parametrize(("kind", "mode"), [("uint16", "I;16"), ("int32", "I"), ("float32", "F")])
def test_an_image_of_more_than_8_bits_is_refused_with_its_row(kind, mode):
    deep = Image.fromarray(np.linspace(0, 60_000, 48).reshape(6, 8).astype(kind))
    files = [{"bytes": encoded(picture(0)), "path": None}, {"bytes": encoded(deep, "TIFF"), "path": "deep.tif"}]
    with pytest.raises(ValueError, match=rf"Row 1 .* \(deep.tif\) .* \(pillow mode '{mode}'\).*save it as 8 bit"):
        pixel_rows(split(2, files=files), "image", "train", image_processor_for((6, 8), 1))


def test_a_row_without_an_image_is_refused():
    files = [{"bytes": encoded(picture(0)), "path": None}, None, None]
    with pytest.raises(ValueError, match="Row 1 .* has no image"):
        pixel_rows(split(3, files=files), "image", "train", image_processor_for((6, 8), 3))


def test_a_label_out_of_range_is_named_with_its_row():
    train = split(6).cast_column("label", datasets.Value("int64"))
    validation = (
        split(3).cast_column("label", datasets.Value("int64")).remove_columns("label").add_column("label", [0, 7, 1])
    )
    with pytest.raises(
        ValueError, match=r"Row 1 .* of the validation split: label 7 is not one of the 3 known classes"
    ):
        ImageClassification.from_splits({"train": train, "validation": validation})


def test_images_of_several_classes_are_not_mixed():
    rows = split(3).remove_columns("label").add_column("label", [[0, 1], [1], [2]])
    task = ImageClassification.from_splits({"train": rows, "validation": rows})
    with pytest.raises(ValueError, match="cutmix=1.0 .* this is multi_label_classification. Leave both out"):
        task.collator_for(image_processor_for((6, 8), 3), {}, augmentation={"cutmix": 1.0})


def test_a_folder_of_images_is_a_data_set(tmp_path):
    for part, count in (("train", 4), ("validation", 2)):
        for name in NAMES:
            folder = tmp_path / part / name
            folder.mkdir(parents=True)
            for row in range(count):
                picture(row).save(folder / f"{row}.png")
    found = load_splits(dataset_name=str(tmp_path))
    task = ImageClassification.from_splits(found)
    assert (task.label_names, len(found["train"]), task.image_size) == (NAMES, 12, (6, 8))
    assert len(task.prepare(found["validation"], image_processor_for((6, 8), 3))) == 6


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(ValueError, match="cannot be loaded"):
        load_splits(dataset_name=str(tmp_path))


def test_validation_rows_can_be_held_out_and_are_the_same_for_every_seed(tmp_path):
    split(20).to_parquet(tmp_path / "train.parquet")
    parts = [load_splits(train_file=tmp_path / "train.parquet", train_val_split=0.2, seed=seed) for seed in (1, 2)]
    assert [len(one["train"]) for one in parts] == [16, 16]
    held = [sorted(row["bytes"] for row in one["validation"]["image"]) for one in parts]
    kept = {row["bytes"] for row in parts[0]["train"]["image"]}
    assert held[0] == held[1] and not kept & set(held[0])


@pytest.mark.parametrize("share", [0, 1, 1.5, -0.1])
def test_a_share_to_hold_out_lies_between_nothing_and_all(tmp_path, share):
    split(5).to_parquet(tmp_path / "train.parquet")
    with pytest.raises(ValueError, match="above 0 and below 1"):
        load_splits(train_file=tmp_path / "train.parquet", train_val_split=share)


def test_holding_out_beside_a_validation_file_is_refused(tmp_path):
    for name in ("train", "validation"):
        split(5).to_parquet(tmp_path / f"{name}.parquet")
    with pytest.raises(ValueError, match="train_val_split=0.2 would have no effect"):
        load_splits(
            train_file=tmp_path / "train.parquet", validation_file=tmp_path / "validation.parquet", train_val_split=0.2
        )


@pytest.mark.parametrize(
    ("processor", "size"),
    [
        (ViTImageProcessorPil(size={"height": 24, "width": 24}), 8),
        (ConvNextImageProcessorPil(size={"shortest_edge": 64}, crop_pct=0.5), 32),
        (MobileNetV2ImageProcessorPil(), 96),
    ],
    ids=["resizes", "keeps the ratio", "crops"],
)
def test_a_student_of_another_size_is_shown_the_same_part_of_an_image(processor, size):
    task = ImageClassification.from_splits(splits())
    made = task.student_processor(None, processor, student_image_size=size)
    assert input_shape(made) == (3, size, size) and same_crop(processor, made)
    assert not same_crop(processor, ViTImageProcessorPil(do_center_crop=True, crop_size={"height": 9, "width": 9}))


def test_a_size_in_which_a_processor_shows_another_part_is_refused():
    task = ImageClassification.from_splits(splits())
    whole = ConvNextImageProcessorPil(size={"shortest_edge": 384})
    with pytest.raises(ValueError, match="student_image_size=192: .*'shortest_edge': 192.* another part .* Leave"):
        task.student_processor(None, whole, student_image_size=192)
