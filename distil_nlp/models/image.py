"""Wraps plain networks over pixels as transformers models: image classifiers and image embedders."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.functional import normalize
from transformers import AutoConfig, AutoModel, AutoModelForImageClassification, PreTrainedModel
from transformers.modeling_outputs import ImageClassifierOutputWithNoAttention
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES
from transformers.utils import ModelOutput

from .network import NetworkConfig, NetworkLoader, NetworkModel

_IMAGE_SIZE = 224  # where a teacher's config has no image_size, because it takes images of any size


class ImageNetworkConfig(NetworkConfig):
    """Configuration of a network over images.

    Args:
        num_channels (`int`): 1 for gray images, 3 for color.
        image_size (`int` or `list[int]`): Pixels, or height and width.

    See `NetworkConfig` for the others.
    """

    model_type = "distil_nlp_network"

    num_channels: int = 3
    image_size: int | list[int] = 32


class NetworkForImageClassification(NetworkModel):
    """A plain network of pixels as an image classifier. Works with `pipeline("image-classification")`.

    Build it with `from_network` or from an `ImageNetworkConfig`; see `NetworkModel`.
    """

    config_class = ImageNetworkConfig
    main_input_name = "pixel_values"
    input_modalities = ("image",)

    @classmethod
    def network_kwargs(cls, config: ImageNetworkConfig) -> dict[str, Any]:
        return {"num_channels": config.num_channels, "image_size": config.image_size}

    @classmethod
    def from_network(
        cls,
        network: str | type[nn.Module],
        *,
        image_size: int | tuple[int, int],
        num_channels: int = 3,
        num_labels: int | None = None,
        id2label: dict[int, str] | list[str] | None = None,
        problem_type: str | None = "single_label_classification",
        feature_paths: list[str] | None = None,
        **options: Any,
    ) -> "NetworkForImageClassification":
        """Build a model with random weights.

        Args:
            image_size (`int` or `(int, int)`): Pixels, or height and width.
            num_channels (`int`): 1 or 3.
            feature_paths (`list[str]`, *optional*): See `NetworkConfig`.
            options: Arguments of the network's `__init__`.

        See `NetworkModel.from_settings` for the others, and for errors.
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
    def for_teacher(
        cls,
        network: str,
        teacher: PreTrainedModel,
        *,
        image_size: int | tuple[int, int] | None = None,
        **options: Any,
    ) -> "NetworkForImageClassification":
        """Build a model with random weights and a teacher's labels, channels and, unless given, image size."""
        config = teacher.config
        size = image_size or getattr(config, "image_size", None) or _IMAGE_SIZE
        return cls.from_network(
            network,
            image_size=size if isinstance(size, int) else tuple(size),
            num_channels=getattr(config, "num_channels", 3),
            id2label=config.id2label,
            problem_type=config.problem_type,
            **options,
        )

    def forward(
        self, pixel_values: torch.Tensor, labels: torch.Tensor | None = None, **kwargs: Any
    ) -> ImageClassifierOutputWithNoAttention:
        """Logits of shape (batch, classes) for pixels of shape (batch, channels, height, width)."""
        logits = self.network_outputs(pixel_values)
        loss = None if labels is None else self.loss_function(labels, logits, self.config)
        return ImageClassifierOutputWithNoAttention(loss=loss, logits=logits)

    def network_outputs(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Outputs of the network, shape (batch, num_outputs)."""
        channels = self.config.num_channels
        if pixel_values.dim() != 4 or pixel_values.shape[1] != channels:
            raise ValueError(
                f"Expected images of shape (batch, {channels}, height, width); got {tuple(pixel_values.shape)}. Prepare "
                f"them with the image processor saved beside the model."
            )
        return self.network(pixel_values)

    def sample_inputs(self, batch_size: int) -> dict[str, torch.Tensor]:
        config = self.config
        height, width = (config.image_size,) * 2 if isinstance(config.image_size, int) else config.image_size
        generator = torch.Generator().manual_seed(batch_size)
        return {"pixel_values": torch.randn(batch_size, config.num_channels, height, width, generator=generator)}

    def check_outputs(self) -> None:
        config, (pixels,) = self.config, self.sample_inputs(2).values()
        height, width = pixels.shape[2:]
        outputs = self.network(torch.zeros_like(pixels))
        shape = tuple(outputs.shape) if isinstance(outputs, torch.Tensor) else type(outputs).__name__
        if shape != (2, self.num_outputs):
            raise ValueError(
                f"{type(self.network).__name__} should return logits of shape (2, {self.num_outputs}) for 2 images of "
                f"{config.num_channels} x {height} x {width}, num_labels of them each; got {shape}. Does its __init__ "
                f"take num_labels, and does forward return logits?"
            )


class ImageEmbedderConfig(ImageNetworkConfig):
    """Configuration of a network that embeds images.

    Args:
        embedding_width (`int`): Dimensions of the embedding.

    See `ImageNetworkConfig` for the others. The labels are the identities of the training data, if there are any; the
    network does not use them.
    """

    model_type = "distil_nlp_image_embedder"

    embedding_width: int = 128


@dataclass
class ImageEmbedding(ModelOutput):
    """Output of a `NetworkForImageEmbedding`.

    Args:
        logits (`torch.Tensor`): Shape (batch, width), one vector of length 1 per image. Named logits because trainers
            and evaluation read a model's output under that name.
    """

    logits: torch.Tensor | None = None


class NetworkForImageEmbedding(NetworkForImageClassification):
    """A plain network that maps every image to a vector of length 1, for comparison by cosine similarity.

    Build it with `from_network(..., embedding_width=128)` or from an `ImageEmbedderConfig`. It loads with `AutoModel` once
    `distil_nlp.models` is imported, and works with `pipeline("image-feature-extraction")`. The class centers that it is
    trained with belong to the objective and are not part of the model.
    """

    config_class = ImageEmbedderConfig
    extra_settings = ("embedding_width",)

    @property
    def num_outputs(self) -> int:
        return self.config.embedding_width

    @classmethod
    def for_teacher(cls, network: str, teacher: PreTrainedModel, **options: Any) -> "NetworkForImageEmbedding":
        """Build a model with random weights and the teacher's embedding width, so that the two share a space."""
        return super().for_teacher(network, teacher, embedding_width=teacher.config.embedding_width, **options)

    def forward(self, pixel_values: torch.Tensor, **kwargs: Any) -> ImageEmbedding:
        """Vectors of shape (batch, width) for pixels of shape (batch, channels, height, width)."""
        return ImageEmbedding(logits=normalize(self.network_outputs(pixel_values), dim=-1))


class AutoImageClassifier(NetworkLoader):
    """Loads image classifiers, or builds one from a network's name, for images of `num_channels` and `image_size`."""

    auto_class, network_class = AutoModelForImageClassification, NetworkForImageClassification


class AutoImageEmbedder(AutoImageClassifier):
    """Loads image embedders as `AutoModel` does, or builds one from a network's name with random weights."""

    auto_class, network_class = AutoModel, NetworkForImageEmbedding


def register_image_models() -> None:
    """Register the image models with transformers' auto classes and pipelines, when `distil_nlp.models` is imported."""
    AutoConfig.register(ImageNetworkConfig.model_type, ImageNetworkConfig, exist_ok=True)
    AutoModelForImageClassification.register(ImageNetworkConfig, NetworkForImageClassification, exist_ok=True)
    # The pipeline works with models that are not in this table, but warns about them.
    MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES[ImageNetworkConfig.model_type] = (
        NetworkForImageClassification.__name__
    )
    AutoConfig.register(ImageEmbedderConfig.model_type, ImageEmbedderConfig, exist_ok=True)
    AutoModel.register(ImageEmbedderConfig, NetworkForImageEmbedding, exist_ok=True)
