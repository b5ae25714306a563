"""Short strings that change when what they stand for could."""

import hashlib
import json

from pyarrow.ipc import RecordBatchStreamWriter

from ...data.examples import column_names


def tokenizer_fingerprint(tokenizer):
    """SHA-256 of what decides about ids: vocabulary, normalization, cutting, special tokens. None for no tokenizer.

    Of another kind of processor (of images, say) all its settings.
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


def data_fingerprint(dataset, columns):
    """SHA-256 over some columns of a data set, in order. A transform set on it is not seen.

    Args:
        dataset (`datasets.Dataset` or list of dict): The examples.
        columns (`Iterable[str]`): Those that count; where it has none of them, all count.
    """
    present = column_names(dataset)
    chosen = [name for name in present if name in columns] or present
    digest = hashlib.sha256(json.dumps(chosen).encode())
    if not hasattr(dataset, "select_columns"):
        for row in dataset:
            digest.update(repr([_plain(row[name]) for name in chosen]).encode())
        return digest.hexdigest()
    table = dataset.select_columns(chosen).with_format("arrow")[:].replace_schema_metadata(None).combine_chunks()
    with RecordBatchStreamWriter(_Sink(digest), table.schema) as writer:
        writer.write_table(table)
    return digest.hexdigest()


def _plain(value):
    return value.tolist() if hasattr(value, "tolist") else value


class _Sink:
    """A file that only counts into a digest."""

    closed = False

    def __init__(self, digest):
        self._digest = digest

    def write(self, data):
        self._digest.update(data)
        return len(data)

    def flush(self):
        pass

    def close(self):
        pass
