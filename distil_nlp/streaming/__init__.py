"""From a saved model to words: of a whole recording, or while somebody speaks."""

from .frames import FrameStream
from .keyword_spotter import KeywordSpotter, KeywordStream
from .listener import Listener, WordTiming
from .load import load_listener
from .recognizer import Recognizer
from .stream import Stream

__all__ = [
    "FrameStream",
    "WordTiming",
    "Listener",
    "Recognizer",
    "KeywordSpotter",
    "KeywordStream",
    "Stream",
    "load_listener",
]
