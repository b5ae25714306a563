"""Speech recognition and keyword spotting with saved models, of whole waveforms or streams."""

from .base import StreamingModel, WordTiming
from .frames import FrameStream
from .keyword_spotter import KeywordSpotter, KeywordStream
from .live import StreamStats, load_recognizer, stream_waveform
from .recognizer import Recognizer, RecognizerStream

__all__ = [
    "FrameStream",
    "KeywordSpotter",
    "KeywordStream",
    "Recognizer",
    "RecognizerStream",
    "StreamStats",
    "StreamingModel",
    "WordTiming",
    "load_recognizer",
    "stream_waveform",
]
