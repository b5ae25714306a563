"""Rows of raw pixels and boxes become a batch."""

import copy

import numpy as np
import torch

from .image_collator import ImageCollator

MISSING_LABEL = -100


class BoxCollator(ImageCollator):
    """Pads labels and boxes to the image with most of them, and for training mirrors half of the images with their boxes.

    Whether an image is mirrored is a function of seed, epoch and example alone: not of batches, processes or a resumed
    run.

    Args:
        shape, sees: See `ImageCollator`.

    Called with a list of rows from `ObjectDetection.prepare`, it returns what `ImageCollator` does, with labels of shape
    (batch, most boxes), int64, -100 at padding, and boxes of shape (batch, most boxes, 4), float32: centre x, centre y,
    width and height, 0 to 1 of the image, 0 at padding; NaN in an image whose boxes nobody knows.
    """

    reads = (*ImageCollator.reads, "boxes")

    def __init__(self, shape, sees):
        super().__init__(shape, sees)
        self.seed, self.epoch, self.trains = 0, 0, False

    def for_training(self, seed=0):
        """The same collator with images mirrored at random."""
        other = copy.copy(self)
        other.seed, other.trains = seed, True
        return other

    def set_epoch(self, epoch):
        """Another epoch, other images mirrored."""
        self.epoch = epoch

    def __call__(self, rows):
        batch = super().__call__(
            [{name: row[name] for name in row if name not in ("labels", "boxes")} for row in rows]
        )
        if "boxes" in rows[0]:
            batch.update(_padded(rows))
        if self.trains:
            mirror(batch, self._mirrored(batch["example_id"]))
        return batch

    def _mirrored(self, example_ids):
        seeds = ([self.seed, self.epoch, int(example)] for example in example_ids)
        return torch.tensor([np.random.default_rng(seed).random() < 0.5 for seed in seeds])


def mirror(batch, chosen):
    """Mirror some images of a batch, left to right, in place, with their boxes.

    Args:
        batch (`dict[str, torch.Tensor]`): With columns that end in "pixel_values", and "boxes" where they are known.
        chosen (`torch.BoolTensor`): Shape (batch,).
    """
    for name, values in batch.items():
        if name.endswith("pixel_values"):
            values[chosen] = values[chosen].flip(-1)
    if "boxes" in batch:
        is_box = batch["labels"] >= 0
        centres = batch["boxes"][..., 0]
        batch["boxes"][..., 0] = torch.where(is_box & chosen.unsqueeze(1), 1 - centres, centres)


def _padded(rows):
    most = max(1, *(len(row["boxes"]) for row in rows))
    labels = torch.full((len(rows), most), MISSING_LABEL)
    boxes = torch.zeros(len(rows), most, 4)
    for place, row in enumerate(rows):
        labels[place, : len(row["labels"])] = torch.as_tensor(row["labels"], dtype=torch.int64)
        boxes[place, : len(row["boxes"])] = torch.as_tensor(row["boxes"], dtype=torch.float32).view(-1, 4)
    return {"labels": labels, "boxes": boxes}
