"""The image processor of our networks, and the loading of others."""

import copy
import logging
import math

import transformers
from transformers import AutoImageProcessor
from transformers.image_processing_backends import PilBackend
from transformers.image_utils import PILImageResampling, SizeDict

from .image import ImageEmbedderConfig, ImageNetworkConfig

logger = logging.getLogger(__name__)

_MODES = {1: "L", 3: "RGB"}


class NetworkImageProcessor(PilBackend):
    """Gray or color, one size, numbers from -1 to 1: what a network of ours sees of an image.

    It needs pillow only. Unlike the processors of transformers it makes gray images where the network wants those,
    although the pipelines of transformers open every image in color.

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
            raise ValueError(f"Images have 1 channel (gray) or 3 (colors); got num_channels={num_channels!r}.")
        kwargs.setdefault("image_mean", [0.5] * num_channels)
        kwargs.setdefault("image_std", [0.5] * num_channels)
        super().__init__(**kwargs)
        self.num_channels = num_channels

    def process_image(self, image, **kwargs):
        if hasattr(image, "convert"):
            image = image.convert(_MODES[self.num_channels])
        return super().process_image(image, **{**kwargs, "do_convert_rgb": False})


def image_processor_for(image_size, num_channels):
    """The processor of a network that sees images of this size.

    Args:
        image_size (`int` or `(int, int)`): Pixels, or height and width.
        num_channels (`int`): 1 or 3.
    """
    height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
    return NetworkImageProcessor(num_channels, size={"height": height, "width": width})


def resized_processor(processor, image_size):
    """The processor of a network that sees images in another size, normalized as before.

    Args:
        processor: Of any kind, with one mean and one standard deviation a channel if any.
        image_size (`int`): Height and width.

    Returns:
        One of ours where images are resized to a height and a width; else a copy whose sizes are all as much larger or
        smaller, so that it shows about the same part of an image.
    """
    sizes = {name: _given(getattr(processor, name, None)) for name in ("size", "crop_size")}
    crops = getattr(processor, "do_center_crop", None)
    if crops or not {"height", "width"} <= sizes["size"].keys():
        shown = next(iter((sizes["crop_size"] if crops else sizes["size"]).values()))
        made = copy.deepcopy(processor)
        for name, size in sizes.items():
            if size:
                setattr(made, name, SizeDict(**{of: round(edge * image_size / shown) for of, edge in size.items()}))
        return made
    made = image_processor_for(image_size, len(processor.image_mean or "RGB"))
    for name in ("image_mean", "image_std", "do_normalize", "do_rescale", "rescale_factor"):
        value = getattr(processor, name)
        if value is not None:  # as mean and deviation may be where nothing is normalized
            setattr(made, name, value)
    return made


def _given(size):
    return {name: edge for name, edge in dict(size or {}).items() if edge is not None}


def load_image_processor(name_or_path, *, trust_remote_code=False):
    """The image processor of a Hub id or folder, or None where there is none.

    Of a timm model, whose processor cannot resize without normalizing, it is one of ours that does the same.

    Raises:
        ValueError: A timm model that wants its images cut in a way that ours cannot.
    """
    try:
        loaded = transformers.AutoImageProcessor.from_pretrained(name_or_path, trust_remote_code=trust_remote_code)
    except (OSError, ValueError):
        return None
    timm = getattr(loaded, "data_config", None)
    return loaded if timm is None else _as_timm(timm, name_or_path)


def _as_timm(config, name):
    """The processor that does to an image for evaluation what timm does by its `data_config`."""
    channels, height, width = config["input_size"]
    share, mode = config.get("crop_pct") or 1, config.get("crop_mode") or "center"
    if mode == "squash":
        size = {"height": math.floor(height / share), "width": math.floor(width / share)}
    elif mode == "center" and height == width:
        size = {"shortest_edge": math.floor(height / share)}
    else:
        raise ValueError(
            f"The timm model {name} wants images of {height} x {width} by crop_mode={mode!r}; here they are squashed to a "
            f"size ('squash'), or cut to a square from the middle ('center'). Set crop_mode in the pretrained_cfg of its "
            f"config.json if one of these will do, or take another model."
        )
    logger.info("%s: images are resized to %s and cut to %d x %d, as timm does", name, size, height, width)
    return NetworkImageProcessor(
        channels,
        size=size,
        do_center_crop=True,
        crop_size={"height": height, "width": width},
        resample=PILImageResampling[config["interpolation"].upper()],
        image_mean=list(config["mean"]),
        image_std=list(config["std"]),
    )


def register_image_processor():
    """Make `AutoImageProcessor` and pipelines know it; done when `distil_nlp.models` is imported."""
    for config in (ImageNetworkConfig, ImageEmbedderConfig):
        AutoImageProcessor.register(config, slow_image_processor_class=NetworkImageProcessor, exist_ok=True)
