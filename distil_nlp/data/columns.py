"""Which columns hold the text and which the label: the names people use, or the names they give."""

import numpy as np
import pyarrow.compute
import pyarrow.types

# Pairs and single columns as the data sets of GLUE and their many imitators call them.
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
TAGS = ("ner_tags", "pos_tags", "tags", "labels")


def find_text_columns(found, text_column=None, text_pair_column=None):
    """The text column, or the two of a pair.

    Args:
        found (`list[str]`): The columns of the data.
        text_column, text_pair_column (`str`, *optional*): Names that settle it; with `text_column` alone the task
            is one of single texts.

    Returns:
        `tuple[str]` of one or two names.

    Raises:
        ValueError: A given name is not there; none of the usual names is; several are.
    """
    if text_pair_column is not None and text_column is None:
        raise ValueError(
            f"text_pair_column={text_pair_column!r} names the second text of a pair, but no text_column names the "
            f"first. Set both. The columns are {listed(found)}."
        )
    if text_column is not None:
        given = (text_column,) if text_pair_column is None else (text_column, text_pair_column)
        if len(set(given)) < len(given):
            raise ValueError(f"text_column and text_pair_column are both {text_column!r}; a pair needs two columns.")
        for name, argument in zip(given, ("text_column", "text_pair_column"), strict=False):
            require(name, found, argument)
        return given
    pairs = [pair for pair in TEXT_PAIRS if set(pair) <= set(found)]
    in_pairs = {name for pair in pairs for name in pair}
    candidates = pairs + [(name,) for name in TEXTS if name in found and name not in in_pairs]
    if len(candidates) == 1:
        return candidates[0]
    usual = listed([*TEXTS, *(" + ".join(pair) for pair in TEXT_PAIRS)])
    reason = (
        f"Several columns could be the text: {listed(' + '.join(names) for names in candidates)}."
        if candidates
        else f"None of the usual names of a text column ({usual}) is there; has the file a line with column names?"
    )
    raise ValueError(f"The columns are {listed(found)}. {reason} Set text_column (and text_pair_column for pairs).")


def find_words_column(found, given=None):
    """The column with a list of words in each row; ValueError where none or several could be it."""
    return only_column(found, WORDS, given, "text_column")


def find_label_column(found, given=None, usual=LABELS):
    """The label column's name.

    Args:
        found (`list[str]`): The columns of the data.
        given (`str`, *optional*): The name that settles it.
        usual (`tuple[str]`): Names it goes by where none is given.

    Raises:
        ValueError: It is not there, or several of the usual names are and none was given.
    """
    more = "Rows without labels can be learned from, too: pass them as the 'unlabeled' split (unlabeled_file)."
    return only_column(found, usual, given, "label_column", more)


def only_column(found, usual, given, argument, *more):
    """The given column, or the only one with a usual name.

    Args:
        found (`list[str]`), usual (`tuple[str]`): The columns there are; names that it goes by.
        given (`str`, *optional*), argument (`str`): The name that settles it, and the setting that gives it.
        more (`str`): What a message should add.

    Raises:
        ValueError: It is not there; none or several of the usual names are.
    """
    if given is not None:
        require(given, found, argument)
        return given
    candidates = [name for name in usual if name in found]
    if len(candidates) == 1:
        return candidates[0]
    both = "Both " if len(candidates) == 2 else ""
    reason = (
        f"{both}{' and '.join(map(repr, candidates))} are there."
        if candidates
        else f"There is no column {' or '.join(map(repr, usual))}."
    )
    raise ValueError(" ".join([f"The columns are {listed(found)}. {reason} Set {argument}.", *more]))


def label_column_of(splits, given=None, usual=LABELS):
    """The label column, which training and validation must have; the others may lack it.

    Args:
        splits (`dict[str, datasets.Dataset]`): At least one of them labeled.
        given, usual: As for `find_label_column`.

    Raises:
        ValueError: As `find_label_column`; validation lacks it.
    """
    name = find_label_column(first_split(splits, "train", "validation", "test").column_names, given, usual)
    if "validation" in splits and name not in splits["validation"].column_names:
        raise ValueError(
            f"The validation split has no column {name!r}, where the training split has its labels. Its columns are "
            f"{listed(splits['validation'].column_names)}. Without labels nothing can be measured: add them, or give "
            f"the splits the same column names."
        )
    return name


def first_split(splits, *names):
    """The first of the named splits that is there."""
    for name in names:
        if name in splits:
            return splits[name]
    raise ValueError(f"There should be one of the splits {', '.join(names)}; got {listed(splits) or 'none'}.")


