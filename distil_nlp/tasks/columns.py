"""Which columns hold the text and which the label: the names people use, or the names they give."""

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


def find_label_column(found, given=None):
    """The label column's name.

    Raises:
        ValueError: It is not there, or "label" and "labels" both are and neither was given.
    """
    if given is not None:
        require(given, found, "label_column")
        return given
    candidates = [name for name in LABELS if name in found]
    if len(candidates) == 1:
        return candidates[0]
    reason = "Both 'label' and 'labels' are there." if candidates else "There is no column 'label' or 'labels'."
    raise ValueError(
        f"The columns are {listed(found)}. {reason} Set label_column. Rows without labels can be learned from, too: "
        f"pass them as the 'unlabelled' split (unlabelled_file)."
    )


def require(name, found, argument):
    """Refuse a column name that is not among `found`."""
    if name not in found:
        raise ValueError(f"{argument}={name!r} is not a column of the data. The columns are {listed(found)}.")


def check_texts(split, split_name, columns):
    """Refuse a split whose texts are not there, are no strings, or have holes.

    Raises:
        ValueError: Names the split, the column and the first rows.
    """
    missing = [name for name in columns if name not in split.column_names]
    if missing:
        raise ValueError(
            f"The {split_name} split has no column {listed(missing)}, where the other splits have their text. Its "
            f"columns are {listed(split.column_names)}. Give the splits the same column names."
        )
    for name in columns:
        texts = arrow_column(split, name)
        kind = texts.type
        if not (pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind) or pyarrow.types.is_null(kind)):
            raise ValueError(
                f"Column {name!r} of the {split_name} split holds {kind}, but a text is a string. If another column "
                f"is the text, set text_column; otherwise make it one string a row."
            )
        if texts.null_count:
            rows = pyarrow.compute.indices_nonzero(texts.is_null()).to_pylist()
            raise ValueError(
                f"{len(rows)} of {len(texts)} rows of the {split_name} split have no text in column {name!r} (rows "
                f"{listed(rows)}, counted from 0). A model cannot read nothing: fill or remove these rows."
            )


def arrow_column(split, name):
    """A column as a `pyarrow.ChunkedArray`, after whatever selection was made of the rows."""
    return split.select_columns([name]).with_format("arrow")[:].column(name)


def listed(names, most=10):
    """Names for a message: a, b, c, ... (77 in all)."""
    names = [str(name) for name in names]
    return ", ".join(names[:most]) + (f", ... ({len(names)} in all)" if len(names) > most else "")
