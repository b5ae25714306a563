"""What a model sees of an image."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Sees:
    """What a model reads: size, channels, and how pixels are normalised."""

    height: int
    width: int
    num_channels: int
    mean: tuple
    std: tuple
    rescale: float = 1 / 255
