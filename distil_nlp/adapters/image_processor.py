"""The image processor of our networks, and the loading of others."""

import transformers
from transformers import AutoImageProcessor
from transformers.image_processing_backends import PilBackend
from transformers.image_utils import PILImageResampling

from .image_classifier import ImageNetworkConfig
from .image_embedder import ImageEmbedderConfig

_MODES = {1: "L", 3: "RGB"}


class NetworkImageProcessor(PilBackend):
    """Grey or colour, one size, numbers from -1 to 1: what a network of ours sees of an image.

    It needs pillow only. Unlike the processors of transformers it makes grey images where the network wants those,
    although the pipelines of transformers open every image in colour.

    Args:
        num_channels (`int`): 1 or 3.
        kwargs: `size`, `image_mean`, `image_std` and the like, as for every image processor.
    """

    resample = PILImageResampling.BILINEAR
    size = {"height": 32, "width": 32}
    image_mean = [0.5, 0.5, 0.5]
    image_std = [0.5, 0.5, 0.5]
    do_resize = do_rescale = do_normalize = True
    num_channels = 3

    def __init__(self, num_channels=3, **kwargs):
        if num_channels not in _MODES:
            raise ValueError(f"Images have 1 channel (grey) or 3 (colours); got num_channels={num_channels!r}.")
        kwargs.setdefault("image_mean", [0.5] * num_channels)
        kwargs.setdefault("image_std", [0.5] * num_channels)
        super().__init__(**kwargs)
        self.num_channels = num_channels

    def process_image(self, image, **kwargs):
        if hasattr(image, "convert"):
            image = image.convert(_MODES[self.num_channels])
        return super().process_image(image, **{**kwargs, "do_convert_rgb": False})


def processor_for(image_size, num_channels):
    """The processor of a network that sees images of this size.

    Args:
        image_size (`int` or `(int, int)`): Pixels, or height and width.
        num_channels (`int`): 1 or 3.
    """
    height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
    return NetworkImageProcessor(num_channels, size={"height": height, "width": width})


def resized(processor, image_size):
    """The processor of a network that sees the same images in another size, normalised as before.

    Args:
        processor: Of any kind that shows images whole, with one mean and one standard deviation a channel if any.
        image_size (`int`): Height and width.

    Raises:
        ValueError: A processor that crops images or keeps their ratio: both models would be trained on its part of them,
            and the new one shows all.
    """
    size, crops = dict(processor.size or {}), getattr(processor, "do_center_crop", None)
    if crops or (processor.do_resize and not {"height", "width"} <= size.keys()):
        raise ValueError(
            f"student_image_size={image_size} needs an image processor that resizes images to one height and width; this "
            f"{type(processor).__name__} brings them to {size}{' and crops them' if crops else ''}. The student would be "
            f"trained on the part of an image that it shows, and be shown all of it when it is used. Leave "
            f"student_image_size out, or save another beside the model: ViTImageProcessor(size={{'height': 224, 'width': "
            f"224}}), with the same image_mean and image_std."
        )
    made = processor_for(image_size, len(processor.image_mean or "RGB"))
    for name in ("image_mean", "image_std", "do_normalize", "do_rescale", "rescale_factor"):
        value = getattr(processor, name)
        if value is not None:  # as mean and deviation may be where nothing is normalised
            setattr(made, name, value)
    return made


def load_image_processor(name_or_path, *, trust_remote_code=False):
    """The image processor of a Hub id or folder, or None where there is none."""
    try:
        return transformers.AutoImageProcessor.from_pretrained(name_or_path, trust_remote_code=trust_remote_code)
    except (OSError, ValueError):
        return None


def register_processor():
    """Make `AutoImageProcessor` and pipelines know it; done when `distil_nlp.adapters` is imported."""
    for config in (ImageNetworkConfig, ImageEmbedderConfig):
        AutoImageProcessor.register(config, slow_image_processor_class=NetworkImageProcessor, exist_ok=True)
