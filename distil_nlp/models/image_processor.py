"""Image processors: the one of the image networks, and the loading of those of other models."""

import copy
import logging
import math
from pathlib import Path
from typing import Any

import transformers
from transformers import AutoImageProcessor
from transformers.image_processing_backends import PilBackend
from transformers.image_processing_utils import BaseImageProcessor
from transformers.image_utils import SizeDict
from transformers.utils import is_vision_available

from ..internals.imports import import_extra
from ..internals.messages import shown
from .image import ImageEmbedderConfig, ImageNetworkConfig
from .sources import load_saved

logger = logging.getLogger(__name__)

_BILINEAR = 2  # PIL.Image.Resampling.BILINEAR: this module is imported without pillow, too
_MODES = {1: "L", 3: "RGB"}


class NetworkImageProcessor(PilBackend):
    """Converts images to gray or color, resizes them, and scales their values to -1 to 1.

    It needs pillow only. Unlike the processors of transformers it converts to gray where the network takes gray images,
    although the pipelines of transformers open every image in color.

    Args:
        num_channels (`int`): 1 or 3.
        kwargs: `size`, `image_mean`, `image_std` and the like, as for every image processor.
    """

    resample = _BILINEAR
    size = {"height": 32, "width": 32}
    image_mean = [0.5, 0.5, 0.5]
    image_std = [0.5, 0.5, 0.5]
    do_resize = do_rescale = do_normalize = True
    num_channels = 3

    def __init__(self, num_channels: int = 3, **kwargs: Any):
        if num_channels not in _MODES:
            raise ValueError(f"num_channels must be 1 (gray) or 3 (color); got {shown(num_channels)}.")
        kwargs.setdefault("image_mean", [0.5] * num_channels)
        kwargs.setdefault("image_std", [0.5] * num_channels)
        super().__init__(**kwargs)
        self.num_channels = num_channels

    def process_image(self, image: Any, **kwargs: Any) -> Any:
        if hasattr(image, "convert"):
            image = image.convert(_MODES[self.num_channels])
        return super().process_image(image, **{**kwargs, "do_convert_rgb": False})


def image_processor_for(image_size: int | tuple[int, int], num_channels: int) -> NetworkImageProcessor:
    """Image processor of a network for images of this size.

    Args:
        image_size (`int` or `(int, int)`): Pixels, or height and width.
        num_channels (`int`): 1 or 3.
    """
    height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
    return NetworkImageProcessor(num_channels, size={"height": height, "width": width})


def resized_processor(processor: BaseImageProcessor, image_size: int) -> BaseImageProcessor:
    """An image processor for another image size, with the same normalization.

    Args:
        processor: Any image processor, with one mean and one standard deviation per channel if it normalizes.
        image_size (`int`): Height and width.

    Returns:
        A `NetworkImageProcessor` where images are resized to a height and a width; else a copy whose sizes are all scaled
        by the same factor, so that the crop covers about the same part of an image.
    """
    sizes = {name: _set_edges(getattr(processor, name, None)) for name in ("size", "crop_size")}
    crops = getattr(processor, "do_center_crop", None)
    if crops or not {"height", "width"} <= sizes["size"].keys():
        old_size = next(iter((sizes["crop_size"] if crops else sizes["size"]).values()))
        resized = copy.deepcopy(processor)
        for name, size in sizes.items():
            if size:
                scaled = {edge: round(pixels * image_size / old_size) for edge, pixels in size.items()}
                setattr(resized, name, SizeDict(**scaled))
        return resized
    resized = image_processor_for(image_size, len(processor.image_mean or "RGB"))
    for name in ("image_mean", "image_std", "do_normalize", "do_rescale", "rescale_factor"):
        value = getattr(processor, name)
        if value is not None:  # mean and deviation may be None in a processor that does not normalize
            setattr(resized, name, value)
    return resized


def _set_edges(size: Any) -> dict[str, int]:
    return {edge: pixels for edge, pixels in dict(size or {}).items() if pixels is not None}


def load_image_processor(name_or_path: str | Path, *, trust_remote_code: bool = False) -> BaseImageProcessor | None:
    """Load the image processor of a Hub id or folder, or return None where there is none.

    The processor of a timm model cannot resize without normalizing; it is replaced by an equivalent
    `NetworkImageProcessor`.

    Raises:
        ValueError, ConnectionError: See `load_saved`.
        ValueError: A timm model whose images are cropped in a way that `NetworkImageProcessor` does not have.
    """
    processor = load_saved(
        transformers.AutoImageProcessor,
        name_or_path,
        kind="image processor",
        files=("preprocessor_config.json",),
        trust_remote_code=trust_remote_code,
    )
    timm_config = getattr(processor, "data_config", None)
    return processor if timm_config is None else _from_timm(timm_config, name_or_path)


def _from_timm(config: dict[str, Any], name: str | Path) -> NetworkImageProcessor:
    """The processor with the evaluation preprocessing of timm, from its `data_config`."""
    channels, height, width = config["input_size"]
    share, mode = config.get("crop_pct") or 1, config.get("crop_mode") or "center"
    if mode == "squash":
        size = {"height": math.floor(height / share), "width": math.floor(width / share)}
    elif mode == "center" and height == width:
        size = {"shortest_edge": math.floor(height / share)}
    else:
        raise ValueError(
            f"The timm model {name} takes images of {height} x {width} with crop_mode={shown(mode)}; supported are "
            f"'squash' (resize to the size) and 'center' (crop a square from the middle). Set crop_mode in the "
            f"pretrained_cfg of its config.json if one of these will do, or choose another model."
        )
    logger.info("%s: images are resized to %s and cropped to %d x %d, as in timm", name, size, height, width)
    return NetworkImageProcessor(
        channels,
        size=size,
        do_center_crop=True,
        crop_size={"height": height, "width": width},
        resample=import_extra("vision").Resampling[config["interpolation"].upper()],
        image_mean=list(config["mean"]),
        image_std=list(config["std"]),
    )


def register_image_processor() -> None:
    """Register the processor with `AutoImageProcessor` and pipelines, when `distil_nlp.models` is imported.

    Without pillow there is no `AutoImageProcessor` to register it with.
    """
    for config in (ImageNetworkConfig, ImageEmbedderConfig) if is_vision_available() else ():
        AutoImageProcessor.register(config, slow_image_processor_class=NetworkImageProcessor, exist_ok=True)
