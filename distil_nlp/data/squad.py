"""Answers as files of SQuAD's form hold them, and whether they stand where they say they do."""

from functools import partial

from .columns import file_rows, listed, read_as, row_of

FORMS = (
    "{'text': ['...'], 'answer_start': [17]} or a list of {'text': '...', 'answer_start': 17}; empty lists where the "
    "context has no answer, null where the answer is not known"
)
_MOST_SHOWN = 60  # characters of a text in a message


def read_answers(split, column, split_name):
    """The answers of each row, whichever way they are stored.

    Args:
        split (`datasets.Dataset`): With the column.
        column (`str`): Its name.
        split_name (`str`): For messages.

    Returns:
        `list`: For each row a list of (start in characters, text), empty where the question has no answer, or None
        where the answer is not known.

    Raises:
        ValueError: A row that is not of SQuAD's form; an empty text, which says neither.
    """
    rows = split.with_format(None).select_columns([column])[:][column]
    where = partial(row_of, split, split_name)
    return [None if row is None else _pairs(row, index, column, where) for index, row in enumerate(rows)]


def _pairs(row, index, column, where):
    try:
        if isinstance(row, dict):
            pairs = list(zip(row["answer_start"] or [], row["text"] or [], strict=True))
        else:
            pairs = [(one["answer_start"], one["text"]) for one in row]
        if all(isinstance(start, int) and isinstance(text, str) and text.strip() for start, text in pairs):
            return pairs
    except (KeyError, TypeError, ValueError):
        pairs = None  # no texts, no starts, or not as many of one as of the other
    raise ValueError(
        f"{where(index)} holds {_short(row)} in column {column!r}. Answers should be {FORMS}. Each text needs its start, "
        f"a whole number, and none may be empty. A csv cannot hold lists: use jsonl or parquet."
    )


def check_answers(split, context_column, answers, split_name):
    """Refuse answers that are not at their place in the context: a model would learn wrong positions.

    Args:
        split (`datasets.Dataset`), context_column (`str`): Where the contexts are.
        answers (list): From `read_answers`.
        split_name (`str`): For messages.

    Raises:
        ValueError: Says how many and which rows, and of the first one what stands there, and where the answer is.
    """
    contexts = split.with_format(None).select_columns([context_column])[:][context_column]
    wrong = [
        (row, start, text)
        for row, (context, known) in enumerate(zip(contexts, answers, strict=True))
        for start, text in known or ()
        if start < 0 or context[start : start + len(text)] != text
    ]
    if not wrong:
        return
    rows = list(dict.fromkeys(row for row, _, _ in wrong))
    numbers, (row, start, text) = file_rows(split), wrong[0]
    there = contexts[row][start : start + len(text)] if start >= 0 else ""
    raise ValueError(
        f"{len(rows)} of {len(contexts)} rows of the {read_as(split, split_name)} split have an answer that is not where "
        f"answer_start says (rows {listed(numbers[rows])}, counted from 0). In row {numbers[row]} the answer is "
        f"{_short(text)}, and the context's characters {start} to {start + len(text)} are {_short(there)}. "
        f"{_elsewhere(contexts[row], text)} A model would learn wrong positions, so nothing is trained."
    )


def _elsewhere(context, text):
    """Where else the answer is, and what to do."""
    found = [place for place in range(len(context)) if context.startswith(text, place)]
    if found:
        return (
            f"It does occur at {listed(found)}: answer_start counts characters (not bytes, words or tokens) of the "
            f"context as it is in the file, from 0. Correct it; it moves when a text is cleaned after it was labeled."
        )
    if text.lower() in context.lower():
        place = context.lower().index(text.lower())
        return f"It occurs at {place} in another case only: an answer is copied from the context letter by letter."
    return (
        "It occurs nowhere in the context: an answer is a part of it, copied letter by letter. Correct it, remove the "
        "row, or empty its lists if the context has no answer."
    )


def _short(value):
    text = repr(value)
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."
