"""A recording heard as if it were live, and how long that takes."""

import time
from dataclasses import dataclass

import numpy as np

HOP = 0.01  # seconds of sound between two looks


@dataclass(frozen=True)
class StreamStats:
    """How fast sound was heard.

    Args:
        seconds (`float`): Of sound.
        real_time_factor (`float`): Time needed over the length of the sound: below 1 it keeps up.
        latency_p50, latency_p95 (`float`): Milliseconds for a hop of sound, the median and the slowest of twenty.
        delay (`float`): Milliseconds that an answer waits for sound to come: the frame and the network's look ahead.
    """

    seconds: float
    real_time_factor: float
    latency_p50: float
    latency_p95: float
    delay: float

    def __str__(self):
        return (
            f"{self.seconds:.2f} s of sound, real-time factor {self.real_time_factor:.3f}, a hop of {1000 * HOP:g} ms "
            f"takes {self.latency_p50:.2f} ms (p95 {self.latency_p95:.2f}), answers wait for {self.delay:g} ms of sound"
        )


def hear_live(listener, wave, *, say=None):
    """Hand a wave to a stream, hop by hop.

    Args:
        listener (`Recognizer` or `KeywordSpotter`): Its network can hear piece by piece.
        wave (`np.ndarray`): Shape (samples,), at its sampling rate.
        say (callable, *optional*): Called with every `WordTiming` and the second of sound at which it was certain.

    Returns:
        `(list[WordTiming], StreamStats)`.
    """
    stream, rate, words, times = listener.stream(), listener.sampling_rate, [], []
    if not len(wave):
        raise ValueError(f"There is nothing to hear in 0 samples (of {rate} a second).")
    hop = max(1, round(HOP * rate))
    for start in range(0, len(wave) + hop, hop):
        part, before = wave[start : start + hop], time.perf_counter()
        heard = stream.accept_waveform(part) if len(part) else stream.end()
        times.append(time.perf_counter() - before)
        for word in heard:
            words.append(word)
            if say is not None:
                say(word, min(start + hop, len(wave)) / rate)
        if not len(part):
            break
    front_end, seconds = listener.model.front_end, len(wave) / rate
    ahead = front_end.frame_length + listener.model.network.lookahead * front_end.hop_length
    p50, p95 = 1000 * np.percentile(times, [50, 95])
    return words, StreamStats(seconds, sum(times) / seconds, float(p50), float(p95), 1000 * ahead / rate)


def listen(folder, file):
    """Print the words of a sound file as if somebody were inference_mode.

    Args:
        folder (`str`): Of a model, or its Hub id.
        file (`str`): A sound file.

    Raises:
        ValueError: A file that cannot be read; a model that knows no words, or cannot hear piece by piece.
        TypeError: See `load_listener`.
    """
    from ..data.audio_files import read_sound, resampled
    from .load import load_listener

    listener = load_listener(folder)
    wave = resampled(*read_sound(file), listener.sampling_rate)

    def say(word, now):
        print(f"{word.start:7.2f} s to {word.end:6.2f} s  {word.word}  (certain at {now:.2f} s)", flush=True)

    words, pace = hear_live(listener, wave, say=say)
    print(f"{' '.join(word.word for word in words) or '(no word)'}\n{pace}")
