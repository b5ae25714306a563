"""Headers of caches: what the outputs were computed from, and how they are stored."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import transformers

from ...internals.checksums import read_checked_json
from ...internals.messages import shown
from .formats import is_format
from .layout import LAYOUTS
from .shards import shard_name

HEADER = "cache.json"
_NOT_COMPARED = ("teacher",)  # the name does not affect the outputs
_FORMAT = 1
# In nested settings: places, versions and names, which change where a model is moved or copied and its outputs do not.
_NO_CONTENT = {
    "_name_or_path", "_commit_hash", "architectures", "augmentation_model", "dtype", "torch_dtype",
    "transformers_version",
}  # fmt: skip
_SETTINGS = ("model", "preprocessing")
_PARTS = {
    "model": "model (its settings)",
    "teacher_weights": "teacher (its weights)",
    "tokenizer": "tokenizer",
    "preprocessing": "preprocessing",
    "data": "data set",
    "labels": "labels",
    "num_examples": "number of examples",
    "kept": "storage format",
    "features": "layers",
}


def read_header(folder: str | Path) -> dict:
    """The header of a finished cache.

    Raises:
        ValueError: It is damaged, or the cache was written by a version with another format.
    """
    path = Path(folder) / HEADER
    header = read_checked_json(path, may_lack_checksum=True)
    if header.get("format") != _FORMAT:
        raise ValueError(
            f"{path} should have the format {_FORMAT}; got {shown(header.get('format'))}, of another version of this "
            f"package or of another program. Delete the folder and build the cache again, or read it with the version "
            f"that wrote it."
        )
    if wrong := [name for name, is_valid in _VALID.items() if not is_valid(header.get(name))]:
        raise ValueError(
            f"{path} is damaged: {', '.join(wrong)} missing or of another type. Delete the folder and build the cache "
            f"again, or copy it again."
        )
    stored = sum(shard["examples"] for shard in header["shards"])
    if stored != header["num_examples"]:
        raise ValueError(
            f"{path} is damaged: it lists shards of {stored:,} examples, and the cache was built from "
            f"{header['num_examples']:,}. Delete the folder and build the cache again, or copy it again."
        )
    return header


def _is_list_of_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _is_model(value: Any) -> bool:
    if not isinstance(value, dict):
        return value is None
    model_class = getattr(transformers, value["class"], None) if isinstance(value.get("class"), str) else None
    is_class = isinstance(model_class, type) and issubclass(model_class, transformers.PreTrainedModel)
    return is_class and isinstance(value.get("config"), dict) and isinstance(value["config"].get("model_type"), str)


def _are_signals(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and not {"logits", "sparse"}.isdisjoint(value)
        and all(
            isinstance(signal, dict) and signal.get("layout") in list(LAYOUTS) and is_format(signal.get("kept"))
            for signal in value.values()
        )
    )


def _are_shards(value: Any) -> bool:
    if not (isinstance(value, list) and value and all(isinstance(shard, dict) for shard in value)):
        return False
    numbers = [(shard.get("examples"), shard.get("bytes")) for shard in value]
    sizes = [size for size, _ in numbers]
    return (
        all(type(number) is int and number > 0 for pair in numbers for number in pair)
        and all(size == sizes[0] for size in sizes[:-1])
        and sizes[-1] <= sizes[0]
        and all(isinstance(shard.get("crc32"), str) for shard in value)
        # No path: a header from elsewhere reads no other files.
        and [shard.get("file") for shard in value] == [shard_name(number) for number in range(len(value))]
    )


_VALID: dict[str, Callable[[Any], bool]] = {
    "teacher": lambda value: isinstance(value, str),
    "teacher_weights": lambda value: isinstance(value, str),
    "model": _is_model,
    "labels": lambda value: value is None or _is_list_of_names(value),
    "columns": _is_list_of_names,
    "num_examples": lambda value: type(value) is int,
    "features": _is_list_of_names,
    "signals": _are_signals,
    "shards": _are_shards,
}


def compare_headers(folder: Path, header: dict, expect: Mapping) -> None:
    """Raise a ValueError that names all parts of a cache's header that differ from the expected ones."""
    differing = [
        f"{_PARTS.get(part, part)} (cached: {shown(header.get(part), 60)}; now: {shown(value, 60)})"
        for part, value in expect.items()
        if part not in _NOT_COMPARED and not _agree(header.get(part), value, is_setting=part in _SETTINGS)
    ]
    if differing:
        raise ValueError(
            f"The cache in {folder} was built with another {', another '.join(differing)}, so its entries do not match "
            f"this run. Use another folder, or delete this one and build it again."
        )


def _agree(cached: object, now: object, *, is_setting: bool) -> bool:
    """Whether two parts of headers have the same content; of settings, without what only one version writes."""
    if not (is_setting and isinstance(cached, dict) and isinstance(now, dict)):
        return cached == now
    return all(_agree(cached[name], now[name], is_setting=True) for name in (cached.keys() & now.keys()) - _NO_CONTENT)
