"""Files that are either whole or absent: what a killed run leaves behind can be trusted."""

import json
import os
import uuid
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path):
    """Gives a temporary path beside `path`; on success it takes `path`'s place in one step.

    Args:
        path (`str` or `Path`): The file to write. Its folder is made when it is missing.

    Yields:
        `Path`: Where to write. Removed if the body raises, and `path` is then left as it was.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path, text):
    """Write `text` (UTF-8) to `path`, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path, value):
    """Write `value` as indented JSON to `path`, whole or not at all. NaN is refused: it is not JSON."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path):
    """The value in a JSON file.

    Raises:
        ValueError: The file is not JSON; the message names the file and the place.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} should hold JSON but does not parse ({error}). Delete it or restore it.") from error
