"""What a test of training on sound needs: rows of noise of uneven length, and a pair of networks that listen."""

import datasets
import torch

from distil_nlp.adapters import NetworkForAudioClassification, extractor_for
from distil_nlp.tasks.audio_collator import AudioCollator

from .runs import NUM_CLASSES, in_float64, step_gradients

RATE = 8000


def make_waves(num_rows=32, *, labelled=None, seed=0):
    """Rows as `AudioClassification.prepare` makes them."""
    draw = torch.Generator().manual_seed(seed)
    lengths = torch.randint(400, 1600, (num_rows,), generator=draw).tolist()
    labels = torch.randint(NUM_CLASSES, (num_rows,), generator=draw).tolist()
    return datasets.Dataset.from_dict(
        {
            "audio": [(0.1 * torch.randn(length, generator=draw)).numpy().tobytes() for length in lengths],
            "labels": [label if labelled is None or labelled(row) else -100 for row, label in enumerate(labels)],
            "example_id": list(range(num_rows)),
        }
    )


def make_listeners():
    """A student and a teacher of twice its width; the same at every call."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return [
            NetworkForAudioClassification.from_network(name, sampling_rate=RATE, num_labels=NUM_CLASSES, num_blocks=2)
            for name in ("streamcnn4", "streamcnn8")
        ]


def sound_collator(**settings):
    return AudioCollator(RATE, {"": extractor_for(RATE)}, **settings)


def sound_gradients(folder, *, rows=None, **settings):
    """See `step_gradients`: of the pair of networks in float64."""
    rows = make_waves(labelled=lambda row: row % 3 == 0) if rows is None else rows
    return step_gradients(*in_float64(make_listeners()), rows, folder, collator=sound_collator(), **settings)
