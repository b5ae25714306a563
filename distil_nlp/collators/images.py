"""The collator of images: stored pixels to the inputs of student and teacher."""

from collections.abc import Callable, Mapping, Sequence

import torch

from ..data.collator import Batch, Collator, Row, require_example_ids
from ..data.examples import EXAMPLE_ID
from ..models.pixel_preprocessor import PixelPreprocessor

IMAGE = "image"


class ImageCollator(Collator):
    """Makes the pixel values of the student and, where they differ, those of the teacher from the same image.

    Args:
        shape (`tuple[int]`): Channels, height and width of the stored images.
        preprocessors (`dict[str, PixelPreprocessor]`): Prefix -> preprocessing of a model: "" for the student's
            "pixel_values", "teacher_" for a teacher's "teacher_pixel_values" (`SeparateInputs(teacher, "teacher_")`).
            Each gets the same, possibly augmented image.
        augmentation (`ImageAugmentation`, *optional*): Applied by the collator that `for_training()` returns, which makes
            the training batches of the trainer; never by this collator.

    Called with rows ("image": bytes of uint8 in the order of `shape`, "labels": a class, "example_id": a number; the last
    two where the data has them), it returns:
        `dict[str, torch.Tensor]`: pixel_values (batch, channels, height, width), float32, and the same under other
        prefixes; labels (batch,), int64, -100 where missing, or, mixed for training, float32 (batch, classes), see
        `ImageAugmentation`; example_id (batch,), int64.

    Raises:
        ValueError: Channels that a model of `preprocessors` cannot take; an image of another size than `shape`; rows
            without example ids for an augmentation.
    """

    columns = (IMAGE, "labels", EXAMPLE_ID)

    def __init__(
        self,
        shape: Sequence[int],
        preprocessors: Mapping[str, PixelPreprocessor],
        *,
        augmentation: Callable | None = None,
    ):
        self.shape, self.preprocessors, self.augmentation = tuple(shape), dict(preprocessors), augmentation
        for preprocessor in self.preprocessors.values():
            preprocessor(torch.zeros((1, *self.shape), dtype=torch.uint8))  # raises on channels a model cannot take

    def __call__(self, rows: Sequence[Row]) -> Batch:
        # Labels are classes, numbers, or rows of them: integers become int64, others float32.
        labels, ids = (
            torch.tensor([row[name] for row in rows]) if name in rows[0] else None for name in ("labels", EXAMPLE_ID)
        )
        images = self.pixels(rows)
        if self.augments:
            require_example_ids(rows)
            images, labels = self.augmentation(images, labels, ids, self.epoch)
        batch = {f"{prefix}pixel_values": preprocessor(images) for prefix, preprocessor in self.preprocessors.items()}
        return batch | {name: column for name, column in (("labels", labels), (EXAMPLE_ID, ids)) if column is not None}

    def pixels(self, rows: Sequence[Row]) -> torch.Tensor:
        """The stored images of rows: uint8, shape (batch, channels, height, width).

        Raises:
            ValueError: An image of another size than `shape`.
        """
        images = [row[IMAGE] for row in rows]
        size = self.shape[0] * self.shape[1] * self.shape[2]
        for index, image in enumerate(images):
            if len(image) != size:
                raise ValueError(
                    f"Example {rows[index].get(EXAMPLE_ID, index)} has an image of {len(image)} bytes, and one of shape "
                    f"{self.shape} (channels, height, width) has {size}. Prepare all images in one shape."
                )
        return torch.frombuffer(bytearray().join(images), dtype=torch.uint8).view(-1, *self.shape)
