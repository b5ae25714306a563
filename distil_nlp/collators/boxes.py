"""The collator of images with labeled boxes, for object detection."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch

from ..data.collator import Batch, Row, pad
from ..data.examples import EXAMPLE_ID
from ..models.pixel_preprocessor import PixelPreprocessor
from ..signals.problem_kinds import MISSING
from .images import ImageCollator


class BoxCollator(ImageCollator):
    """Makes batches of images with classes and boxes, padded to the image with most boxes.

    Args:
        shape, preprocessors: See `ImageCollator`.
        augmentation (`ImageAugmentation`, *optional*): For training batches. Only a flip, which mirrors the boxes, too.

    Called with a list of rows from `ObjectDetection.prepare`, it returns the batch of `ImageCollator`, with labels of shape
    (batch, most boxes), int64, -100 at padding, and boxes of shape (batch, most boxes, 4), float32: center x, center y,
    width and height, 0 to 1 of the image, 0 at padding; NaN in an image without labels.

    Raises:
        ValueError: An augmentation that moves, covers or mixes the objects in the boxes.
    """

    columns = (*ImageCollator.columns, "boxes")

    def __init__(
        self,
        shape: Sequence[int],
        preprocessors: Mapping[str, PixelPreprocessor],
        *,
        augmentation: Callable | None = None,
    ):
        super().__init__(shape, preprocessors, augmentation=augmentation)
        if augmentation is not None:
            _check_only_flips(augmentation)

    def __call__(self, rows: Sequence[Row]) -> Batch:
        batch = super().__call__(
            [{name: value for name, value in row.items() if name not in ("labels", "boxes")} for row in rows]
        )
        boxes = pad([np.reshape(row["boxes"], (-1, 4)) for row in rows], 0.0, length=1)
        labels = pad([row["labels"] for row in rows], MISSING, length=boxes.shape[1])
        if self.augments:
            is_flipped = torch.from_numpy(self.augmentation.flipped(batch[EXAMPLE_ID], self.epoch))
            boxes = mirror_boxes(boxes, labels, is_flipped)
        return {**batch, "labels": labels, "boxes": boxes}


def mirror_boxes(boxes: torch.Tensor, labels: torch.Tensor, is_mirrored: torch.Tensor) -> torch.Tensor:
    """Mirror the boxes of the images that are mirrored horizontally.

    Args:
        boxes (`torch.Tensor`): Shape (batch, most boxes, 4), the center's x first, 0 to 1.
        labels (`torch.LongTensor`): Shape (batch, most boxes), -100 at padding, which stays.
        is_mirrored (`torch.BoolTensor`): Shape (batch,).

    Returns:
        `torch.Tensor` of the shape of `boxes`.
    """
    mirrored = torch.cat([1 - boxes[..., :1], boxes[..., 1:]], dim=-1)
    return torch.where((is_mirrored[:, None] & (labels >= 0))[..., None], mirrored, boxes)


def _check_only_flips(augmentation: Callable) -> None:
    plain = type(augmentation)(flip=0, crop_padding=0)
    names = ("crop_padding", "min_scale", "erasing", "mixup", "cutmix")
    settings = {name: getattr(augmentation, name) for name in names}
    changed = [f"{name}={value}" for name, value in settings.items() if value != getattr(plain, name)]
    if changed:
        raise ValueError(
            f"Boxes follow a flip, and {', '.join(changed)} would move, cover or mix the objects in them. Use "
            f"ImageAugmentation(flip=0.5, crop_padding=0)."
        )
