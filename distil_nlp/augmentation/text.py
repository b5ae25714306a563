"""Augmentation of tokenized texts: copies of rows, joined with other texts and altered token by token."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import datasets
import numpy as np

from ..data.examples import TOKENS
from ..internals.messages import shown

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

JOINED, MASKED, SWAPPED, DROPPED = 0.5, 0.1, 0.15, 0.1  # probabilities: the first of a row, the others of a token


def augmented_copies(
    rows: datasets.Dataset,
    tokenizer: PreTrainedTokenizerBase,
    *,
    num_copies: int,
    seed: int = 0,
    per_token: Iterable[str] = (),
) -> datasets.Dataset:
    """Copies of tokenized rows, in which texts are joined, and tokens masked, swapped for another or dropped.

    Half of the copies, chosen at random, continue with the text of another row where the result is not longer than the
    longest row. Then each token of the text is masked with probability 0.1, swapped for a token drawn from all the
    texts (frequent ones more often) with 0.15, dropped with 0.1; special tokens stay. The label of such a row is unknown,
    so the result goes through `Task.with_unlabeled` and the teacher labels it. Copies are useful with teachers
    that fit their training rows so well that their outputs add little to the labels. Of a pair, the second text continues.

    Args:
        rows (`datasets.Dataset`): From `Task.prepare`.
        tokenizer: The tokenizer given to `prepare`. Without a mask token, tokens to be masked are dropped.
        num_copies (`int`): Copies of every row, 1 or more.
        seed (`int`): The same rows and seed give the same copies.
        per_token (iterable of `str`): Columns with one value per token, in addition to the inputs: `Task.per_token`.
            Their values move with the tokens.

    Returns:
        `datasets.Dataset`: `num_copies` times as many rows, with the same columns; of every text with tokens at least one
        token is left.

    Raises:
        ValueError: `num_copies` below 1.

    Reference: masking as in Tang et al. 2019, "Distilling Task-Specific Knowledge from BERT into Simple Neural
    Networks", section 3.3; swapping and dropping as in Wei and Zou 2019, "EDA".
    """
    if num_copies < 1:
        raise ValueError(f"num_copies must be 1 or more; got {shown(num_copies)}.")
    if len(rows) == 0:
        return rows
    generator = np.random.default_rng(seed)
    originals = FlatRows.from_dataset(rows, tokenizer.all_special_ids, per_token=per_token)
    copies = [
        originals.join_texts(generator).alter_tokens(tokenizer.mask_token_id, generator) for _ in range(num_copies)
    ]
    return datasets.concatenate_datasets([copy.to_dataset(rows) for copy in copies])


class FlatRows:
    """Rows of tokens concatenated into one array per column.

    Args:
        columns (`dict[str, np.ndarray]`): One value per token.
        starts (`np.ndarray`): Start of each row, and last the number of tokens: shape (rows + 1,).
        special (`np.ndarray` of bool): Mask of the special tokens.
    """

    def __init__(self, columns: dict[str, np.ndarray], starts: np.ndarray, special: np.ndarray):
        self.columns, self.starts, self.special = columns, starts, special

    @classmethod
    def from_dataset(
        cls, rows: datasets.Dataset, special_ids: Iterable[int], *, per_token: Iterable[str] = ()
    ) -> FlatRows:
        """The columns of prepared rows that have a value per token: the model's inputs and `per_token`."""
        per_token = [name for name in (*TOKENS, *per_token) if name in rows.column_names]
        lists = rows.select_columns(per_token).with_format("numpy")[:]
        starts = np.cumsum([0, *map(len, lists["input_ids"])])
        columns = {name: np.concatenate(lists[name]) for name in per_token}
        return cls(columns, starts, np.isin(columns["input_ids"], special_ids))

    def join_texts(self, generator: np.random.Generator) -> FlatRows:
        """Rows, a random half of them with the text of another row appended after their last token of text."""
        num_rows, longest = len(self.starts) - 1, np.diff(self.starts).max()
        texts = [start + np.flatnonzero(~self.special[start:end]) for start, end in self._spans()]
        partners = generator.integers(num_rows, size=num_rows)
        is_joined = generator.random(num_rows) < JOINED
        positions, segments, starts = [], [], [0]
        for row, (start, end) in enumerate(self._spans()):
            added = texts[partners[row]]
            if not is_joined[row] or not len(texts[row]) or end - start + len(added) > longest:
                added = added[:0]
            last = texts[row][-1] if len(texts[row]) else start
            positions += [np.arange(start, last + 1), added, np.arange(last + 1, end)]
            # Added tokens belong to the segment they continue.
            segments += [positions[-3], np.full(len(added), last), positions[-1]]
            starts.append(starts[-1] + end - start + len(added))
        positions, segments = np.concatenate(positions), np.concatenate(segments)
        columns = {
            name: column[segments if name == "token_type_ids" else positions] for name, column in self.columns.items()
        }
        return FlatRows(columns, np.array(starts), self.special[positions])

    def alter_tokens(self, mask_token: int | None, generator: np.random.Generator) -> FlatRows:
        """Rows with some tokens of their text masked, swapped for others of the texts, or dropped."""
        ids, is_text = self.columns["input_ids"].copy(), ~self.special
        uniforms = generator.random(len(ids))
        masked = is_text & (uniforms < MASKED)
        swapped = is_text & (MASKED <= uniforms) & (uniforms < MASKED + SWAPPED)
        dropped = is_text & (MASKED + SWAPPED <= uniforms) & (uniforms < MASKED + SWAPPED + DROPPED)
        if mask_token is None:
            dropped |= masked
        else:
            ids[masked] = mask_token
        if swapped.any():
            ids[swapped] = generator.choice(self.columns["input_ids"][is_text], swapped.sum())
        row = np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))
        remains = ~(dropped & ~self._first_of_emptied_texts(dropped, row))
        starts = np.concatenate([[0], np.cumsum(np.bincount(row[remains], minlength=len(self.starts) - 1))])
        columns = {name: column[remains] for name, column in {**self.columns, "input_ids": ids}.items()}
        return FlatRows(columns, starts, self.special[remains])

    def to_dataset(self, rows: datasets.Dataset) -> datasets.Dataset:
        """`rows` with these tokens instead of their own, a `datasets.Dataset` of the same columns."""
        table = {name: np.split(column, self.starts[1:-1]) for name, column in self.columns.items()}
        table["length"] = np.diff(self.starts)
        features = datasets.Features({name: rows.features[name] for name in table})
        tokens, others = datasets.Dataset.from_dict(table, features=features), rows.remove_columns(list(table))
        return datasets.concatenate_datasets([tokens, others], axis=1).select_columns(rows.column_names)

    def _first_of_emptied_texts(self, dropped: np.ndarray, row: np.ndarray) -> np.ndarray:
        """Mask of the first token of every text that would lose all of its tokens."""
        has_text_left = np.zeros(len(self.starts) - 1, dtype=bool)
        has_text_left[row[~self.special & ~dropped]] = True
        positions = np.flatnonzero(~self.special & ~has_text_left[row])
        _, first = np.unique(row[positions], return_index=True)
        is_first = np.zeros(len(row), dtype=bool)
        is_first[positions[first]] = True
        return is_first

    def _spans(self) -> Iterator[tuple[int, int]]:
        """Start and end of each row."""
        return zip(self.starts[:-1], self.starts[1:], strict=True)
