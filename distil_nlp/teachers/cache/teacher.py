"""A teacher that was asked once: what it said lies on disk, keyed by example."""

from pathlib import Path

import torch
import transformers
from tqdm.auto import tqdm

from ...data.examples import EXAMPLE_ID, row_digests
from ...internals.files import read_json
from ...signals.base import Signals
from ..base import Teacher
from ..labels import label_names, ordered, reorder
from .formats import format_from
from .layout import LAYOUTS
from .shards import Shards, check_shards

HEADER = "cache.json"
DIGEST = "digest"
_IN_BYTES = {"unit": "B", "unit_scale": True, "delay": 3.0, "leave": False}  # shown after three seconds
_CHECKED = 1  # example of every batch: enough to notice other data at once, too few to cost anything
_NAMES = ("teacher",)  # what a teacher is called says nothing of what it says
_PARTS = {
    "teacher_weights": "teacher (its weights)",
    "tokenizer": "tokenizer",
    "preprocessing": "preprocessing",
    "data": "data set",
    "labels": "labels",
    "num_examples": "number of examples",
    "kept": "form",
    "features": "layers",
}


class CachedTeacher(Teacher):
    """Gives back what a teacher said when it was asked once; no model is in memory.

    Rows carry a column "example_id" (`distil_nlp.data.examples.add_example_ids`) that says which answer is theirs, in
    whatever order and batches they come. The first examples of every batch are compared with those the teacher was
    asked about: other data, another tokenizer or a transform that is random are noticed in the first batch.

    Args:
        folder (`str` or `Path`): Written by `build_cache`.
        expect (`dict`, *optional*): Parts of the header that must be as given.
        architecture (`nn.Module`, *optional*): The teacher's modules, for terms that look for layers; nothing of it runs.
            Needed for a class that transformers does not have.

    Raises:
        FileNotFoundError: No finished cache is there.
        ValueError: Parts of the header differ, the message says which; a shard is missing or was changed.
    """

    is_precomputed = True

    def __init__(self, folder, *, expect=None, architecture=None):
        self.folder = Path(folder)
        if not (self.folder / HEADER).is_file():
            raise FileNotFoundError(
                f"{self.folder} holds no finished cache of a teacher ({HEADER} is missing). `distil-nlp cache` or "
                f"`build_cache` makes one, or finishes one that was cut off."
            )
        self.header = read_json(self.folder / HEADER)
        compare_headers(self.folder, self.header, expect or {})
        self.name = self.header["teacher"]
        self.columns = (EXAMPLE_ID, *self.header["columns"])
        shards = self.header["shards"]
        size = sum(shard["bytes"] for shard in shards)
        with tqdm(total=size, desc="Checking the cache", **_IN_BYTES) as progress:
            check_shards(self.folder, shards, progress.update)
        self._shards = Shards(self.folder, shards)
        self._signals = {
            name: (LAYOUTS[of["layout"]], format_from(of["kept"])) for name, of in self.header["signals"].items()
        }
        self._features = ()
        self._order, self._anatomy = None, architecture

    @property
    def architecture(self):
        """The teacher's modules without their weights, where transformers has its class; None otherwise."""
        described = self.header["model"]
        if self._anatomy is None and described is not None:
            config = dict(described["config"])
            config = transformers.AutoConfig.for_model(config.pop("model_type"), **config)
            with torch.device("meta"):
                self._anatomy = getattr(transformers, described["class"])(config)
        return self._anatomy

    def tap_layers(self, names):
        missing = [name for name in names if name not in self._signals]
        if missing:
            kept = self.header["features"]
            raise ValueError(
                f"The objective listens to {', '.join(missing)} of the teacher, and the cache in {self.folder} keeps "
                f"{', '.join(kept) or 'no layers'}. Build it with `features={list(names)}`, or use a teacher that runs "
                f"(OnlineTeacher)."
            )
        self._features = tuple(names)

    @property
    def label_names(self):
        return self.header.get("labels")

    def reconcile(self, student, tokenizer=None):
        ours, theirs = label_names(student), self.header["labels"]
        self._order = reorder(ours, theirs) if ours and theirs else None
        if self._order is not None and "sparse" in self._signals:
            raise ValueError(
                f"The cache in {self.folder} keeps parts of distributions over {len(theirs)} labels in the teacher's "
                f"order, and the student has another ({', '.join(ours[:6])}). Give it the teacher's, or keep all numbers "
                f"(float32)."
            )

    def __call__(self, batch):
        ids = self._ids(batch)
        self._check(batch, ids)
        features = {name: self._read(name, ids, batch) for name in self._features}
        if "sparse" in self._signals:
            return Signals(None, features, self._read("sparse", ids, batch))
        logits = self._read("logits", ids, batch)
        if self._order is not None:
            logits = ordered(logits, self._order, len(self.header["labels"]))
        return Signals(logits, features)

    def fingerprint(self):
        return self.header["teacher_weights"]

    def _read(self, name, ids, batch):
        layout, kept = self._signals[name]
        arrays = {part: self._shards.read(name + part, ids)[0] for part in kept.arrays}
        device = batch[EXAMPLE_ID].device
        return kept.restore(arrays, lambda rows: layout.tensor(rows.to(device), batch))

    def _ids(self, batch):
        if EXAMPLE_ID not in batch:
            raise ValueError(
                f"A cached teacher finds its answers by the column {EXAMPLE_ID!r}, and the batch has {', '.join(batch)}. "
                f"Number the examples before the cache is built and before training: `add_example_ids(dataset)`."
            )
        ids = batch[EXAMPLE_ID].cpu().numpy()
        if len(ids) and (ids.min() < 0 or ids.max() >= self._shards.num_examples):
            raise ValueError(
                f"The batch has example_id {ids.min()} to {ids.max()}, and the cache in {self.folder} answers 0 to "
                f"{self._shards.num_examples - 1}: it was made for other data. Build one for this data."
            )
        return ids

    def _check(self, batch, ids):
        missing = [name for name in self.header["columns"] if name not in batch]
        if missing:
            raise ValueError(
                f"The cache in {self.folder} was made of {', '.join(self.header['columns'])}, and the batch lacks "
                f"{', '.join(missing)}, so nothing says that it holds the same examples. Keep these columns."
            )
        found = row_digests(batch, self.header["columns"], _CHECKED)
        known = self._shards.read(DIGEST, ids[:_CHECKED])[0][:, 0]
        if (found != known).any():
            strange = ids[: len(found)][found != known][0]
            raise ValueError(
                f"Example {strange} is not what the teacher was asked about: its {', '.join(self.header['columns'])} "
                f"differ from those the cache in {self.folder} was made of. Other data, another tokenizer, or a transform "
                f"that gives another example at every reading. Build a cache for this data, or ask the teacher at every "
                f"step."
            )


def compare_headers(folder, header, expect):
    """Refuse a cache whose header says other things than expected; a ValueError names every part that differs."""
    differing = [
        f"{_PARTS.get(part, part)} (cached: {_short(header.get(part))}; now: {_short(value)})"
        for part, value in expect.items()
        if part not in _NAMES and header.get(part) != value
    ]
    if differing:
        raise ValueError(
            f"The cache in {folder} was made with another {', another '.join(differing)}, so it answers other questions. "
            f"Give another folder, or delete this one to have it made anew."
        )


def _short(value):
    text = str(value)
    return text if len(text) <= 60 else f"{text[:24]}..."
