"""Computes a teacher's outputs for every example once and stores them in shards. An interrupted build can be resumed."""

import json
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
import transformers
from accelerate import PartialState
from torch import nn
from tqdm.auto import tqdm

from ...data.examples import EXAMPLE_ID, row_digests
from ...internals.checksums import read_checked_json, write_checked_json
from ...internals.disk import DiskFullError, explain_full_disk, readable_size
from ...internals.files import clear_partial_files
from ...internals.locks import FolderLock, main_decides
from ...internals.messages import listed
from ...internals.numbers import COUNT
from ...models.weights import num_weights
from ...signals.finite import NonFiniteError, describe_values
from ...signals.forward import predicts_spans
from ...signals.problem_kinds import problem_kind_of
from ...signals.wrappers import config_of
from ..base import Teacher
from .fingerprints import data_fingerprint, tokenizer_fingerprint
from .formats import format_from, full_description
from .header import HEADER, compare_headers, read_header
from .layout import LAYOUTS, layout_of
from .reader import CacheInputReader
from .shards import check_shards, shard_name, write_shard
from .teacher import DIGEST

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase

_PLAN = "plan.json"
_SHARD_BYTES, _MAX_SHARDS, _MAX_EXAMPLES = 64 << 20, 512, 1 << 16
_SHOW_AFTER_S, _POLL_S = 3.0, 0.5


def build_cache(
    folder: str | Path,
    teacher: Teacher,
    dataset: "Dataset | Sequence[Mapping]",
    collator: Callable,
    *,
    storage: str | Mapping = "float32",
    features: Iterable[str] = (),
    tokenizer: "PreTrainedTokenizerBase | None" = None,
    preprocessing: dict | None = None,
    batch_size: int = 64,
) -> dict:
    """Compute a teacher's outputs for every example once and store them for `CachedTeacher(folder)`.

    An interrupted build is resumed at its first missing shard, and the result is byte for byte that of an uninterrupted
    one. Under `accelerate launch` the processes share the shards. A finished cache with the same header is kept. While
    another run builds the cache in the folder, this one waits, and then reads it.

    Args:
        folder (`str` or `Path`): Created if missing.
        teacher (`Teacher`): A teacher that runs.
        dataset: The examples, tokenized, with a column "example_id": 0, 1, ... (`add_example_ids`).
        collator (callable): list of examples -> batch, a dictionary of tensors with "example_id".
        storage (`str` or `dict`): "float32" or "float16" stores all logits. For a distribution over a vocabulary, some of
            its tokens: {"kind": "sampled", "num_draws": 50, "temperature": 2} or {"kind": "top_k", "k": 50,
            "temperature": 2}, with the temperature of the student's training.
        features (`Iterable[str]`): Modules of the teacher whose outputs are stored, too, such as the `teacher_taps` of
            an objective.
        tokenizer (*optional*): Its fingerprint is stored in the header.
        preprocessing (`dict`, *optional*): Other settings that the rows depend on, such as {"max_length": 128}.
        batch_size (`int`): Number of examples per forward pass of the teacher.

    Returns:
        `dict`: The header. `CachedTeacher(folder, expect=...)` can require any part of it.

    Raises:
        ValueError: Examples have no ids or differ when they are read again; the folder contains a finished or unfinished
            cache with another header (the message names the parts that differ).
        NonFiniteError: An output is NaN or infinite, or too large for float16 (the message names the example). A logit of
            -inf excludes a class, and so does one below -65,504 in float16.
        OSError: The disk is too small.
    """
    folder = Path(folder)
    teacher.tap_layers(features)
    reader = CacheInputReader(teacher, dataset, collator, COUNT.check(batch_size, "batch_size"))
    header = _header(teacher, reader, storage, tuple(features), tokenizer, preprocessing)
    if not _finished(folder, header):
        with _locked(folder, header, reader.num_examples):
            if not _finished(folder, header):  # by another run, in the meantime
                _build(folder, header, reader)
    return header


