"""One process at a time has the lock of a folder, and it ends with that process."""

import os
import signal
import time

import pytest

from distil_nlp.internals.locks import LOCK, FolderLock, waiting_lock

HOLDS = """
import sys, time
from distil_nlp.internals.locks import FolderLock
lock = FolderLock(sys.argv[1])
assert lock.acquire()
print("has it", flush=True)
time.sleep(float(sys.argv[2]))
lock.release()
"""


@pytest.fixture
def other(forks, tmp_path):
    """other(seconds=60): a process that holds the lock of tmp_path / "folder"."""

    def start(seconds=60):
        process = forks.start("-c", HOLDS, tmp_path / "folder", seconds)
        started.append(process)
        while "has it" not in process.stdout():
            assert process.poll() is None, process.stderr()
            time.sleep(0.002)
        return process

    started = []
    yield start
    for process in started:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)


def test_the_second_process_gets_no_lock_and_reads_who_has_it(other, tmp_path):
    process = other()
    lock = FolderLock(tmp_path / "folder")
    assert not lock.acquire()
    assert f"process {process.pid} on " in lock.holder and "since '20" in lock.holder


def test_a_killed_process_has_no_lock(other, tmp_path):
    process = other()
    process.send_signal(signal.SIGKILL)
    process.wait()
    lock = FolderLock(tmp_path / "folder")
    assert (tmp_path / "folder" / LOCK).exists() and lock.acquire()
    lock.release()


def test_a_fork_of_the_holder_does_not_keep_the_lock(tmp_path):
    lock = FolderLock(tmp_path)
    assert lock.acquire()
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writes, b"started")
        time.sleep(60)
        os._exit(0)
    try:
        assert os.read(reads, 7) == b"started"
        lock._close()  # as the end of the process does
        again = FolderLock(tmp_path)
        assert again.acquire()
        again.release()
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_a_released_lock_leaves_no_file_and_no_folder_that_it_made(tmp_path):
    lock = FolderLock(tmp_path / "a" / "b")
    assert lock.acquire() and (tmp_path / "a" / "b").is_dir()
    lock.release()
    assert not list(tmp_path.iterdir())
    assert lock.acquire()
    (tmp_path / "a" / "file").touch()
    lock.release()
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["file"]


def test_a_lock_whose_file_was_deleted_and_made_again_is_not_held_twice(tmp_path, monkeypatch):
    first, second = FolderLock(tmp_path), FolderLock(tmp_path)
    assert first.acquire()
    locked = os.open(tmp_path / LOCK, os.O_RDWR)
    first.release()  # the file of `locked` is gone now
    opens = iter([locked])
    open_ = os.open
    monkeypatch.setattr(os, "open", lambda *arguments: next(opens, None) or open_(*arguments))
    assert second.acquire()
    monkeypatch.undo()
    assert not FolderLock(tmp_path).acquire()
    second.release()


def test_a_link_in_the_place_of_the_lock_is_not_written_through(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    (tmp_path / LOCK).symlink_to(tmp_path / "mine.txt")
    with pytest.raises(OSError):
        FolderLock(tmp_path).acquire()
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "out").touch()
    with pytest.raises(NotADirectoryError, match="out is a file, and a folder is needed"):
        FolderLock(tmp_path / "out").acquire()


@pytest.mark.parametrize("target", ["missing", "out"])
def test_a_link_without_a_target_in_the_place_of_the_folder_is_refused(target, tmp_path):
    (tmp_path / "out").symlink_to(tmp_path / target)
    with pytest.raises(NotADirectoryError, match="out is a link, and the folder that it points to is missing"):
        FolderLock(tmp_path / "out").acquire()


def test_a_file_system_without_locks_gives_a_warning(tmp_path, monkeypatch, caplog):
    fcntl = pytest.importorskip("fcntl")

    def refuse(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", refuse)
    lock = FolderLock(tmp_path)
    assert lock.acquire() and "has no locks" in caplog.text
    lock.release()


def test_a_waiting_lock_says_whom_it_waits_for_and_comes_after_it(other, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("distil_nlp.internals.locks._POLL_S", 0.01)
    process = other(0.1)
    with waiting_lock(tmp_path / "folder", "writes there"):
        assert process.wait() == 0
    assert f"process {process.pid} on " in capsys.readouterr().out
