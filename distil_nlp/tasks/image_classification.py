"""Task: classification or regression of images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets

from ..augmentation import ImageAugmentation
from ..augmentation.copies import augmented_images
from ..collators.images import ImageCollator
from ..data.images import image_format, image_size_or_native, pixel_rows
from ..data.labels import LabelEncoder
from ..models import AutoImageClassifier, image_processor_for, parse_network_name
from ..signals.problem_kinds import problem_kind
from .base import Processor, Splits, add_ids, add_labels
from .classification_base import ClassificationTask, check_problem_type, read_label_column
from .file_base import ImageTask, image_augmentation, image_inputs


class ImageClassification(ImageTask, ClassificationTask):
    """Classification of images. Make it with `from_splits`.

    Models are those that `AutoModelForImageClassification` loads, or networks by name ("resnet20", "mobilenetv2x0.5").

    Attributes:
        image_column (`str`): Column of the encoded files.
        num_channels (`int`), image_size (`(int, int)`): Input of networks that are given by name: the channels of the
            data, and its size if all images have the same.

    See `ClassificationTask` for the others.
    """

    name = "image-classification"
    supports_augmentation = augmentation_keeps_labels = True

    def __init__(
        self,
        image_column: str,
        label_column: str,
        encoder: LabelEncoder,
        *,
        num_channels: int,
        image_size: tuple[int, int] | None,
    ) -> None:
        super().__init__(label_column, encoder)
        self.image_column, self.num_channels, self.image_size = image_column, num_channels, image_size

    @property
    def preset_for_large_gap(self) -> str | None:
        """DIST: a small student can match the teacher's ranking of classes more easily than its exact probabilities.

        None for two classes, which have no ranking.
        """
        exclusive = problem_kind(self.problem_type).exclusive_classes
        return "dist" if exclusive and self.num_labels > 2 else None

    @property
    def auto_class(self) -> AutoImageClassifier:
        return AutoImageClassifier(num_channels=self.num_channels, image_size=self.image_size)

    @classmethod
    def from_splits(
        cls,
        splits: Splits,
        *,
        image_column: str | None = None,
        label_column: str | None = None,
        problem_type: str | None = None,
        label_names: Sequence[str] | None = None,
        image_size: int | None = None,
    ) -> ImageClassification:
        """Create the task: infer columns, classes and image format from the data.

        Args:
            splits (`dict[str, datasets.Dataset]`): "train", "validation", and where given "test" and "unlabeled".
            image_column (`str`, *optional*): Where features and the usual names are ambiguous.
            label_column, problem_type, label_names (*optional*): As for `TextClassification`.
            image_size (`int`, *optional*): Height and width for networks given by name. Default: that of the images.

        Raises:
            ValueError: Columns, images or labels that cannot be used. The message names the column or row.
        """
        check_problem_type(problem_type)
        image, channels, native = image_format(splits, image_column)
        label, encoder = read_label_column(getattr(splits, "whole", splits), label_column, problem_type, label_names)
        size = image_size_or_native(image_size, native)
        task = cls(image, label, encoder, num_channels=channels, image_size=size)
        task.check_labels(splits)
        return task

    def named_processor(self, name: str) -> Processor | None:
        if parse_network_name(name) is None:
            return None
        return image_processor_for(self.image_size, self.num_channels)

    def prepare(self, split: datasets.Dataset, processor: Processor, *, with_labels: bool = True) -> datasets.Dataset:
        """Rows of raw pixels.

        Args:
            split (`datasets.Dataset`): With the image column; labels are missing where it has no label column.
            processor: The model's image processor.
            with_labels (`bool`): False: the labels of the split are not read and count as missing.

        Returns:
            `datasets.Dataset` of as many rows: image (bytes of uint8, in the order channels, height, width, before
            rescaling and normalizing), labels, example_id.

        Raises:
            ValueError: An image that cannot be read; labels that cannot be used.
        """
        rows, _ = pixel_rows(split, self.image_column, "given", processor)
        return add_ids(add_labels(rows, self.labels_of(split, with_labels=with_labels)))

    def collator(self, processor: Processor) -> ImageCollator:
        """An `ImageCollator`: pixel_values of shape (batch, channels, height, width), labels, example_id."""
        return self.collator_for(processor, {})

    def collator_for(
        self,
        processor: Processor,
        others: Mapping[str, Processor],
        *,
        augmentation: Mapping[str, Any] | None = None,
    ) -> ImageCollator:
        """The collator of rows for several models.

        Args:
            processor, others: See `Task.collator_for`.
            augmentation (`dict`, *optional*): Settings of `ImageAugmentation` for training batches.
        """
        return ImageCollator(
            *image_inputs(processor, others),
            augmentation=None if augmentation is None else self._augmentation(augmentation),
        )

    def augment(
        self,
        rows: datasets.Dataset,
        processor: Processor,
        others: Mapping[str, Processor],
        *,
        num_copies: int,
        augmentation: Mapping[str, Any] | None = None,
    ) -> datasets.Dataset:
        """Copies of prepared rows with their labels, flipped and shifted (or with the settings of `augmentation`)."""
        shape, _ = image_inputs(processor, others)
        return augmented_images(rows, shape, self._augmentation(augmentation or {}), num_copies=num_copies)

    def _augmentation(self, settings: Mapping[str, Any]) -> ImageAugmentation:
        augmentation = image_augmentation(settings, num_classes=self.num_labels or 1)
        if augmentation.mixes and not problem_kind(self.problem_type).exclusive_classes:
            raise ValueError(
                f"With mixup={augmentation.mixup} and cutmix={augmentation.cutmix} a label becomes a row of class "
                f"probabilities, which a single-label classification learns from; this is {self.problem_type}. Leave both "
                f"out."
            )
        return augmentation

    def usage_example(self, folder: str | Path) -> str:
        return f"import transformers, distil_nlp.models; {super().usage_example(folder)}"
