"""What a model sees of an image: its size, its colors, its normalization."""

from dataclasses import dataclass

import torch
import torch.nn.functional as functional

_LUMA = (19595, 38470, 7471)  # ITU-R 601 in parts of 65,536, as in PIL's convert("L")


@dataclass(frozen=True)
class PixelPreprocessor:
    """What a model reads of an image: size, colors, normalization.

    Args:
        height, width (`int`): Pixels; another size is brought to it bilinearly, antialiased.
        num_channels (`int`): 1 for gray, 3 for RGB. Gray is repeated, RGB weighted by ITU-R 601, as PIL's convert("L").
        mean, std (`Sequence[float]`): One for each channel, of pixels after rescaling.
        rescale_factor (`float`): That pixels of 0 to 255 are multiplied with first.

    Called with images of shape (batch, channels, height, width), uint8 or float in 0 to 1, it returns:
        `torch.Tensor`: (pixels * rescale_factor - mean) / std, float32, of its own channels, height and width.

    Raises:
        ValueError: Sizes or numbers that cannot be; channels that cannot become these.
    """

    height: int
    width: int
    num_channels: int
    mean: tuple
    std: tuple
    rescale_factor: float = 1 / 255

    def __post_init__(self):
        for name in ("mean", "std"):
            object.__setattr__(self, name, tuple(float(value) for value in getattr(self, name)))
        if min(self.height, self.width, self.num_channels) < 1:
            size = (self.num_channels, self.height, self.width)
            raise ValueError(f"A model sees images of 1 or more channels and pixels; got {size} (c, h, w).")
        if not len(self.mean) == len(self.std) == self.num_channels or not min(self.std) > 0:
            raise ValueError(
                f"mean and std need a number for each of {self.num_channels} channels, std above 0; got mean={self.mean}, "
                f"std={self.std}."
            )

    def __call__(self, images):
        if images.is_floating_point():
            images = images.float()  # a processor cannot resize halves
        images = _recolored(images, self.num_channels)
        size = (self.height, self.width)
        if images.shape[-2:] != size:
            images = functional.interpolate(images, size=size, mode="bilinear", antialias=True)
        scale = self.rescale_factor * (1 if images.dtype == torch.uint8 else 255)
        mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (self.mean, self.std))
        return torch.mul(images, scale).float().sub_(mean).div_(std)


def _recolored(images, num_channels):
    """Gray or RGB images as the other, where it is wanted."""
    given = images.shape[1]
    if given == num_channels:
        return images
    if given == 1:
        return images.expand(-1, num_channels, -1, -1)
    if (given, num_channels) != (3, 1):
        raise ValueError(
            f"Images of {given} channels cannot be shown to a model that reads {num_channels}: only gray (1) and RGB (3) "
            f"are turned into each other. Prepare the images with {num_channels}, or build the model for {given}."
        )
    # Whole numbers below 2 ** 24: float32 is exact, and several times as fast as int32.
    weighted = sum(part.float().mul_(weight) for part, weight in zip(images.split(1, dim=1), _LUMA, strict=True))
    return weighted.add_(0x8000).div_(65536).byte() if images.dtype == torch.uint8 else weighted.div_(65536)
