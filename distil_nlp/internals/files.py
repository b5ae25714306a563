"""Atomic writing of files, so that an interrupted run or a power cut leaves no incomplete file behind."""

import errno
import glob
import json
import os
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

_ABANDONED_S = 3600.0


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is flushed to the disk and replaces `path` in one step.

    Args:
        path (`str` or `Path`): The file to write. Its folder is created if it is missing.

    Yields:
        `Path`: The path to write to. If the body raises, it is deleted and `path` stays unchanged.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
    clear_partial_files(path.parent, path.name, older_than_s=_ABANDONED_S)
    try:
        yield temporary
        flush(temporary)  # a name that is on the disk before its content would be an empty file after a power cut
        os.replace(temporary, path)
        flush(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def flush(path: str | Path) -> None:
    """Wait until a file, or the names of the files in a folder, are on the disk and survive a power cut."""
    try:
        file = os.open(path, os.O_RDONLY)
    except PermissionError:  # Windows does not open folders
        return
    try:
        os.fsync(file)
    except OSError as error:  # a file system that cannot flush folders
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise
    finally:
        os.close(file)


def flush_folder(folder: str | Path) -> None:
    """Wait until all files in a folder and below it are on the disk. Call it before a rename makes the folder visible."""
    for parent, _, names in os.walk(folder):
        for name in names:
            flush(Path(parent) / name)
        flush(parent)


def clear_partial_files(folder: str | Path, name: str = "*", *, older_than_s: float = 0.0) -> None:
    """Delete the temporary files of writers that were killed (see `replacing`), in a folder without its subfolders.

    Args:
        folder (`str` or `Path`): Without an age, no other process may write to it: hold its lock.
        name (`str`): The file that was written. Default: any.
        older_than_s (`float`): Keep files that were written to in the last seconds, by the clock of the file system:
            another process may write them. A file of the future was written before the clock was set back.
    """
    pattern = f".{name if name == '*' else glob.escape(name)}.{'[0-9a-f]' * 8}.part"
    found = list(Path(folder).glob(pattern))
    now = _file_system_time(folder) if found and older_than_s else 0.0
    for path in found:
        with suppress(OSError):
            if path.is_file() and (not older_than_s or abs(now - path.stat().st_mtime) >= older_than_s):
                path.unlink()


def _file_system_time(folder: str | Path) -> float:
    """The time that a file gets which is written now: that of the server on a network file system."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            return os.fstat(file.fileno()).st_mtime
    except OSError:  # a full disk
        return time.time()


def write_text(path: str | Path, text: str) -> None:
    """Write `text` (UTF-8) to `path`, completely or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as indented JSON to `path`, completely or not at all. NaN raises a ValueError: it is not JSON."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: str | Path) -> Any:
    """Read the value in a JSON file.

    Raises:
        ValueError: The file is not JSON; the message names the file and the place.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # also other bytes than UTF-8
        raise ValueError(
            f"{path} should contain JSON but does not parse ({error}). Delete it or restore it."
        ) from error
