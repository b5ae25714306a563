"""What a test of training on images needs: rows of random pixels, pairs of small networks, terms on their maps."""

import datasets
import torch
from torch import nn
from transformers import default_data_collator

from distil_nlp.objectives import (
    AttentionMaps,
    ChannelMaps,
    FeatureMaps,
    HardLabels,
    Objective,
    PearsonMaps,
    RelationalAngle,
    RelationalDistance,
    SimilarityPreserving,
    SoftTargets,
)

from .runs import NUM_CLASSES, in_float64, make_trainer, step_gradients

SIZE = 8  # pixels, each way


class FrozenBatchNorm(nn.BatchNorm2d):
    """Its statistics are those it was made with, whatever mode the network is in."""

    def __init__(self, channels):
        super().__init__(channels)
        self.running_mean.normal_()
        self.running_var.uniform_(0.5, 2.0)
        self.eval()

    def train(self, mode=True):
        return super().train(False)


NORMS = {
    "frozen batch": FrozenBatchNorm,
    "group": lambda channels: nn.GroupNorm(2, channels),
    "batch": nn.BatchNorm2d,
}


class SmallCnn(nn.Module):
    """Two stages of 8 x 8 and 4 x 4 pixels, with operations in place; the second is a residual one."""

    def __init__(self, width, norm):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3, padding=1, bias=False), norm(width), nn.ReLU(inplace=True))
        self.down = nn.Conv2d(width, 2 * width, 3, stride=2, padding=1, bias=False)
        self.conv, self.norm = nn.Conv2d(2 * width, 2 * width, 3, padding=1, bias=False), norm(2 * width)
        self.block, self.relu = nn.Identity(), nn.ReLU(inplace=True)
        self.head = nn.Linear(2 * width, NUM_CLASSES)

    def forward(self, pixel_values):
        shortcut = self.down(self.stem(pixel_values.to(self.head.weight.dtype)))
        out = self.norm(self.conv(shortcut))
        out += shortcut
        return self.head(self.relu(self.block(out)).mean(dim=(2, 3)))


def make_images(num_rows=32, *, labeled=None, mixed=False, seed=0):
    """A data set of random images. `mixed` makes rows of class probabilities of its labels."""
    draw = torch.Generator().manual_seed(seed)
    rows = {"pixel_values": torch.randn(num_rows, 3, SIZE, SIZE, generator=draw).tolist()}
    if mixed:
        labels = torch.rand(num_rows, NUM_CLASSES, generator=draw)
        labels, missing = (labels / labels.sum(-1, keepdim=True)).tolist(), [-100.0] * NUM_CLASSES
    else:
        labels, missing = torch.randint(NUM_CLASSES, (num_rows,), generator=draw).tolist(), -100
    rows["labels"] = [label if labeled is None or labeled(i) else missing for i, label in enumerate(labels)]
    return datasets.Dataset.from_dict(rows)


def make_networks(norm="frozen batch"):
    """A student and a teacher of twice its width; the same at every call."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return SmallCnn(4, NORMS[norm]), SmallCnn(8, NORMS[norm])


# Every term on maps as it is used on a pair of `make_networks`.
MAP_TERMS = {
    "hints": lambda: FeatureMaps(1.0),
    "attention maps": lambda: AttentionMaps(1.0, layers=[("stem", "stem"), ("block", "block")]),
    "channels": lambda: ChannelMaps(1.0, layers="last", temperature=2.0),
    "hints of another size": lambda: FeatureMaps(1.0, layers=[(0, 1), ("norm", 0)]),
}
# Those whose item is the micro-batch.
MAP_BATCH_TERMS = {
    "pearson": lambda: PearsonMaps(1.0),
    "distance of maps": lambda: RelationalDistance(1.0),
    "angle of vectors": lambda: RelationalAngle(1.0, layers=[("head", -1)]),
    "similarity of maps": lambda: SimilarityPreserving(1.0),
}
WITH_PROJECTION = {"hints", "channels", "hints of another size", "pearson"}


def map_objective(*terms):
    """Labels, soft targets and terms on maps on top of them; hints where none is named."""
    made = [{**MAP_TERMS, **MAP_BATCH_TERMS}[term]() for term in terms or ["hints"]]
    return Objective([HardLabels(0.3), SoftTargets(0.7, temperature=3.0), *made])


def image_trainer(student, teacher, rows, folder, **settings):
    """See `make_trainer`."""
    return make_trainer(student, teacher, rows, folder, collator=default_data_collator, **settings)


def image_gradients(folder, *terms, norm="frozen batch", rows=None, **settings):
    """See `step_gradients`: of the pair of networks in float64, with the terms of `map_objective`."""
    rows = make_images(labeled=lambda row: row % 3 == 0) if rows is None else rows
    return step_gradients(
        *in_float64(make_networks(norm)),
        rows,
        folder,
        objective=map_objective(*terms),
        collator=default_data_collator,
        **settings,
    )
