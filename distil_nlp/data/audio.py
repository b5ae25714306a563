"""Audio clips of data sets: found, decoded, resampled; and folders of audio files as data sets."""

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import datasets
import numpy as np

from .audio_files import decode_wave, resample, warn_once
from .columns import first_split, row_location
from .file_columns import AUDIO_FILES, find_file_column

SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".aiff", ".aif")
_SPLITS = {"train": "train", "validation": "validation", "valid": "validation", "val": "validation", "test": "test"}
_ROWS_AT_ONCE = 256
_MAX_BYTES_IN_MEMORY = 2 << 30
_EXPANSION = 4  # about, from encoded bytes to a wave; compressed files expand more


def audio_format(splits: Mapping[str, datasets.Dataset], column: str | None = None) -> tuple[str, int]:
    """The audio column and sampling rate of all splits, from the first clip of each.

    Args:
        splits (`dict[str, datasets.Dataset]`): See `Task.from_splits`; of subsets, the whole is read.
        column (`str`, *optional*): The audio column. Default: see `find_file_column`.

    Returns:
        `(column, sampling_rate)`: the rate of the first clip, in samples per second.

    Raises:
        ValueError: A split without the column; a clip that cannot be read.
    """
    whole = getattr(splits, "whole", splits)
    column = find_file_column(first_split(whole, "train", "unlabeled", "validation", "test"), AUDIO_FILES, column)
    rates = []
    for split_name, split in splits.items():
        find_file_column(split, AUDIO_FILES, column)
        rates += [rate for _, rate in open_clips(split, column, split_name, [0])]
    return column, rates[0]


def open_clips(
    split: datasets.Dataset, column: str, split_name: str, rows: Iterable[int] | None = None
) -> Iterator[tuple[np.ndarray, int]]:
    """The decoded clips of a split, one at a time.

    Args:
        split (`datasets.Dataset`): Its `column` contains encoded files, as bytes or as paths.
        column (`str`): The audio column.
        split_name (`str`): For messages.
        rows (`Iterable[int]`, *optional*): Rows to read. Default: all.

    Yields:
        `(np.ndarray, int)`: wave and sampling rate, see `decode_wave`.

    Raises:
        ValueError: A file that is not audio, is cut off, missing, empty, too short or not finite. The message names the row
            and the file.
    """
    encoded = _encoded(split, column)
    for row in range(len(split)) if rows is None else rows:
        yield decode_wave(encoded[row][column], row_location(split, split_name, row))


def _encoded(split: datasets.Dataset, column: str) -> datasets.Dataset:
    return split.with_format(None).select_columns([column]).cast_column(column, datasets.Audio(decode=False))


def wave_rows(split: datasets.Dataset, column: str, split_name: str, sampling_rate: int) -> datasets.Dataset:
    """A data set of waves, one row per clip.

    Args:
        split, column, split_name: See `open_clips`.
        sampling_rate (`int`): Samples per second; clips recorded at another rate are resampled, with a line in the log.

    Returns:
        `datasets.Dataset`: columns "audio", bytes of float32, and "length", samples. In memory where it is not large;
        otherwise in a file of the cache of `datasets`.

    Raises:
        ValueError: See `open_clips`.
    """
    features = datasets.Features({"audio": datasets.Value("large_binary"), "length": datasets.Value("int64")})

    def decode(batch: dict, rows: list[int]) -> dict:
        waves = []
        for row, file in zip(rows, batch[column], strict=True):
            location = row_location(split, split_name, row)
            wave, rate = decode_wave(file, location)
            if rate != sampling_rate:
                warn_once(
                    "%s has %d samples per second, and the models read %d: clips are resampled.",
                    location,
                    rate,
                    sampling_rate,
                )
            waves.append(resample(wave, rate, sampling_rate))
        return {"audio": [wave.tobytes() for wave in waves], "length": [len(wave) for wave in waves]}

    size = _EXPANSION * sum(map(_num_bytes, _encoded(split, column)[:100][column]))
    return _encoded(split, column).map(
        decode,
        batched=True,
        batch_size=_ROWS_AT_ONCE,
        with_indices=True,
        remove_columns=[column],
        features=features,
        keep_in_memory=size * len(split) < 100 * _MAX_BYTES_IN_MEMORY,
        load_from_cache_file=False,
        new_fingerprint=datasets.fingerprint.Hasher.hash([split._fingerprint, column, sampling_rate]),
        desc="Reading audio",
    )


def _num_bytes(file: Mapping | None) -> int:
    """Size of an encoded clip, 0 where there is none."""
    if file is None or file["bytes"] is not None:
        return 0 if file is None else len(file["bytes"])
    return os.path.getsize(file["path"]) if os.path.isfile(file["path"] or "") else 0


def find_audio_files(folder: str | Path) -> list[Path]:
    """The audio files below a folder without hidden ones, sorted by path; an empty list where it is not a folder."""
    folder = Path(folder).expanduser()
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in SUFFIXES) if folder.is_dir() else []
    return [file for file in files if not any(map(_is_hidden, file.relative_to(folder).parts))]


def _is_hidden(part: str) -> bool:
    """Whether the name is that of a hidden file or folder, such as the copies `._clip.wav` in archives of macOS."""
    return part.startswith(".") or part == "__MACOSX"


def load_audio_folder(folder: str | Path) -> datasets.DatasetDict:
    """The splits of a folder with one subfolder per class, without torchcodec, which `datasets` would need.

    Args:
        folder (`str` or `Path`): Contains train/CLASS/clip.wav and so on, or CLASS/clip.wav, which is all training.

    Returns:
        `datasets.DatasetDict`: columns "audio" (paths, not decoded) and "label".

    Raises:
        ValueError: A file in another place than the subfolder of a class. The message names it.
    """
    root = Path(folder).expanduser().resolve()
    files_of_split: dict[str, list[tuple[str, str]]] = {}
    for file in find_audio_files(root):
        folders = file.relative_to(root).parts[:-1]
        split = _SPLITS.get(folders[0].lower()) if len(folders) == 2 else "train"
        if len(folders) not in (1, 2) or split is None:
            raise ValueError(
                f"{file} is neither in CLASS/ nor in SPLIT/CLASS/ below {root}, where SPLIT is one of "
                f"{', '.join(_SPLITS)}: the subfolder is the class. Move it."
            )
        files_of_split.setdefault(split, []).append((str(file), folders[-1]))
    names = sorted({name for files in files_of_split.values() for _, name in files})
    features = datasets.Features(
        {
            "audio": {"bytes": datasets.Value("binary"), "path": datasets.Value("string")},
            "label": datasets.ClassLabel(names=names),
        }
    )
    return datasets.DatasetDict(
        {
            split: datasets.Dataset.from_dict(
                {
                    "audio": [{"bytes": None, "path": path} for path, _ in files],
                    "label": [names.index(name) for _, name in files],
                },
                features,
            ).cast_column("audio", datasets.Audio(decode=False))
            for split, files in files_of_split.items()
        }
    )
