"""Checksums of the files that were written to a folder, kept in the folder, so that damage is noticed before it is used."""

import json
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .files import flush_folder, read_json, write_json

CHECKSUMS = "_checksums.json"  # a file whose name begins with _ is not pushed
_CHECKSUM = "crc32"
_CHUNK = 1 << 22
_CARD = "README.md"  # written later, and edited by users


class DamagedFileError(ValueError):
    """A file is missing or differs from what was written."""


def crc32(path: Path, progress: Callable[[int], object] | None = None) -> str:
    """Return the CRC-32 of a file, as eight hexadecimal digits.

    Args:
        path (`Path`): The file.
        progress (callable, *optional*): Called with the number of bytes after each chunk.
    """
    value = 0
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            value = zlib.crc32(chunk, value)
            if progress is not None:
                progress(len(chunk))
    return f"{value:08x}"


def write_checksums(folder: str | Path, settings: Mapping[str, Any] | None = None) -> None:
    """Flush a folder to the disk, then write sizes and checksums of its files, which marks it as complete.

    Args:
        folder (`str` or `Path`): All its files are written.
        settings (`Mapping`, *optional*): JSON-ready; `read_checksums` returns them, too.
    """
    flush_folder(folder)
    files = {
        path.relative_to(folder).as_posix(): [path.stat().st_size, crc32(path)]
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file() and path.name not in (CHECKSUMS, _CARD)
    }
    write_checked_json(Path(folder) / CHECKSUMS, {"complete": True, "files": files, "settings": dict(settings or {})})


def write_checked_json(path: str | Path, content: Mapping[str, Any]) -> None:
    """Write a JSON object and, as its entry "crc32", the checksum of its other entries."""
    write_json(path, {**content, _CHECKSUM: _checksum_of(content)})


def read_checked_json(path: str | Path, *, may_lack_checksum: bool = False) -> dict[str, Any]:
    """Read what `write_checked_json` wrote, without the checksum.

    Args:
        path (`str` or `Path`): The file.
        may_lack_checksum (`bool`): Whether an earlier version wrote such files without a checksum.

    Raises:
        DamagedFileError: It is no JSON object, or was changed after it was written.
    """
    try:
        content = read_json(path)
    except ValueError as error:
        raise DamagedFileError(str(error)) from error
    if not isinstance(content, dict):
        raise DamagedFileError(
            f"{path} should contain a JSON object; got {type(content).__name__}. Delete or restore it."
        )
    if may_lack_checksum and _CHECKSUM not in content:
        return content
    if content.pop(_CHECKSUM, None) != _checksum_of(content):
        raise DamagedFileError(f"{path} was changed after it was written. Delete or restore it.")
    return content


def _checksum_of(content: Mapping[str, Any]) -> str:
    return f"{zlib.crc32(json.dumps(content, sort_keys=True).encode()):08x}"


def mark_unfinished(folder: str | Path) -> None:
    """Mark a folder as one that is being written or deleted by this package, until `write_checksums` is called."""
    write_checked_json(Path(folder) / CHECKSUMS, {"complete": False})


def read_checksums(folder: str | Path) -> dict[str, Any] | None:
    """What `write_checksums` or `mark_unfinished` wrote, or None for a folder of another origin.

    Raises:
        DamagedFileError: The file of checksums is damaged.
    """
    path = Path(folder) / CHECKSUMS
    return read_checked_json(path) if path.is_file() else None


def check_files(folder: str | Path) -> None:
    """Compare the files in a folder with their checksums; a folder without checksums passes.

    Args:
        folder (`str` or `Path`): Written with `write_checksums`.

    Raises:
        DamagedFileError: A file is missing, cut off or changed; the message names it.
    """
    content = read_checksums(folder)
    if content is None:
        return
    if not content["complete"]:
        raise DamagedFileError(f"{folder} was cut off while it was written.")
    for name, (size, checksum) in content["files"].items():
        path = Path(folder) / name
        if not path.is_file():
            raise DamagedFileError(f"{path} is missing.")
        if (found := path.stat().st_size) != size:
            raise DamagedFileError(f"{path} has {found:,} bytes, and {size:,} were written.")
        if (changed := crc32(path)) != checksum:
            raise DamagedFileError(
                f"{path} was changed after it was written (CRC-32 is {changed}, expected {checksum})."
            )
