"""Other worlds under the contracts of this one. Importing it makes the auto classes of transformers know its models."""

from .image_classifier import ImageClassifiers, ImageNetworkConfig, NetworkForImageClassification, register_models
from .image_embedder import ImageEmbedderConfig, ImageEmbedders, NetworkForImageEmbedding, register_embedders
from .image_processor import (
    NetworkImageProcessor,
    load_image_processor,
    processor_for,
    register_processor,
    resized,
)
from .networks import import_line, read_spec, register_network

register_models()
register_embedders()
register_processor()

__all__ = [
    "ImageClassifiers",
    "ImageEmbedderConfig",
    "ImageEmbedders",
    "ImageNetworkConfig",
    "NetworkForImageClassification",
    "NetworkForImageEmbedding",
    "NetworkImageProcessor",
    "import_line",
    "load_image_processor",
    "processor_for",
    "read_spec",
    "resized",
    "register_network",
]
