"""Things in images are found: what they are, and where."""

from functools import partial

import datasets
import numpy as np

from ..data.coco import category_names, encode_categories, read_objects, relative_boxes
from ..data.columns import first_split, listed, require_column, row_location
from ..data.images import image_format, open_images, pixel_rows
from ..metrics import DetectionEvaluator
from .base import add_ids
from .image_task import ImageTask, augmentation_from, readers_of

USUAL = ("objects", "annotations")
_SIZE_OF_MANY = (480, 480)  # for a detector given by name, of images of many sizes
_PICTURED = 4  # images in the picture of a report
_UNKNOWN = [[float("nan")] * 4]  # the boxes of an image that nobody looked at


class ObjectDetection(ImageTask):
    """Object detection on data of COCO's form. Make it with `from_splits`.

    Models are whatever `AutoModelForObjectDetection` loads, or small ones by name ("deformable_detr-64x2"). All images are
    brought to the one size of the image processor; boxes are kept as parts of the image, so that this moves none.

    Attributes:
        image_column (`str`): Encoded files.
        image_size (`(int, int)`): Height and width that a detector given by name sees.
        objects_column (`str`): Categories and boxes; splits may lack it, and rows may have null there: unknown.

    See `Task` for the others.
    """

    name = "object-detection"
    problem_type = "object_detection"

    def __init__(self, image_column, objects_column, given_names, label_names, *, image_size):
        self.image_column, self.objects_column, self.image_size = image_column, objects_column, image_size
        self._given_names, self.label_names, self.num_labels = given_names, label_names, len(label_names)

    @property
    def auto_class(self):
        """`AutoDetector`: AutoModelForObjectDetection, and detectors by name."""
        from ..models.detectors import AutoDetector  # here, not above: who only looks at data need not wait for torch

        return AutoDetector

    @classmethod
    def from_splits(cls, splits, *, image_column=None, label_column=None, label_names=None, image_size=None):
        """Read columns and categories off the data; refuse now what would teach wrong places.

        The column of things holds, for each row, {"bbox": [[left, top, width, height], ...], "category": [...]}, in pixels,
        or a list of {"bbox": ..., "category": ...}. Empty lists are an image with nothing in it.

        Args:
            splits (`dict[str, datasets.Dataset]`): "train", "validation", and where given "test" and "unlabeled".
            image_column (`str`, *optional*): Where neither features nor the usual names settle it.
            label_column (`str`, *optional*): Of the things; by default "objects" or "annotations".
            label_names (`list[str]`, *optional*): The categories in the order of a model's classes, instead of the data's.
            image_size (`int`, *optional*): Height of images for detectors given by name; their width keeps the images'
                ratio. By default the images' own size; 480 in height and width where these differ.

        Raises:
            ValueError: Columns, images, categories or boxes that cannot be used; says which row, and what to do.
        """
        whole = getattr(splits, "whole", splits)
        image, _, native = image_format(splits, image_column)
        labeled = first_split(whole, "train", "validation", "test")
        column = _objects_column(labeled.column_names, label_column)
        if "validation" in whole and column not in whole["validation"].column_names:
            raise ValueError(
                f"The validation split has no column {column!r}, where the training split has its boxes. Its columns are "
                f"{listed(whole['validation'].column_names)}. Without boxes nothing can be measured."
            )
        objects = {
            name: read_objects(split, column, name)
            for name, split in whole.items()
            if name != "unlabeled" and column in split.column_names
        }
        given = category_names(labeled, column, next(iter(objects.values())))
        size = _scaled(native or _SIZE_OF_MANY, image_size)
        task = cls(image, column, given, list(label_names or given), image_size=size)
        for name, found in objects.items():
            encode_categories(found, given, task.label_names, partial(row_location, whole[name], name))
            relative_boxes(found, whole[name], image, name)
            if name != "test" and not any(one is not None for one in found):
                raise ValueError(
                    f"All {len(found)} rows of the {name} split have null in column {column!r}: nobody looked at these "
                    f"images. They can be learned from as the 'unlabeled' split (unlabeled_file)."
                )
        return task

    def named_processor(self, name):
        from ..models.detectors import detector_processor, parse_detector_name

        return detector_processor(name, self.image_size) if parse_detector_name(name) is not None else None

    def load_processor(self, name_or_path, **settings):
        """See `ImageTask.load_processor`; a ValueError where images would not have one height and width."""
        processor = super().load_processor(name_or_path, **settings)
        check_one_size(processor, name_or_path)
        return processor

    def prepare(self, split, processor, *, with_labels=True):
        """Rows of raw pixels and boxes.

        Args:
            split (`datasets.Dataset`): With the image column; boxes are unknown where it has no column of things.
            processor: The image processor of the models. It brings images to one height and width.
            with_labels (`bool`): Off: the things of the split are not read and count as unknown.

        Returns:
            `datasets.Dataset` of as many rows: image (bytes of uint8, in the order channels, height, width, before
            rescaling and normalizing); labels, the class of each thing; boxes, as many (center x, center y, width, height),
            0 to 1 of the image; example_id. Of an image that nobody looked at: no labels, and one box of NaN.

        Raises:
            ValueError: An image that cannot be read; things that cannot be used; a processor that keeps images' shapes.
        """
        check_one_size(processor)
        rows, _ = pixel_rows(split, self.image_column, "given", processor)
        return add_ids(_with_objects(rows, *self._objects_of(split, with_labels=with_labels)))

    def collator(self, processor):
        """A `BoxCollator`: pixel_values, labels and boxes, padded, and example_id."""
        return self.collator_for(processor, {})

    def collator_for(self, processor, others, *, augmentation=None):
        """The collator of rows for several models.

        Args:
            processor, others: See `Task.collator_for`.
            augmentation (`dict`, *optional*): Settings of `ImageAugmentation` for batches to train on: {"flip": 0.5}.
        """
        # Here, not above: who only looks at data need not wait for torch.
        from ..collators.boxes import BoxCollator

        flips = None
        if augmentation is not None:
            flips = augmentation_from(
                augmentation, num_classes=self.num_labels, example="{flip: 0.5}", usual={"crop_padding": 0}
            )
        return BoxCollator(*readers_of(processor, others), augmentation=flips)

    def evaluator(self, prepared, raw=None, main_metric=None):
        """`DetectionEvaluator`: average precision, see `Task.evaluator`."""
        return DetectionEvaluator(
            prepared["labels"][:], prepared["boxes"][:], self.num_labels, main_metric=main_metric
        )

    def pictures(self, folder, raw, prepared, answers):
        """boxes.png: true boxes and found ones on a few images of the split, one model beside the other."""
        from ..reports.box_plots import SURE, draw_pictures, true_boxes  # pillow may not be there until it is needed

        rows = np.unique(np.linspace(0, len(raw) - 1, min(_PICTURED, len(raw))).astype(int)).tolist()
        shown = prepared.select(rows)
        columns = {"true": [true_boxes(*one) for one in zip(shown["labels"][:], shown["boxes"][:], strict=True)]}
        columns |= {name: [found[row] for row in rows] for name, found in answers.items()}
        images = list(open_images(raw, self.image_column, "given", rows))
        draw_pictures(folder / "boxes.png", images, columns, self.label_names)
        return {
            "boxes.png": f"Boxes on {len(rows)} images: the true ones, and those found with a score of {SURE} or more"
        }

    def config_labels(self):
        """As for a classification; a problem type is nothing that transformers knows for a detector."""
        return {**super().config_labels(), "problem_type": None}

    def labeled(self, prepared):
        return np.array([not np.isnan(np.asarray(boxes)).any() for boxes in prepared["boxes"][:]], dtype=bool)

    def without_labels(self, prepared):
        rows = prepared.remove_columns(["labels", "boxes"])
        return _with_objects(rows, self.missing_labels(len(rows)), [_UNKNOWN] * len(rows))

    def missing_labels(self, count):
        return [[]] * count

    def _objects_of(self, split, *, with_labels):
        """Classes and boxes of every row, as lists."""
        if not with_labels or self.objects_column not in split.column_names:
            return self.missing_labels(len(split)), [_UNKNOWN] * len(split)
        objects = read_objects(split, self.objects_column, "given")
        where = partial(row_location, split, "given")
        labels = encode_categories(objects, self._given_names, self.label_names, where)
        boxes = relative_boxes(objects, split, self.image_column, "given")
        unknown = [one is None for one in objects]
        return (
            [[] if lost else one for one, lost in zip(labels, unknown, strict=True)],
            [_UNKNOWN if lost else one.tolist() for one, lost in zip(boxes, unknown, strict=True)],
        )


def _scaled(size, height):
    """Height and width of this ratio with that height."""
    return tuple(size) if height is None else (height, max(1, round(size[1] * height / size[0])))


def check_one_size(processor, name="The image processor"):
    """Refuse a processor that keeps the shape of images: they would have to be padded to share a batch."""
    size = processor.size
    if not {"height", "width"} <= {key for key, value in dict(size).items() if value is not None}:
        raise ValueError(
            f"{name} brings images to {dict(size)}, so their shapes differ and they cannot share a batch. Set one "
            f"height and width: `processor.size = {{'height': 480, 'width': 640}}`, and save it beside the model."
        )


def _with_objects(rows, labels, boxes):
    rows = rows.add_column("labels", labels, feature=datasets.List(datasets.Value("int64")))
    return rows.add_column("boxes", boxes, feature=datasets.List(datasets.List(datasets.Value("float32"))))


def _objects_column(found, given):
    if given is not None:
        require_column(given, found, "label_column")
        return given
    candidates = [name for name in USUAL if name in found]
    if len(candidates) != 1:
        raise ValueError(
            f"The columns are {listed(found)}. One of them should hold the things in each image ({' or '.join(USUAL)}). "
            f"Set label_column."
        )
    return candidates[0]
