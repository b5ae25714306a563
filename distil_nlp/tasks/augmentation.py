"""More text for the teacher to speak about: rows that are there, altered word by word."""

import datasets
import numpy as np

MASKED, SWAPPED, DROPPED = 0.1, 0.15, 0.1


def altered_copies(rows, tokenizer, *, num_copies, seed=0):
    """Copies of tokenised rows in which some tokens are masked, swapped for another or left out.

    Each token of the text is masked with probability 0.1, swapped for a token drawn from all the texts (frequent
    ones more often) with 0.15, left out with 0.1; special tokens stay. What such a row means nobody knows but the
    teacher, so the result goes through `Task.with_unlabelled`. Where the teacher fits its training rows so well that
    its answers say little more than the labels, it says more about rows like these.

    Args:
        rows (`datasets.Dataset`): From `Task.prepare`.
        tokenizer: The one `prepare` was given. Without a mask token, what would be masked is left out.
        num_copies (`int`): Copies of every row, 1 or more.
        seed (`int`): Same rows and seed, same copies.

    Returns:
        `datasets.Dataset`: `num_copies` times as many rows, with the same columns; at least one token of every text
        that had one is left.

    Raises:
        ValueError: `num_copies` below 1.

    Reference: the masking of Tang et al. 2019, "Distilling Task-Specific Knowledge from BERT into Simple Neural
    Networks", section 3.3; swapping and leaving out after Wei and Zou 2019, "EDA".
    """
    if num_copies < 1:
        raise ValueError(f"num_copies must be 1 or more; got {num_copies!r}.")
    generator = np.random.default_rng(seed)
    columns = rows.with_format("numpy")[:]
    per_token = [name for name in ("input_ids", "token_type_ids", "attention_mask") if name in rows.column_names]
    lengths = np.array([len(ids) for ids in columns["input_ids"]])
    flat = {name: np.concatenate(columns[name]) for name in per_token}
    special = np.isin(flat["input_ids"], tokenizer.all_special_ids)
    copies = [
        _altered(flat, lengths, special, tokenizer.mask_token_id, generator, rows.features) for _ in range(num_copies)
    ]
    others = rows.remove_columns([*per_token, "length"])
    return datasets.concatenate_datasets(
        [datasets.concatenate_datasets([copy, others], axis=1).select_columns(rows.column_names) for copy in copies]
    )


def _altered(flat, lengths, special, mask_token, generator, features):
    """One altered copy of all rows: their columns with one value per token, and `length`."""
    ids = flat["input_ids"].copy()
    chance = generator.random(len(ids))
    masked = ~special & (chance < MASKED)
    swapped = ~special & (MASKED <= chance) & (chance < MASKED + SWAPPED)
    dropped = ~special & (MASKED + SWAPPED <= chance) & (chance < MASKED + SWAPPED + DROPPED)
    if mask_token is None:
        dropped |= masked
    else:
        ids[masked] = mask_token
    if swapped.any():
        ids[swapped] = generator.choice(flat["input_ids"][~special], swapped.sum())
    row = np.repeat(np.arange(len(lengths)), lengths)
    _keep_one(dropped, special, row)
    kept = ~dropped
    offsets = np.concatenate([[0], np.cumsum(np.bincount(row[kept], minlength=len(lengths)))])
    values = {**flat, "input_ids": ids}
    table = {name: np.split(column[kept], offsets[1:-1]) for name, column in values.items()}
    table["length"] = np.diff(offsets)
    return datasets.Dataset.from_dict(table, features=datasets.Features({name: features[name] for name in table}))


def _keep_one(dropped, special, row):
    """Bring the first token of a text back where all of them were dropped; in place."""
    text_left = np.zeros(row[-1] + 1 if len(row) else 0, dtype=bool)
    text_left[row[~special & ~dropped]] = True
    places = np.flatnonzero(~special & ~text_left[row])
    _, first = np.unique(row[places], return_index=True)
    dropped[places[first]] = False
