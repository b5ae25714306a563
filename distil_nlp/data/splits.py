"""Splits from a Hub data set or from files, checked before any time is spent on training."""

import dataclasses
import glob
import itertools
import logging
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import datasets
import huggingface_hub
import pandas
import pyarrow.compute
import pyarrow.parquet

from ..internals.messages import listed, shown
from ..models.sources import check_hub
from .audio import find_audio_files, load_audio_folder
from .columns import TEXT_PAIRS, TEXTS

logger = logging.getLogger(__name__)

READERS = {".csv": "csv", ".tsv": "csv", ".json": "json", ".jsonl": "json", ".parquet": "parquet"}
# Fixed for all seeds of a run: teachers, students and controls are measured on the same rows.
EVAL_SEED = 0
_TRAIN_SEED = 42
_LINE_FORMATS = (".csv", ".tsv", ".jsonl")
_HUGE_LINE = 32 << 20  # bytes
_SEPARATORS = {".csv": ",", ".tsv": "\t"}


class Splits(datasets.DatasetDict):
    """The splits, some possibly subsets; `whole` has all rows, so that a subset cannot lose a class."""

    def __init__(self, splits: Mapping[str, datasets.Dataset], whole: Mapping[str, datasets.Dataset]):
        super().__init__(splits)
        self.whole = whole


def load_splits(
    *,
    dataset_name: str | None = None,
    dataset_config_name: str | None = None,
    train_file: str | Path | None = None,
    validation_file: str | Path | None = None,
    test_file: str | Path | None = None,
    unlabeled_file: str | Path | None = None,
    train_val_split: float | None = None,
    max_train_samples: int | None = None,
    max_eval_samples: int | None = None,
    seed: int = _TRAIN_SEED,
) -> Splits:
    """Splits by name, from a data set of the Hub or from files.

    The arguments have the names of the transformers example scripts. Files are csv, tsv, json, jsonl or parquet, by
    their extension, which may differ. Parquet keeps its class labels; the cells of csv and tsv stay strings (a text "NA",
    a label "007"), an empty cell is missing, and the task reads the labels.

    Args:
        dataset_name, dataset_config_name (`str`, *optional*): As for `datasets.load_dataset`: a Hub id such as "glue"
            with "sst2", or a folder of files.
        train_file, validation_file, test_file (`str` or `Path`, *optional*): Instead of `dataset_name`.
        unlabeled_file (`str` or `Path`, *optional*): Texts without labels, which the teacher labels, in addition to
            a data set or files.
        train_val_split (`float`, *optional*): Where there is no validation split: hold out this share of the training
            rows as validation, above 0 and below 1; by a fixed seed, so that all runs hold out the same rows.
        max_train_samples (`int`, *optional*): Number of training rows: the first of a shuffle by `seed`, so a larger
            number adds rows and removes none. Unlabeled rows are not counted.
        max_eval_samples (`int`, *optional*): The same for validation and test, by a fixed seed, so that runs with
            different seeds are measured on the same rows.
        seed (`int`): Decides which training rows are used.

    Returns:
        `datasets.DatasetDict` with the given ones of "train", "validation", "test", "unlabeled". Where the Hub data set has
        no "validation" but "test", that is used, with a warning.

    Raises:
        FileNotFoundError: A file does not exist.
        ValueError: No source, or several; a file that is empty or cannot be read; no validation split; splits without a
            common column.
    """
    files = {"train": train_file, "validation": validation_file, "test": test_file, "unlabeled": unlabeled_file}
    files = {split: Path(path).expanduser() for split, path in files.items() if path is not None}
    holds_out = _checked_share(train_val_split) is not None
    _check_sources(dataset_name, dataset_config_name, files, holds_out=holds_out)
    _check_counts(max_train_samples=max_train_samples, max_eval_samples=max_eval_samples)
    for split, path in files.items():
        _check_file(path, f"{split}_file")
    whole = {} if dataset_name is None else _hub_splits(dataset_name, dataset_config_name, holds_out=holds_out)
    whole.update({split: _read(path, split) for split, path in files.items()})
    if holds_out:
        whole = _held_out(whole, train_val_split)
    whole = {name: _encoded(split) for name, split in whole.items()}
    _check_columns(whole)
    limits = {"train": (max_train_samples, seed), "validation": (max_eval_samples, EVAL_SEED)}
    limits["test"] = limits["validation"]
    splits = {name: _subset(split, *limits.get(name, (None, None))) for name, split in whole.items()}
    return Splits(splits, datasets.DatasetDict(whole))


