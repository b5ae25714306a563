"""What a label column says, and how that becomes class indices, rows of 0 and 1, or numbers.

A label is read for what it says, not for how a file stored it: 1, 1.0, "1" and "1.0" are the same class, so that a
csv of strings, a json of ints and a parquet of class labels agree.
"""

import logging
import math
import re

import datasets

from ..metrics.classification import MISSING_LABEL, PROBLEM_TYPES
from ..signals.problem_kinds import problem_kind
from .columns import arrow_column, listed

logger = logging.getLogger(__name__)

SINGLE, MULTI, REGRESSION = PROBLEM_TYPES
# No leading zeros: "007" is a name, and calling it 7 would lose it.
_WHOLE = re.compile(r"[+-]?(0|[1-9]\d*)")
_NUMBER = re.compile(r"[+-]?((0|[1-9]\d*)(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_ABSENT = (-1, MISSING_LABEL)  # -1: the test sets of GLUE


class LabelEncoder:
    """How the labels of a column become numbers, the same for every split.

    Args:
        problem_type (`str`): One of `PROBLEM_TYPES`.
        names (`list[str]` or None): Names by class index; None for bare indices and for regression.
        num_labels (`int`): Number of classes; 1 for regression.
        multi_hot (`bool`): Multi-label rows hold a 0 or 1 per class, instead of listing the classes that apply.
    """

    def __init__(self, problem_type, names, num_labels, *, multi_hot=False):
        self.problem_type, self.names, self.num_labels = problem_type, names, num_labels
        self.multi_hot, self._kind = multi_hot, problem_kind(problem_type)
        self._index = {name: index for index, name in enumerate(names or [])}
        # Where the names are numbers themselves, a number is a name; elsewhere it is an index.
        self._numbers_are_names = bool(names) and all(_WHOLE.fullmatch(name) for name in names)

    def encode(self, values, split_name, rows=None):
        """Labels as the losses take them.

        Args:
            values (`list`): From `column_values`.
            split_name (`str`): For the message.
            rows (sequence of `int`, *optional*): For the message: the row each value stands in, where it is not its own.

        Returns:
            `list`: of int (-100 where missing), of float lists (a row of -100 where missing), or of float (NaN
            where missing).

        Raises:
            ValueError: A label that has no place; names it, its row and the split.
        """
        one = {SINGLE: self._class, MULTI: self._row, REGRESSION: _score}[self.problem_type]
        codes = {}
        for value in dict.fromkeys(values):
            try:
                codes[value] = one(value)
            except ValueError as error:
                place = values.index(value)
                row = place if rows is None else rows[place]
                raise ValueError(f"Row {row} (counted from 0) of the {split_name} split: {error}") from None
        if self._kind.has_number_labels and set(codes.values()) == {-1.0}:
            codes = dict.fromkeys(codes, float("nan"))  # -1 may be a score, but not every row's: a hidden test set
        return [codes[value] for value in values]

    def _class(self, value):
        if value is None:
            return MISSING_LABEL
        if str(value) in self._index:
            return self._index[str(value)]
        number = as_number(value)
        if number is not None and number == int(number):
            number = int(number)
            if str(number) in self._index:
                return self._index[str(number)]
            if number in _ABSENT:
                return MISSING_LABEL
            if not self._numbers_are_names and 0 <= number < self.num_labels:
                return number
        raise ValueError(
            f"label {_shown(value)} is none of the {self.num_labels} known classes "
            f"({listed(self.names or range(self.num_labels))}). The classes are those of label_names, or else those "
            f"of the training split. Correct the label, or pass label_names with every class."
        )

    def _row(self, value):
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

    def _multi_hot_row(self, value):
        if len(value) != self.num_labels:
            raise ValueError(
                f"label {list(value)} has {len(value)} entries; with one 0 or 1 per class there must be "
                f"{self.num_labels} ({listed(self.names or range(self.num_labels))})."
            )
        if all(element in _ABSENT for element in value):
            return [float(MISSING_LABEL)] * self.num_labels
        if any(element in _ABSENT for element in value):
            raise ValueError(f"label {list(value)} is missing in part. A row counts wholly or not at all.")
        if not all(_is_flag(element) for element in value):
            raise ValueError(f"label {list(value)} should hold one 0 or 1 per class.")
        return [float(element) for element in value]


def column_values(split, name):
    """The labels of a split as plain values: class names for class labels, tuples for lists, None where missing.

    Raises:
        ValueError: The column holds something that is no label.
    """
    feature = split.features[name]
    inner = getattr(feature, "feature", feature)  # of a list: what it is a list of
    if not isinstance(inner, (datasets.ClassLabel, datasets.Value)):
        raise ValueError(
            f"Column {name!r} holds {feature}, which is no label: a label is a class, a number, or a list of classes. "
            f"Kinds may also be mixed (1 in one row, 'x' in another). Set label_column, or make it one kind."
        )
    names = inner.names if isinstance(inner, datasets.ClassLabel) else None
    return [_plain(value, names) for value in arrow_column(split, name).to_pylist()]


def is_list(split, name):
    """Whether a column holds a list in each row."""
    return not isinstance(split.features[name], (datasets.ClassLabel, datasets.Value))


def as_number(value):
    """The number that an int, a float or a string says, else None. A bool says no number."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, str):
        if _WHOLE.fullmatch(value):
            return int(value)
        return float(value) if _NUMBER.fullmatch(value) else None
    return value


def read_labels(split, name, *, problem_type=None, label_names=None):
    """Find out what the labels of a split are.

    Args:
        split (`datasets.Dataset`): The training rows, all of them: the classes are those that occur here.
        name (`str`): The label column.
        problem_type (`str`, *optional*): Settles what the values leave open.
        label_names (`list[str]`, *optional*): The classes in order, instead of those that occur.

    Returns:
        `LabelEncoder`.

    Raises:
        ValueError: Nothing but missing labels; one class; numbers that may be scores or classes; a `problem_type`
            or `label_names` that do not fit the values.
    """
    values = column_values(split, name)
    present = [value for value in dict.fromkeys(values) if value is not None]
    problem_type = problem_type or _problem_type(split, name, values, present)
    kind = problem_kind(problem_type)
    if kind.several_labels != is_list(split, name):
        wanted = "a list of classes" if kind.several_labels else "one value"
        raise ValueError(
            f"{problem_type} needs {wanted} in each row of column {name!r}, but it holds {split.features[name]}. "
            f"Set another problem_type or label_column. (csv cannot hold lists: use jsonl or parquet.)"
        )
    if kind.has_number_labels:
        if label_names is not None:
            raise ValueError(f"label_names={list(label_names)} would have no effect: a regression has no classes.")
        return LabelEncoder(REGRESSION, None, 1)
    multi_hot = kind.several_labels and _is_multi_hot(present)
    if label_names is None:
        names, count = _classes(split.features[name], present, multi_hot)
    else:
        names, count = _given(label_names), len(label_names)
    if count < (1 if kind.several_labels else 2):
        raise ValueError(
            f"Column {name!r} has {count} class{'' if count == 1 else 'es'} ({listed(present)}); there is nothing to "
            f"tell apart. -1 and empty cells count as missing: if -1 is a class of yours, pass label_names with '-1' "
            f"in it. Otherwise set another label_column."
        )
    return LabelEncoder(problem_type, names, count, multi_hot=multi_hot)


def _problem_type(split, name, values, present):
    feature = split.features[name]
    if is_list(split, name):
        return MULTI
    if isinstance(feature, datasets.ClassLabel):
        return SINGLE
    numbers = [as_number(value) for value in present]
    fraction = next((number for number in numbers if isinstance(number, float) and number % 1 != 0), None)
    if None in numbers:
        if fraction is not None:
            word = present[numbers.index(None)]
            raise ValueError(
                f"Column {name!r} mixes numbers ({fraction}) with words ({word!r}): neither scores nor classes. Clear "
                f"the words if it holds scores, or set problem_type='{SINGLE}' if each value is a class."
            )
        return SINGLE
    if fraction is not None:
        return REGRESSION
    if all(isinstance(number, int) for number in numbers):
        return SINGLE
    if feature.dtype.startswith("float") and None in values:
        logger.warning(
            "Column %r holds whole numbers and gaps, which is how ints with gaps are stored: read as classes. "
            "If they are scores, set problem_type='regression'.",
            name,
        )
        return SINGLE
    raise ValueError(
        f"Column {name!r} holds whole numbers written as fractions ({listed(present, 5)}), which may be scores or "
        f"classes. Set problem_type='{REGRESSION}' or problem_type='{SINGLE}'."
    )


def _classes(feature, present, multi_hot):
    """Names (or None for bare indices) and number of the classes that occur."""
    inner = getattr(feature, "feature", feature)
    if isinstance(inner, datasets.ClassLabel):
        return list(inner.names), len(inner.names)
    if multi_hot:
        return None, max(map(len, present))
    is_row = not isinstance(feature, datasets.Value)
    elements = {element for row in present for element in row if element is not None} if is_row else present
    numbers = [as_number(element) for element in elements]
    fraction = next((number for number in numbers if number is not None and number % 1 != 0), None)
    if fraction is not None and is_row:
        raise ValueError(f"Lists of labels hold classes, or one 0 or 1 per class; got {fraction}.")
    if None not in numbers and fraction is None:
        classes = sorted({int(number) for number in numbers} - set(_ABSENT))
        bare = classes == list(range(len(classes)))
        return (None if bare else [str(number) for number in classes]), len(classes)
    names = sorted({str(element) for element in elements})
    return names, len(names)


def _given(label_names):
    names = [str(name) for name in label_names]
    if len(set(names)) < len(names):
        raise ValueError(f"label_names must differ from each other; got {listed(names)}.")
    return names


def _is_multi_hot(rows):
    """Rows of equal length (two or more) that hold nothing but 0 and 1: one entry per class."""
    whole = [row for row in rows if not all(element in _ABSENT for element in row)]
    lengths = {len(row) for row in rows}
    return len(lengths) == 1 and min(lengths) > 1 and all(_is_flag(element) for row in whole for element in row)


def _is_flag(element):
    return isinstance(element, (bool, int, float)) and element in (0, 1)


def _score(value):
    if value is None:
        return float("nan")
    number = as_number(value)
    if number is None or not math.isfinite(number):
        raise ValueError(
            f"label {_shown(value)} is not a finite number, which a regression needs. Correct it, leave it empty if "
            f"it is missing, or set problem_type='{SINGLE}'."
        )
    return float(number)


def _plain(value, names):
    if isinstance(value, list):
        return tuple(_plain(element, names) for element in value)
    if value is None or value == "" or value != value:  # NaN alone differs from itself
        return None
    if names is not None:
        return names[value] if value >= 0 else None
    return value


def _shown(value):
    return repr(value) if isinstance(value, str) else str(value)
