"""Rows of raw pixels become a batch."""

import numpy as np
import torch


class ImageCollator:
    """See `ImageClassification.prepare` for the rows."""

    reads = ("image", "labels", "example_id")

    def __init__(self, shape, sees, *, augmentation=None):
        self.shape, self.sees, self.augmentation = tuple(shape), dict(sees), augmentation

    def __call__(self, rows):
        raw = np.frombuffer(b"".join(row["image"] for row in rows), dtype=np.uint8).reshape(len(rows), *self.shape)
        pixels = torch.from_numpy(raw.copy()).float()
        batch = {}
        for prefix, sees in self.sees.items():
            mean, std = (torch.tensor(one).view(-1, 1, 1) for one in (sees.mean, sees.std))
            batch[prefix + "pixel_values"] = (pixels * sees.rescale - mean) / std
        for name in ("labels", "example_id"):
            if name in rows[0]:
                batch[name] = torch.as_tensor([row[name] for row in rows])
        return batch
