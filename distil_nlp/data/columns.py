"""The columns of text, words and labels, by their usual or given names, and checks of their content."""

from collections.abc import Iterable, Mapping, Sequence

import datasets
import numpy as np
import pyarrow
import pyarrow.compute
import pyarrow.types

from ..internals.messages import listed, shown

# Usual names of text pairs and single texts, as in GLUE and data sets made after it.
TEXT_PAIRS = (
    ("sentence1", "sentence2"),
    ("premise", "hypothesis"),
    ("question", "sentence"),
    ("question1", "question2"),
    ("text1", "text2"),
    ("text_a", "text_b"),
)
TEXTS = ("sentence", "text")
LABELS = ("label", "labels")
WORDS = ("tokens", "words")
_MAX_TEXT_BYTES = 10_000_000  # a library of books; models read the first thousands of characters
TAGS = ("ner_tags", "pos_tags", "tags", "labels")


def find_text_columns(
    columns: Sequence[str], text_column: str | None = None, text_pair_column: str | None = None
) -> tuple[str, ...]:
    """The text column, or the two columns of a pair.

    Args:
        columns (`list[str]`): The columns of the data.
        text_column, text_pair_column (`str`, *optional*): Their names. With `text_column` only, the texts are single.

    Returns:
        `tuple[str]` of one or two names.

    Raises:
        ValueError: A given name is not a column; without names, none or several of the usual names are columns.
    """
    if text_pair_column is not None and text_column is None:
        raise ValueError(
            f"text_pair_column={shown(text_pair_column)} names the second text of a pair, but no text_column names the "
            f"first. Set both. The columns are {listed(columns)}."
        )
    if text_column is not None:
        names = (text_column,) if text_pair_column is None else (text_column, text_pair_column)
        if len(set(names)) < len(names):
            raise ValueError(
                f"text_column and text_pair_column are both {shown(text_column)}; a pair needs two columns."
            )
        for name, argument in zip(names, ("text_column", "text_pair_column"), strict=False):
            require_column(name, columns, argument)
        return names
    pairs = [pair for pair in TEXT_PAIRS if set(pair) <= set(columns)]
    in_pairs = {name for pair in pairs for name in pair}
    candidates = pairs + [(name,) for name in TEXTS if name in columns and name not in in_pairs]
    if len(candidates) == 1:
        return candidates[0]
    usual = listed([*TEXTS, *(" + ".join(pair) for pair in TEXT_PAIRS)])
    reason = (
        f"Several columns could be the text: {listed(' + '.join(names) for names in candidates)}."
        if candidates
        else f"None of the usual names of a text column ({usual}) is among them; has the file a line with column names?"
    )
    raise ValueError(f"The columns are {listed(columns)}. {reason} Set text_column (and text_pair_column for pairs).")


def find_words_column(columns: Sequence[str], words_column: str | None = None) -> str:
    """The column with a list of words in each row; ValueError where none or several fit."""
    return find_column(columns, WORDS, words_column, "text_column")


def find_label_column(
    columns: Sequence[str], label_column: str | None = None, usual_names: Sequence[str] = LABELS
) -> str:
    """The name of the label column.

    Args:
        columns (`list[str]`): The columns of the data.
        label_column (`str`, *optional*): Its name, where the user gives it.
        usual_names (`tuple[str]`): Names to look for otherwise.

    Raises:
        ValueError: `label_column` is not a column; without it, none or several of the usual names are.
    """
    hint = "Rows without labels can be learned from, too: pass them as the 'unlabeled' split (unlabeled_file)."
    return find_column(columns, usual_names, label_column, "label_column", hint)


