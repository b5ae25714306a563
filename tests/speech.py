"""Something like speech, made of tones: each word is a melody of its own, and silence is a little noise."""

import io

import datasets
import numpy as np
import soundfile

RATE = 8000
# The tones of a word, in Hz, one after the other.
WORDS = {"ho": (300, 600), "hi": (1200, 2400), "he": (800, 1700)}


def wave_of(words, seed=0):
    """The words behind each other, with silence around them."""
    draw = np.random.default_rng([seed, 7])
    parts = [np.zeros(int(draw.uniform(0.03, 0.08) * RATE))]
    for word in words:
        for tone in WORDS[word]:
            time = np.arange(int(draw.uniform(0.06, 0.12) * RATE)) / RATE
            parts.append(0.3 * np.sin(2 * np.pi * tone * draw.uniform(0.97, 1.03) * time))
        parts.append(np.zeros(int(draw.uniform(0.03, 0.08) * RATE)))
    wave = np.concatenate(parts)
    return (wave + draw.normal(scale=2e-3, size=len(wave))).astype(np.float32)


def clip_of(wave):
    """An encoded file."""
    buffer = io.BytesIO()
    soundfile.write(buffer, wave, RATE, format="WAV", subtype="FLOAT")
    return buffer.getvalue()


def spoken(num_clips, *, seed=0):
    """A split of sentences of one to four words."""
    draw = np.random.default_rng([seed, 3])
    sentences = [[str(one) for one in draw.choice(list(WORDS), size=draw.integers(1, 5))] for _ in range(num_clips)]
    files = [{"bytes": clip_of(wave_of(words, 100 * seed + row)), "path": None} for row, words in enumerate(sentences)]
    stored = {"bytes": datasets.Value("binary"), "path": datasets.Value("string")}
    rows = datasets.Dataset.from_dict(
        {"audio": files, "text": [" ".join(words) for words in sentences]},
        datasets.Features({"audio": stored, "text": datasets.Value("string")}),
    )
    return rows.cast_column("audio", datasets.Audio(decode=False))
