"""Asking a teacher once about every example of a data set, in shards that a killed build does not lose."""

import errno
import json
import shutil
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import transformers
from accelerate import PartialState
from tqdm.auto import tqdm

from ...data.examples import EXAMPLE_ID, row_digests
from ...internals.files import read_json, write_json
from ...signals.forward import predicts_spans
from .fingerprints import data_fingerprint, tokenizer_fingerprint
from .formats import describe_kept, format_from
from .layout import LAYOUTS, layout_of
from .reader import CacheInputReader
from .shards import shard_name, write_shard
from .teacher import DIGEST, HEADER, compare_headers

_PLAN = "plan.json"
_SHARD_BYTES, _MOST_SHARDS, _MOST_EXAMPLES = 64 << 20, 512, 1 << 16
_SHOW_AFTER_S = 3.0


def build_cache(
    folder,
    teacher,
    dataset,
    collator,
    *,
    kept="float32",
    features=(),
    tokenizer=None,
    preprocessing=None,
    batch_size=64,
):
    """Ask a teacher about every example, once, and keep what it says for `CachedTeacher(folder)`.

    A build that was cut off goes on with the shard it was at, and what it leaves is byte for byte what an
    uninterrupted one leaves. Under `accelerate launch` each process asks about its shards. A finished cache of the
    same things is left alone.

    Args:
        folder (`str` or `Path`): Made when missing.
        teacher (`Teacher`): One that runs.
        dataset: The examples, tokenized, with a column "example_id": 0, 1, ... (`add_example_ids`).
        collator (callable): list of examples -> batch, a dictionary of tensors with "example_id".
        kept (`str` or `dict`): "float32" or "float16" for every number. Of a distribution over a vocabulary, some tokens:
            {"kind": "sampled", "num_draws": 50, "temperature": 2} or {"kind": "top_k", "k": 50, "temperature": 2}, with
            the temperature that the student will learn at.
        features (`Iterable[str]`): Modules of the teacher whose outputs are kept, too; as an objective's
            `teacher_taps`.
        tokenizer (*optional*): Its fingerprint goes into the header.
        preprocessing (`dict`, *optional*): Whatever else made the rows what they are, such as {"max_length": 128}.
        batch_size (`int`): Examples the teacher is asked about at once.

    Returns:
        `dict`: The header, every part of which `CachedTeacher(folder, expect=...)` can insist on.

    Raises:
        ValueError: Examples that are not numbered, or read differently the second time; a folder that holds another
            cache, begun or finished: the parts that differ are named.
        OSError: The disk cannot hold it.
    """
    folder, state = Path(folder), PartialState()
    teacher.tap_layers(features)
    reader = CacheInputReader(teacher, dataset, collator, batch_size)
    header = _header(teacher, reader, kept, tuple(features), tokenizer, preprocessing)
    if (folder / HEADER).is_file():
        compare_headers(folder, read_json(folder / HEADER), header)
        if state.is_main_process:
            _clear(folder)
        return header
    build = _Build(folder, header, reader)
    if state.is_main_process:
        build.begin()
    state.wait_for_everyone()
    build.run(state.process_index, state.num_processes)
    state.wait_for_everyone()
    if state.is_main_process:
        build.finish()
    state.wait_for_everyone()
    return header


