"""A network whose answer is one vector an image, as a model that Trainer, the Hub and pipelines know."""

from dataclasses import dataclass

import torch
from torch.nn.functional import normalize
from transformers import AutoConfig, AutoModel
from transformers.utils import ModelOutput

from .image_classifier import AutoImageClassifier, ImageNetworkConfig, NetworkForImageClassification


class ImageEmbedderConfig(ImageNetworkConfig):
    """Which network, made how, for which images, and how wide an embedding.

    Args:
        embedding_width (`int`): Numbers of an embedding.

    See `ImageNetworkConfig` for the others. The labels are those of whom it was trained on, if anybody; no part of the
    network knows them.
    """

    model_type = "distil_nlp_image_embedder"

    embedding_width: int = 128


@dataclass
class ImageEmbedding(ModelOutput):
    """What a `NetworkForImageEmbedding` returns.

    Args:
        logits (`torch.Tensor`): Shape (batch, width), one vector of length 1 an image. So called because that is where
            everything that trains or compares models looks for an answer.
    """

    logits: torch.Tensor | None = None


class NetworkForImageEmbedding(NetworkForImageClassification):
    """A plain network that gives every image a vector of length 1: two are compared by their cosine.

    Make one with `from_network(..., embedding_width=128)` or from an `ImageEmbedderConfig`. It loads with `AutoModel`, once
    `distil_nlp.models` is imported, and answers `pipeline("image-feature-extraction")`. What it is trained by (class
    centers) belongs to the objective and is not in it.
    """

    config_class = ImageEmbedderConfig
    own_settings = ("embedding_width",)

    @property
    def num_outputs(self):
        return self.config.embedding_width

    @classmethod
    def like(cls, network, teacher, **own):
        """As wide as the teacher, so that it can live in its space."""
        return super().like(network, teacher, embedding_width=teacher.config.embedding_width, **own)

    def forward(self, pixel_values, **kwargs):
        """Vectors of shape (batch, width) for pixels of shape (batch, channels, height, width)."""
        return ImageEmbedding(logits=normalize(self.answer(pixel_values), dim=-1))


class AutoImageEmbedder(AutoImageClassifier):
    """Loads image embedders as `AutoModel` does, and makes those of a network's name, with random weights."""

    auto_class, network_class = AutoModel, NetworkForImageEmbedding


def register_embedders():
    """Make transformers' auto classes and pipelines know these models; done when `distil_nlp.models` is imported."""
    AutoConfig.register(ImageEmbedderConfig.model_type, ImageEmbedderConfig, exist_ok=True)
    AutoModel.register(ImageEmbedderConfig, NetworkForImageEmbedding, exist_ok=True)
