"""Parts of error messages."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any


def nearest(name: Any, known: Iterable[Any], prefix: str = "") -> str:
    """Suggest the closest known name: "; the nearest is 'x'" for the end of a message, or "" where none is close.

    Args:
        name: The unknown name.
        known (`Iterable[str]`): The valid names.
        prefix (`str`): Added before the suggestion, such as "--".
    """
    matches = get_close_matches(str(name), [str(candidate) for candidate in known], n=1, cutoff=0.5)
    return f"; the nearest is {prefix + matches[0]!r}" if matches else ""
