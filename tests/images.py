"""What a test of images needs: rows of pixels, two tiny networks, what they see."""

import datasets
import torch
from torch import nn

from distil_nlp.models.pixel_preprocessor import PixelPreprocessor

SHAPE = (3, 8, 8)
STUDENT_SEES = PixelPreprocessor(8, 8, 3, (0.5, 0.4, 0.3), (0.2, 0.25, 0.3))
LARGER_GRAY = PixelPreprocessor(10, 12, 1, (0.5,), (0.5,))


def image_rows(num_rows=40, *, shape=SHAPE, num_classes=3, seed=0):
    """A data set as `ImageClassification.prepare` makes it, of noise."""
    draw = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (num_rows, *shape), dtype=torch.uint8, generator=draw)
    labels = torch.randint(0, num_classes, (num_rows,), generator=draw)
    return datasets.Dataset.from_dict(
        {
            "image": [one.numpy().tobytes() for one in pixels],
            "labels": labels.tolist(),
            "example_id": list(range(num_rows)),
        }
    )


def pixels_of(rows, shape=SHAPE):
    """The images of rows as one tensor of uint8."""
    return torch.stack([torch.frombuffer(bytearray(row["image"]), dtype=torch.uint8).view(shape) for row in rows])


class TinyCnn(nn.Module):
    """A convolution with BatchNorm and a linear map. `seen` keeps what it was shown, where that is a list."""

    def __init__(self, width=4, *, num_channels=3, num_classes=3, dropout=0.0, seed=0):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            # No bias: a BatchNorm takes it away again, its gradient is rounding, and Adam makes steps of that.
            self.conv = nn.Conv2d(num_channels, width, 3, padding=1, bias=False)
            self.bn = nn.BatchNorm2d(width)
            self.dropout = nn.Dropout(dropout)
            self.linear = nn.Linear(width, num_classes)
        self.seen = None

    def forward(self, pixel_values):
        if self.seen is not None:
            self.seen.append(pixel_values.clone())
        return self.linear(self.dropout(self.bn(self.conv(pixel_values)).relu().mean((2, 3))))
