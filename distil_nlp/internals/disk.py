"""Full disks: the errors of many libraries as one sentence that names the disk and the way out."""

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_QUOTA = getattr(errno, "EDQUOT", errno.ENOSPC)  # Windows has none
_CODES = (errno.ENOSPC, _QUOTA)
# How libraries report it that have errors of their own: safetensors, SQLite, Arrow; torch.save names only its file format.
_TEXTS = ("No space left on device", "Disk quota exceeded", "os error 28", "os error 122", "disk is full")
_TORCH = ("inline_container", "PytorchStreamWriter failed writing")
_FREE = 1 << 20  # bytes that a full disk may still have
_MAX_CHAIN = 20


class DiskFullError(OSError):
    """A disk or a quota is full."""


@contextmanager
def explain_full_disk(
    folder: str | Path, needed: Callable[[], int] | None = None, *, work: str = "a file"
) -> Iterator[None]:
    """Raise errors of a full disk as a `DiskFullError` that names the disk, what is free, and how to go on.

    Args:
        folder (`str` or `Path`): Where the body writes most.
        needed (callable, *optional*): Returns the bytes of a checkpoint.
        work (`str`): What is written.
    """
    try:
        yield
    except Exception as error:
        explained = _explained(error, Path(folder), needed, work)
        if explained is None or isinstance(error, DiskFullError):
            raise
        raise explained from error


def _explained(error: Exception, folder: Path, needed: Callable[[], int] | None, work: str) -> DiskFullError | None:
    chain = list(_chain(error))
    for cause in chain:  # a later error may come from the clean-up after the first
        if isinstance(cause, DiskFullError):
            return DiskFullError(str(cause))
    for cause in chain:
        text = str(cause)
        code = getattr(cause, "errno", None)
        by_torch = any(part in text for part in _TORCH)
        if code in _CODES or by_torch or any(part in text for part in _TEXTS):
            full = _full_folder(cause, folder, _FREE if needed is None else max(_FREE, needed()))
            if by_torch and full is None and code not in _CODES:
                continue  # another reason that torch could not write
            return DiskFullError(_message(full or folder, code, needed, work))
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    for _ in range(_MAX_CHAIN):
        if error is None:
            return
        yield error
        error = error.__cause__ or error.__context__


def _full_folder(error: BaseException, folder: Path, needed: int) -> Path | None:
    """The first of the folders that may have been written to whose disk is full; None if none is."""
    named = getattr(error, "filename", None)
    folders = [Path(named).parent] if isinstance(named, str) else []
    datasets_cache = os.environ.get("HF_DATASETS_CACHE", Path.home() / ".cache" / "huggingface")
    for candidate in [*folders, folder, Path(datasets_cache), Path(tempfile.gettempdir())]:
        candidate = _existing(candidate)
        if shutil.disk_usage(candidate).free < needed or not _has_names(candidate):
            return candidate
    return None


def _message(folder: Path, code: int | None, needed: Callable[[], int] | None, work: str) -> str:
    folder = _existing(folder)
    usage, disk = shutil.disk_usage(folder), folder.resolve()
    while not os.path.ismount(disk):
        disk = disk.parent
    if code == _QUOTA != errno.ENOSPC:
        state = f"The quota of the disk {disk} is used up"
    elif usage.free >= _FREE and not _has_names(folder):
        state = f"The disk {disk} has no room for another file (all inodes are used)"
    else:
        now = "" if usage.free < _FREE else " now"
        state = f"The disk {disk} is full: {readable_size(usage.free)} of {readable_size(usage.total)} are free{now}"
    amount = "" if needed is None else f" A checkpoint takes about {readable_size(needed())}."
    return (
        f"{state}. Writing {work} to {folder} failed.{amount} What is finished is kept. Free some space, and run the "
        f"same command again to go on."
    )


def _existing(folder: Path) -> Path:
    folder = Path(folder).absolute()
    while not folder.is_dir():
        folder = folder.parent
    return folder


def _has_names(folder: Path) -> bool:
    """Whether the disk has inodes left, for another file. A disk without a fixed number of them has."""
    if not hasattr(os, "statvfs"):
        return True
    state = os.statvfs(folder)
    return state.f_files == 0 or state.f_favail > 0


def readable_size(num_bytes: float) -> str:
    """A number of bytes for messages, such as "1.2 GB"."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if num_bytes < 1000:
            return f"{num_bytes:.0f} {unit}" if unit == "bytes" else f"{num_bytes:.1f} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:.1f} TB"