def find_column(
    columns: Sequence[str], usual_names: Sequence[str], name: str | None, argument: str, *hints: str
) -> str:
    """The column of a given name, or the only one with a usual name.

    Args:
        columns (`list[str]`): The columns of the data.
        usual_names (`tuple[str]`): Names to look for where `name` is None.
        name (`str` or None): The name, where the user gives it.
        argument (`str`): The setting that gives the name, for messages.
        hints (`str`): Further sentences for messages.

    Raises:
        ValueError: `name` is not a column; without it, none or several of the usual names are.
    """
    if name is not None:
        require_column(name, columns, argument)
        return name
    candidates = [usual_name for usual_name in usual_names if usual_name in columns]
    if len(candidates) == 1:
        return candidates[0]
    both = "Both " if len(candidates) == 2 else ""
    reason = (
        f"{both}{' and '.join(map(repr, candidates))} are there."
        if candidates
        else f"There is no column {' or '.join(map(repr, usual_names))}."
    )
    raise ValueError(" ".join([f"The columns are {listed(columns)}. {reason} Set {argument}.", *hints]))


def label_column_of(
    splits: Mapping[str, datasets.Dataset], label_column: str | None = None, usual_names: Sequence[str] = LABELS
) -> str:
    """The label column, which training and validation must have; the others may lack it.

    Args:
        splits (`dict[str, datasets.Dataset]`): At least one of them labeled.
        label_column, usual_names: See `find_label_column`.

    Raises:
        ValueError: See `find_label_column`; validation lacks the column.
    """
    columns = first_split(splits, "train", "validation", "test").column_names
    name = find_label_column(columns, label_column, usual_names)
    if "validation" in splits and name not in splits["validation"].column_names:
        raise ValueError(
            f"The validation split has no column {shown(name)}, where the training split has its labels. Its columns are "
            f"{listed(splits['validation'].column_names)}. Without labels nothing can be measured: add them, or give "
            f"the splits the same column names."
        )
    return name


def first_split(splits: Mapping[str, datasets.Dataset], *names: str) -> datasets.Dataset:
    """The first of the named splits that exists; ValueError where none does."""
    for name in names:
        if name in splits:
            return splits[name]
    raise ValueError(f"One of the splits {', '.join(names)} is needed; got {listed(splits) or 'none'}.")


def require_column(name: str, columns: Sequence[str], argument: str) -> None:
    """Raise ValueError if `name`, given by the setting `argument`, is not among the columns."""
    if name not in columns:
        raise ValueError(f"{argument}={shown(name)} is not a column of the data. The columns are {listed(columns)}.")


def source_rows(split: datasets.Dataset) -> np.ndarray:
    """The number of each row in the file or data set it was read from, before rows were shuffled, selected or held out.

    Returns:
        `np.ndarray` of int, shape (rows,).
    """
    return np.arange(len(split)) if split._indices is None else split._indices.column(0).to_numpy()


def source_split(split: datasets.Dataset, split_name: str) -> str:
    """The name of the split the rows were read from ("train" for validation rows held out of it), else `split_name`."""
    return str(split.split or split_name)


def row_location(split: datasets.Dataset, split_name: str, row: int) -> str:
    """The place of a row, for messages: "Row 7 (counted from 0) of the train split", numbered as in the file."""
    # Not by `source_rows`, which computes all numbers: this is called for every row that is read.
    number = row if split._indices is None else split._indices.column(0)[row].as_py()
    return f"Row {number} (counted from 0) of the {source_split(split, split_name)} split"


def check_texts(split: datasets.Dataset, split_name: str, columns: Iterable[str]) -> None:
    """Raise ValueError if text columns are missing, do not contain strings, or have empty cells.

    The message names the split, the column and the first rows.
    """
    _check_columns(split, split_name, columns)
    for name in columns:
        texts = arrow_column(split, name)
        kind = texts.type
        if not _is_text(kind):
            raise ValueError(
                f"Column {shown(name)} of the {split_name} split contains {kind}, but a text is a string. If another "
                f"column is the text, set text_column; otherwise make it one string per row."
            )
        if texts.null_count:
            rows = source_rows(split)[_true_indices(texts.is_null())]
            raise ValueError(
                f"{len(rows)} of {len(texts)} rows of the {source_split(split, split_name)} split have no text in column "
                f"{shown(name)} (rows {listed(rows)}, counted from 0). Fill or remove these rows: a model needs text."
            )
        _check_lengths(texts, split, split_name, name)


