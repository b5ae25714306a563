"""Views of images and sound: altered for training, and as each model takes them."""

from ..models.pixel_preprocessor import PixelPreprocessor
from .audio import SoundAugmentation
from .images import Augmentation

__all__ = ["Augmentation", "PixelPreprocessor", "SoundAugmentation"]
