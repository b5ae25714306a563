"""Sentences made of recordings of single words: clips behind each other, with something like silence between them."""

import io

import datasets
import numpy as np

from ..internals.imports import import_extra
from .audio import open_clips
from .audio_files import resampled
from .columns import require

# Seconds between words, before the first and after the last; loudness of the noise over everything.
_GAPS = (0.02, 0.3)
_NOISE = (5e-4, 5e-3)


def join_clips(split, split_name, *, audio_column, label_column, most, speaker_column=None, seed=0):
    """Strings of words out of clips of one word each. Every clip is in one string.

    Args:
        split (`datasets.Dataset`): With clips, and class labels whose names are the words.
        split_name (`str`): For messages.
        audio_column (`str`): Of the clips.
        label_column (`str` or None): Of their words; None where nobody knows them.
        most (`int`): Words of the longest string; all lengths from 1 on are as likely.
        speaker_column (`str`, *optional*): Only clips that are alike in it are joined.
        seed (`int`): Same seed, same strings.

    Returns:
        `datasets.Dataset`: audio (WAV, 32 bits a sample, at the rate of the first clip), and text and speaker where known.

    Raises:
        ValueError: No class labels; a clip that cannot be read.
    """
    for name, argument in ((label_column, "label_column"), (speaker_column, "speaker_column")):
        if name is not None:
            require(name, split.column_names, argument)
    words = None if label_column is None else _words(split, split_name, label_column)
    draw = np.random.default_rng([seed, len(split)])
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
    for places in _strings(speakers, most, draw):
        parts = [_silence(draw, rate)]
        for place in places:
            parts += [resampled(*waves[place], rate), _silence(draw, rate)]
        wave = np.concatenate(parts)
        wave += draw.normal(scale=np.exp(draw.uniform(*np.log(_NOISE))), size=len(wave)).astype(np.float32)
        rows["audio"].append({"bytes": _wav(wave, rate), "path": None})
        if words is not None:
            rows["text"].append(" ".join(words[place] for place in places))
        if speaker_column is not None:
            rows[speaker_column].append(speakers[places[0]])
    return datasets.Dataset.from_dict(rows, datasets.Features(features)).cast_column(
        "audio", datasets.Audio(decode=False)
    )


def _words(split, split_name, label_column):
    feature = split.features[label_column]
    if not isinstance(feature, datasets.ClassLabel):
        raise ValueError(
            f"Clips are joined to strings of words, and {label_column!r} of the {split_name} split holds {feature}, no "
            f"class labels with names. Give a text column with what is said in each clip, and leave joined_clips out."
        )
    return feature.int2str(split[label_column])


def _strings(speakers, most, draw):
    """Places of clips that go together, each place once."""
    strings = []
    for speaker in sorted(set(speakers)):
        places = draw.permutation([place for place, one in enumerate(speakers) if one == speaker])
        while len(places):
            count = int(draw.integers(1, most + 1))
            strings.append(places[:count].tolist())
            places = places[count:]
    return [strings[place] for place in draw.permutation(len(strings))]


def _silence(draw, rate):
    return np.zeros(int(draw.uniform(*_GAPS) * rate), dtype=np.float32)


def _wav(wave, rate):
    buffer = io.BytesIO()
    import_extra("audio").write(buffer, wave, rate, format="WAV", subtype="FLOAT")
    return buffer.getvalue()
