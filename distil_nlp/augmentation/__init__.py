"""Augmentation: randomly altered images, audio clips and texts to train on."""

from .audio import AudioAugmentation
from .images import ImageAugmentation

__all__ = ["AudioAugmentation", "ImageAugmentation"]
