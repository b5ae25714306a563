"""Locks on folders: one run at a time writes to a folder. A lock ends with its process, after `kill -9`, too."""

import errno
import json
import logging
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import takewhile
from pathlib import Path

from accelerate import PartialState
from accelerate.utils import broadcast_object_list

from .messages import shown

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]
    import msvcrt

logger = logging.getLogger(__name__)

LOCK = ".distil-nlp.lock"
_HELD_ELSEWHERE = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES, errno.EDEADLK)
_UNSUPPORTED = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL)
_POLL_S = 0.5
_held: "set[FolderLock]" = set()


class FolderInUseError(OSError):
    """Another run writes to the folder."""


class FolderLock:
    """A lock of the operating system on a folder (`flock`), which needs no cleaning up: it ends with its process.

    The lock file names the process that has the lock, for messages; its existence means nothing. On a network file system
    the lock covers all machines where the server supports locks (NFS 4 does); where a file system has none, a warning is
    logged and the folder counts as free.

    Args:
        folder (`str` or `Path`): Created by `acquire` if it is missing, and removed by `release` if it is empty then.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._path, self._file = self.folder / LOCK, -1
        self._missing: list[Path] = []

    def acquire(self) -> bool:
        """Take the lock; False if another process, or another lock of this process, has it.

        Raises:
            OSError: The folder cannot be created or written to.
        """
        if self.folder.is_symlink() and not self.folder.exists():
            raise NotADirectoryError(
                f"{self.folder} is a link, and the folder that it points to is missing. Create the folder, or delete the "
                f"link."
            )
        self._missing = [path for path in (self.folder, *self.folder.parents) if not path.exists()]
        while self._file < 0:
            if self.folder.exists() and not self.folder.is_dir():
                raise NotADirectoryError(f"{self.folder} is a file, and a folder is needed. Choose another name.")
            self.folder.mkdir(parents=True, exist_ok=True)
            try:  # a link of this name is not followed: the file that it points to would be overwritten
                file = os.open(self._path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
            except FileNotFoundError:  # its last holder has deleted the folder in between
                continue
            try:
                if not _try_lock(file, self.folder):
                    return False
                if _is_at(self._path, file):  # otherwise its last holder has deleted it in between
                    self._file, file = file, -1
            finally:
                if file >= 0:
                    os.close(file)
        _held.add(self)
        os.ftruncate(self._file, 0)
        with suppress(OSError):  # a full disk: the lock holds without a name
            os.write(self._file, json.dumps(_this_process()).encode())
        return True

    def release(self) -> None:
        """Give the lock back, and delete its file and the folders that `acquire` created if nothing was written there."""
        if self._file < 0:
            return
        with suppress(OSError):
            self._path.unlink()  # before unlocking, so that nobody locks a file that is about to be deleted
        self._close()
        with suppress(OSError):
            for path in self._missing:
                path.rmdir()

    @property
    def holder(self) -> str:
        """The process that has the lock, in words: its number, machine, start and command."""
        try:
            holder = json.loads(self._path.read_text(encoding="utf-8"))
            return (
                f"process {int(holder['pid'])} on {shown(str(holder['host']))}, since {shown(str(holder['since']))} "
                f"({shown(str(holder['command']))})"
            )
        except (OSError, ValueError, KeyError, TypeError):
            return "another process"

    def _close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
            _held.discard(self)


def main_decides(decide: Callable[[], bool]) -> bool:
    """The result of a function that runs in the main process only, in all processes of a launch; call it in each."""
    state = PartialState()
    if state.num_processes == 1:
        return decide()
    outcome = [decide() if state.is_main_process else None]
    return bool(broadcast_object_list(outcome)[0])


@contextmanager
def waiting_lock(folder: str | Path, work: str) -> Iterator[FolderLock]:
    """Hold the lock of a folder, after other processes that have it.

    Args:
        folder (`str` or `Path`): See `FolderLock`.
        work (`str`): What the holder of the lock does, for the line that is printed while waiting.
    """
    lock, waits = FolderLock(folder), False
    while not lock.acquire():
        if not waits:
            print(f"{lock.folder}: {lock.holder} {work}; waiting for it.", flush=True)
        waits = True
        time.sleep(_POLL_S)
    try:
        yield lock
    finally:
        lock.release()


def _try_lock(file: int, folder: Path) -> bool:
    try:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            os.lseek(file, 1 << 30, os.SEEK_SET)  # a byte behind the content, which stays readable
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
            os.lseek(file, 0, os.SEEK_SET)
    except OSError as error:
        if error.errno in _HELD_ELSEWHERE:
            return False
        if error.errno not in _UNSUPPORTED:
            raise
        logger.warning(
            "The file system of %s has no locks (%s). Make sure that one run at a time uses the folder.", folder, error
        )
    return True


def _is_at(path: Path, file: int) -> bool:
    """Whether the open file is the one at the path."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(file))
    except FileNotFoundError:
        return False


def _this_process() -> dict[str, str | int]:
    # Without flags, which may contain a token.
    words = [os.path.basename(sys.argv[0]), *takewhile(lambda word: not word.startswith("-"), sys.argv[1:])]
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    return {"pid": os.getpid(), "host": socket.gethostname(), "since": since, "command": " ".join(words)}


def _forget_locks() -> None:
    """In a fork, such as a worker that loads data: close its copies, or a lock would outlive the process that has it."""
    for lock in list(_held):
        lock._close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_locks)
