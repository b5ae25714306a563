"""What somebody may have meant who wrote a name that nobody knows."""

from difflib import get_close_matches


def nearest(name, known, prefix=""):
    """The end of a message about an unknown name: "; the nearest is 'x'", or nothing where none is near.

    Args:
        name: As it was written.
        known (`Iterable[str]`): What would have been understood.
        prefix (`str`): Stands before names where they are written so, such as "--".
    """
    near = get_close_matches(str(name), [str(one) for one in known], n=1, cutoff=0.5)
    return f"; the nearest is {prefix + near[0]!r}" if near else ""