def require(name, found, argument):
    """Refuse a column name that is not among `found`."""
    if name not in found:
        raise ValueError(f"{argument}={name!r} is not a column of the data. The columns are {listed(found)}.")


def file_rows(split):
    """The number that each row of a split had in what it was read from, before rows were shuffled, taken or held out.

    Returns:
        `np.ndarray` of int, shape (rows,).
    """
    return np.arange(len(split)) if split._indices is None else split._indices.column(0).to_numpy()


def read_as(split, split_name):
    """What the split was called where it was read ("train" for validation rows held out of it), else `split_name`."""
    return str(split.split or split_name)


def row_of(split, split_name, row):
    """Where a row is, for a message: "Row 7 (counted from 0) of the train split", numbered as in the file."""
    # Not by `file_rows`: this is asked for every row that is read, and that would make all numbers each time.
    number = row if split._indices is None else split._indices.column(0)[row].as_py()
    return f"Row {number} (counted from 0) of the {read_as(split, split_name)} split"


def check_texts(split, split_name, columns):
    """Refuse a split whose texts are not there, are no strings, or have holes.

    Raises:
        ValueError: Names the split, the column and the first rows.
    """
    _check_columns(split, split_name, columns)
    for name in columns:
        texts = arrow_column(split, name)
        kind = texts.type
        if not _is_text(kind):
            raise ValueError(
                f"Column {name!r} of the {split_name} split holds {kind}, but a text is a string. If another column "
                f"is the text, set text_column; otherwise make it one string a row."
            )
        if texts.null_count:
            rows = file_rows(split)[_true_places(texts.is_null())]
            raise ValueError(
                f"{len(rows)} of {len(texts)} rows of the {read_as(split, split_name)} split have no text in column "
                f"{name!r} (rows {listed(rows)}, counted from 0). A model cannot read nothing: fill or remove these rows."
            )


def check_words(split, split_name, column):
    """Refuse a split whose words are not there, are no lists of strings, or have holes. A row may have no word.

    Raises:
        ValueError: Names the split, the column and the first rows.
    """
    _check_columns(split, split_name, [column])
    rows = arrow_column(split, column)
    if not _is_list(rows.type) or not _is_text(rows.type.value_type):
        whole = " Split the texts: ['Anna', 'lives', 'in', 'Paris']." if _is_text(rows.type) else ""
        raise ValueError(
            f"Column {column!r} of the {split_name} split holds {rows.type}, but each row needs a list of words, because "
            f"each word has its tag.{whole} If another column has the words, set text_column."
        )
    words, num_words = flat_lists(split, column)
    holes = _true_places(words.is_null())
    if rows.null_count or len(holes):
        bad = np.unique(
            np.concatenate([_true_places(rows.is_null()), np.repeat(np.arange(len(num_words)), num_words)[holes]])
        )
        raise ValueError(
            f"{len(bad)} of {len(rows)} rows of the {read_as(split, split_name)} split have no list of words in column "
            f"{column!r}, or one with a missing word (rows {listed(file_rows(split)[bad])}, counted from 0). Fill or "
            f"remove these rows."
        )


def flat_lists(split, name):
    """A column of lists end to end.

    Returns:
        `(values, lengths)`: a `pyarrow.ChunkedArray`, and how many values each row has, `np.ndarray` of shape (rows,);
        0 for a row that has no list.
    """
    rows = arrow_column(split, name)
    lengths = pyarrow.compute.fill_null(pyarrow.compute.list_value_length(rows), 0)
    return pyarrow.compute.list_flatten(rows), lengths.to_numpy().astype(np.int64)


def _check_columns(split, split_name, columns):
    missing = [name for name in columns if name not in split.column_names]
    if missing:
        raise ValueError(
            f"The {split_name} split has no column {listed(missing)}, where the other splits have their text. Its "
            f"columns are {listed(split.column_names)}. Give the splits the same column names."
        )


def _true_places(mask):
    return np.array(pyarrow.compute.indices_nonzero(mask).to_pylist(), dtype=np.int64)


def _is_text(kind):
    return pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind) or pyarrow.types.is_null(kind)


def _is_list(kind):
    return pyarrow.types.is_list(kind) or pyarrow.types.is_large_list(kind)


def arrow_column(split, name):
    """A column as a `pyarrow.ChunkedArray`, after whatever selection was made of the rows."""
    return split.select_columns([name]).with_format("arrow")[:].column(name)


def listed(names, most=10):
    """Names for a message: a, b, c, ... (77 in all)."""
    names = [str(name) for name in names]
    return ", ".join(names[:most]) + (f", ... ({len(names)} in all)" if len(names) > most else "")
