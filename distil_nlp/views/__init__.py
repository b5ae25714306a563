"""Views of images: altered for training, and as each model sees them."""

from .augmentation import Augmentation
from .sees import Sees

__all__ = ["Augmentation", "Sees"]
