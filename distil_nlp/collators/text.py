"""Collators of tokenized texts: sequences, masked sequences, windows of a context, pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch

from ..data.collator import Batch, Collator, Row, pad
from ..data.examples import TOKENS
from ..signals.columns import POSITIONS, SOFT_ITEMS
from ..signals.problem_kinds import MISSING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class PaddingCollator(Collator):
    """Pads the inputs to the longest row of the batch and stacks the other columns.

    Args:
        tokenizer: Its `pad` decides the padding token and side.
        float_labels (`bool`): Labels are numbers (float32), not classes (int64).
        per_token (`dict[str, int or bool]`, *optional*): Further columns with one value per token, such as token labels:
            name -> value at padding.
        pad_to_multiple_of (`int`, *optional*): Rounds the length up; 8 suits the matrix units of GPUs.

    Called with a list of rows, it returns:
        `dict[str, torch.Tensor]`: input_ids, attention_mask and, where rows have them, token_type_ids of shape
        (batch, sequence), int64; columns of `per_token` of the same shape, int64 or bool; other labels of shape
        (batch,) or (batch, labels); example_id (batch,), int64; any other column as a tensor. `length` and `lost_words`
        are left out: no model takes them.

    Raises:
        ValueError: A tokenizer without a padding token.
    """

    padding_side: str | None = None  # None: the tokenizer's
    dropped_columns: tuple[str, ...] = ("length", "lost_words")

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        *,
        float_labels: bool = False,
        per_token: Mapping[str, int | bool] | None = None,
        pad_to_multiple_of: int | None = None,
    ):
        if tokenizer.pad_token is None:
            raise ValueError(
                f"{type(tokenizer).__name__} has no padding token, so texts of different length cannot share a batch. "
                f"Set one, e.g. `tokenizer.pad_token = tokenizer.eos_token`, and the model's `config.pad_token_id`."
            )
        self.tokenizer = tokenizer
        self.label_dtype = torch.float32 if float_labels else torch.int64
        self.per_token = dict(per_token or {})
        self.pad_to_multiple_of = pad_to_multiple_of

    def __call__(self, rows: Sequence[Row]) -> Batch:
        inputs = [name for name in TOKENS if name in rows[0]]
        padded = self.tokenizer.pad(
            {name: [row[name] for row in rows] for name in inputs},
            pad_to_multiple_of=self.pad_to_multiple_of,
            padding_side=self.padding_side,
            return_tensors="pt",
        )
        batch = dict(padded)
        for name in rows[0]:
            if name in TOKENS or name in self.dropped_columns:
                continue
            values = [row[name] for row in rows]
            if name in self.per_token:
                length, side = batch["input_ids"].shape[1], self.tokenizer.padding_side
                batch[name] = pad(values, self.per_token[name], length=length, padding_side=side)
            else:
                batch[name] = torch.as_tensor(values, dtype=self.label_dtype if name == "labels" else None)
        return batch


class MaskedCollator(Collator):
    """Pads rows with masked words, and marks the masked positions.

    `forward_logits` computes logits at `positions` only, about one in seven: with a vocabulary of 30,000, logits at all
    positions would be the largest tensors of a training step.

    Args:
        tokenizer, pad_to_multiple_of: See `PaddingCollator`.

    Called with a list of rows from `MaskedLanguageModeling.prepare`, it returns:
        `dict[str, torch.Tensor]`: input_ids, attention_mask and, where rows have them, token_type_ids of shape
        (batch, sequence), int64; positions (batch, sequence), bool, True where a word is masked; labels
        (num_masked,), int64: the masked words, row by row; soft_items (num_masked,), bool, all True: soft targets count
        at each of them. Rows without labels give the first three only.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, *, pad_to_multiple_of: int | None = None):
        self._pad_inputs = PaddingCollator(tokenizer, pad_to_multiple_of=pad_to_multiple_of)

    def __call__(self, rows: Sequence[Row]) -> Batch:
        batch = self._pad_inputs([{name: value for name, value in row.items() if name != "labels"} for row in rows])
        if "labels" not in rows[0]:
            return batch
        words = torch.cat([torch.as_tensor(row["labels"], dtype=torch.int64) for row in rows])
        is_masked = words != MISSING
        batch[POSITIONS] = torch.zeros(batch["input_ids"].shape, dtype=torch.bool)
        # Real tokens in the order of the rows, on whichever side the padding is.
        batch[POSITIONS][batch["attention_mask"].bool()] = is_masked
        batch["labels"] = words[is_masked]
        batch[SOFT_ITEMS] = torch.ones_like(batch["labels"], dtype=torch.bool)
        return batch


class SpanCollator(PaddingCollator):
    """Pads windows of a context on the right, so that answer positions stay, and counts soft targets in every window.

    Args:
        tokenizer, pad_to_multiple_of: See `PaddingCollator`.

    Called with a list of rows from `QuestionAnswering.prepare`, it returns the batch of `PaddingCollator`: labels of shape
    (batch, 2), int64; context_span, where rows have it, of shape (batch, 2), int64; and soft_items of shape (batch, 2),
    bool, all True. The positions of the tokens in the text are left out.
    """

    padding_side = "right"
    dropped_columns = (*PaddingCollator.dropped_columns, "example", "token_starts", "token_ends")

    def __init__(self, tokenizer: PreTrainedTokenizerBase, *, pad_to_multiple_of: int | None = None):
        super().__init__(tokenizer, pad_to_multiple_of=pad_to_multiple_of)

    def __call__(self, rows: Sequence[Row]) -> Batch:
        return {**super().__call__(rows), SOFT_ITEMS: torch.ones(len(rows), 2, dtype=torch.bool)}


class PairCollator(Collator):
    """Pads the texts of all pairs to the longest text, the two texts of a pair side by side.

    Args:
        tokenizer, pad_to_multiple_of: See `PaddingCollator`.

    Called with a list of prepared pairs, it returns:
        `dict[str, torch.Tensor]`: input_ids, attention_mask and, where rows have them, token_type_ids of shape
        (2 * pairs, sequence): first and second text of the first pair, then the next pair's. labels (pairs,), float32;
        example_id (pairs,), int64.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, *, pad_to_multiple_of: int | None = None):
        self._pad_texts = PaddingCollator(tokenizer, float_labels=True, pad_to_multiple_of=pad_to_multiple_of)

    def __call__(self, rows: Sequence[Row]) -> Batch:
        inputs = [name for name, value in rows[0].items() if isinstance(value, (list, tuple))]
        batch = self._pad_texts([{name: row[name][side] for name in inputs} for row in rows for side in (0, 1)])
        for name in rows[0]:
            if name not in inputs and name != "length":
                dtype = torch.float32 if name == "labels" else None
                batch[name] = torch.as_tensor([row[name] for row in rows], dtype=dtype)
        return batch