class _Build:
    """The shards of one cache."""

    def __init__(self, folder, header, reader):
        self.folder, self.header, self.reader = folder, header, reader
        self._kept = {name: (LAYOUTS[of["layout"]], format_from(of["kept"])) for name, of in header["signals"].items()}

    def begin(self):
        """Make room: settle the size of a shard, or go on with what an earlier build settled."""
        _clear(self.folder, finished=False)
        if (self.folder / _PLAN).is_file():
            compare_headers(self.folder, read_json(self.folder / _PLAN)["header"], self.header)
        else:
            each = self._bytes_each()
            total = each * self.reader.num_examples
            size = int(max(_SHARD_BYTES, total / _MOST_SHARDS) / each)
            self.folder.mkdir(parents=True, exist_ok=True)
            plan = {"header": self.header, "shard_size": max(1, min(size, _MOST_EXAMPLES)), "bytes": total}
            write_json(self.folder / _PLAN, plan)
        self._check_room()

    def run(self, rank, num_processes):
        """Write the shards that are this process's and not there yet."""
        size = read_json(self.folder / _PLAN)["shard_size"]
        mine = range(rank, -(-self.reader.num_examples // size), num_processes)
        missing = [number for number in mine if not self._record(number).is_file()]
        total = self._examples(mine, size)
        bar = tqdm(total=total, initial=total - self._examples(missing, size), desc="Asking the teacher", unit=" examples",
                   delay=_SHOW_AFTER_S, leave=False, disable=rank > 0)  # fmt: skip
        with bar:
            for number in missing:
                numbers = np.arange(number * size, min((number + 1) * size, self.reader.num_examples))
                with _room_for(self.folder, number, len(mine)):
                    write_json(self._record(number), write_shard(self.folder, number, self._ask(numbers, bar)))

    def finish(self):
        """Make the cache visible: its header is written last."""
        size = read_json(self.folder / _PLAN)["shard_size"]
        numbers = range(-(-self.reader.num_examples // size))
        shards = [read_json(self._record(number)) for number in numbers]
        write_json(self.folder / HEADER, {**self.header, "shards": shards})
        _clear(self.folder)

    def _ask(self, numbers, bar):
        kept = [None] * len(numbers)
        for batch in self.reader.batches(numbers):
            for number, arrays in zip(batch[EXAMPLE_ID].tolist(), self._rows(batch), strict=True):
                kept[number - numbers[0]] = arrays
            bar.update(len(batch[EXAMPLE_ID]))
        return kept

    def _rows(self, batch):
        """For each example of a batch what is kept of it, a dictionary of arrays."""
        said, ids = self.reader.teacher(batch), batch[EXAMPLE_ID].tolist()
        kept = [{DIGEST: digest.reshape(1, 1)} for digest in row_digests(batch, self.header["columns"])]
        for name, (layout, form) in self._kept.items():
            tensor = said.features[name] if name in said.features else said.logits
            counts = layout.counts(tensor, batch, len(ids)).tolist()
            packed = form.pack(layout.rows(tensor, batch), counts, ids)
            for arrays, example in zip(packed, kept, strict=True):
                example.update({name + part: array for part, array in arrays.items()})
        return kept

    def _bytes_each(self):
        rows = [row for batch in self.reader.batches(self.reader.sample()) for row in self._rows(batch)]
        return max(1.0, sum(array.nbytes + 8 for row in rows for array in row.values()) / len(rows))

    def _check_room(self):
        plan = read_json(self.folder / _PLAN)
        done = sum(path.stat().st_size for path in self.folder.glob("shard-*.safetensors"))
        free = shutil.disk_usage(self.folder).free
        needed = max(plan["bytes"] - done, 0)
        print(
            f"Cache of the teacher: about {_size(plan['bytes'])} for {self.reader.num_examples:,} examples "
            f"({_size(plan['bytes'] / self.reader.num_examples)} each); {_size(free)} free in {self.folder}",
            flush=True,
        )
        if needed > free:
            raise OSError(
                errno.ENOSPC,
                f"A cache of about {_size(plan['bytes'])} does not fit: {_size(needed)} are still to be written and "
                f"{_size(free)} are free. Choose a folder on another disk, keep float16, or fewer layers",
                str(self.folder),
            )

    def _record(self, number):
        return self.folder / f"{shard_name(number)}.json"

    def _examples(self, numbers, size):
        return sum(min(size, self.reader.num_examples - number * size) for number in numbers)


def _header(teacher, reader, kept, features, tokenizer, preprocessing):
    columns = reader.columns_read()
    # Two at most: of a large vocabulary even the logits of a few texts are gigabytes.
    batch = reader.batch(range(min(2, reader.batch_size, reader.num_examples)))
    said, spans = teacher(batch), predicts_spans(teacher.model)
    form = format_from(describe_kept(kept, said.num_classes))
    tensors = {form.signal: (said.logits, form.describe())}
    tensors |= {name: (said.features[name], form.features) for name in features}
    header = {
        "format": 1,
        "teacher": teacher.name,
        "teacher_weights": teacher.fingerprint(),
        "parameters": sum(one.numel() for model in teacher.models for one in model.parameters()) or None,
        "model": _model(teacher.model),
        "labels": teacher.label_names,
        "tokenizer": tokenizer_fingerprint(tokenizer),
        "preprocessing": preprocessing,
        "data": data_fingerprint(reader.dataset, columns),
        "columns": columns,
        "num_examples": reader.num_examples,
        "kept": form.describe(),
        "features": list(features),
        "signals": {
            name: {"layout": layout_of(tensor, batch, predicts_spans=spans and name == form.signal), "kept": kept}
            for name, (tensor, kept) in tensors.items()
        },
    }
    return json.loads(json.dumps(header))  # as it will be read


def _model(model):
    """What builds a model's modules again, where transformers has its class."""
    if not isinstance(model, transformers.PreTrainedModel) or not hasattr(transformers, type(model).__name__):
        return None
    config = json.loads(model.config.to_json_string(use_diff=False))
    return {"class": type(model).__name__, "config": config}


def _clear(folder, *, finished=True):
    """Drop what killed writers left; of a finished cache also what only its build needed."""
    for path in [*folder.glob(".*.part"), *(folder.glob("shard-*.json") if finished else ())]:
        path.unlink(missing_ok=True)
    if finished:
        (folder / _PLAN).unlink(missing_ok=True)


@contextmanager
def _room_for(folder, number, total):
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise OSError(
            error.errno,
            f"The disk is full at shard {number} ({total} are this process's). The finished ones are kept, nothing else "
            f"counts: make room, and the same command goes on from there",
            str(folder),
        ) from error


def _size(num_bytes):
    for unit in ("bytes", "kB", "MB", "GB"):
        if num_bytes < 1000:
            return f"{num_bytes:.0f} {unit}" if unit == "bytes" else f"{num_bytes:.1f} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:.1f} TB"
