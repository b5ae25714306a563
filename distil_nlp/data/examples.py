"""Examples of a data set: ids, selection of rows and columns, order by length, digests, random text."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from ..signals.columns import EXAMPLE_ID

if TYPE_CHECKING:
    import torch
    from datasets import Dataset

    Rows: TypeAlias = "Dataset | Sequence[Mapping[str, Any]]"

TOKENS = ("input_ids", "token_type_ids", "attention_mask")  # the columns that a tokenizer makes
_ROWS_AT_ONCE = 10_000


def add_example_ids(dataset: Dataset) -> Dataset:
    """The data set with a column "example_id": 0, 1, ... A cache of a teacher and augmentation are keyed by it.

    Args:
        dataset (`datasets.Dataset`): Without such a column.
    """
    return dataset.add_column(EXAMPLE_ID, np.arange(len(dataset)))


def column_names(dataset: Rows) -> list[str]:
    """Names of the columns of a `datasets.Dataset`, a list of dictionaries or a `torch.utils.data.Dataset` of them."""
    return list(getattr(dataset, "column_names", None) or dataset[0])


def rows_of_dataset(dataset: Rows) -> Iterator[Mapping[str, Any]]:
    """The examples, by index. A torch data set need not raise an IndexError after the last: iterated, it would not end."""
    return (dataset[index] for index in range(len(dataset)))


def with_columns(dataset: Rows, columns: Sequence[str]) -> Rows:
    """The data set with these columns only."""
    return dataset.select_columns(columns) if hasattr(dataset, "select_columns") else _SomeColumns(dataset, columns)


class _SomeColumns(Sequence):
    """Some columns of the examples of a list or of a torch data set, which are read when they are needed."""

    def __init__(self, dataset: Rows, columns: Sequence[str]):
        self.dataset, self.columns = dataset, columns

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: Any) -> dict[str, Any]:
        if not 0 <= index < len(self):
            raise IndexError(index)
        row = self.dataset[index]
        return {name: row[name] for name in self.columns}


def select(dataset: Rows, indices: Iterable[int]) -> Rows:
    """The examples with these indices, in this order."""
    return dataset.select(indices) if hasattr(dataset, "select") else [dataset[int(index)] for index in indices]


def columns_to_collate(dataset: Rows, accepted: Iterable[str] | None, others: Iterable[str] = ()) -> list[str]:
    """The columns of a data set that a collator needs for a model.

    Args:
        dataset: See `column_names`.
        accepted (`Iterable[str]` or None): Columns that the model takes. None, or none of the data set's: all columns (raw
            images, for example, from which the collator makes the model's input).
        others (`Iterable[str]`): Further columns to keep where they exist.
    """
    present = column_names(dataset)
    if not accepted or set(accepted).isdisjoint(present):
        return present
    return [name for name in present if name in accepted or name in others]


def longest_first(dataset: Rows) -> np.ndarray:
    """Indices of the examples by decreasing length (stable); without input_ids in the data set's order."""
    if "input_ids" not in column_names(dataset):
        return np.arange(len(dataset))
    if not hasattr(dataset, "select_columns"):
        lengths = [_length(row["input_ids"]) for row in rows_of_dataset(dataset)]
    else:
        ids = dataset.select_columns("input_ids")
        slices = (ids[start : start + _ROWS_AT_ONCE] for start in range(0, len(ids), _ROWS_AT_ONCE))
        lengths = [_length(row) for part in slices for row in part["input_ids"]]
    return np.argsort(-np.asarray(lengths), kind="stable")


def row_digests(
    batch: Mapping[str, torch.Tensor], columns: Iterable[str], num_examples: int | None = None
) -> np.ndarray:
    """A digest of eight bytes for each example of a batch, of its content without padding.

    Args:
        batch (`Mapping[str, torch.Tensor]`): Collated examples; an example may be several rows.
        columns (`Iterable[str]`): The columns that count.
        num_examples (`int`, *optional*): Only the first examples. Default: all.

    Returns:
        `np.ndarray` of int64, shape (examples,).
    """
    total = len(batch[EXAMPLE_ID])
    num_digests = total if num_examples is None else min(num_examples, total)
    digests = [hashlib.blake2b(digest_size=8) for _ in range(num_digests)]
    for name in sorted(columns):
        rows_per_example = len(batch[name]) // total
        num_rows = num_digests * rows_per_example
        rows, mask = batch[name][:num_rows].cpu(), _mask_of(name, batch)
        mask = None if mask is None else mask[:num_rows].cpu().bool()
        for index, row in enumerate(rows):
            if mask is not None and rows.shape[:2] == mask.shape:
                row = row[mask[index]]
            digests[index // rows_per_example].update(row.contiguous().numpy())
    return np.frombuffer(b"".join(digest.digest() for digest in digests), dtype=np.int64)


def text_batch(vocab_size: int, batch_size: int, num_tokens: int = 32, *, seed: int = 0) -> dict[str, torch.Tensor]:
    """A batch of random token ids without padding, to measure speed, which does not depend on the text.

    `functools.partial(text_batch, vocab_size)` is a `make_batch` for `measure_latency`. Take the smallest vocabulary
    of the models, so that the ids are valid in all of them.

    Args:
        vocab_size (`int`): Ids are drawn below it, and above the special tokens at its beginning.
        batch_size (`int`): Number of texts.
        num_tokens (`int`): Tokens per text.
        seed (`int`): The same seed gives the same ids.

    Returns:
        `dict` of `torch.Tensor`: `input_ids` and `attention_mask`, int64 of shape (batch_size, num_tokens).
    """
    import torch  # slow to import, and only this function needs it

    generator = torch.Generator().manual_seed(seed)
    lowest = min(1000, vocab_size // 2)
    ids = torch.randint(lowest, vocab_size, (batch_size, num_tokens), generator=generator)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def _mask_of(name: str, batch: Mapping[str, torch.Tensor]) -> torch.Tensor | None:
    """The attention mask of a column: tokens of another tokenizer have a mask under their own prefix."""
    suffix = next((token for token in TOKENS if name.endswith(token)), "")
    prefix = name.removesuffix(suffix) if suffix else ""
    return batch.get(f"{prefix}attention_mask")


def _length(ids: Sequence) -> int:
    """The number of tokens of an example; of several texts, that of the longest."""
    return max(map(len, ids)) if len(ids) and isinstance(ids[0], (list, tuple)) else len(ids)
