"""Checks of a data set's labels before training: numbers, within the classes, and the row where they are not."""

from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from ..signals.columns import LABELS
from ..signals.problem_kinds import MISSING, ProblemKind

_HIDDEN = -1  # the test sets of GLUE


def labels_are_of_column(dataset: Any, labels: torch.Tensor) -> bool:
    """Whether the labels of a batch of the first two rows are those of the column: a collator may make others.

    True for data sets that have no column.
    """
    column = _label_column(dataset)
    present = {label for label in labels.flatten().tolist() if label >= 0}
    return column is None or present <= set(_flat(column.slice(0, 2))[0].to_pylist())


def check_label_column(dataset: Any, kind: ProblemKind, num_classes: int | None = None) -> None:
    """Raise a ValueError for a label that is no number or no class, with its value and its row.

    Args:
        dataset: Checked if it is a `datasets.Dataset` or a list of dictionaries with a column of labels; others, such as
            streams, have no rows that could be read here.
        kind (`ProblemKind`): Of the student.
        num_classes (`int`, *optional*): Width of its logits. Default: the range of the labels is not checked.
    """
    column = _label_column(dataset)
    if column is None or len(column) == 0:
        return
    values, rows = _flat(column)
    expected, limit = "numbers", None
    if num_classes is not None and kind.label_limit is not None:
        limit = kind.label_limit(num_classes)
        expected = f"whole numbers from 0 to {limit - 1}, or -1 and -100 where missing"
    index = _first_wrong(values, limit)
    if index is not None:
        raise ValueError(
            f"For {kind.name} labels must be {expected} ({kind.labels}); row {rows[index]} (counted from 0) has "
            f"{values[index].as_py()!r}. Correct the label, or give the student the classes of the data."
        )


def _first_wrong(values: pa.Array, limit: int | None) -> int | None:
    """Index of the first value that is no number, or no class below `limit`."""
    if not (pa.types.is_integer(values.type) or pa.types.is_floating(values.type) or pa.types.is_boolean(values.type)):
        return 0 if len(values) else None
    wrong = np.asarray(values.is_null(), dtype=bool)
    if limit is not None:
        numbers = values.cast(pa.float64()).fill_null(0.0).to_numpy(zero_copy_only=False)
        wrong |= ~np.isin(numbers, (_HIDDEN, MISSING)) & ((numbers < 0) | (numbers >= limit))
    return int(wrong.argmax()) if wrong.any() else None


def _label_column(dataset: Any) -> pa.Array | None:
    if isinstance(dataset, datasets.Dataset):
        name = next((name for name in LABELS if name in dataset.column_names), None)
        return None if name is None else dataset.select_columns(name).with_format("arrow")[:][name].combine_chunks()
    if isinstance(dataset, list) and dataset and isinstance(dataset[0], dict):
        name = next((name for name in LABELS if name in dataset[0]), None)
        labels = [] if name is None else [_plain(row.get(name)) for row in dataset]
        try:
            return pa.array(labels)
        except (pa.ArrowInvalid, pa.ArrowTypeError):  # of several types
            return pa.array([label if label is None else str(label) for label in labels])
    return None


def _flat(column: pa.Array) -> tuple[pa.Array, np.ndarray]:
    """All labels of all rows, and the row of each."""
    rows = np.arange(len(column))
    while pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        rows = rows[pc.list_parent_indices(column).to_numpy()]
        column = pc.list_flatten(column)
    return column, rows


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else value
