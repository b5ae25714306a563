"""Label columns: their problem kind and classes, and labels as class indices, rows of 0 and 1, or numbers.

The type in which a file stores a label does not matter: 1, 1.0, "1" and "1.0" are the same class, so that a csv of strings,
a json of integers and a parquet of class labels agree.
"""

import logging
import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import datasets

from ..internals.messages import listed, shown
from ..metrics.classification import MISSING_LABEL, PROBLEM_TYPES
from ..signals.problem_kinds import problem_kind
from .columns import arrow_column

logger = logging.getLogger(__name__)

SINGLE, MULTI, REGRESSION = PROBLEM_TYPES
# No leading zeros: "007" is a name, not the number 7.
_INTEGER = re.compile(r"[+-]?(0|[1-9]\d*)")
_NUMBER = re.compile(r"[+-]?((0|[1-9]\d*)(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_MISSING = (-1, MISSING_LABEL)  # -1: the test sets of GLUE


class LabelEncoder:
    """Encodes the labels of a column as numbers, the same way for every split.

    Args:
        problem_type (`str`): One of `PROBLEM_TYPES`.
        names (`list[str]` or None): Names by class index; None for bare indices and for regression.
        num_labels (`int`): Number of classes; 1 for regression.
        multi_hot (`bool`): Multi-label rows have a 0 or 1 per class, instead of a list of the classes that apply.
    """

    def __init__(self, problem_type: str, names: list[str] | None, num_labels: int, *, multi_hot: bool = False):
        self.problem_type, self.names, self.num_labels = problem_type, names, num_labels
        self.multi_hot, self._kind = multi_hot, problem_kind(problem_type)
        self._index = {name: index for index, name in enumerate(names or [])}
        # Where all names are integers, an integer is a name; otherwise it is an index.
        self._numbers_are_names = bool(names) and all(_INTEGER.fullmatch(name) for name in names)

    def encode(self, values: Sequence[Any], split_name: str, rows: Sequence[int] | None = None) -> list:
        """Labels as the losses take them.

        Args:
            values (`list`): From `column_values`.
            split_name (`str`): For messages.
            rows (sequence of `int`, *optional*): The row of each value, for messages. Default: its index.

        Returns:
            `list`: of int (-100 where missing), of float lists (a row of -100 where missing), or of float (NaN
            where missing).

        Raises:
            ValueError: A label that is not a known class or number. The message names it, its row and the split.
        """
        encode_value: Callable = {SINGLE: self._class, MULTI: self._row, REGRESSION: _score}[self.problem_type]
        codes = {}
        for value in dict.fromkeys(values):
            try:
                codes[value] = encode_value(value)
            except ValueError as error:
                index = values.index(value)
                row = index if rows is None else rows[index]
                raise ValueError(f"Row {row} (counted from 0) of the {split_name} split: {error}") from None
        if self._kind.has_number_labels and set(codes.values()) == {-1.0}:
            codes = dict.fromkeys(codes, float("nan"))  # -1 may be a score, but not in every row: a hidden test set
        return [codes[value] for value in values]

    def _class(self, value: Any) -> int:
        """The class index of a label, -100 where it is missing."""
        if value is None:
            return MISSING_LABEL
        if str(value) in self._index:
            return self._index[str(value)]
        number = parse_number(value)
        if number is not None and math.isfinite(number) and number == int(number):
            number = int(number)
            if str(number) in self._index:
                return self._index[str(number)]
            if number in _MISSING:
                return MISSING_LABEL
            if not self._numbers_are_names and 0 <= number < self.num_labels:
                return number
        raise ValueError(
            f"label {shown(value)} is not one of the {self.num_labels} known classes "
            f"({listed(self.names or range(self.num_labels))}). The classes are those of label_names, or else those "
            f"of the training split. Correct the label, or pass label_names with every class."
        )

    def _row(self, value: Sequence[Any] | None) -> list[float]:
        """A 0 or 1 per class, -100 where the label is missing."""
        if value is None:
            return [float(MISSING_LABEL)] * self.num_labels
        if self.multi_hot:
            return self._multi_hot_row(value)
        indices = [self._class(element) for element in value]
        if indices and set(indices) == {MISSING_LABEL}:
            return [float(MISSING_LABEL)] * self.num_labels
        if MISSING_LABEL in indices:
            raise ValueError(f"label {list(value)} mixes classes with missing ones. Keep or clear the whole row.")
        return [float(index in indices) for index in range(self.num_labels)]

    def _multi_hot_row(self, value: Sequence[Any]) -> list[float]:
        if len(value) != self.num_labels:
            raise ValueError(
                f"label {list(value)} has {len(value)} entries; with one 0 or 1 per class there must be "
                f"{self.num_labels} ({listed(self.names or range(self.num_labels))})."
            )
        if all(element in _MISSING for element in value):
            return [float(MISSING_LABEL)] * self.num_labels
        if any(element in _MISSING for element in value):
            raise ValueError(f"label {list(value)} is missing in part. A row needs all of its labels, or none.")
        if not all(_is_flag(element) for element in value):
            raise ValueError(f"label {list(value)} should hold one 0 or 1 per class.")
        return [float(element) for element in value]


def column_values(split: datasets.Dataset, name: str) -> list:
    """The labels of a split as plain values: class names for class labels, tuples for lists, None where missing.

    Raises:
        ValueError: The column contains other values than labels.
    """
    feature = split.features[name]
    inner = getattr(feature, "feature", feature)  # of a list, that of its elements
    if not isinstance(inner, (datasets.ClassLabel, datasets.Value)):
        raise ValueError(
            f"Column {shown(name)} contains {shown(feature)}, which is not a label: a label is a class, a number, or a "
            f"list of classes. Types may also be mixed (1 in one row, 'x' in another). Set label_column, or use one type."
        )
    names = inner.names if isinstance(inner, datasets.ClassLabel) else None
    return [_plain(value, names) for value in arrow_column(split, name).to_pylist()]


def is_list(split: datasets.Dataset, name: str) -> bool:
    """Whether a column contains a list in each row."""
    return not isinstance(split.features[name], (datasets.ClassLabel, datasets.Value))


def parse_number(value: Any) -> int | float | None:
    """The number of an int, a float or a string, None for other strings and for bools."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, str):
        if _INTEGER.fullmatch(value):
            return int(value)
        return float(value) if _NUMBER.fullmatch(value) else None
    return value


def read_labels(
    split: datasets.Dataset, name: str, *, problem_type: str | None = None, label_names: Sequence[str] | None = None
) -> LabelEncoder:
    """The encoder of a label column: its problem type and classes, from the values.

    Args:
        split (`datasets.Dataset`): The training rows, all of them: the classes are those that occur here.
        name (`str`): The label column.
        problem_type (`str`, *optional*): Needed where the values allow several.
        label_names (`list[str]`, *optional*): The classes in order, instead of those that occur.

    Returns:
        `LabelEncoder`.

    Raises:
        ValueError: Only missing labels; one class; numbers that may be scores or classes; a `problem_type` or
            `label_names` that do not fit the values.
    """
    values = column_values(split, name)
    present = [value for value in dict.fromkeys(values) if value is not None]
    problem_type = problem_type or _problem_type(split, name, values, present)
    kind = problem_kind(problem_type)
    if kind.several_labels != is_list(split, name):
        wanted = "a list of classes" if kind.several_labels else "one value"
        raise ValueError(
            f"{problem_type} needs {wanted} in each row of column {shown(name)}, but it contains "
            f"{shown(split.features[name])}. Set another problem_type or label_column. (A csv file cannot contain lists: "
            f"use jsonl or parquet.)"
        )
    if kind.has_number_labels:
        if label_names is not None:
            raise ValueError(f"label_names={list(label_names)} would have no effect: a regression has no classes.")
        return LabelEncoder(REGRESSION, None, 1)
    multi_hot = kind.several_labels and _is_multi_hot(present)
    if label_names is None:
        names, count = _classes(split.features[name], present, multi_hot)
    else:
        names, count = _distinct(label_names), len(label_names)
    if count < (1 if kind.several_labels else 2):
        raise ValueError(
            f"Column {shown(name)} has {count} class{'' if count == 1 else 'es'} ({listed(present)}), which is too few to "
            f"classify. -1 and empty cells count as missing: if -1 is one of your classes, pass label_names with '-1' "
            f"in it. Otherwise set another label_column."
        )
    return LabelEncoder(problem_type, names, count, multi_hot=multi_hot)


def _problem_type(split: datasets.Dataset, name: str, values: list, present: list) -> str:
    """The problem type of a label column, from its type and values (`present`: each once, without the missing)."""
    feature = split.features[name]
    if is_list(split, name):
        return MULTI
    if isinstance(feature, datasets.ClassLabel):
        return SINGLE
    numbers = [parse_number(value) for value in present]
    fraction = next((number for number in numbers if isinstance(number, float) and number % 1 != 0), None)
    if None in numbers:
        if fraction is not None:
            word = present[numbers.index(None)]
            raise ValueError(
                f"Column {shown(name)} mixes numbers ({fraction}) with words ({shown(word)}): neither scores nor "
                f"classes. Clear the words if these are scores, or set problem_type='{SINGLE}' if each value is a class."
            )
        return SINGLE
    if fraction is not None:
        return REGRESSION
    if all(isinstance(number, int) for number in numbers):
        return SINGLE
    if feature.dtype.startswith("float") and None in values:
        logger.warning(
            "Column %s contains floats with integer values and empty cells, the form of stored integers with empty cells: "
            "read as classes. If they are scores, set problem_type='regression'.",
            shown(name),
        )
        return SINGLE
    raise ValueError(
        f"Column {shown(name)} contains floats with integer values ({listed(present, 5)}), which may be scores or "
        f"classes. Set problem_type='{REGRESSION}' or problem_type='{SINGLE}'."
    )


def _classes(feature: Any, present: list, multi_hot: bool) -> tuple[list[str] | None, int]:
    """Names (None for bare indices) and number of the classes that occur."""
    inner = getattr(feature, "feature", feature)
    if isinstance(inner, datasets.ClassLabel):
        return list(inner.names), len(inner.names)
    if multi_hot:
        return None, max(map(len, present))
    is_row = not isinstance(feature, datasets.Value)
    elements = {element for row in present for element in row if element is not None} if is_row else present
    numbers = [parse_number(element) for element in elements]
    fraction = next((number for number in numbers if number is not None and number % 1 != 0), None)
    if fraction is not None and is_row:
        raise ValueError(f"Lists of labels contain classes, or one 0 or 1 per class; got {shown(fraction)}.")
    if None not in numbers and fraction is None:
        classes = sorted({int(number) for number in numbers} - set(_MISSING))
        bare = classes == list(range(len(classes)))
        return (None if bare else [str(number) for number in classes]), len(classes)
    names = sorted({str(element) for element in elements})
    return names, len(names)


def _distinct(label_names: Sequence[Any]) -> list[str]:
    """The names as strings; ValueError where two are the same."""
    names = [str(name) for name in label_names]
    if len(set(names)) < len(names):
        raise ValueError(f"label_names must differ from each other; got {listed(names)}.")
    return names


def _is_multi_hot(rows: list[Sequence]) -> bool:
    """Whether rows have one 0 or 1 per class: equal lengths of two or more, and no other values."""
    whole = [row for row in rows if not all(element in _MISSING for element in row)]
    lengths = {len(row) for row in rows}
    return len(lengths) == 1 and min(lengths) > 1 and all(_is_flag(element) for row in whole for element in row)


def _is_flag(element: Any) -> bool:
    return isinstance(element, (bool, int, float)) and element in (0, 1)


def _score(value: Any) -> float:
    """The number of a label, NaN where it is missing."""
    if value is None:
        return float("nan")
    number = parse_number(value)
    if number is None or not math.isfinite(number):
        raise ValueError(
            f"label {shown(value)} is not a finite number, which a regression needs. Correct it, leave it empty if "
            f"it is missing, or set problem_type='{SINGLE}'."
        )
    return float(number)


def _plain(value: Any, names: list[str] | None) -> Any:
    """A label as class name, tuple, number or string; None where it is missing."""
    if isinstance(value, list):
        return tuple(_plain(element, names) for element in value)
    if value is None or value == "" or value != value:  # only NaN differs from itself
        return None
    if names is not None:
        return names[value] if value >= 0 else None
    return value
