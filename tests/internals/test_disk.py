"""A full disk is one sentence, whichever library notices it first."""

import errno
import os
import shutil
from types import SimpleNamespace

import pytest
from transformers import Trainer

from distil_nlp.internals.disk import DiskFullError, explain_full_disk, readable_size
from distil_nlp.recipe.run_folder import RunFolder
from tests.training.runs import make_pair, make_rows, make_trainer

TORCH = RuntimeError("[enforce fail at inline_container.cc:664] . unexpected pos 64 vs 0")


def raised_from(error, cause):
    error.__context__ = cause
    return error


@pytest.fixture
def full(monkeypatch):
    """Disks with 10 kB left."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(total=10**9, used=10**9 - 10**4, free=10**4))


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        TORCH,
        RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"),
        raised_from(AssertionError("Should not reach."), RuntimeError("database or disk is full")),
        raised_from(OSError("study.db cannot be written"), DiskFullError("The disk /x is full")),
    ],
    ids=["write", "quota", "torch", "safetensors", "sqlite", "cleaning up"],
)
def test_errors_of_a_full_disk_name_the_disk_and_the_way_out(error, full, tmp_path):
    with pytest.raises(DiskFullError, match=r"^The (disk|quota of the disk) /") as caught, explain_full_disk(tmp_path):
        raise error
    if "disk /x" not in str(caught.value):
        assert f"a file to {tmp_path} failed" in str(caught.value)
        assert "Free some space, and run the same command again to go on." in str(caught.value)


def test_what_was_needed_is_named_and_a_folder_that_is_not_there_yet_is_on_a_disk_too(full, tmp_path):
    with pytest.raises(DiskFullError, match=r"10.0 kB of 1.0 GB are free.* A checkpoint takes about 1.5 MB"):
        with explain_full_disk(tmp_path / "new" / "out", lambda: 1_500_000):
            raise TORCH


def test_a_disk_without_inodes_is_named_as_such(tmp_path, monkeypatch):
    blocks = {"f_bavail": 10**6, "f_blocks": 10**7, "f_bfree": 10**6, "f_frsize": 4096}
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_files=1000, f_favail=0, **blocks))
    with pytest.raises(DiskFullError, match="has no room for another file"), explain_full_disk(tmp_path):
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("error", [TORCH, ValueError("no"), OSError(errno.EACCES, "Permission denied")])
def test_other_errors_stay_as_they_are(error, tmp_path):
    with pytest.raises(type(error)) as caught, explain_full_disk(tmp_path):
        raise error
    assert caught.value is error


def test_a_sentence_that_is_there_already_stays(full, tmp_path):
    with pytest.raises(DiskFullError, match="A checkpoint takes about"), explain_full_disk(tmp_path):
        with explain_full_disk(tmp_path, lambda: 10):
            raise TORCH


def test_runs_and_trainings_explain_full_disks(full, tmp_path, monkeypatch):
    with pytest.raises(DiskFullError), RunFolder(tmp_path / "out").claimed():
        raise TORCH

    def fail(*_, **__):
        raise TORCH

    monkeypatch.setattr(Trainer, "train", fail)
    trainer = make_trainer(*make_pair(), make_rows(), tmp_path / "run")
    with pytest.raises(DiskFullError, match=r"A checkpoint takes about [0-9.]+ [kM]B"):
        trainer.train()


def test_sizes_are_readable():
    assert [readable_size(number) for number in (12, 1500, 2.5e9, 3e12)] == ["12 bytes", "1.5 kB", "2.5 GB", "3.0 TB"]
