"""Shards: rows of numbers on disk, written once and read by example at computed offsets.

A shard is a safetensors file with the concatenated rows of some hundreds or thousands of examples. An array whose
examples have different numbers of rows has a second array with the first row of each example, so that the offset of an
example's rows is known without reading other examples.
"""

import io
import json
import os
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from ...internals.checksums import crc32
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
_MAX_BYTES_IN_MEMORY = 16 << 20


def shard_name(number: int) -> str:
    """Return the file name of a shard."""
    return f"shard-{number:05d}.safetensors"


def write_shard(folder: str | Path, number: int, examples: list[dict[str, np.ndarray]]) -> dict:
    """Write a shard atomically.

    Args:
        folder (`Path`): Folder of the shards.
        number (`int`): Number of the shard.
        examples (`list` of `dict[str, np.ndarray]`): The rows of each example by array name, shape (rows, ...); with the
            same names, row shapes and types for all examples.

    Returns:
        `dict`: "file", "examples", "bytes" and "crc32" of the written file.
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


def check_shards(folder: str | Path, shards: list[dict], progress: Callable[[int], object] | None = None) -> None:
    """Compare sizes and checksums of shards with those at the time of writing.

    Args:
        folder (`Path`): Folder of the shards.
        shards (`list[dict]`): Results of `write_shard`.
        progress (callable, *optional*): See `crc32`.

    Raises:
        ValueError: A file is missing, or its size or checksum differs; the message names the file.
    """
    for shard in shards:
        path = Path(folder) / shard["file"]
        size = path.stat().st_size if path.is_file() else None
        if size != shard["bytes"]:
            state = "is missing" if size is None else f"has {size:,} bytes"
            raise ValueError(
                f"{path} {state}, and {shard['bytes']:,} bytes were written. The cache is incomplete: delete its folder "
                f"and build it again, or copy it again."
            )
        if (checksum := crc32(path, progress)) != shard["crc32"]:
            raise ValueError(
                f"{path} was changed after it was written (CRC-32 is {checksum}, expected {shard['crc32']}), so its "
                f"numbers may be wrong. Delete the folder and build the cache again, or copy it again."
            )


class Shards:
    """Reads the rows of any examples of a finished set of shards.

    Files are read with `pread` instead of memory mapping: mapped pages count as memory of the process until the system
    reclaims them, and a training run that reads a large cache would seem to grow by its size. Small arrays, such as
    the logits of a classifier, are kept in memory: 32 reads of a few bytes would take longer than the training step.

    Args:
        folder (`Path`): Folder of the shards.
        shards (`list[dict]`): Results of `write_shard`; all but the last have the same number of examples.
    """

    def __init__(self, folder: str | Path, shards: list[dict]) -> None:
        self._files = [_Shard(Path(folder) / shard["file"], shard["examples"]) for shard in shards]
        self._check_equal_arrays()
        self._per_shard = shards[0]["examples"]
        self.num_examples = sum(shard["examples"] for shard in shards)
        self._in_memory = {name: self._load(name) for name in self._files[0].arrays if not name.endswith(_STARTS)}

    @property
    def names(self) -> set[str]:
        """Names of the arrays."""
        return set(self._in_memory)

    def _check_equal_arrays(self) -> None:
        first, *others = ({name: array.kind for name, array in file.arrays.items()} for file in self._files)
        first = {name: kind for name, kind in first.items() if not name.endswith(_STARTS)}
        for file, arrays in zip(self._files[1:], others, strict=True):
            if first != {name: kind for name, kind in arrays.items() if not name.endswith(_STARTS)}:
                raise ValueError(
                    f"{file.file.name} has other arrays than {self._files[0].file.name}. Delete the folder and build the "
                    f"cache again, or copy it again."
                )

    def read(self, name: str, examples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Read the rows of some examples.

        Args:
            name (`str`): Name of the array.
            examples (`np.ndarray`): Numbers of the examples, in any order.

        Returns:
            `(rows, counts)`: `np.ndarray` of shape (sum of counts, ...), and the number of rows of each example.

        Raises:
            ValueError: A file was written to since it was opened.
        """
        if (table := self._in_memory[name]) is not None:
            rows = table[examples]
            return rows.reshape(-1, *table.shape[2:]), np.full(len(examples), table.shape[1])
        locations = [
            self._files[example // self._per_shard].locate(name, example % self._per_shard)
            for example in examples.tolist()
        ]
        array = self._files[0].arrays[name]
        rows = np.empty((sum(count for *_, count in locations), *array.row_shape), dtype=array.dtype)
        out, done = rows.reshape(-1).view(np.uint8).data, 0
        for file, offset, count in locations:
            length = count * array.row_bytes
            if length:
                _read(file, out[done : done + length], offset)
            done += length
        for shard in {example // self._per_shard for example in examples.tolist()}:
            self._files[shard].check_unchanged()
        return rows, np.asarray([count for *_, count in locations])

    def _load(self, name: str) -> np.ndarray | None:
        """All rows of an array, shape (examples, rows per example, ...); None if it is large or the counts differ."""
        counts = {file.rows_per_example(name) for file in self._files}
        array, count = self._files[0].arrays[name], next(iter(counts))
        if len(counts) > 1 or count is None or self.num_examples * count * array.row_bytes > _MAX_BYTES_IN_MEMORY:
            return None
        rows = np.empty((self.num_examples, count, *array.row_shape), dtype=array.dtype)
        out, done = rows.reshape(-1).view(np.uint8).data, 0
        for file in self._files:
            part = file.arrays[name]
            _read(file.file, out[done : done + part.shape[0] * part.row_bytes], part.offset)
            done += part.shape[0] * part.row_bytes
        return rows


class _Shard:
    """An open shard with the offsets of its arrays.

    Raises:
        ValueError: The file is no shard of so many examples.
    """

    def __init__(self, path: Path, num_examples: int) -> None:
        self.file = open(path, "rb", buffering=0)  # noqa: SIM115  (stays open as long as the shards are read)
        self._opened = self._state()
        try:
            with safe_open(path, "numpy"):  # checks types, shapes and offsets
                header_bytes = int.from_bytes(self.file.read(8), "little")
                header = json.loads(self.file.read(header_bytes))
            self.arrays = {
                name: _Array(_DTYPES[entry["dtype"]], entry["shape"], 8 + header_bytes + entry["data_offsets"][0])
                for name, entry in header.items()
                if name != "__metadata__"
            }
            self._starts = {name: self._starts_of(name, num_examples) for name in self.arrays if _STARTS not in name}
        except (SafetensorError, KeyError, ValueError) as error:
            raise ValueError(
                f"{path} is no shard of {num_examples:,} examples ({error}). Delete the folder and build the cache again, "
                f"or copy it again."
            ) from error

    def locate(self, name: str, example: int) -> tuple[io.FileIO, int, int]:
        """Return file, offset in bytes and number of rows of an example."""
        array, starts = self.arrays[name], self._starts[name]
        if isinstance(starts, int):  # the same number of rows for all
            return self.file, array.offset + example * starts * array.row_bytes, starts
        first, last = starts[example : example + 2].tolist()
        return self.file, array.offset + first * array.row_bytes, last - first

    def check_unchanged(self) -> None:
        """Raise if the file was written to in its place since it was opened; one that replaces it has no effect."""
        if self._state() != self._opened:
            raise ValueError(
                f"{self.file.name} was changed while it was read, so the numbers of this run may be wrong. Another program "
                f"writes into the folder of the cache. Stop it, delete the folder and build the cache again."
            )

    def _state(self) -> tuple[int, int]:
        status = os.fstat(self.file.fileno())
        return status.st_size, status.st_mtime_ns

    def rows_per_example(self, name: str) -> int | None:
        """Return the number of rows of every example; None if the numbers differ."""
        starts = self._starts[name]
        return starts if isinstance(starts, int) else None

    def _starts_of(self, name: str, num_examples: int) -> int | np.ndarray:
        """First rows of all examples and the number of all rows, or the number of rows of every example."""
        array, starts_array = self.arrays[name], self.arrays.get(name + _STARTS)
        num_rows = array.shape[0] if array.shape else -1
        if starts_array is None:
            count, rest = divmod(num_rows, num_examples)
            if count < 0 or rest:
                raise ValueError(f"{name} has shape {array.shape}")
            return count
        if starts_array.dtype != np.int64 or starts_array.shape != [num_examples + 1]:
            raise ValueError(f"{name}{_STARTS} has shape {starts_array.shape} and type {starts_array.dtype}")
        starts = np.empty(starts_array.shape, dtype=np.int64)
        _read(self.file, starts.view(np.uint8).data, starts_array.offset)
        if starts[0] != 0 or starts[-1] != num_rows or (np.diff(starts) < 0).any():
            raise ValueError(f"{name}{_STARTS} are no first rows of {num_rows:,}")
        return starts


class _Array:
    """Type, shape and offset of an array in a file."""

    def __init__(self, dtype: type, shape: Sequence[int], offset: int) -> None:
        self.dtype, self.shape, self.offset = np.dtype(dtype), shape, offset
        self.row_shape = tuple(shape[1:])
        self.row_bytes = self.dtype.itemsize * int(np.prod(self.row_shape, dtype=np.int64))
        self.kind = (self.dtype, self.row_shape)


def _read(file: io.FileIO, view: memoryview, offset: int) -> None:
    """Fill `view` from an offset of a file. `preadv` does not use the file position, which forked processes share."""
    if hasattr(os, "preadv"):
        num_bytes = os.preadv(file.fileno(), [view], offset)
    else:
        file.seek(offset)
        num_bytes = file.readinto(view)
    if num_bytes != len(view):
        raise OSError(f"{file.name} ended early: expected {len(view):,} bytes at {offset:,}, got {num_bytes:,}.")
