"""An image gets a class, several classes, or a score."""

import dataclasses

from ..suggestions import nearest
from .base import add_ids, add_labels
from .classification import ClassificationTask, check_problem_type
from .columns import first_split, label_column_of
from .images import largest, look_at, pixel_rows, seen_shape, sees
from .labels import read_labels


class ImageClassification(ClassificationTask):
    """Classification of images. Make it with `from_splits`.

    Models are whatever `AutoModelForImageClassification` loads, or networks by name ("resnet20", "mobilenetv2x0.5").

    Attributes:
        image_column (`str`): Encoded files.
        num_channels (`int`), image_size (`(int, int)`): What a network that is given by name sees: the channels of the
            data, and its size where there is one.

    See `ClassificationTask` for the others.
    """

    name = "image-classification"
    example = "image.png"
    reads_tokens = False
    any_tokenizer = True
    may_be_altered = copies_keep_labels = True

    def __init__(self, image_column, label_column, code, *, num_channels, image_size):
        super().__init__(label_column, code)
        self.image_column, self.num_channels, self.image_size = image_column, num_channels, image_size

    @property
    def auto_class(self):
        from ..adapters import ImageClassifiers  # here, not above: who only looks at data need not wait for torch

        return ImageClassifiers(self.num_channels, self.image_size)

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
            splits (`dict[str, datasets.Dataset]`): "train", "validation", and where given "test" and "unlabelled".
            image_column (`str`, *optional*): Where neither features nor the usual names settle it.
            label_column, problem_type, label_names (*optional*): As for `TextClassification`.
            image_size (`int`, *optional*): Height and width for networks given by name. By default that of the images.

        Raises:
            ValueError: Columns, images or labels that cannot be used; says which, where, and what to do.
        """
        check_problem_type(problem_type)
        whole = getattr(splits, "whole", splits)
        image, channels, size = look_at(splits, image_column, image_size)
        label = label_column_of(whole, label_column)
        reference = first_split(whole, "train", "validation", "test")
        code = read_labels(reference, label, problem_type=problem_type, label_names=label_names)
        task = cls(image, label, code, num_channels=channels, image_size=size)
        task.check_labels(splits)
        return task

    def load_processor(self, name_or_path, *, trust_remote_code=False):
        """The image processor of a model, or the one that suits a network given by name."""
        from ..adapters import load_image_processor, processor_for, read_spec

        if read_spec(str(name_or_path)) is not None:
            return processor_for(self.image_size, self.num_channels)
        processor = load_image_processor(name_or_path, trust_remote_code=trust_remote_code)
        if processor is None:
            raise ValueError(
                f"{name_or_path} has no image processor beside it (preprocessor_config.json), so its input cannot be made. "
                f"Save the one that it was trained with into its folder."
            )
        return processor

    def prepare(self, split, processor, *, with_labels=True):
        """Rows of raw pixels.

        Args:
            split (`datasets.Dataset`): With the image column; labels are missing where it has no label column.
            processor: The image processor of the model that sees them.
            with_labels (`bool`): Off: the labels of the split are not read and count as missing.

        Returns:
            `datasets.Dataset` of as many rows: image (bytes of uint8, in the order channels, height, width, before
            rescaling and normalising), labels, example_id.

        Raises:
            ValueError: An image that cannot be read; labels that cannot be used.
        """
        rows, _ = pixel_rows(split, self.image_column, "given", processor)
        return add_ids(add_labels(rows, self.labels_of(split, with_labels=with_labels)))

    def collator(self, processor):
        """An `ImageCollator`: pixel_values of shape (batch, channels, height, width), labels, example_id."""
        return self.collator_for(processor, {})

    def prepare_for(self, split, processor, others, **settings):
        # One view for all: that of the largest. The collator makes of it what each of them reads.
        return self.prepare(split, largest([processor, *others.values()]), **settings)

    def collator_for(self, processor, others, *, augmentation=None):
        """The collator of rows for several models.

        Args:
            processor, others: See `Task.collator_for`.
            augmentation (`dict`, *optional*): Settings of `Augmentation` for batches to train on.
        """
        # Here, not above: who only looks at data need not wait for torch.
        from .image_collator import ImageCollator

        readers = {"": processor, **others}
        seen = {name: sees(one) for name, one in readers.items()}
        shape = seen_shape(largest(readers.values()))
        return ImageCollator(
            shape, seen, augmentation=None if augmentation is None else self._augmentation(augmentation)
        )

    def altered(self, rows, processor, others, *, num_copies, augmentation=None):
        """Copies of prepared rows, flipped and shifted (or as `augmentation` says), with their labels."""
        from .image_copies import altered_images

        shape = seen_shape(largest([processor, *others.values()]))
        return altered_images(rows, shape, self._augmentation(augmentation or {}), num_copies=num_copies)

    def _augmentation(self, settings):
        from ..views import Augmentation

        known = [one.name for one in dataclasses.fields(Augmentation) if one.name != "num_classes"]
        for name in settings if isinstance(settings, dict) else [settings]:
            if name not in known or not isinstance(settings, dict):
                raise ValueError(
                    f"augmentation is a mapping of {', '.join(known)}, such as {{flip: 0.5, crop_padding: 4}}; got "
                    f"{settings!r}{nearest(name, known)}."
                )
        classes = self.num_labels if self.problem_type == "single_label_classification" else None
        return Augmentation(**settings, num_classes=classes)

    def same_input(self, processor, other):
        return processor is other or processor.to_dict() == other.to_dict()

    def in_use(self, folder):
        return f"import transformers, distil_nlp.adapters; {super().in_use(folder)}"

    def speed_batch(self, processor, models, batch_size):
        import torch

        generator = torch.Generator().manual_seed(0)
        return {"pixel_values": torch.randn(batch_size, *seen_shape(processor), generator=generator)}
