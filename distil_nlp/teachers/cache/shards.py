"""Rows of numbers on disk, by example: written once in shards, read by an address calculation.

A shard is a safetensors file with the rows of some hundreds or thousands of examples end to end. Every array in it is
flat; beside one whose examples have different numbers of rows stands where each of them begins. So the place of an
example's rows is known without reading anything else.
"""

import json
import os
import zlib
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from ...internals.files import replacing

_STARTS = ".starts"
_DTYPES = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "I64": np.int64,
    "I32": np.int32,
    "U16": np.uint16,
    "U8": np.uint8,
}
_CHUNK = 1 << 22
_HELD_BYTES = 16 << 20


def shard_name(number):
    """File name of a shard."""
    return f"shard-{number:05d}.safetensors"


def write_shard(folder, number, examples):
    """Write a shard, whole or not at all.

    Args:
        folder (`Path`): Where.
        number (`int`): Which.
        examples (`list` of `dict[str, np.ndarray]`): Of each example its rows by name, shape (rows, ...); all name the
            same arrays, of the same row shape and type.

    Returns:
        `dict`: "file", "examples", "bytes" and "crc32" of what was written.
    """
    arrays = {}
    for name in examples[0]:
        parts = [example[name] for example in examples]
        arrays[name] = np.ascontiguousarray(np.concatenate(parts))
        counts = np.asarray([len(part) for part in parts], dtype=np.int64)
        if (counts != counts[0]).any():
            arrays[name + _STARTS] = np.concatenate([[0], counts.cumsum()])
    path, content = Path(folder) / shard_name(number), save(arrays)
    with replacing(path) as temporary:
        temporary.write_bytes(content)
    return {"file": path.name, "examples": len(examples), "bytes": len(content), "crc32": f"{zlib.crc32(content):08x}"}


def crc32(path, progress=None):
    """CRC-32 of a file, as eight hexadecimal digits.

    Args:
        path (`Path`): The file.
        progress (callable, *optional*): Told the number of bytes after each piece.
    """
    value = 0
    with open(path, "rb") as file:
        while piece := file.read(_CHUNK):
            value = zlib.crc32(piece, value)
            if progress is not None:
                progress(len(piece))
    return f"{value:08x}"


def check_shards(folder, shards, progress=None):
    """Compare shards with what was written.

    Args:
        folder (`Path`): Where they are.
        shards (`list[dict]`): From `write_shard`.
        progress (callable, *optional*): See `crc32`.

    Raises:
        ValueError: A file is missing, of another size, or holds other bytes; the message names it.
    """
    for shard in shards:
        path = Path(folder) / shard["file"]
        size = path.stat().st_size if path.is_file() else None
        if size != shard["bytes"]:
            came = "is missing" if size is None else f"has {size:,} bytes"
            raise ValueError(
                f"{path} {came}, and {shard['bytes']:,} bytes were written. The cache is not whole: delete its folder to "
                f"have it made anew, or copy it again."
            )
        if (found := crc32(path, progress)) != shard["crc32"]:
            raise ValueError(
                f"{path} was changed after it was written (CRC-32 {found}, {shard['crc32']} is right), so what it says "
                f"cannot be trusted. Delete the folder to have it made anew, or copy it again."
            )


