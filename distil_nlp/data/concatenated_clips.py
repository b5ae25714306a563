"""Utterances made of recordings of single words: clips concatenated, with low noise between them."""

import io
from collections.abc import Sequence

import datasets
import numpy as np

from ..internals.imports import import_extra
from ..internals.messages import shown
from .audio import open_clips
from .audio_files import resample
from .columns import require_column

_HEADER_BYTES = 128  # the chunks before the samples are in them
_GAPS = (0.02, 0.3)  # seconds between words, before the first and after the last
_NOISE = (5e-4, 5e-3)  # standard deviation of the noise added to the whole utterance


def join_clips(
    split: datasets.Dataset,
    split_name: str,
    *,
    audio_column: str,
    label_column: str | None,
    max_words: int,
    speaker_column: str | None = None,
    seed: int = 0,
) -> datasets.Dataset:
    """Utterances of several words from clips of one word each. Every clip is in one utterance.

    Args:
        split (`datasets.Dataset`): With clips, and class labels whose names are the words.
        split_name (`str`): For messages.
        audio_column (`str`): Column of the clips.
        label_column (`str` or None): Column of their words; None where there are no labels.
        max_words (`int`): Words of the longest utterance; all lengths from 1 are equally likely.
        speaker_column (`str`, *optional*): Only clips of the same speaker are joined.
        seed (`int`): The same seed gives the same utterances.

    Returns:
        `datasets.Dataset`: audio (WAV, 32 bits per sample, at the rate of the first clip), and text and speaker where the
        data has them.

    Raises:
        ValueError: No class labels; a clip that cannot be read.
    """
    for name, argument in ((label_column, "label_column"), (speaker_column, "speaker_column")):
        if name is not None:
            require_column(name, split.column_names, argument)
    words = None if label_column is None else _words(split, split_name, label_column)
    generator = np.random.default_rng([seed, len(split)])
    waves = list(open_clips(split, audio_column, split_name))
    rate = waves[0][1]
    speakers = split[speaker_column] if speaker_column is not None else [0] * len(split)
    stored = {"bytes": datasets.Value("binary"), "path": datasets.Value("string")}
    features = {"audio": stored}
    if words is not None:
        features["text"] = datasets.Value("string")
    if speaker_column is not None:
        features[speaker_column] = split.features[speaker_column]
    rows = {name: [] for name in features}
    for indices in _utterances(speakers, max_words, generator):
        parts = [_silence(generator, rate)]
        for index in indices:
            parts += [resample(*waves[index], rate), _silence(generator, rate)]
        wave = np.concatenate(parts)
        scale = np.exp(generator.uniform(*np.log(_NOISE)))
        wave += generator.normal(scale=scale, size=len(wave)).astype(np.float32)
        rows["audio"].append({"bytes": _wav(wave, rate), "path": None})
        if words is not None:
            rows["text"].append(" ".join(words[index] for index in indices))
        if speaker_column is not None:
            rows[speaker_column].append(speakers[indices[0]])
    return datasets.Dataset.from_dict(rows, datasets.Features(features)).cast_column(
        "audio", datasets.Audio(decode=False)
    )


def _words(split: datasets.Dataset, split_name: str, label_column: str) -> list[str]:
    """The word of each clip."""
    feature = split.features[label_column]
    if not isinstance(feature, datasets.ClassLabel):
        raise ValueError(
            f"Clips are joined to utterances of several words, which needs class labels with names; "
            f"{shown(label_column)} of the {split_name} split contains {feature}. Use a text column with the transcript "
            f"of each clip, and leave joined_clips out."
        )
    return feature.int2str(split[label_column])


def _utterances(speakers: Sequence, max_words: int, generator: np.random.Generator) -> list[list[int]]:
    """The clips of each utterance, as indices; each clip once."""
    utterances = []
    for speaker in sorted(set(speakers)):
        indices = generator.permutation([index for index, name in enumerate(speakers) if name == speaker])
        while len(indices):
            count = int(generator.integers(1, max_words + 1))
            utterances.append(indices[:count].tolist())
            indices = indices[count:]
    return [utterances[index] for index in generator.permutation(len(utterances))]


def _silence(generator: np.random.Generator, rate: int) -> np.ndarray:
    return np.zeros(int(generator.uniform(*_GAPS) * rate), dtype=np.float32)


def _wav(wave: np.ndarray, rate: int) -> bytes:
    """A WAV file of floats, the same bytes at any time: libsndfile writes the clock into the chunk of the peak."""
    buffer = io.BytesIO()
    import_extra("audio").write(buffer, wave, rate, format="WAV", subtype="FLOAT")
    content = bytearray(buffer.getvalue())
    peak = content.find(b"PEAK", 0, _HEADER_BYTES)
    if peak >= 0:  # name, size, version, time: four bytes each
        content[peak + 12 : peak + 16] = bytes(4)
    return bytes(content)
