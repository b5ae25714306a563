"""Any network that maps pixels to logits, as a model that Trainer, the Hub and pipelines know."""

from dataclasses import dataclass

import torch
from torch.nn.functional import normalize
from transformers import AutoConfig, AutoModel, AutoModelForImageClassification
from transformers.modeling_outputs import ImageClassifierOutputWithNoAttention
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES
from transformers.utils import ModelOutput

from .network import NetworkConfig, NetworkLoader, NetworkModel

_IMAGE_SIZE = 224  # of teachers that take any size and say none


class ImageNetworkConfig(NetworkConfig):
    """Which network, made how, for which images.

    Args:
        num_channels (`int`): 1 for gray images, 3 for colors.
        image_size (`int` or `list[int]`): Pixels, or height and width.

    See `NetworkConfig` for the others.
    """

    model_type = "distil_nlp_network"

    num_channels: int = 3
    image_size: int | list[int] = 32


class NetworkForImageClassification(NetworkModel):
    """A plain network of pixels, for `pipeline("image-classification")` and all else that transformers does.

    Make one with `from_network` or from an `ImageNetworkConfig`; see `NetworkModel`.
    """

    config_class = ImageNetworkConfig
    main_input_name = "pixel_values"
    input_modalities = ("image",)

    @classmethod
    def made_for(cls, config):
        return {"num_channels": config.num_channels, "image_size": config.image_size}

    @classmethod
    def from_network(
        cls,
        network,
        *,
        image_size,
        num_channels=3,
        num_labels=None,
        id2label=None,
        problem_type="single_label_classification",
        feature_paths=None,
        **options,
    ):
        """Make one with random weights.

        Args:
            image_size (`int` or `(int, int)`): Pixels, or height and width.
            num_channels (`int`): 1 or 3.
            feature_paths (`list[str]`, *optional*): See `NetworkConfig`.
            options: What the network is made with.

        See `NetworkModel.from_settings` for the others, and for what is refused.
        """
        return cls.from_settings(
            network,
            num_labels=num_labels,
            id2label=id2label,
            problem_type=problem_type,
            options=options,
            num_channels=num_channels,
            image_size=image_size if isinstance(image_size, int) else list(image_size),
            feature_paths=feature_paths,
        )

    @classmethod
    def like(cls, network, teacher, *, image_size=None, **own):
        """One with random weights for the images and the labels of a teacher; for images of another size if it is given."""
        config = teacher.config
        size = image_size or getattr(config, "image_size", None) or _IMAGE_SIZE
        return cls.from_network(
            network,
            image_size=size if isinstance(size, int) else tuple(size),
            num_channels=getattr(config, "num_channels", 3),
            id2label=config.id2label,
            problem_type=config.problem_type,
            **own,
        )

    def forward(self, pixel_values, labels=None, **kwargs):
        """Logits of shape (batch, classes) for pixels of shape (batch, channels, height, width)."""
        logits = self.answer(pixel_values)
        loss = None if labels is None else self.loss_function(labels, logits, self.config)
        return ImageClassifierOutputWithNoAttention(loss=loss, logits=logits)

    def answer(self, pixel_values):
        """What the network says, shape (batch, num_outputs)."""
        channels = self.config.num_channels
        if pixel_values.dim() != 4 or pixel_values.shape[1] != channels:
            raise ValueError(
                f"Images of shape (batch, {channels}, height, width) are expected; got {tuple(pixel_values.shape)}. The "
                f"image processor saved beside the model makes them so."
            )
        return self.network(pixel_values)

    def sample_inputs(self, batch_size):
        config = self.config
        height, width = (config.image_size,) * 2 if isinstance(config.image_size, int) else config.image_size
        generator = torch.Generator().manual_seed(batch_size)
        return {"pixel_values": torch.randn(batch_size, config.num_channels, height, width, generator=generator)}

    def try_out(self):
        config, (pixels,) = self.config, self.sample_inputs(2).values()
        height, width = pixels.shape[2:]
        answer = self.network(torch.zeros_like(pixels))
        shape = tuple(answer.shape) if isinstance(answer, torch.Tensor) else type(answer).__name__
        if shape != (2, self.num_outputs):
            raise ValueError(
                f"{type(self.network).__name__} should answer 2 images of {config.num_channels} x {height} x {width} with "
                f"logits of shape (2, {self.num_outputs}), num_labels of them each; it gave {shape}. Does its __init__ "
                f"take num_labels, and does forward return logits?"
            )


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


class AutoImageClassifier(NetworkLoader):
    """Loads image classifiers; of a network's name, for images of `num_channels` and `image_size`."""

    auto_class, network_class = AutoModelForImageClassification, NetworkForImageClassification


class AutoImageEmbedder(AutoImageClassifier):
    """Loads image embedders as `AutoModel` does, and makes those of a network's name, with random weights."""

    auto_class, network_class = AutoModel, NetworkForImageEmbedding


def register_image_models():
    """Make transformers' auto classes and pipelines know these models; done when `distil_nlp.models` is imported."""
    AutoConfig.register(ImageNetworkConfig.model_type, ImageNetworkConfig, exist_ok=True)
    AutoModelForImageClassification.register(ImageNetworkConfig, NetworkForImageClassification, exist_ok=True)
    # The pipeline only warns about models that are not in this table, and works.
    MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES[ImageNetworkConfig.model_type] = (
        NetworkForImageClassification.__name__
    )
    AutoConfig.register(ImageEmbedderConfig.model_type, ImageEmbedderConfig, exist_ok=True)
    AutoModel.register(ImageEmbedderConfig, NetworkForImageEmbedding, exist_ok=True)
