"""Rows of raw pixels and boxes become a batch."""

import torch

from ..data.examples import EXAMPLE_ID
from .images import ImageCollator

MISSING_LABEL = -100
_OF_BOXES = ("labels", "boxes")


class BoxCollator(ImageCollator):
    """Images, and the classes and boxes of what is in them, padded to the image with most; mirrored together for training.

    Args:
        shape, sees: See `ImageCollator`.
        augmentation (`Augmentation`, *optional*): For batches to train on; a flip, the only one that boxes follow.

    Called with a list of rows from `ObjectDetection.prepare`, it returns what `ImageCollator` does, with labels of shape
    (batch, most boxes), int64, -100 at padding, and boxes of shape (batch, most boxes, 4), float32: center x, center y,
    width and height, 0 to 1 of the image, 0 at padding; NaN in an image whose boxes nobody knows.

    Raises:
        ValueError: An augmentation that moves, covers or mixes what boxes are about.
    """

    reads = (*ImageCollator.reads, "boxes")

    def __init__(self, shape, sees, *, augmentation=None):
        super().__init__(shape, sees, augmentation=augmentation)
        if augmentation is not None:
            _refuse_more_than_flips(augmentation)
            self.for_training = _MirroringCollator(self.for_training)

    def __call__(self, rows):
        return {**super().__call__(_without_boxes(rows)), **_padded(rows)}


class _MirroringCollator:
    """What a `BoxCollator` leaves to training: the collator that mirrors its images, and their boxes."""

    reads = BoxCollator.reads

    def __init__(self, images):
        self.images = images

    def set_epoch(self, epoch):
        self.images.set_epoch(epoch)

    def __call__(self, rows):
        batch = {**self.images(_without_boxes(rows)), **_padded(rows)}
        flipped = torch.from_numpy(self.images.augmentation.flipped(batch[EXAMPLE_ID], self.images.epoch))
        return {**batch, "boxes": mirrored(batch["boxes"], batch["labels"], flipped)}


def mirrored(boxes, labels, chosen):
    """Boxes as they lie in a mirrored image.

    Args:
        boxes (`torch.Tensor`): Shape (batch, most boxes, 4), the center's x first, 0 to 1.
        labels (`torch.LongTensor`): Shape (batch, most boxes), -100 at padding, which stays.
        chosen (`torch.BoolTensor`): Shape (batch,): which images are mirrored.
    """
    moved = torch.cat([1 - boxes[..., :1], boxes[..., 1:]], dim=-1)
    return torch.where((chosen[:, None] & (labels >= 0))[..., None], moved, boxes)


def _without_boxes(rows):
    return [{name: value for name, value in row.items() if name not in _OF_BOXES} for row in rows]


def _padded(rows):
    most = max(1, *(len(row["boxes"]) for row in rows))
    labels = torch.full((len(rows), most), MISSING_LABEL)
    boxes = torch.zeros(len(rows), most, 4)
    for place, row in enumerate(rows):
        labels[place, : len(row["labels"])] = torch.as_tensor(row["labels"], dtype=torch.int64)
        boxes[place, : len(row["boxes"])] = torch.as_tensor(row["boxes"], dtype=torch.float32).view(-1, 4)
    return {"labels": labels, "boxes": boxes}


def _refuse_more_than_flips(augmentation):
    plain = type(augmentation)(flip=0, crop_padding=0)
    names = ("crop_padding", "min_scale", "erasing", "mixup", "cutmix")
    more = [name for name in names if getattr(augmentation, name) != getattr(plain, name)]
    if more:
        raise ValueError(
            f"Boxes follow a flip, and {', '.join(f'{name}={getattr(augmentation, name)}' for name in more)} would move, "
            f"cover or mix what they are about. Use Augmentation(flip=0.5, crop_padding=0)."
        )