def _finished(folder: Path, header: dict) -> bool:
    """Whether the folder contains this cache, finished; ValueError if it is another one."""
    if not main_decides((folder / HEADER).is_file):
        return False
    compare_headers(folder, read_header(folder), header)
    if PartialState().is_main_process:
        _clear(folder)
    return True


@contextmanager
def _locked(folder: Path, header: dict, num_examples: int) -> Iterator[None]:
    """Hold the folder's lock, after another run that builds there; its progress is shown."""
    lock, bar = FolderLock(folder), None
    while not main_decides(lock.acquire):
        if (folder / _PLAN).is_file():
            compare_headers(folder, _read_plan(folder)["header"], header)
        if PartialState().is_main_process:
            bar = bar or _waiting_bar(lock, num_examples)
            bar.update(min(_num_written(folder), num_examples) - bar.n)
        time.sleep(_POLL_S)
    if bar is not None:
        bar.close()
    try:
        yield
    finally:
        lock.release()


def _waiting_bar(lock: FolderLock, num_examples: int) -> tqdm:
    print(f"{lock.folder}: {lock.holder} builds this cache; waiting for it, to read it then.", flush=True)
    return tqdm(total=num_examples, desc="Another run builds the cache", unit=" examples", leave=False)


def _num_written(folder: Path) -> int:
    if not (folder / _PLAN).is_file():
        return 0
    return _read_plan(folder)["shard_size"] * len(list(folder.glob("shard-*.safetensors")))


def _read_plan(folder: Path) -> dict:
    return read_checked_json(folder / _PLAN, may_lack_checksum=True)


def _build(folder: Path, header: dict, reader: CacheInputReader) -> None:
    """Write all missing shards and the header, in all processes together."""
    state, build = PartialState(), _Build(folder, header, reader)
    if state.is_main_process:
        build.begin()
    state.wait_for_everyone()
    build.run(state.process_index, state.num_processes)
    state.wait_for_everyone()
    if state.is_main_process:
        build.finish()
    state.wait_for_everyone()


