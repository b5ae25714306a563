"""Examples of a data set: their numbers, the columns somebody reads, the order that is fastest."""

import hashlib

import numpy as np

EXAMPLE_ID = "example_id"
TOKENS = ("input_ids", "token_type_ids", "attention_mask")  # what a tokenizer makes of a text
_READ_AT_ONCE = 10_000


def add_example_ids(dataset):
    """The data set with a column "example_id": 0, 1, ... It says which answer of a cached teacher is whose.

    Args:
        dataset (`datasets.Dataset`): Without such a column.
    """
    return dataset.add_column(EXAMPLE_ID, np.arange(len(dataset)))


def column_names(dataset):
    """Names of the columns of a `datasets.Dataset` or of a list of dictionaries."""
    return list(dataset.column_names if hasattr(dataset, "column_names") else dataset[0])


def with_columns(dataset, columns):
    """The data set with these columns only."""
    if hasattr(dataset, "select_columns"):
        return dataset.select_columns(columns)
    return [{name: row[name] for name in columns} for row in dataset]


def select(dataset, numbers):
    """These examples of a data set, in this order."""
    return dataset.select(numbers) if hasattr(dataset, "select") else [dataset[int(number)] for number in numbers]


def columns_read(dataset, accepted, beside=()):
    """Which columns of a data set a collator should see for somebody who reads the columns `accepted`.

    Args:
        dataset: See `column_names`.
        accepted (`Iterable[str]` or None): None, or none of those there are: all columns (raw images, say, which the
            collator turns into what the model reads).
        beside (`Iterable[str]`): Others that go along where they exist.
    """
    present = column_names(dataset)
    if not accepted or set(accepted).isdisjoint(present):
        return present
    return [name for name in present if name in accepted or name in beside]


def longest_first(dataset):
    """Indices of the examples by falling length, equal lengths in their order; the data set's order without ids."""
    if "input_ids" not in column_names(dataset):
        return np.arange(len(dataset))
    if not hasattr(dataset, "select_columns"):
        lengths = [_length(row["input_ids"]) for row in dataset]
    else:
        ids = dataset.select_columns("input_ids")
        slices = (ids[start : start + _READ_AT_ONCE] for start in range(0, len(ids), _READ_AT_ONCE))
        lengths = [_length(row) for part in slices for row in part["input_ids"]]
    return np.argsort(-np.asarray(lengths), kind="stable")


def row_digests(batch, columns, num_examples=None):
    """Eight bytes for each example of a batch that change with what it holds, and not with padding.

    Args:
        batch (`Mapping[str, torch.Tensor]`): Collated examples; one may be several rows.
        columns (`Iterable[str]`): What counts.
        num_examples (`int`, *optional*): Of the first examples only.

    Returns:
        `np.ndarray` of int64, shape (examples,).
    """
    total = len(batch[EXAMPLE_ID])
    wanted = total if num_examples is None else min(num_examples, total)
    digests = [hashlib.blake2b(digest_size=8) for _ in range(wanted)]
    for name in sorted(columns):
        several = len(batch[name]) // total
        rows, mask = batch[name][: wanted * several].cpu(), _mask_of(name, batch)
        mask = None if mask is None else mask[: wanted * several].cpu().bool()
        for place, row in enumerate(rows):
            if mask is not None and rows.shape[:2] == mask.shape:
                row = row[mask[place]]
            digests[place // several].update(row.contiguous().numpy())
    return np.frombuffer(b"".join(digest.digest() for digest in digests), dtype=np.int64)


def text_batch(vocab_size, batch_size, num_tokens=32, *, seed=0):
    """Random text without padding: what a batch costs does not depend on what it says.

    `functools.partial(text_batch, vocab_size)` is a `make_batch` for `measure_latency`. Take the smallest vocabulary
    of the models, so that the ids are valid in all of them.

    Args:
        vocab_size (`int`): Ids are drawn below it, and above the special ones at its beginning.
        batch_size (`int`): Sentences.
        num_tokens (`int`): Tokens each.
        seed (`int`): Of the draw.

    Returns:
        `dict` of `torch.Tensor`: `input_ids` and `attention_mask`, int64 of shape (batch_size, num_tokens).
    """
    import torch  # who only looks at data need not wait for it

    generator = torch.Generator().manual_seed(seed)
    lowest = min(1000, vocab_size // 2)
    ids = torch.randint(lowest, vocab_size, (batch_size, num_tokens), generator=generator)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def _mask_of(name, batch):
    """Which positions of a column are no padding: tokens of another tokenizer have a mask under their own prefix."""
    kind = next((token for token in TOKENS if name.endswith(token)), "")
    prefix = name.removesuffix(kind) if kind else ""
    return batch.get(f"{prefix}attention_mask")


def _length(ids):
    """Tokens of an example; of one of several texts, of the longest."""
    return max(map(len, ids)) if len(ids) and isinstance(ids[0], (list, tuple)) else len(ids)
