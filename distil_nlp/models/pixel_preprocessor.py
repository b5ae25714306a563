"""The preprocessing of image models on tensors: resizing, color conversion, normalization."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as functional

_LUMA = (19595, 38470, 7471)  # ITU-R 601 in parts of 65,536, as in PIL's convert("L")


@dataclass(frozen=True)
class PixelPreprocessor:
    """Resizes, converts and normalizes a batch of images as a model's image processor does.

    Args:
        height, width (`int`): Pixels; images of another size are resized bilinearly, with antialiasing.
        num_channels (`int`): 1 for gray, 3 for RGB. Gray is repeated, RGB weighted by ITU-R 601, as PIL's convert("L").
        mean, std (`Sequence[float]`): One per channel, of pixels after rescaling.
        rescale_factor (`float`): Factor for pixels of 0 to 255, applied before normalization.

    Called with images of shape (batch, channels, height, width), uint8 or float in 0 to 1, it returns:
        `torch.Tensor`: (pixels * rescale_factor - mean) / std, float32, with `num_channels`, `height` and `width`.

    Raises:
        ValueError: Impossible sizes or statistics; images whose channels cannot be converted.
    """

    height: int
    width: int
    num_channels: int
    mean: Sequence[float]
    std: Sequence[float]
    rescale_factor: float = 1 / 255

    def __post_init__(self) -> None:
        for name in ("mean", "std"):
            object.__setattr__(self, name, tuple(float(value) for value in getattr(self, name)))
        if min(self.height, self.width, self.num_channels) < 1:
            size = (self.num_channels, self.height, self.width)
            raise ValueError(f"num_channels, height and width must be 1 or more; got {size}.")
        if not len(self.mean) == len(self.std) == self.num_channels or not min(self.std) > 0:
            raise ValueError(
                f"mean and std need a number for each of {self.num_channels} channels, std above 0; got mean={self.mean}, "
                f"std={self.std}."
            )

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        if images.is_floating_point():
            images = images.float()  # interpolation of float16 is not implemented on CPU
        images = _convert_channels(images, self.num_channels)
        size = (self.height, self.width)
        if images.shape[-2:] != size:
            images = functional.interpolate(images, size=size, mode="bilinear", antialias=True)
        scale = self.rescale_factor * (1 if images.dtype == torch.uint8 else 255)
        mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (self.mean, self.std))
        return torch.mul(images, scale).float().sub_(mean).div_(std)


def _convert_channels(images: torch.Tensor, num_channels: int) -> torch.Tensor:
    """Images converted from gray to RGB or from RGB to gray, unchanged where they have `num_channels` already."""
    channels = images.shape[1]
    if channels == num_channels:
        return images
    if channels == 1:
        return images.expand(-1, num_channels, -1, -1)
    if (channels, num_channels) != (3, 1):
        raise ValueError(
            f"Images of {channels} channels cannot be converted to the {num_channels} of the model: only gray (1) and "
            f"RGB (3) are. Prepare the images with {num_channels} channels, or build the model for {channels}."
        )
    # Integers below 2 ** 24: float32 is exact, and several times as fast as int32.
    weighted = sum(part.float().mul_(weight) for part, weight in zip(images.split(1, dim=1), _LUMA, strict=True))
    return weighted.add_(0x8000).div_(65536).byte() if images.dtype == torch.uint8 else weighted.div_(65536)
