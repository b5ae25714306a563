"""From a saved model to words: of a whole recording, or while somebody speaks."""

from .frames import FrameStream
from .load import load_listener
from .recogniser import Heard, Recogniser
from .spotter import Spotter, SpotterStream
from .stream import Stream

__all__ = ["FrameStream", "Heard", "Recogniser", "Spotter", "SpotterStream", "Stream", "load_listener"]
