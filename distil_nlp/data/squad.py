"""Answers in SQuAD's format: reading, and checks that they are at their positions in the context."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import datasets

from ..internals.messages import listed, shown
from .columns import row_location, source_rows, source_split

Answer = tuple[int, str]  # start in characters, text

FORMS = (
    "{'text': ['...'], 'answer_start': [17]} or a list of {'text': '...', 'answer_start': 17}; empty lists where the "
    "context has no answer, null where the answer is not known"
)
_MAX_CHARACTERS = 60  # of a text in a message


def read_answers(split: datasets.Dataset, column: str, split_name: str) -> list[list[Answer] | None]:
    """The answers of each row, from either of SQuAD's formats.

    Args:
        split (`datasets.Dataset`): With the column.
        column (`str`): Its name.
        split_name (`str`): For messages.

    Returns:
        `list`: For each row a list of (start in characters, text), empty where the question has no answer, or None
        where the answer is missing.

    Raises:
        ValueError: A row in another format; an empty text, which could mean either.
    """
    rows = split.with_format(None).select_columns([column])[:][column]
    location = partial(row_location, split, split_name)
    return [None if row is None else _pairs(row, index, column, location) for index, row in enumerate(rows)]


def _pairs(row: Any, index: int, column: str, location: partial) -> list[Answer]:
    """The answers of one row; ValueError where it has another format."""
    try:
        if isinstance(row, dict):
            pairs = list(zip(row["answer_start"] or [], row["text"] or [], strict=True))
        else:
            pairs = [(answer["answer_start"], answer["text"]) for answer in row]
        if all(isinstance(start, int) and isinstance(text, str) and text.strip() for start, text in pairs):
            return pairs
    except (KeyError, TypeError, ValueError):
        pairs = None  # no texts, no starts, or not as many of one as of the other
    raise ValueError(
        f"{location(index)} contains {shown(row, _MAX_CHARACTERS)} in column {shown(column)}. Answers should be {FORMS}. "
        f"Each text needs its start, an integer, and none may be empty. A csv file cannot contain lists: use jsonl or "
        f"parquet."
    )


def check_answers(
    split: datasets.Dataset, context_column: str, answers: Sequence[Sequence[Answer] | None], split_name: str
) -> None:
    """Check that all answers are at their positions in the context, so that a model does not learn wrong ones.

    Args:
        split (`datasets.Dataset`): With the contexts.
        context_column (`str`): Their column.
        answers (list): From `read_answers`.
        split_name (`str`): For messages.

    Raises:
        ValueError: Names the rows, and for the first the characters at the position and where the answer is.
    """
    contexts = split.with_format(None).select_columns([context_column])[:][context_column]
    wrong = [
        (row, start, text)
        for row, (context, pairs) in enumerate(zip(contexts, answers, strict=True))
        for start, text in pairs or ()
        if start < 0 or context[start : start + len(text)] != text
    ]
    if not wrong:
        return
    rows = list(dict.fromkeys(row for row, _, _ in wrong))
    numbers, (row, start, text) = source_rows(split), wrong[0]
    actual = contexts[row][start : start + len(text)] if start >= 0 else ""
    raise ValueError(
        f"{len(rows)} of {len(contexts)} rows of the {source_split(split, split_name)} split have an answer that is not at "
        f"its answer_start (rows {listed(numbers[rows])}, counted from 0). In row {numbers[row]} the answer is "
        f"{shown(text, _MAX_CHARACTERS)}, and the context's characters {start} to {start + len(text)} are "
        f"{shown(actual, _MAX_CHARACTERS)}. {_position_hint(contexts[row], text)} A model would learn wrong positions, "
        f"so nothing is trained."
    )


def _position_hint(context: str, text: str) -> str:
    """Sentences for the message: where the text does occur in the context, and how to correct the row."""
    positions = [position for position in range(len(context)) if context.startswith(text, position)]
    if positions:
        return (
            f"It does occur at {listed(positions)}: answer_start counts characters (not bytes, words or tokens) of the "
            f"context as it is in the file, from 0. Correct it; it moves when a text is cleaned after it was labeled."
        )
    if text.lower() in context.lower():
        position = context.lower().index(text.lower())
        return f"It occurs at {position} in another case only: an answer is copied from the context letter by letter."
    return (
        "It occurs nowhere in the context: an answer is a part of it, copied letter by letter. Correct it, remove the "
        "row, or empty its lists if the context has no answer."
    )