class Shards:
    """Reads the rows of any examples of a finished set of shards.

    It reads with `pread` instead of mapping the files: mapped pages count as the process's memory until the system
    wants them back, and a training that reads all of a large cache would seem to grow by its size. What was read is
    in the system's file cache either way. An array that is small, the logits of a classifier say, is held whole: 32 reads
    of a few bytes each would take longer than what is learned from them.

    Args:
        folder (`Path`): Where they are.
        shards (`list[dict]`): From `write_shard`; all but the last hold the same number of examples.
    """

    def __init__(self, folder, shards):
        self._files = [_Shard(Path(folder) / shard["file"], shard["examples"]) for shard in shards]
        self._per_shard = shards[0]["examples"]
        self.num_examples = sum(shard["examples"] for shard in shards)
        self._held = {name: self._hold(name) for name in self._files[0].arrays if not name.endswith(_STARTS)}

    def read(self, name, examples):
        """The rows of some examples, end to end.

        Args:
            name (`str`): Of the array.
            examples (`np.ndarray`): Their numbers, in any order.

        Returns:
            `(rows, counts)`: `np.ndarray` of shape (sum of counts, ...), and how many are each example's.
        """
        if (held := self._held[name]) is not None:
            rows = held[examples]
            return rows.reshape(-1, *held.shape[2:]), np.full(len(examples), held.shape[1])
        places = [
            self._files[example // self._per_shard].place(name, example % self._per_shard)
            for example in examples.tolist()
        ]
        array = self._files[0].arrays[name]
        rows = np.empty((sum(count for *_, count in places), *array.row_shape), dtype=array.dtype)
        out, done = memoryview(rows.reshape(-1).view(np.uint8)), 0
        for file, offset, count in places:
            length = count * array.row_bytes
            if length:
                _read(file, out[done : done + length], offset)
            done += length
        return rows, np.asarray([count for *_, count in places])

    def _hold(self, name):
        """All rows of an array, shape (examples, rows of each, ...), where they are few and each example has as many."""
        each = {file.rows_of_each(name) for file in self._files}
        array = self._files[0].arrays[name]
        if len(each) > 1 or None in each or self.num_examples * max(each) * array.row_bytes > _HELD_BYTES:
            return None
        rows = np.empty((self.num_examples, *each, *array.row_shape), dtype=array.dtype)
        out, done = memoryview(rows.reshape(-1).view(np.uint8)), 0
        for file in self._files:
            one = file.arrays[name]
            _read(file.file, out[done : done + one.shape[0] * one.row_bytes], one.offset)
            done += one.shape[0] * one.row_bytes
        return rows


class _Shard:
    """One file: where its arrays lie."""

    def __init__(self, path, num_examples):
        self.file = open(path, "rb", buffering=0)  # noqa: SIM115  (it stays open as long as the shards are read)
        header_bytes = int.from_bytes(self.file.read(8), "little")
        described = json.loads(self.file.read(header_bytes))
        self.arrays = {
            name: _Array(_DTYPES[of["dtype"]], of["shape"], 8 + header_bytes + of["data_offsets"][0])
            for name, of in described.items()
            if name != "__metadata__"
        }
        self._starts = {name: self._starts_of(name, num_examples) for name in self.arrays if _STARTS not in name}

    def place(self, name, example):
        """File, offset in bytes and number of rows of an example."""
        array, starts = self.arrays[name], self._starts[name]
        if isinstance(starts, int):  # as many rows for each
            return self.file, array.offset + example * starts * array.row_bytes, starts
        first, last = starts[example : example + 2].tolist()
        return self.file, array.offset + first * array.row_bytes, last - first

    def rows_of_each(self, name):
        """How many rows every example has; None where that differs."""
        starts = self._starts[name]
        return starts if isinstance(starts, int) else None

    def _starts_of(self, name, num_examples):
        known = self.arrays.get(name + _STARTS)
        if known is None:
            return self.arrays[name].shape[0] // num_examples
        starts = np.empty(known.shape, dtype=np.int64)
        _read(self.file, memoryview(starts.view(np.uint8)), known.offset)
        return starts


class _Array:
    """A flat array in a file."""

    def __init__(self, dtype, shape, offset):
        self.dtype, self.shape, self.offset = np.dtype(dtype), shape, offset
        self.row_shape = tuple(shape[1:])
        self.row_bytes = self.dtype.itemsize * int(np.prod(self.row_shape, dtype=np.int64))


def _read(file, view, offset):
    """Fill `view` from a place in a file. With `preadv` the file has no position that a forked process could move."""
    if hasattr(os, "preadv"):
        got = os.preadv(file.fileno(), [view], offset)
    else:
        file.seek(offset)
        got = file.readinto(view)
    if got != len(view):
        raise OSError(f"{file.name} ended early: {len(view):,} bytes should lie at {offset:,}, {got:,} came.")
