"""Sound files become waves: one channel of numbers from -1 to 1."""

import io
import logging
import os

import numpy as np

from ..internals.imports import import_extra

logger = logging.getLogger(__name__)

# Seconds. Nothing that anybody says is shorter, and a front end needs a whole frame.
SHORTEST = 0.04
_UNKNOWN_LENGTH = 0x7FFF0000


def wave_of(file, where):
    """The wave of an encoded file.

    Args:
        file (`dict` or None): "bytes" or "path", as the features of `datasets` keep files.
        where (`str`): What it is, for messages.

    Returns:
        `(np.ndarray, int)`: float32 of shape (samples,), from -1 to 1, and samples a second. Several channels are averaged,
        which a line in the log says once.

    Raises:
        ValueError: No sound, cut off, missing, empty, too short or not finite: which file, and what to do.
    """
    if file is None or (file["bytes"] is None and file["path"] is None):
        raise ValueError(f"{where} has no sound. Remove the row, or fill it.")
    soundfile = import_extra("audio")
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
    has, declared = _sizes(file)
    if has < declared:
        raise ValueError(
            f"{where} has {has:,} bytes and says of itself that it has {declared:,}: it was cut off, and what was said may "
            f"not be what is left. Replace the file, or remove the row."
        )
    if samples.shape[1] > 1:
        say_once("%s has %d channels, and models hear one: channels are averaged.", where, samples.shape[1])
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


def _sizes(file):
    """Bytes that a file has, and that its first lines say it has: 0 where they say nothing. WAV and AIFF do.

    A FLAC that was cut off is an error when it is read; OGG and MP3 have no length of their own.
    """
    if file["bytes"] is not None:
        head, has = file["bytes"][:8], len(file["bytes"])
    else:
        with open(file["path"], "rb") as stream:
            head, has = stream.read(8), os.path.getsize(file["path"])
    order = {b"RIFF": "little", b"FORM": "big"}.get(head[:4])
    declared = 0 if order is None else int.from_bytes(head[4:], order)
    # Who writes into a pipe does not know the length, and writes 0 or as much as there can be.
    return has, declared + 8 if 0 < declared < _UNKNOWN_LENGTH else 0


def read_sound(path):
    """A sound file: `(wave, sampling_rate)`, see `wave_of`.

    Raises:
        ValueError: It is not there, or no sound that can be used.
    """
    return wave_of({"bytes": None, "path": str(path)}, "The file")


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


_SAID = set()


def say_once(message, *values):
    """A warning that is not repeated for every file."""
    if message not in _SAID:
        _SAID.add(message)
        logger.warning(message, *values)
