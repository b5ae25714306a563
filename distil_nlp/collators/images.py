"""Rows of pixels become a batch for student and teacher, both of the same view."""

import torch

from ..data.examples import EXAMPLE_ID
from .epochs import EpochAware

IMAGE = "image"


class ImageCollator:
    """Images as the student sees them and, where it reads other pixels, as the teacher does.

    Args:
        shape (`tuple[int]`): Channels, height and width of the stored images.
        sees (`dict[str, PixelPreprocessor]`): Prefix to what a model reads: "" for the student's "pixel_values", "teacher_"
            for a teacher's "teacher_pixel_values" (`SeparateInputs(teacher, "teacher_")`). All are made of the same view.
        augmentation (`Augmentation`, *optional*): For batches to train on. This collator never applies it; the one in
            `for_training` always does, and the trainer makes its training batches with that.

    Attributes:
        for_training (`ImageCollator` or None): None without an augmentation.
        reads (`tuple[str]`): Columns that must reach it.

    Called with rows ("image": bytes of uint8 in the order of `shape`, "labels": a class, "example_id": a number; the last
    two as far as there are any), it returns:
        `dict[str, torch.Tensor]`: pixel_values (batch, channels, height, width), float32, and the same under other
        prefixes; labels (batch,), int64, -100 where missing, or, mixed for training, float32 (batch, classes), see
        `Augmentation`; example_id (batch,), int64.

    Raises:
        ValueError: Channels that no model of `sees` can be shown; an image of another size than `shape`.
    """

    reads = (IMAGE, "labels", EXAMPLE_ID)
    for_training = None

    def __init__(self, shape, sees, *, augmentation=None):
        self.shape, self.sees, self.augmentation = tuple(shape), dict(sees), augmentation
        for one in self.sees.values():
            one(torch.zeros((1, *self.shape), dtype=torch.uint8))  # what cannot be seen is to be found out now
        if augmentation is not None:
            self.for_training = _AugmentingCollator(self)

    def __call__(self, rows):
        # Classes, or numbers and rows of them where a task has these: whole ones become int64, others float32.
        labels, ids = (
            torch.tensor([row[name] for row in rows]) if name in rows[0] else None for name in ("labels", EXAMPLE_ID)
        )
        images, labels = self.view(self.pixels(rows), labels, ids)
        batch = {f"{prefix}pixel_values": one(images) for prefix, one in self.sees.items()}
        return batch | {name: column for name, column in (("labels", labels), (EXAMPLE_ID, ids)) if column is not None}

    def view(self, images, labels, ids):
        """The images, and the labels, that the models are shown."""
        return images, labels

    def pixels(self, rows):
        """The images of rows as they are stored: uint8, shape (batch, channels, height, width)."""
        images = [row[IMAGE] for row in rows]
        size = self.shape[0] * self.shape[1] * self.shape[2]
        if set(map(len, images)) != {size}:
            place = next(place for place, image in enumerate(images) if len(image) != size)
            raise ValueError(
                f"Example {rows[place].get(EXAMPLE_ID, place)} has an image of {len(images[place])} bytes, and one of "
                f"shape {self.shape} (channels, height, width) has {size}. Prepare all images in one shape."
            )
        return torch.frombuffer(bytearray().join(images), dtype=torch.uint8).view(-1, *self.shape)


class _AugmentingCollator(EpochAware, ImageCollator):
    """What an `ImageCollator` with an augmentation leaves to training."""

    def __init__(self, plain):
        EpochAware.__init__(self)
        self.shape, self.sees, self.augmentation = plain.shape, plain.sees, plain.augmentation

    def view(self, images, labels, ids):
        self.need_ids(ids)
        return self.augmentation(images, labels, ids, self.epoch)