def _encoded(split: datasets.Dataset) -> datasets.Dataset:
    """A split whose images and sounds stay encoded: only `open_images` and the readers of sound decode them."""
    for name, feature in split.features.items():
        if isinstance(feature, (datasets.Image, datasets.Audio)) and feature.decode:
            split = split.cast_column(name, dataclasses.replace(feature, decode=False))
    return split


def load_file(path: str | Path, argument: str) -> datasets.Dataset:
    """The rows of one file: csv, tsv, json, jsonl or parquet.

    Args:
        path (`str` or `Path`): The file.
        argument (`str`): The setting that names it, for messages.

    Raises:
        FileNotFoundError, ValueError: See `load_splits`.
    """
    path = Path(path).expanduser()
    _check_file(path, argument)
    return _read(path, "train")


def _checked_share(train_val_split: float | None) -> float | None:
    if train_val_split is not None and not 0 < train_val_split < 1:
        raise ValueError(
            f"train_val_split is a share of the training rows, above 0 and below 1; got {shown(train_val_split)}."
        )
    return train_val_split


def _check_counts(**counts: int | None) -> None:
    for argument, count in counts.items():
        if count is not None and count < 1:
            raise ValueError(f"{argument} must be 1 or more, or left out for all rows; got {shown(count)}.")


def _held_out(whole: dict[str, datasets.Dataset], share: float) -> dict[str, datasets.Dataset]:
    """The splits, with a share of train as validation."""
    if "validation" in whole or "train" not in whole:
        raise ValueError(
            f"train_val_split={share:g} would have no effect: it makes a validation split of training rows, and the splits "
            f"are {listed(whole)}. Leave it out."
        )
    train = whole["train"].shuffle(seed=EVAL_SEED, keep_in_memory=True)
    count = round(share * len(train))
    if not 0 < count < len(train):
        raise ValueError(
            f"train_val_split={share:g} of {len(train)} rows leaves no row on one side. Choose another share."
        )
    parts = {"train": train.select(range(count, len(train))), "validation": train.select(range(count))}
    return {**whole, **parts}


def _check_sources(
    dataset_name: str | None, dataset_config_name: str | None, files: Mapping[str, Path], *, holds_out: bool = False
) -> None:
    """Raise ValueError unless there is exactly one source with a validation split."""
    named = [f"{split}_file={shown(str(path))}" for split, path in files.items() if split != "unlabeled"]
    if dataset_name is None and not files:
        raise ValueError(
            f"Data is needed; got dataset_name={shown(dataset_name)} and no file. Set dataset_name (a Hub id such as "
            f"'glue', with dataset_config_name 'sst2'), or train_file and validation_file."
        )
    if dataset_name is not None and named:
        raise ValueError(
            f"Both dataset_name={shown(dataset_name)} and {', '.join(named)} were given; only one can be the data. Leave "
            f"one of them out; with a dataset_name only unlabeled_file can be used."
        )
    if dataset_name is None and dataset_config_name is not None:
        raise ValueError(
            f"dataset_config_name={shown(dataset_config_name)} is a part of a data set, and dataset_name is not set. Set "
            f"it."
        )
    if dataset_name is not None and Path(dataset_name).is_file():
        raise ValueError(
            f"dataset_name={shown(str(dataset_name))} is a file. Pass it as train_file, with a validation_file."
        )
    if dataset_name is None and "validation" not in files and not holds_out:
        test = files.get("test")
        instead = "validation_file" if test is None else f"validation_file={shown(str(test))} instead of test_file"
        raise ValueError(
            f"There is no validation data (given: {', '.join(f'{split}_file' for split in files)}), so neither "
            f"teacher nor student can be measured. Set {instead}; rows in it must not be in train_file; "
            f"or let train_val_split hold out a share of the training rows."
        )
    for split in ("validation", "test"):
        if "train" in files and split in files and _is_same_file(files["train"], files[split]):
            raise ValueError(
                f"train_file and {split}_file are the same file ({files['train']}): every model would be measured on "
                f"what it learned by heart. Hold some rows back in a file of their own."
            )


def _is_same_file(one: Path, other: Path) -> bool:
    """Whether two paths lead to one file, also by links; of missing files, whether they are equal."""
    try:
        return one.samefile(other)
    except OSError:
        return one == other


def _check_file(path: Path, argument: str) -> None:
    if path.is_dir():
        raise ValueError(
            f"{argument}={shown(str(path))} is a folder; pass a file in it, or the folder as dataset_name."
        )
    if not path.is_file():
        data_files = sorted(other.name for other in path.parent.glob("*") if other.suffix.lower() in READERS)
        raise FileNotFoundError(
            f"{argument}={shown(str(path))} does not exist. Data files in {shown(str(path.parent))}: "
            f"{listed(data_files) or 'none'}."
        )
    _check_plain(path, argument)
    if path.suffix.lower() not in READERS:
        raise ValueError(
            f"{argument}={shown(str(path))} has the extension {shown(path.suffix)}, which is not a supported format. "
            f"Supported: {', '.join(READERS)}."
        )
    if path.stat().st_size == 0:
        raise ValueError(f"{argument}={shown(str(path))} is empty (0 bytes). Was the copy or the download cut off?")
    if path.suffix.lower() in _LINE_FORMATS and _has_huge_line(path):
        raise ValueError(
            f"{argument}={shown(str(path))} has a line of more than {_HUGE_LINE >> 20} MiB, and one line is one row. Was "
            f"a line break lost, or is it another kind of file?"
        )


def _check_plain(path: Path, argument: str, *, is_folder: bool = False) -> None:
    """Raise ValueError for a path that `datasets` reads as another one, or as several: a folder is a pattern there."""
    text, more = str(path.resolve()), ", one of *?[] or a line break" if is_folder else ""
    is_pattern = is_folder and ("\n" in text or glob.has_magic(text))
    if is_pattern or "::" in text or os.path.expandvars(text) != text:
        raise ValueError(
            f"{argument}={shown(str(path))} has '::', the name of an environment variable ($NAME){more} in its path, for "
            f"which the library datasets would read other files. Rename the folder or the file."
        )


def _has_huge_line(path: Path) -> bool:
    """Whether a line is longer than `_HUGE_LINE`: reading it would take many times its size in memory."""
    if path.stat().st_size <= _HUGE_LINE:
        return False
    with path.open("rb") as file:  # such a line contains half of its limit at a multiple of that half
        return any(
            b"\n" not in block
            for block in iter(partial(file.read, _HUGE_LINE // 2), b"")
            if len(block) == _HUGE_LINE // 2
        )


def _hub_splits(name: str, config: str | None, *, holds_out: bool = False) -> dict[str, datasets.Dataset]:
    """Train, validation and test of a data set; without a validation split, test becomes it."""
    is_audio = bool(find_audio_files(name))
    if Path(name).is_dir() and not is_audio:
        _check_plain(Path(name), "dataset_name", is_folder=True)
    try:
        if not Path(name).exists():
            _check_reachable(name)
        loaded = load_audio_folder(name) if is_audio else datasets.load_dataset(name, config)
    except (OSError, ValueError, RuntimeError) as error:  # not found, no network, a wrong config, a data set script
        raise ValueError(
            f"The data set {shown(name)} (config {shown(config)}) cannot be loaded: {str(error).rstrip('.')}. Check "
            f"dataset_name and dataset_config_name, or pass files (train_file, validation_file)."
        ) from error
    splits = {split: loaded[split] for split in ("train", "test") if split in loaded}
    if holds_out and not {"validation", "validation_matched"} & set(loaded):
        return splits
    measured = next((split for split in ("validation", "validation_matched", "test") if split in loaded), None)
    if measured is None:
        raise ValueError(
            f"The data set {shown(name)} has no validation split and no test split (splits: {listed(loaded)}), so neither "
            f"teacher nor student can be measured. Let train_val_split hold out a share of the training rows, "
            f"or save some of them as validation_file."
        )
    if measured != "validation":
        logger.warning(
            "%s has no split 'validation': '%s' is used to measure (splits: %s).", name, measured, listed(loaded)
        )
        splits.pop(measured, None)
    return {**splits, "validation": loaded[measured]}


def _check_reachable(name: str) -> None:
    """Raise early for a data set that the Hub does not have, or that neither the Hub nor the cache of `datasets` has."""
    if huggingface_hub.constants.HF_HUB_OFFLINE:  # `datasets` then looks into its cache at once
        return
    try:
        check_hub(name, repo_type="dataset", file="README.md")
    except ConnectionError:
        if not (Path(datasets.config.HF_DATASETS_CACHE) / name.replace("/", "___")).exists():
            raise


def _read(path: Path, split: str) -> datasets.Dataset:
    """The rows of one file. Its Arrow copy goes to the cache of `datasets`, not to the folder of the file."""
    suffix = path.suffix.lower()
    try:
        if suffix == ".parquet" and pyarrow.parquet.read_metadata(path).num_rows == 0:
            raise ValueError(f"it contains no rows ({path.stat().st_size} bytes).")
        options = _as_strings(path, _SEPARATORS[suffix]) if suffix in _SEPARATORS else {}
        # Escaped: brackets in a path are not a pattern. Absolute: `datasets` resolves relative paths differently.
        files = {split: [glob.escape(str(path.resolve()))]}
        dataset = datasets.load_dataset(READERS[suffix], data_files=files, split=split, **options)
    except (datasets.exceptions.DatasetGenerationError, ValueError) as error:
        raise ValueError(
            f"{split}_file={shown(str(path))} cannot be read as {suffix[1:]}: {_reason(error)}"
        ) from error
    if suffix == ".tsv":
        _check_quotes(dataset, path)
    return dataset


def _reason(error: Exception) -> str:
    """The cause of a reading error, with its usual origin."""
    cause = error.__cause__ or error
    if "corresponds to no data" in str(cause):  # the message of `datasets` for 0 rows
        return "it contains no rows."
    if isinstance(cause, UnicodeDecodeError):
        return f"it is not UTF-8 ({cause}). Save it as UTF-8."
    text = str(cause).strip().removeprefix("Error tokenizing data. C error: ")
    if "EOF inside string" in text:
        return (
            f"{text}. A quotation mark is opened and never closed: double quotation marks within a text, or use jsonl."
        )
    return text


def _as_strings(path: Path, separator: str) -> dict:
    """Reading options that keep every cell a string. pandas would infer types a chunk at a time, read "NA" as missing and
    fail on a word after 10,000 integers."""
    head = pandas.read_csv(path, sep=separator, nrows=1, dtype=str)
    columns = list(head.columns)
    names = (
        pandas.read_csv(path, sep=separator, nrows=1, dtype=str, header=None, keep_default_na=False).iloc[0].tolist()
    )
    if twice := [name for name in dict.fromkeys(names) if name and names.count(name) > 1]:
        raise ValueError(
            f"its column names {listed(map(repr, twice))} occur twice. Give each column a name of its own."
        )
    if len(head) == 0:
        raise ValueError(f"it contains no rows, only the column names {listed(columns)}.")
    if not isinstance(head.index, pandas.RangeIndex):
        raise ValueError(
            f"its first row has more cells than there are column names ({listed(columns)}). Put texts that contain "
            f"{shown(separator)} in quotation marks."
        )
    others = [other for other in (";", "\t", ",", "|") if len(columns) == 1 and other in columns[0]]
    if others:
        raise ValueError(
            f"its only column is {shown(columns[0])}, which looks like several separated by {shown(others[0])}. Separate "
            f"cells by {shown(separator)}."
        )
    features = datasets.Features({name: datasets.Value("string") for name in columns})
    return {"sep": separator, "features": features, "keep_default_na": False, "na_values": [""]}


def _check_quotes(dataset: datasets.Dataset, path: Path) -> None:
    """Raise ValueError where a quotation mark opens in one row and closes in another, which drops the rows between."""
    for name in dataset.column_names:
        column = dataset.with_format("arrow")[:].column(name)
        row = pyarrow.compute.index(pyarrow.compute.match_substring(column, "\t"), True).as_py()
        if row >= 0:
            raise ValueError(
                f"Row {row} (counted from 0) of {path} has a tab within column {shown(name)}: a quotation mark opens "
                f"there and closes in a later row, which would be lost. Double the quotation marks within texts and "
                f"put such texts in quotation marks, or use jsonl."
            )


def _check_columns(splits: Mapping[str, datasets.Dataset]) -> None:
    """Raise ValueError where a split shares no column with the first: its file may have no column names."""
    first = next(iter(splits))
    for name, split in splits.items():
        has_text = name == "unlabeled" and set(split.column_names) & {*TEXTS, *itertools.chain(*TEXT_PAIRS)}
        if not has_text and not set(split.column_names) & set(splits[first].column_names):
            raise ValueError(
                f"The {first} and {name} splits share no column: {listed(splits[first].column_names)} against "
                f"{listed(split.column_names)}. Has each file a first line with the same column names?"
            )


def _subset(split: datasets.Dataset, count: int | None, seed: int | None) -> datasets.Dataset:
    """`count` random rows, or all of them where it is None or there are not more."""
    if count is None or count >= len(split):
        return split
    return split.shuffle(seed=seed, keep_in_memory=True).select(range(count))
