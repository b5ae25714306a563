"""From a saved model to words: of a whole recording, or while somebody speaks."""

from .recogniser import Heard, Recogniser
from .stream import Stream

__all__ = ["Heard", "Recogniser", "Stream"]
