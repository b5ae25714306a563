"""Parts of error messages, and names and values of users in text."""

import json
import re
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import Any

MAX_SHOWN = 200  # characters of a value in a message
_MAX_BITS = 4096
# Control characters, line separators, marks that change the direction of text, and bytes of names that are not UTF-8.
_UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)


def nearest(name: Any, known: Iterable[Any], prefix: str = "") -> str:
    """Suggest the closest known name: "; the nearest is 'x'" for the end of a message, or "" where none is close.

    Args:
        name: The unknown name.
        known (`Iterable[str]`): The valid names.
        prefix (`str`): Added before the suggestion, such as "--".
    """
    matches = get_close_matches(str(name)[:MAX_SHOWN], [str(candidate) for candidate in known], n=1, cutoff=0.5)
    return f"; the nearest is {prefix + matches[0]!r}" if matches else ""


def shown(value: Any, max_length: int = MAX_SHOWN) -> str:
    """A value for a message: its `repr` in one line, cut to a length. Never fails. Messages use it in the place of `!r`.

    Args:
        value: A value of a user, of any size.
        max_length (`int`): Characters before the cut.
    """
    # A prefix of a long text or list is enough, and much faster.
    if isinstance(value, (str, bytes)) and len(value) > max_length:
        unit = "characters" if isinstance(value, str) else "bytes"
        return f"{value[:max_length]!r}... ({len(value):,} {unit})"
    text = _safely(repr, value[:max_length] if isinstance(value, (list, tuple)) else value)
    if len(text) <= max_length:
        return text
    is_collection = isinstance(value, (list, tuple, dict, set, frozenset))
    return f"{text[:max_length]}..." + (f" ({len(value):,} entries)" if is_collection else "")


def _safely(text_of: Callable[[Any], str], value: Any) -> str:
    """The `str` or `repr` of any value, in one line. A message about a value must not fail because of the value."""
    if isinstance(value, int) and value.bit_length() > _MAX_BITS:  # Python refuses to print it
        return f"a whole number of {value.bit_length():,} bits"
    try:
        return printable(text_of(value))
    except Exception:  # nested too deeply, or a class of the user whose __repr__ fails
        return f"a {type(value).__name__} that cannot be printed"


def listed(names: Iterable[Any], max_names: int = 10) -> str:
    """Names of users (columns, labels, files), joined for a message: a, b, c, ... (77 in all)."""
    names = list(names)
    texts = [_safely(str, name[: MAX_SHOWN + 1] if isinstance(name, str) else name) for name in names[:max_names]]
    cut = [text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..." for text in texts]
    return ", ".join(cut) + (f", ... ({len(names):,} in all)" if len(names) > max_names else "")


def printable(text: Any, *, keep: str = "") -> str:
    r"""A text for a terminal or a table: control characters as escapes such as \x1b, so that a name cannot act as a code.

    Args:
        text: Its `str` is used.
        keep (`str`): Characters to leave as they are, such as "\n" in a message of several lines.
    """
    return _UNPRINTABLE.sub(lambda match: match[0] if match[0] in keep else _escape(match[0]), str(text))


def quoted(text: Any) -> str:
    """A text as a string literal of Python in double quotes."""
    return json.dumps(str(text), ensure_ascii=False)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
