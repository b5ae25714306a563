"""Waves of a data set: found, read, and brought to the sampling rate that a model hears."""

import io
import logging

import datasets
import numpy as np

from .columns import first_split
from .file_columns import SOUND, find_file_column

logger = logging.getLogger(__name__)

# Seconds. Nothing that anybody says is shorter, and a front end needs a whole frame.
SHORTEST = 0.04
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
    column = find_file_column(first_split(whole, "train", "unlabelled", "validation", "test"), SOUND, given)
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
        `(np.ndarray, int)`: float32 of shape (samples,), from -1 to 1, and samples a second. Several channels are averaged.

    Raises:
        ValueError: A file that is none, is cut off, missing, empty, too short or not finite: which row, which file, and
            what to do.
    """
    encoded = _encoded(split, column)
    for row in range(len(split)) if rows is None else rows:
        yield _opened(encoded[row][column], f"Row {row} (counted from 0) of the {split_name} split")


def _encoded(split, column):
    return split.with_format(None).select_columns([column]).cast_column(column, datasets.Audio(decode=False))


def _opened(file, where):
    if file is None or (file["bytes"] is None and file["path"] is None):
        raise ValueError(f"{where} has no sound. Remove the row, or fill it.")
    soundfile = _soundfile()
    where += f" ({file['path']})" if file["path"] else ""
    try:
        samples, rate = soundfile.read(
            io.BytesIO(file["bytes"]) if file["bytes"] is not None else file["path"], dtype="float32", always_2d=True
        )
    except (OSError, RuntimeError) as error:  # soundfile's own errors are RuntimeErrors
        size = "" if file["bytes"] is None else f" ({len(file['bytes']):,} bytes, the first {file['bytes'][:8]!r})"
        raise ValueError(
            f"{where} holds no sound that can be read: {str(error).rstrip('.')}{size}. Was the copy cut off? WAV, FLAC, "
            f"OGG and MP3 can be read. Replace the file, or remove the row."
        ) from error
    if samples.shape[1] > 1:
        _say_once("%s has %d channels, and models hear one: channels are averaged.", where, samples.shape[1])
    wave = samples.mean(axis=1)
    if len(wave) < SHORTEST * rate:
        raise ValueError(
            f"{where} lasts {len(wave) / rate:.3f} s ({len(wave)} samples at {rate} Hz), and a model needs "
            f"{SHORTEST} s at least. Remove the row, or replace the file."
        )
    if not np.isfinite(wave).all():
        raise ValueError(
            f"{where} holds {int((~np.isfinite(wave)).sum())} samples that are not finite (NaN or infinity), which would "
            f"make every weight NaN. Replace the file, or remove the row."
        )
    return wave, rate


def resampled(wave, rate, wanted):
    """A wave at another sampling rate.

    Args:
        wave (`np.ndarray`): Shape (samples,).
        rate, wanted (`int`): Samples a second, what it has and what it is to have.
    """
    if rate == wanted:
        return wave
    from scipy.signal import resample_poly  # takes a moment to import, and most data need it not

    common = np.gcd(rate, wanted)
    return resample_poly(wave, wanted // common, rate // common).astype(np.float32)


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
            where = f"Row {row} (counted from 0) of the {split_name} split"
            wave, theirs = _opened(file, where)
            if theirs != rate:
                _say_once("%s has %d samples a second, and models hear %d: clips are resampled.", where, theirs, rate)
            waves.append(resampled(wave, theirs, rate))
        return {"audio": [wave.tobytes() for wave in waves], "length": [len(wave) for wave in waves]}

    size = _ENCODED_TO_WAVE * sum(len(file["bytes"] or b"") for file in _encoded(split, column)[:100][column] if file)
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


_SAID = set()


def _say_once(message, *values):
    if message not in _SAID:
        _SAID.add(message)
        logger.warning(message, *values)


def _soundfile():
    try:
        import soundfile
    except (ImportError, OSError) as error:  # without libsndfile it is an OSError
        raise ImportError(
            f'Sound is read with soundfile, which is not there ({error}): pip install "distil-nlp[audio]".'
        ) from error
    return soundfile