def _check_lengths(texts: pyarrow.ChunkedArray, split: datasets.Dataset, split_name: str, name: str) -> None:
    """Raise ValueError for a text of many megabytes: a tokenizer would need a hundred times its size in memory."""
    if pyarrow.types.is_null(texts.type):
        return
    lengths = pyarrow.compute.fill_null(pyarrow.compute.binary_length(texts), 0)
    longest = pyarrow.compute.max(lengths).as_py() or 0
    if longest > _MAX_TEXT_BYTES:
        row = source_rows(split)[pyarrow.compute.index(lengths, longest).as_py()]
        raise ValueError(
            f"Row {row} (counted from 0) of the {source_split(split, split_name)} split has a text of {longest:,} bytes in "
            f"column {shown(name)}; at most {_MAX_TEXT_BYTES:,} are read. Divide it into rows, or remove it."
        )


def check_words(split: datasets.Dataset, split_name: str, column: str) -> None:
    """Raise ValueError if the words column is missing, does not contain lists of strings, or has empty cells.

    A row may have an empty list. The message names the split, the column and the first rows.
    """
    _check_columns(split, split_name, [column])
    rows = arrow_column(split, column)
    if not _is_list(rows.type) or not _is_text(rows.type.value_type):
        hint = " Split the texts: ['Anna', 'lives', 'in', 'Paris']." if _is_text(rows.type) else ""
        raise ValueError(
            f"Column {shown(column)} of the {split_name} split contains {rows.type}, but each row needs a list of words, "
            f"because each word has its tag.{hint} If another column has the words, set text_column."
        )
    words, num_words = flat_lists(split, column)
    missing_words = _true_indices(words.is_null())
    if rows.null_count or len(missing_words):
        row_of_word = np.repeat(np.arange(len(num_words)), num_words)
        bad = np.unique(np.concatenate([_true_indices(rows.is_null()), row_of_word[missing_words]]))
        raise ValueError(
            f"{len(bad)} of {len(rows)} rows of the {source_split(split, split_name)} split have no list of words in "
            f"column {shown(column)}, or one with a missing word (rows {listed(source_rows(split)[bad])}, counted from 0). "
            f"Fill or remove these rows."
        )


def flat_lists(split: datasets.Dataset, name: str) -> tuple[pyarrow.ChunkedArray, np.ndarray]:
    """The values of a column of lists, concatenated.

    Returns:
        `(values, lengths)`: a `pyarrow.ChunkedArray`, and the number of values of each row, `np.ndarray` of shape (rows,);
        0 for a row without a list.
    """
    rows = arrow_column(split, name)
    lengths = pyarrow.compute.fill_null(pyarrow.compute.list_value_length(rows), 0)
    return pyarrow.compute.list_flatten(rows), lengths.to_numpy().astype(np.int64)


def _check_columns(split: datasets.Dataset, split_name: str, columns: Iterable[str]) -> None:
    missing = [name for name in columns if name not in split.column_names]
    if missing:
        raise ValueError(
            f"The {split_name} split has no column {listed(missing)}, where the other splits have their text. Its "
            f"columns are {listed(split.column_names)}. Give the splits the same column names."
        )


def _true_indices(mask: pyarrow.ChunkedArray) -> np.ndarray:
    return np.array(pyarrow.compute.indices_nonzero(mask).to_pylist(), dtype=np.int64)


def _is_text(kind: pyarrow.DataType) -> bool:
    return pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind) or pyarrow.types.is_null(kind)


def _is_list(kind: pyarrow.DataType) -> bool:
    return pyarrow.types.is_list(kind) or pyarrow.types.is_large_list(kind)


def arrow_column(split: datasets.Dataset, name: str) -> pyarrow.ChunkedArray:
    """A column as a `pyarrow.ChunkedArray`, of the selected rows in their order."""
    return split.select_columns([name]).with_format("arrow")[:].column(name)
