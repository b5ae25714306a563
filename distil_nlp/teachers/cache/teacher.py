"""A teacher that reads its stored outputs from disk, keyed by example."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import transformers
from torch import nn
from tqdm.auto import tqdm

from ...data.examples import EXAMPLE_ID, row_digests
from ...internals.messages import listed, shown
from ...signals.base import Signals
from ..base import Teacher
from ..reconcile import label_names, ordered, reorder
from .formats import format_from
from .header import HEADER, compare_headers, read_header
from .layout import LAYOUTS
from .shards import Shards, check_shards

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

DIGEST = "digest"
_IN_BYTES = {"unit": "B", "unit_scale": True, "delay": 3.0, "leave": False}  # shown after three seconds
_NUM_CHECKED = 1  # examples per batch: enough to notice other data in the first batch, at no measurable cost


class CachedTeacher(Teacher):
    """Returns stored outputs of a teacher; no model is in memory.

    Rows need the column "example_id" (`distil_nlp.data.examples.add_example_ids`), the key of the outputs; their order
    and batches are arbitrary. The first example of every batch is compared with the one the outputs were computed for,
    so that other data, another tokenizer or a random transform is noticed in the first batch.

    Args:
        folder (`str` or `Path`): Written by `build_cache`.
        expect (`dict`, *optional*): Required parts of the header.
        architecture (`nn.Module`, *optional*): The teacher's modules, for terms that look up layers; they do not run.
            Needed for a class that is not in transformers.

    Raises:
        FileNotFoundError: The folder has no finished cache.
        ValueError: The cache has another format (see `read_header`), parts of the header differ (the message names them),
            or a shard is missing or was changed.
    """

    is_precomputed = True

    def __init__(
        self, folder: str | Path, *, expect: Mapping | None = None, architecture: nn.Module | None = None
    ) -> None:
        self.folder = Path(folder)
        if not (self.folder / HEADER).is_file():
            raise FileNotFoundError(
                f"{self.folder} contains no finished cache of a teacher ({HEADER} is missing). Build one, or resume an "
                f"interrupted build, with `distil-nlp cache` or `build_cache`."
            )
        self.header = read_header(self.folder)
        compare_headers(self.folder, self.header, expect or {})
        self.name = self.header["teacher"]
        self.columns = (EXAMPLE_ID, *self.header["columns"])
        shards = self.header["shards"]
        size = sum(shard["bytes"] for shard in shards)
        with tqdm(total=size, desc="Checking the cache", **_IN_BYTES) as progress:
            check_shards(self.folder, shards, progress.update)
        self._shards = Shards(self.folder, shards)
        self._signals = {
            name: (LAYOUTS[signal["layout"]], format_from(signal["kept"]))
            for name, signal in self.header["signals"].items()
        }
        arrays = {name + part for name, (_, storage) in self._signals.items() for part in storage.arrays} | {DIGEST}
        if missing := arrays - self._shards.names:
            raise ValueError(
                f"{self.folder} lacks {', '.join(sorted(missing))}, which its {HEADER} lists. Delete the folder and build "
                f"the cache again, or copy it again."
            )
        self._features: tuple[str, ...] = ()
        self._order: list[int] | None = None
        self._architecture = architecture

    @property
    def architecture(self) -> nn.Module | None:  # type: ignore[override]
        """The teacher's modules without weights; None if its class is not in transformers."""
        model = self.header.get("model")
        if self._architecture is None and model is not None:
            settings = dict(model["config"])
            config = transformers.AutoConfig.for_model(settings.pop("model_type"), **settings)
            with torch.device("meta"):
                self._architecture = getattr(transformers, model["class"])(config)
        return self._architecture

    def tap_layers(self, names: Iterable[str]) -> None:
        missing = [name for name in names if name not in self._signals]
        if missing:
            stored = self.header["features"]
            raise ValueError(
                f"The objective needs outputs of {', '.join(missing)} of the teacher, and the cache in {self.folder} "
                f"stores {', '.join(stored) or 'no layers'}. Build it with `features={list(names)}`, or use a teacher "
                f"that runs (OnlineTeacher)."
            )
        self._features = tuple(names)

    @property
    def label_names(self) -> list[str] | None:  # type: ignore[override]
        return self.header.get("labels")

    def reconcile(self, student: nn.Module, tokenizer: "PreTrainedTokenizerBase | None" = None) -> None:
        student_labels, teacher_labels = label_names(student), self.label_names
        self._order = reorder(student_labels, teacher_labels) if student_labels and teacher_labels else None
        if teacher_labels and self._order is not None and "sparse" in self._signals:
            raise ValueError(
                f"The cache in {self.folder} stores some of {len(teacher_labels)} labels in the teacher's order, and the "
                f"student's order differs ({listed(student_labels or ())}). Give the student the teacher's labels, or "
                f"store all logits (float32)."
            )

    def __call__(self, batch: Mapping[str, torch.Tensor]) -> Signals:
        ids = self._ids(batch)
        self._check_digests(batch, ids)
        features = {name: self._read(name, ids, batch) for name in self._features}
        if "sparse" in self._signals:
            sparse = self._read("sparse", ids, batch)
            return Signals(None, features, sparse)  # type: ignore[arg-type]  # there are no logits beside `sparse`
        logits = self._read("logits", ids, batch)
        if self._order is not None:
            logits = ordered(logits, self._order, len(self.header["labels"]))
        return Signals(logits, features)

    def fingerprint(self) -> str:
        return self.header["teacher_weights"]

    def _read(self, name: str, ids: np.ndarray, batch: Mapping[str, torch.Tensor]) -> Any:
        layout, storage = self._signals[name]
        arrays = {part: self._shards.read(name + part, ids)[0] for part in storage.arrays}
        device = batch[EXAMPLE_ID].device
        return storage.restore(arrays, lambda rows: layout.tensor(rows.to(device), batch))

    def _ids(self, batch: Mapping[str, torch.Tensor]) -> np.ndarray:
        if EXAMPLE_ID not in batch:
            raise ValueError(
                f"A cached teacher looks up its outputs by the column {shown(EXAMPLE_ID)}, and the batch has "
                f"{listed(batch)}. Use `add_example_ids(dataset)` before building the cache and before training."
            )
        ids = batch[EXAMPLE_ID].cpu().numpy()
        if len(ids) and (ids.min() < 0 or ids.max() >= self._shards.num_examples):
            raise ValueError(
                f"The batch has example_id {ids.min()} to {ids.max()}, and the cache in {self.folder} contains 0 to "
                f"{self._shards.num_examples - 1}: it was built for other data. Build a cache for this data."
            )
        return ids

    def _check_digests(self, batch: Mapping[str, torch.Tensor], ids: np.ndarray) -> None:
        missing = [name for name in self.header["columns"] if name not in batch]
        if missing:
            raise ValueError(
                f"The cache in {self.folder} was built from {listed(self.header['columns'])}, and the batch lacks "
                f"{listed(missing)}, so its examples cannot be compared with the cached ones. Keep these columns."
            )
        digests = row_digests(batch, self.header["columns"], _NUM_CHECKED)
        stored = self._shards.read(DIGEST, ids[:_NUM_CHECKED])[0][:, 0]
        if (digests != stored).any():
            example = ids[: len(digests)][digests != stored][0]
            raise ValueError(
                f"Example {example} differs from the cached example: its {listed(self.header['columns'])} are not those "
                f"that the cache in {self.folder} was built from. The data or the tokenizer is another, or a transform is "
                f"random. Build a cache for this data, or run the teacher in every step."
            )
