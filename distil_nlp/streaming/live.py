"""Loads recognizers, and runs them on a recording as on live audio, with timings."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np

from ..internals.messages import printable
from ..models import load_network
from .base import StreamingModel, WordTiming
from .keyword_spotter import KeywordSpotter
from .recognizer import Recognizer

HOP = 0.01  # seconds of audio per chunk

_STREAMING_MODELS: dict[Any, type[StreamingModel]] = {kind.model_class: kind for kind in (Recognizer, KeywordSpotter)}


@dataclass(frozen=True)
class StreamStats:
    """Speed of a stream.

    Args:
        seconds (`float`): Duration of the audio.
        real_time_factor (`float`): Processing time divided by the duration of the audio; below 1 keeps up with it.
        latency_p50, latency_p95 (`float`): Milliseconds to process a chunk: median and 95th percentile.
        delay (`float`): Milliseconds of audio that an output waits for: the frame and the network's lookahead.
    """

    seconds: float
    real_time_factor: float
    latency_p50: float
    latency_p95: float
    delay: float

    def __str__(self) -> str:
        return (
            f"{self.seconds:.2f} s of audio, real-time factor {self.real_time_factor:.3f}, a chunk of {1000 * HOP:g} ms "
            f"takes {self.latency_p50:.2f} ms (p95 {self.latency_p95:.2f}), outputs wait for {self.delay:g} ms of audio"
        )


def load_recognizer(name_or_path: str | PathLike[str]) -> StreamingModel:
    """Load a `Recognizer` or a `KeywordSpotter`, depending on the saved model.

    Args:
        name_or_path (`str` or `Path`): A folder or a Hub id.

    Raises:
        TypeError: The model is of another class.
        OSError: There is no model.
    """
    model = load_network(name_or_path)
    if type(model) not in _STREAMING_MODELS:
        kinds = " or ".join(kind.__name__ for kind in _STREAMING_MODELS)
        raise TypeError(
            f"{name_or_path} contains a {type(model).__name__}, which cannot process a stream. Expected a {kinds}."
        )
    return _STREAMING_MODELS[type(model)](model)


def stream_waveform(
    recognizer: StreamingModel,
    waveform: np.ndarray,
    *,
    on_word: Callable[[WordTiming, float], object] | None = None,
) -> tuple[list[WordTiming], StreamStats]:
    """Run a recognizer on a waveform in chunks of 10 ms.

    Args:
        recognizer (`Recognizer` or `KeywordSpotter`): Its network must support streams.
        waveform (`np.ndarray`): Shape (samples,), at its sampling rate.
        on_word (callable, *optional*): Called with every `WordTiming` and the second of audio at which it was final.

    Returns:
        `(list[WordTiming], StreamStats)`.

    Raises:
        ValueError: The waveform is empty.
    """
    stream, rate = recognizer.stream(), recognizer.sampling_rate
    words: list[WordTiming] = []
    times: list[float] = []
    if not len(waveform):
        raise ValueError(f"Expected at least one sample (at {rate} samples per second); got 0 samples.")
    hop = max(1, round(HOP * rate))
    for start in range(0, len(waveform) + hop, hop):
        chunk, begin = waveform[start : start + hop], time.perf_counter()
        new_words = stream.accept_waveform(chunk) if len(chunk) else stream.end()
        times.append(time.perf_counter() - begin)
        for word in new_words:
            words.append(word)
            if on_word is not None:
                on_word(word, min(start + hop, len(waveform)) / rate)
        if not len(chunk):
            break
    front_end, seconds = recognizer.model.front_end, len(waveform) / rate
    wait = front_end.frame_length + recognizer.model.network.lookahead * front_end.hop_length
    p50, p95 = 1000 * np.percentile(times, [50, 95])
    return words, StreamStats(seconds, sum(times) / seconds, float(p50), float(p95), 1000 * wait / rate)


def print_live(folder: str, file: str) -> None:
    """Print the words of an audio file as they would be recognized live.

    Args:
        folder (`str`): Folder of a model, or its Hub id.
        file (`str`): An audio file.

    Raises:
        ValueError: The file cannot be read, the model has no words, or its network does not support streams.
        TypeError: See `load_recognizer`.
    """
    from ..data.audio_files import read_audio_file, resample

    recognizer = load_recognizer(folder)
    waveform = resample(*read_audio_file(file), recognizer.sampling_rate)

    def print_word(word: WordTiming, now: float) -> None:
        print(
            f"{word.start:7.2f} s to {word.end:6.2f} s  {printable(word.word)}  (certain at {now:.2f} s)", flush=True
        )

    words, stats = stream_waveform(recognizer, waveform, on_word=print_word)
    print(f"{' '.join(printable(word.word) for word in words) or '(no word)'}\n{stats}")
