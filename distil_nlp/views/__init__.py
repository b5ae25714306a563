"""Views of images and sound: altered for training, and as each model takes them."""

from .augmentation import Augmentation
from .sees import Sees
from .sound import SoundAugmentation

__all__ = ["Augmentation", "Sees", "SoundAugmentation"]
