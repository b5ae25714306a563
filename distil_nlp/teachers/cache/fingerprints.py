"""Fingerprints of tokenizers and data sets."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from pyarrow.ipc import RecordBatchStreamWriter

from ...data.examples import column_names, rows_of_dataset

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase


def tokenizer_fingerprint(tokenizer: "PreTrainedTokenizerBase | None") -> str | None:
    """SHA-256 of all settings that determine token ids: vocabulary, normalization, pre-tokenization, special tokens.

    None without a tokenizer. For other processors, such as image processors, all settings count.
    """
    if tokenizer is None:
        return None
    if not hasattr(tokenizer, "get_vocab"):
        return hashlib.sha256(json.dumps(tokenizer.to_dict(), sort_keys=True, default=str).encode()).hexdigest()
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        parts = {"class": type(tokenizer).__name__, "vocabulary": sorted(tokenizer.get_vocab().items())}
    else:
        parts = json.loads(backend.to_str())
        for setting in ("truncation", "padding"):  # of the last call, not of the tokenizer
            parts.pop(setting, None)
    parts["special_tokens"] = sorted((name, str(token)) for name, token in tokenizer.special_tokens_map.items())
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def data_fingerprint(dataset: "Dataset | Sequence[Mapping]", columns: Iterable[str]) -> str:
    """SHA-256 over columns of a data set, in order, before any transform set on it.

    Args:
        dataset (`datasets.Dataset` or list of dict): The examples.
        columns (`Iterable[str]`): Columns to include; all, if the data set has none of these.

    Returns:
        `str`: 64 hexadecimal digits.
    """
    present = column_names(dataset)
    chosen = [name for name in present if name in columns] or present
    digest = hashlib.sha256(json.dumps(chosen).encode())
    if not hasattr(dataset, "select_columns"):
        for row in rows_of_dataset(dataset):
            digest.update(repr([_plain(row[name]) for name in chosen]).encode())
        return digest.hexdigest()
    table = dataset.select_columns(chosen).with_format("arrow")[:].replace_schema_metadata(None).combine_chunks()
    with RecordBatchStreamWriter(_Sink(digest), table.schema) as writer:
        writer.write_table(table)
    return digest.hexdigest()


def _plain(value: object) -> object:
    return value.tolist() if hasattr(value, "tolist") else value


class _Sink:
    """A file object that feeds all written bytes into a digest."""

    closed = False

    def __init__(self, digest: "hashlib._Hash") -> None:
        self._digest = digest

    def write(self, data: bytes) -> int:
        self._digest.update(data)
        return len(data)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass
