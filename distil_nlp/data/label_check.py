"""Checks of a data set's labels before training: numbers, within the classes, and the row where they are not."""

import itertools
import math
import time
from collections.abc import Iterator, Mapping
from typing import Any, cast

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from transformers.trainer_utils import has_length

from ..internals.messages import shown
from ..signals.columns import LABELS
from ..signals.problem_kinds import MISSING, ProblemKind
from .pairs import same_random_numbers

_HIDDEN = -1  # the test sets of GLUE
_MAX_SECONDS = 1.0  # for reading the rows of a data set whose labels are not in a column


def labels_are_of_column(dataset: Any, labels: torch.Tensor) -> bool:
    """Whether the labels of a batch of the first two rows are those of the column: a collator may make others.

    True for data sets that have no column.
    """
    column = _label_column(dataset, 2)
    present = {label for label in labels.flatten().tolist() if label >= 0}
    return column is None or all(label in _flat(column)[0].to_pylist() for label in present)


def check_label_column(dataset: Any, kind: ProblemKind, num_classes: int | None = None) -> None:
    """Raise a ValueError for a label that is no number or no class, with its value and its row.

    Args:
        dataset: A `datasets.Dataset` with a column of labels, or rows that are dictionaries with a label. Of a data set of
            PyTorch those rows are checked that can be read in a second; a stream is not checked.
        kind (`ProblemKind`): Of the student.
        num_classes (`int`, *optional*): Width of its logits. Default: the range of the labels is not checked.
    """
    column = _label_column(dataset)
    if column is None or len(column) == 0:
        return
    values, rows = _flat(column)
    expected, limit = "finite numbers" if kind.float_labels else "numbers", None
    if num_classes is not None and kind.label_limit is not None:
        limit = kind.label_limit(num_classes)
        expected = f"whole numbers from 0 to {limit - 1}, or -1 and -100 where missing"
    missing = np.ravel(kind.missing_label(1))[0]
    index = _first_wrong(values, limit, may_be_nan=math.isnan(missing))
    if index is not None:
        raise ValueError(
            f"For {kind.name} labels must be {expected} ({kind.labels}); row {rows[index]} (counted from 0) has "
            f"{shown(values[index].as_py())}. Correct the label, or give the student the classes of the data."
        )


def _first_wrong(values: pa.Array, limit: int | None, *, may_be_nan: bool) -> int | None:
    """Index of the first value that is no number, is infinite, or is no class below `limit`."""
    if not (pa.types.is_integer(values.type) or pa.types.is_floating(values.type) or pa.types.is_boolean(values.type)):
        return 0 if len(values) else None
    wrong = np.asarray(values.is_null(), dtype=bool)
    numbers = values.cast(pa.float64()).fill_null(0.0).to_numpy(zero_copy_only=False)
    wrong |= np.isinf(numbers) if may_be_nan else ~np.isfinite(numbers)
    if limit is not None:
        wrong |= ~np.isin(numbers, (_HIDDEN, MISSING)) & ((numbers < 0) | (numbers >= limit))
    return int(wrong.argmax()) if wrong.any() else None


def _label_column(dataset: Any, num_rows: int | None = None) -> pa.Array | None:
    """The labels of a data set, of its first rows if `num_rows` is given; None where it has no column of them."""
    if isinstance(dataset, datasets.Dataset):
        name = next((name for name in LABELS if name in dataset.column_names), None)
        if name is None:
            return None
        column = dataset.select_columns(name).with_format("arrow")[:num_rows][name]
        return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(dataset, datasets.IterableDataset) or not has_length(dataset):
        return None
    with same_random_numbers():
        rows = itertools.islice(_rows(dataset), num_rows)
        first = next(rows, None)
        name = next((name for name in LABELS if isinstance(first, Mapping) and name in first), None)
        if name is None:
            return None
        labels = [_plain(row.get(name)) for row in itertools.chain([cast(Mapping, first)], rows)]
    try:
        return pa.array(labels)
    except (pa.ArrowInvalid, pa.ArrowTypeError):  # of several types
        return pa.array([label if label is None else str(label) for label in labels])


def _rows(dataset: Any) -> Iterator[Any]:
    """The rows of a list, or those of a data set of PyTorch that can be read in time."""
    end = time.monotonic() + _MAX_SECONDS
    for index in range(len(dataset)):
        yield dataset[index]
        if not isinstance(dataset, list) and time.monotonic() > end:
            break


def _flat(column: pa.Array) -> tuple[pa.Array, np.ndarray]:
    """All labels of all rows, and the row of each."""
    rows = np.arange(len(column))
    while pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        rows = rows[pc.list_parent_indices(column).to_numpy()]
        column = pc.list_flatten(column)
    return column, rows


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else value
