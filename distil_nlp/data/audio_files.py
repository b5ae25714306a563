"""Decoding and resampling of audio files: waves of one channel, -1 to 1."""

import io
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..internals.imports import import_extra
from ..internals.messages import shown

logger = logging.getLogger(__name__)

SHORTEST = 0.04  # seconds; no word is shorter, and a front end needs a whole frame
_UNKNOWN_LENGTH = 0x7FFF0000
_LOUDEST = 2.0**31  # of 32-bit integers that a file stores as floats


def decode_wave(file: Mapping[str, Any] | None, location: str) -> tuple[np.ndarray, int]:
    """The wave and sampling rate of an encoded file.

    Args:
        file (`dict` or None): "bytes" or "path", as the features of `datasets` store files.
        location (`str`): The row or file, for messages.

    Returns:
        `(np.ndarray, int)`: float32 of shape (samples,), -1 to 1, and samples per second. Several channels are averaged,
        with one line in the log.

    Raises:
        ValueError: A file that is not audio, is cut off, missing, empty, too short or not finite.
    """
    if file is None or (file["bytes"] is None and file["path"] is None):
        raise ValueError(f"{location} has no audio (it is {shown(file)}). Remove the row, or add the file.")
    soundfile = import_extra("audio")
    location += f" ({file['path']})" if file["path"] else ""
    try:
        samples, rate = soundfile.read(
            io.BytesIO(file["bytes"]) if file["bytes"] is not None else file["path"], dtype="float32", always_2d=True
        )
    except (OSError, RuntimeError) as error:  # soundfile's own errors are RuntimeErrors
        size = (
            "" if file["bytes"] is None else f" ({len(file['bytes']):,} bytes, the first {shown(file['bytes'][:8])})"
        )
        raise ValueError(
            f"{location} cannot be read as audio: {str(error).rstrip('.')}{size}. Was the copy cut off? WAV, FLAC, OGG and "
            f"MP3 can be read. Replace the file, or remove the row."
        ) from error
    size, declared_size = _sizes(file)
    if size < declared_size:
        raise ValueError(
            f"{location} has {size:,} bytes, and its header declares {declared_size:,}: it was cut off, so its label "
            f"may be about a part that is missing. Replace the file, or remove the row."
        )
    if samples.shape[1] > 1:
        warn_once("%s has %d channels, and the models read one: channels are averaged.", location, samples.shape[1])
    wave = samples.mean(axis=1)
    if len(wave) < SHORTEST * rate:
        raise ValueError(
            f"{location} lasts {len(wave) / rate:.3f} s ({len(wave)} samples at {rate} Hz), and a model needs at least "
            f"{SHORTEST} s. Remove the row, or replace the file."
        )
    if not np.isfinite(wave).all():
        raise ValueError(
            f"{location} contains {int((~np.isfinite(wave)).sum())} samples that are not finite (NaN or infinity), which "
            f"would make every weight NaN. Replace the file, or remove the row."
        )
    loudest = np.abs(wave).max()
    if loudest > _LOUDEST:
        raise ValueError(
            f"{location} contains samples up to {loudest:g}, and audio lies in -1 to 1: the file is damaged, and "
            f"the square of such a sample is infinite. Replace the file, or remove the row."
        )
    return wave, rate


def _sizes(file: Mapping[str, Any]) -> tuple[int, int]:
    """Bytes of a file, and bytes declared in its header: 0 where it declares none. WAV and AIFF do.

    A FLAC that was cut off is an error when it is read; OGG and MP3 declare no length.
    """
    if file["bytes"] is not None:
        head, size = file["bytes"][:8], len(file["bytes"])
    else:
        with open(file["path"], "rb") as stream:
            head, size = stream.read(8), os.path.getsize(file["path"])
    order = {b"RIFF": "little", b"FORM": "big"}.get(head[:4])
    declared = 0 if order is None else int.from_bytes(head[4:], order)
    # Programs that write into a pipe do not have the length, and declare 0 or the largest possible one.
    return size, declared + 8 if 0 < declared < _UNKNOWN_LENGTH else 0


def read_audio_file(path: str | Path) -> tuple[np.ndarray, int]:
    """The wave and sampling rate of an audio file, see `decode_wave`.

    Raises:
        ValueError: The file is missing, or not usable audio.
    """
    return decode_wave({"bytes": None, "path": str(path)}, "The file")


def resample(wave: np.ndarray, rate: int, new_rate: int) -> np.ndarray:
    """Resample a wave.

    Args:
        wave (`np.ndarray`): Shape (samples,), float32.
        rate, new_rate (`int`): Samples per second, before and after.

    Returns:
        `np.ndarray` of float32, shape (samples * new_rate / rate, rounded up); the same array if the rates are equal.
    """
    if rate == new_rate:
        return wave
    from scipy.signal import resample_poly  # slow to import, and most data do not need it

    divisor = np.gcd(rate, new_rate)
    return resample_poly(wave, new_rate // divisor, rate // divisor).astype(np.float32)


_LOGGED = set()


def warn_once(message: str, *values: Any) -> None:
    """Log a warning once, not for every file."""
    if message not in _LOGGED:
        _LOGGED.add(message)
        logger.warning(message, *values)
