"""From a saved model to words: of a whole recording, or while somebody speaks."""

from .frames import FrameStream
from .keyword_spotter import Spotter, SpotterStream
from .listener import Heard, Listener
from .load import load_listener
from .recognizer import Recogniser
from .stream import Stream

__all__ = ["FrameStream", "Heard", "Listener", "Recogniser", "Spotter", "SpotterStream", "Stream", "load_listener"]
