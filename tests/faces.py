"""Pictures of people who differ by a pattern, and networks small enough for a test."""

import datasets
import numpy as np
import torch
from PIL import Image

from distil_nlp.models import NetworkForImageEmbedding, image_processor_for

SIZE = (16, 12)  # height, width
PROCESSOR = image_processor_for(SIZE, 1)


def make_faces(num_people=4, num_images=6, *, size=SIZE, seed=0, names=None):
    """A data set of gray pictures, people in order: column "image" and class labels."""
    draw = np.random.default_rng(seed)
    patterns = np.random.default_rng(99).normal(128, 50, size=(num_people, *size))
    rows = {"image": [], "label": []}
    for person in range(num_people):
        for _ in range(num_images):
            pixels = np.clip(patterns[person] + draw.normal(0, 20, size=size), 0, 255)
            rows["image"].append(Image.fromarray(pixels.astype(np.uint8)))
            rows["label"].append(person)
    label = datasets.ClassLabel(names=names or [f"person {person}" for person in range(num_people)])
    return datasets.Dataset.from_dict(rows, features=datasets.Features({"image": datasets.Image(), "label": label}))


def tiny_embedder(*, seed=0, width=6, num_people=4, network="cnn8", size=SIZE):
    """A randomly initialized embedder without normalization over the batch, in eval mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        options = {"channels": [3, 4]} if network.startswith("cnn") else {}
        return NetworkForImageEmbedding.from_network(
            network, image_size=size, num_channels=1, embedding_width=width, num_labels=num_people, **options
        ).eval()
