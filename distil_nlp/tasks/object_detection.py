"""Task: object detection, classes and boxes of the objects in images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import datasets
import numpy as np

from ..collators.boxes import BoxCollator
from ..data.coco import category_names, encode_categories, read_objects, relative_boxes
from ..data.columns import first_split, require_column, row_location
from ..data.images import image_format, open_images, pixel_rows
from ..internals.messages import listed, shown
from ..metrics import DetectionEvaluator
from ..models.detectors import AutoDetector, detector_processor, parse_detector_name
from ..reports.box_plots import MIN_SCORE, draw_pictures, true_boxes
from .base import Processor, Splits, add_ids
from .file_base import ImageTask, image_augmentation, image_inputs

OBJECTS = ("objects", "annotations")  # usual names of the column
_DEFAULT_SIZE = (480, 480)  # of a detector given by name, where images differ in size
_NUM_PICTURES = 4  # images in the picture of a report
_UNKNOWN = [[float("nan")] * 4]  # the boxes of an image without annotation


class ObjectDetection(ImageTask):
    """Object detection on data of COCO's form. Make it with `from_splits`.

    Models are those that `AutoModelForObjectDetection` loads, or small ones by name ("deformable_detr-64x2"). All images
    are resized to the size of the image processor; boxes are relative to the image, so resizing does not change them.

    Attributes:
        image_column (`str`): Column of the encoded files.
        image_size (`(int, int)`): Height and width of the input of detectors that are given by name.
        objects_column (`str`): Column of categories and boxes; splits may lack it, and null means unknown.

    See `Task` for the others.
    """

    name = "object-detection"
    problem_type = "object_detection"

    def __init__(
        self,
        image_column: str,
        objects_column: str,
        category_names: list[str],
        label_names: list[str],
        *,
        image_size: tuple[int, int],
    ) -> None:
        self.image_column, self.objects_column, self.image_size = image_column, objects_column, image_size
        self._category_names, self.label_names, self.num_labels = category_names, label_names, len(label_names)

    @property
    def auto_class(self) -> type[AutoDetector]:
        """`AutoDetector`: AutoModelForObjectDetection, and detectors by name."""
        return AutoDetector

    @classmethod
    def from_splits(
        cls,
        splits: Splits,
        *,
        image_column: str | None = None,
        label_column: str | None = None,
        label_names: Sequence[str] | None = None,
        image_size: int | None = None,
    ) -> ObjectDetection:
        """Create the task: infer columns and categories from the data, and reject boxes that would be wrong labels.

        The column of objects contains, for each row, {"bbox": [[left, top, width, height], ...], "category": [...]}, in
        pixels, or a list of {"bbox": ..., "category": ...}. Empty lists are an image without objects.

        Args:
            splits (`dict[str, datasets.Dataset]`): "train", "validation", and where given "test" and "unlabeled".
            image_column (`str`, *optional*): Where features and the usual names are ambiguous.
            label_column (`str`, *optional*): Of the objects; by default "objects" or "annotations".
            label_names (`list[str]`, *optional*): The categories in the order of a model's classes, instead of the data's.
            image_size (`int`, *optional*): Height of the input of detectors given by name; the width follows the images'
                aspect ratio. Default: the images' own size; 480 in height and width where these differ.

        Raises:
            ValueError: Columns, images, categories or boxes that cannot be used, with the row and the way out.
        """
        whole = getattr(splits, "whole", splits)
        image, _, native = image_format(splits, image_column)
        labeled = first_split(whole, "train", "validation", "test")
        column = _objects_column(labeled.column_names, label_column)
        if "validation" in whole and column not in whole["validation"].column_names:
            raise ValueError(
                f"The validation split has no column {shown(column)}, which has the boxes in the training split, so it "
                f"has no metric. Its columns are {listed(whole['validation'].column_names)}. Add the boxes, or set "
                f"label_column."
            )
        objects = {
            name: read_objects(split, column, name)
            for name, split in whole.items()
            if name != "unlabeled" and column in split.column_names
        }
        names = category_names(labeled, column, next(iter(objects.values())))
        size = _scaled(native or _DEFAULT_SIZE, image_size)
        task = cls(image, column, names, list(label_names or names), image_size=size)
        for name, rows in objects.items():
            encode_categories(rows, names, task.label_names, partial(row_location, whole[name], name))
            relative_boxes(rows, whole[name], image, name)
            if name != "test" and all(of_image is None for of_image in rows):
                raise ValueError(
                    f"All {len(rows)} rows of the {name} split have null in column {shown(column)}: the images are not "
                    f"annotated. They can be learned from as the 'unlabeled' split (unlabeled_file)."
                )
        return task

    def named_processor(self, name: str) -> Processor | None:
        return detector_processor(name, self.image_size) if parse_detector_name(name) is not None else None

    def load_processor(self, name_or_path: str, *, trust_remote_code: bool = False) -> Processor:
        """See `FileTask.load_processor`; a ValueError where images would not have a single height and width."""
        processor = super().load_processor(name_or_path, trust_remote_code=trust_remote_code)
        check_fixed_size(processor, name_or_path)
        return processor

    def prepare(self, split: datasets.Dataset, processor: Processor, *, with_labels: bool = True) -> datasets.Dataset:
        """Rows of raw pixels and boxes.

        Args:
            split (`datasets.Dataset`): With the image column; boxes are unknown where it has no column of objects.
            processor: The models' image processor, which resizes images to a single height and width.
            with_labels (`bool`): False: the objects of the split are not read and count as unknown.

        Returns:
            `datasets.Dataset` of as many rows: image (bytes of uint8, in the order channels, height, width, before
            rescaling and normalizing); labels, the class of each object; boxes, as many (center x, center y, width,
            height), 0 to 1 of the image; example_id. For an image without annotation: no labels, and a single box of NaN.

        Raises:
            ValueError: An image that cannot be read; objects that cannot be used; a processor that keeps images' shapes.
        """
        check_fixed_size(processor)
        rows, _ = pixel_rows(split, self.image_column, "given", processor)
        return add_ids(_with_objects(rows, *self._objects_of(split, with_labels=with_labels)))

    def collator(self, processor: Processor) -> BoxCollator:
        """A `BoxCollator`: pixel_values, labels and boxes, padded, and example_id."""
        return self.collator_for(processor, {})

    def collator_for(
        self,
        processor: Processor,
        others: Mapping[str, Processor],
        *,
        augmentation: Mapping[str, Any] | None = None,
    ) -> BoxCollator:
        """The collator of rows for several models.

        Args:
            processor, others: See `Task.collator_for`.
            augmentation (`dict`, *optional*): Settings of `ImageAugmentation` for training batches: {"flip": 0.5}.
        """
        flips = None
        if augmentation is not None:
            flips = image_augmentation(
                augmentation, num_classes=self.num_labels, example="{flip: 0.5}", defaults={"crop_padding": 0}
            )
        return BoxCollator(*image_inputs(processor, others), augmentation=flips)

    def evaluator(
        self, prepared: datasets.Dataset, raw: datasets.Dataset | None = None, main_metric: str | None = None
    ) -> DetectionEvaluator:
        """A `DetectionEvaluator` of the true boxes, see `Task.evaluator`."""
        return DetectionEvaluator(
            prepared["labels"][:], prepared["boxes"][:], self.num_labels, main_metric=main_metric
        )

    def pictures(
        self,
        folder: Path,
        raw: datasets.Dataset,
        prepared: datasets.Dataset,
        answers: Mapping[str, Sequence[np.ndarray]],
    ) -> dict[str, str]:
        """Draw boxes.png: true and detected boxes on a few images of the split, one column for each model."""
        rows = np.unique(np.linspace(0, len(raw) - 1, min(_NUM_PICTURES, len(raw))).astype(int)).tolist()
        selected = prepared.select(rows)
        objects = zip(selected["labels"][:], selected["boxes"][:], strict=True)
        columns = {"true": [true_boxes(labels, boxes) for labels, boxes in objects]}
        columns |= {name: [detections[row] for row in rows] for name, detections in answers.items()}
        images = list(open_images(raw, self.image_column, "given", rows))
        draw_pictures(folder / "boxes.png", images, columns, self.label_names)
        return {
            "boxes.png": f"Boxes on {len(rows)} images: the true ones, and those found with a score of {MIN_SCORE} or more"
        }

    def config_labels(self) -> dict[str, Any]:
        """The label fields of a model config, without a problem type: transformers has none for detection."""
        return {**super().config_labels(), "problem_type": None}

    def labeled(self, prepared: datasets.Dataset) -> np.ndarray:
        return np.array([not np.isnan(np.asarray(boxes)).any() for boxes in prepared["boxes"][:]], dtype=bool)

    def without_labels(self, prepared: datasets.Dataset) -> datasets.Dataset:
        rows = prepared.remove_columns(["labels", "boxes"])
        return _with_objects(rows, self.missing_labels(len(rows)), [_UNKNOWN] * len(rows))

    def missing_labels(self, count: int) -> list[list[int]]:
        return [[]] * count

    def _objects_of(self, split: datasets.Dataset, *, with_labels: bool) -> tuple[list, list]:
        """Classes and boxes of every row, as lists."""
        if not with_labels or self.objects_column not in split.column_names:
            return self.missing_labels(len(split)), [_UNKNOWN] * len(split)
        objects = read_objects(split, self.objects_column, "given")
        labels = encode_categories(
            objects, self._category_names, self.label_names, partial(row_location, split, "given")
        )
        boxes = relative_boxes(objects, split, self.image_column, "given")
        unknown = [of_image is None for of_image in objects]
        return (
            [[] if missing else classes for classes, missing in zip(labels, unknown, strict=True)],
            [_UNKNOWN if missing else of_image.tolist() for of_image, missing in zip(boxes, unknown, strict=True)],
        )


def _scaled(size: tuple[int, int], height: int | None) -> tuple[int, int]:
    """Height and width with the aspect ratio of `size` and this height."""
    return tuple(size) if height is None else (height, max(1, round(size[1] * height / size[0])))


def check_fixed_size(processor: Processor, name: str = "The image processor") -> None:
    """Raise a ValueError for a processor that keeps the shape of images, which could not share a batch unpadded."""
    size = processor.size
    if not {"height", "width"} <= {key for key, value in dict(size).items() if value is not None}:
        raise ValueError(
            f"{name} brings images to {dict(size)}, so their shapes differ and they cannot share a batch. Set one "
            f"height and width: `processor.size = {{'height': 480, 'width': 640}}`, and save it beside the model."
        )


def _with_objects(rows: datasets.Dataset, labels: list, boxes: list) -> datasets.Dataset:
    rows = rows.add_column("labels", labels, feature=datasets.List(datasets.Value("int64")))
    return rows.add_column("boxes", boxes, feature=datasets.List(datasets.List(datasets.Value("float32"))))


def _objects_column(columns: list[str], label_column: str | None) -> str:
    if label_column is not None:
        require_column(label_column, columns, "label_column")
        return label_column
    candidates = [name for name in OBJECTS if name in columns]
    if len(candidates) != 1:
        raise ValueError(
            f"The columns are {listed(columns)}. A single one should contain the objects of each image "
            f"({' or '.join(OBJECTS)}). Set label_column."
        )
    return candidates[0]
