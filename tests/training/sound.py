"""What a test of training on sound needs: rows of noise of uneven length, and pairs of networks that listen."""

import datasets
import torch

from distil_nlp.collators.audio import AudioCollator, CtcCollator, FrameCollator
from distil_nlp.models import (
    LogMel,
    NetworkForAudioClassification,
    NetworkForAudioFrameClassification,
    NetworkForCTC,
    feature_extractor_for,
)

from .runs import NUM_CLASSES, in_float64, step_gradients

RATE = 8000
# What is learned: a class a clip, a class a frame, letters of which nobody knows where they are.
KINDS = {
    "clips": (NetworkForAudioClassification, AudioCollator),
    "frames": (NetworkForAudioFrameClassification, FrameCollator),
    "letters": (NetworkForCTC, CtcCollator),
}


def make_waves(num_rows=32, *, kind="clips", labeled=None, seed=0):
    """Rows as the tasks on sound prepare them."""
    draw = torch.Generator().manual_seed(seed)
    lengths = torch.randint(400, 1600, (num_rows,), generator=draw).tolist()
    labels = []
    for row, length in enumerate(lengths):
        known = labeled is None or labeled(row)
        if kind == "clips":
            labels.append(int(torch.randint(NUM_CLASSES, (), generator=draw)) if known else -100)
        elif kind == "frames":
            size = (LogMel(RATE).num_frames(length),)
            labels.append(torch.randint(NUM_CLASSES, size, generator=draw).tolist() if known else [-100] * size[0])
        else:
            letters = torch.randint(1, NUM_CLASSES, (1 + length % 2,), generator=draw).tolist()
            labels.append(letters if known and LogMel(RATE).num_frames(length) > 3 else [])
    return datasets.Dataset.from_dict(
        {
            "audio": [(0.1 * torch.randn(length, generator=draw)).numpy().tobytes() for length in lengths],
            "length": lengths,
            "labels": labels,
            "example_id": list(range(num_rows)),
        }
    )


def make_listeners(kind="clips"):
    """A student and a teacher of twice its width; the same at every call."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return [
            KINDS[kind][0].from_network(name, sampling_rate=RATE, num_labels=NUM_CLASSES, num_blocks=2)
            for name in ("streamcnn4", "streamcnn8")
        ]


def sound_collator(kind="clips", **settings):
    return KINDS[kind][1](RATE, {"": feature_extractor_for(RATE)}, **settings)


def sound_gradients(folder, kind="clips", *, rows=None, **settings):
    """See `step_gradients`: of a pair of networks in float64."""
    rows = make_waves(kind=kind, labeled=lambda row: row % 3 == 0) if rows is None else rows
    return step_gradients(*in_float64(make_listeners(kind)), rows, folder, collator=sound_collator(kind), **settings)
