"""An image gets a class, several classes, or a score."""

from ..data.columns import first_split, label_column_of
from ..data.images import image_format, image_size_or_native, pixel_rows
from ..data.labels import read_labels
from ..signals.problem_kinds import problem_kind
from .base import add_ids, add_labels
from .classification import ClassificationTask, check_problem_type
from .image_task import ImageTask, augmentation_from, readers_of


class ImageClassification(ImageTask, ClassificationTask):
    """Classification of images. Make it with `from_splits`.

    Models are whatever `AutoModelForImageClassification` loads, or networks by name ("resnet20", "mobilenetv2x0.5").

    Attributes:
        image_column (`str`): Encoded files.
        num_channels (`int`), image_size (`(int, int)`): What a network that is given by name sees: the channels of the
            data, and its size where there is one.

    See `ClassificationTask` for the others.
    """

    name = "image-classification"
    supports_augmentation = augmentation_keeps_labels = True

    def __init__(self, image_column, label_column, code, *, num_channels, image_size):
        super().__init__(label_column, code)
        self.image_column, self.num_channels, self.image_size = image_column, num_channels, image_size

    @property
    def preset_for_large_gap(self):
        """DIST, whose rankings ask less of a small student than the teacher's exact shares. Two classes have no ranking."""
        exclusive = problem_kind(self.problem_type).exclusive_classes
        return "dist" if exclusive and self.num_labels > 2 else None

    @property
    def auto_class(self):
        from ..models import AutoImageClassifier  # here, not above: who only looks at data need not wait for torch

        return AutoImageClassifier(num_channels=self.num_channels, image_size=self.image_size)

    @classmethod
    def from_splits(
        cls,
        splits,
        *,
        image_column=None,
        label_column=None,
        problem_type=None,
        label_names=None,
        image_size=None,
    ):
        """Read columns, classes and the kind of images off the data.

        Args:
            splits (`dict[str, datasets.Dataset]`): "train", "validation", and where given "test" and "unlabeled".
            image_column (`str`, *optional*): Where neither features nor the usual names settle it.
            label_column, problem_type, label_names (*optional*): As for `TextClassification`.
            image_size (`int`, *optional*): Height and width for networks given by name. By default that of the images.

        Raises:
            ValueError: Columns, images or labels that cannot be used; says which, where, and what to do.
        """
        check_problem_type(problem_type)
        whole = getattr(splits, "whole", splits)
        image, channels, native = image_format(splits, image_column)
        label = label_column_of(whole, label_column)
        reference = first_split(whole, "train", "validation", "test")
        code = read_labels(reference, label, problem_type=problem_type, label_names=label_names)
        task = cls(image, label, code, num_channels=channels, image_size=image_size_or_native(image_size, native))
        task.check_labels(splits)
        return task

    def named_processor(self, name):
        from ..models import image_processor_for, parse_network_name

        return (
            image_processor_for(self.image_size, self.num_channels) if parse_network_name(name) is not None else None
        )

    def prepare(self, split, processor, *, with_labels=True):
        """Rows of raw pixels.

        Args:
            split (`datasets.Dataset`): With the image column; labels are missing where it has no label column.
            processor: The image processor of the model that sees them.
            with_labels (`bool`): Off: the labels of the split are not read and count as missing.

        Returns:
            `datasets.Dataset` of as many rows: image (bytes of uint8, in the order channels, height, width, before
            rescaling and normalizing), labels, example_id.

        Raises:
            ValueError: An image that cannot be read; labels that cannot be used.
        """
        rows, _ = pixel_rows(split, self.image_column, "given", processor)
        return add_ids(add_labels(rows, self.labels_of(split, with_labels=with_labels)))

    def collator(self, processor):
        """An `ImageCollator`: pixel_values of shape (batch, channels, height, width), labels, example_id."""
        return self.collator_for(processor, {})

    def collator_for(self, processor, others, *, augmentation=None):
        """The collator of rows for several models.

        Args:
            processor, others: See `Task.collator_for`.
            augmentation (`dict`, *optional*): Settings of `ImageAugmentation` for batches to train on.
        """
        # Here, not above: who only looks at data need not wait for torch.
        from ..collators.images import ImageCollator

        return ImageCollator(
            *readers_of(processor, others),
            augmentation=None if augmentation is None else self._augmentation(augmentation),
        )

    def augment(self, rows, processor, others, *, num_copies, augmentation=None):
        """Copies of prepared rows, flipped and shifted (or as `augmentation` says), with their labels."""
        from ..augmentation.copies import augmented_images

        shape, _ = readers_of(processor, others)
        return augmented_images(rows, shape, self._augmentation(augmentation or {}), num_copies=num_copies)

    def _augmentation(self, settings):
        made = augmentation_from(settings, num_classes=self.num_labels or 1)
        if made.mixes and not problem_kind(self.problem_type).exclusive_classes:
            raise ValueError(
                f"With mixup={made.mixup} and cutmix={made.cutmix} a label becomes a row of shares of the classes, which a "
                f"single-label classification learns from; this is {self.problem_type}. Leave both out."
            )
        return made

    def usage_example(self, folder):
        return f"import transformers, distil_nlp.models; {super().usage_example(folder)}"
