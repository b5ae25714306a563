"""Waves of a data set: found, read, and brought to the sampling rate that a model hears."""

import os

import datasets

from .audio_files import resampled, say_once, wave_of
from .columns import first_split, row_of
from .file_columns import SOUND, find_file_column

_ROWS_AT_ONCE = 256
_MOST_BYTES_IN_MEMORY = 2 << 30
_ENCODED_TO_WAVE = 4  # about; compressed files become more


def listen_to(splits, given=None):
    """What the sound of all splits is, after a look at the first clip of each.

    Args:
        splits (`dict[str, datasets.Dataset]`): See `Task.from_splits`; of subsets, the whole is looked at.
        given (`str`, *optional*): The column of sound, see `find_file_column`.

    Returns:
        `(column, sampling_rate)`: the latter of the first clip, in samples a second.

    Raises:
        ValueError: A split without the column; a clip that cannot be read.
    """
    whole = getattr(splits, "whole", splits)
    column = find_file_column(first_split(whole, "train", "unlabeled", "validation", "test"), SOUND, given)
    rates = []
    for split_name, split in splits.items():
        find_file_column(split, SOUND, column)
        rates += [rate for _, rate in open_clips(split, column, split_name, [0])]
    return column, rates[0]


def open_clips(split, column, split_name, rows=None):
    """Clips of a split, one after the other.

    Args:
        split (`datasets.Dataset`): Its `column` holds encoded files, as bytes or as paths.
        column, split_name (`str`): For finding, and for messages.
        rows (`Iterable[int]`, *optional*): Which; all of them by default.

    Yields:
        `(np.ndarray, int)`: see `wave_of`.

    Raises:
        ValueError: A file that is none, is cut off, missing, empty, too short or not finite: which row, which file, and
            what to do.
    """
    encoded = _encoded(split, column)
    for row in range(len(split)) if rows is None else rows:
        yield wave_of(encoded[row][column], row_of(split, split_name, row))


def _encoded(split, column):
    return split.with_format(None).select_columns([column]).cast_column(column, datasets.Audio(decode=False))


def wave_rows(split, column, split_name, rate):
    """A data set of waves, a row a clip.

    Args:
        split, column, split_name: See `open_clips`.
        rate (`int`): Samples a second; clips recorded at another rate are resampled, and a line in the log says so.

    Returns:
        `datasets.Dataset`: columns "audio", bytes of float32, and "length", samples. Held in memory where it is not large;
        otherwise in a file of the cache of `datasets`.

    Raises:
        ValueError: See `open_clips`.
    """
    features = datasets.Features({"audio": datasets.Value("large_binary"), "length": datasets.Value("int64")})

    def read(batch, rows):
        waves = []
        for row, file in zip(rows, batch[column], strict=True):
            where = row_of(split, split_name, row)
            wave, theirs = wave_of(file, where)
            if theirs != rate:
                say_once("%s has %d samples a second, and models hear %d: clips are resampled.", where, theirs, rate)
            waves.append(resampled(wave, theirs, rate))
        return {"audio": [wave.tobytes() for wave in waves], "length": [len(wave) for wave in waves]}

    size = _ENCODED_TO_WAVE * sum(map(_num_bytes, _encoded(split, column)[:100][column]))
    return _encoded(split, column).map(
        read,
        batched=True,
        batch_size=_ROWS_AT_ONCE,
        with_indices=True,
        remove_columns=[column],
        features=features,
        keep_in_memory=size * len(split) < 100 * _MOST_BYTES_IN_MEMORY,
        load_from_cache_file=False,
        new_fingerprint=datasets.fingerprint.Hasher.hash([split._fingerprint, column, rate]),
        desc="Reading sound",
    )


def _num_bytes(file):
    """Of an encoded clip, 0 where there is none."""
    if file is None or file["bytes"] is not None:
        return 0 if file is None else len(file["bytes"])
    return os.path.getsize(file["path"]) if os.path.isfile(file["path"] or "") else 0