class _Build:
    """Writes the shards of a cache."""

    def __init__(self, folder: Path, header: dict, reader: CacheInputReader) -> None:
        self.folder, self.header, self.reader = folder, header, reader
        self._signals = {
            name: (LAYOUTS[signal["layout"]], format_from(signal["kept"]))
            for name, signal in header["signals"].items()
        }

    def begin(self) -> None:
        """Choose the size of a shard and write the plan, or check the plan of an interrupted build."""
        _clear(self.folder, finished=False)
        if (self.folder / _PLAN).is_file():
            compare_headers(self.folder, _read_plan(self.folder)["header"], self.header)
        else:
            # Shards of others would be overwritten; the folder of a model would be another model afterwards.
            if foreign := sorted(path.name for name in ("shard-*", "config.json") for path in self.folder.glob(name)):
                raise ValueError(
                    f"{self.folder} contains {listed(foreign, 3)}, which no build of this cache wrote. A cache needs a "
                    f"folder of its own: choose another one."
                )
            example_bytes = self._bytes_per_example()
            total = example_bytes * self.reader.num_examples
            size = int(max(_SHARD_BYTES, total / _MAX_SHARDS) / example_bytes)
            self.folder.mkdir(parents=True, exist_ok=True)
            plan = {"header": self.header, "shard_size": max(1, min(size, _MAX_EXAMPLES)), "bytes": total}
            write_checked_json(self.folder / _PLAN, plan)
        self._check_disk_space()

    def run(self, rank: int, num_processes: int) -> None:
        """Write this process's missing shards."""
        size = _read_plan(self.folder)["shard_size"]
        shards = range(rank, -(-self.reader.num_examples // size), num_processes)
        missing = [number for number in shards if self._finished_shard(number) is None]
        total = self._count_examples(shards, size)
        done = total - self._count_examples(missing, size)
        bar = tqdm(total=total, initial=done, desc="Running the teacher", unit=" examples",
                   delay=_SHOW_AFTER_S, leave=False, disable=rank > 0)  # fmt: skip
        with bar:
            for number in missing:
                numbers = np.arange(number * size, min((number + 1) * size, self.reader.num_examples))
                with explain_full_disk(self.folder, work=f"shard {number} of a cache (finished shards are kept)"):
                    shard = write_shard(self.folder, number, self._compute(numbers, bar))
                    write_checked_json(self._record(number), {"shard": shard})

    def finish(self) -> None:
        """Write the header, which marks the cache as finished."""
        size = _read_plan(self.folder)["shard_size"]
        numbers = range(-(-self.reader.num_examples // size))
        shards = [read_checked_json(self._record(number))["shard"] for number in numbers]
        write_checked_json(self.folder / HEADER, {**self.header, "shards": shards})
        _clear(self.folder)

    def _compute(self, numbers: np.ndarray, bar: tqdm) -> list[dict[str, np.ndarray]]:
        arrays_by_number: dict[int, dict[str, np.ndarray]] = {}
        for batch in self.reader.batches(numbers):
            arrays_by_number.update(zip(batch[EXAMPLE_ID].tolist(), self._rows(batch), strict=True))
            bar.update(len(batch[EXAMPLE_ID]))
        return [arrays_by_number[number] for number in numbers.tolist()]

    def _rows(self, batch: Mapping[str, torch.Tensor]) -> list[dict[str, np.ndarray]]:
        """Arrays to store for each example of a batch, by name."""
        signals, ids = self.reader.teacher(batch), batch[EXAMPLE_ID].tolist()
        examples = [{DIGEST: digest.reshape(1, 1)} for digest in row_digests(batch, self.header["columns"])]
        for name, (layout, storage) in self._signals.items():
            tensor = signals.features[name] if name in signals.features else signals.logits
            counts = layout.counts(tensor, batch, len(ids)).tolist()
            rows = layout.rows(tensor, batch)
            self._check_finite(name, rows, storage.as_stored(rows), batch, counts)
            packed = storage.pack(rows, counts, ids)
            for arrays, example in zip(packed, examples, strict=True):
                example.update({name + part: array for part, array in arrays.items()})
        return examples

    def _check_finite(
        self,
        name: str,
        rows: torch.Tensor,
        stored: torch.Tensor,
        batch: Mapping[str, torch.Tensor],
        counts: Sequence[int],
    ) -> None:
        """Raise a NonFiniteError that names the first example without a prediction, before or after rounding."""
        is_layer = name in self.header["features"]
        if is_layer:
            bad = ~stored.reshape(len(stored), -1).isfinite().all(1)
        elif self.header["signals"][name]["layout"] == "spans":  # a position may be excluded from start and end
            bad = ~(stored < float("inf")).all(-1)
        else:
            bad = ~problem_kind_of(config_of(cast("nn.Module", self.reader.teacher.model)), batch).is_defined(stored)
            bad = bad.reshape(len(bad), -1).any(1)
        if not bad.any():
            return
        row = int(bad.nonzero()[0, 0])
        example = batch[EXAMPLE_ID][int(np.searchsorted(np.cumsum(counts), row, side="right"))]
        values, part = rows[row], f"outputs of {name}" if is_layer else "logits"
        overflow = values.isfinite().all()
        found = f"{values.abs().max():g}, which float16 cannot store" if overflow else describe_values(values)
        raise NonFiniteError(
            f"The {part} of the teacher ({self.header['teacher']}) for example {int(example)} contain {found}, so a "
            f"student could not learn from the cache. "
            + (
                "Store float32."
                if overflow
                else "Run the teacher in float32, check its weights, or leave the example out."
            )
        )

    def _bytes_per_example(self) -> float:
        rows = [row for batch in self.reader.batches(self.reader.sample()) for row in self._rows(batch)]
        return max(1.0, sum(array.nbytes + 8 for row in rows for array in row.values()) / len(rows))

    def _check_disk_space(self) -> None:
        plan = _read_plan(self.folder)
        done = sum(path.stat().st_size for path in self.folder.glob("shard-*.safetensors"))
        free = shutil.disk_usage(self.folder).free
        needed = max(plan["bytes"] - done, 0)
        print(
            f"Cache of the teacher: about {readable_size(plan['bytes'])} for {self.reader.num_examples:,} examples "
            f"({readable_size(plan['bytes'] / self.reader.num_examples)} each); {readable_size(free)} free in "
            f"{self.folder}",
            flush=True,
        )
        if needed > free:
            raise DiskFullError(
                f"A cache of about {readable_size(plan['bytes'])} does not fit into {self.folder}: "
                f"{readable_size(needed)} are still to be written and {readable_size(free)} are free. Choose a folder on "
                f"another disk, or store float16 or fewer layers."
            )

    def _finished_shard(self, number: int) -> dict | None:
        """The record of a shard that an earlier build finished and nothing has damaged since."""
        try:
            shard = read_checked_json(self._record(number))["shard"]
            check_shards(self.folder, [shard])
        except (FileNotFoundError, ValueError):
            return None
        return shard

    def _record(self, number: int) -> Path:
        return self.folder / f"{shard_name(number)}.json"

    def _count_examples(self, numbers: Iterable[int], size: int) -> int:
        return sum(min(size, self.reader.num_examples - number * size) for number in numbers)


def _header(
    teacher: Teacher,
    reader: CacheInputReader,
    storage: str | Mapping,
    features: tuple[str, ...],
    tokenizer: "PreTrainedTokenizerBase | None",
    preprocessing: dict | None,
) -> dict:
    columns = reader.columns_read()
    # At most two examples: with a large vocabulary the logits of a few texts take gigabytes.
    batch = reader.batch(range(min(2, reader.batch_size, reader.num_examples)))
    signals, spans = teacher(batch), predicts_spans(teacher.model)
    logit_format = format_from(full_description(storage, signals.num_classes))
    tensors = {logit_format.signal: (signals.logits, logit_format.describe())}
    taken = {DIGEST, logit_format.signal, *(logit_format.signal + part for part in logit_format.arrays)}
    if clash := taken.intersection(features):
        raise ValueError(
            f"A cache stores its own arrays under {', '.join(sorted(taken))}, and the teacher has a module named "
            f"{', '.join(clash)} whose outputs are to be stored. Rename the module, or use a teacher that runs."
        )
    tensors |= {name: (signals.features[name], logit_format.features) for name in features}
    header = {
        "format": 1,
        "teacher": teacher.name,
        "teacher_weights": teacher.fingerprint(),
        "parameters": sum(map(num_weights, teacher.models)) or None,
        "model": _model(teacher.model),
        "labels": teacher.label_names,
        "tokenizer": tokenizer_fingerprint(tokenizer),
        "preprocessing": preprocessing,
        "data": data_fingerprint(reader.dataset, columns),
        "columns": columns,
        "num_examples": reader.num_examples,
        "kept": logit_format.describe(),
        "features": list(features),
        "signals": {
            name: {
                "layout": layout_of(tensor, batch, predicts_spans=spans and name == logit_format.signal),
                "kept": kept,
            }
            for name, (tensor, kept) in tensors.items()
        },
    }
    return json.loads(json.dumps(header))  # equal to the header after reading it from disk


def _model(model: nn.Module | None) -> dict | None:
    """Class and config to rebuild a model's modules; None unless the class is part of transformers."""
    if not isinstance(model, transformers.PreTrainedModel) or not hasattr(transformers, type(model).__name__):
        return None
    config = json.loads(model.config.to_json_string(use_diff=False))
    config.pop("_name_or_path", None)  # a place on this machine
    return {"class": type(model).__name__, "config": config}


def _clear(folder: Path, *, finished: bool = True) -> None:
    """Delete partial files of killed writers and, of a finished cache, the files that only its build needs."""
    clear_partial_files(folder)
    for path in folder.glob("shard-*.json") if finished else ():
        path.unlink(missing_ok=True)
    if finished:
        (folder / _PLAN).unlink(missing_ok=True)
