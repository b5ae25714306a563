"""Rows of different length become a batch of tensors, padded to the longest of them."""

import torch

from ..data.examples import TOKENS


class PaddingCollator:
    """Pads the inputs to the longest row of the batch, and keeps whatever else a row carries.

    Args:
        tokenizer: Its `pad` knows the padding token and side.
        float_labels (`bool`): Labels are numbers (float32), not classes (int64).
        per_token (`dict[str, int or bool]`, *optional*): Further columns with one value a token (labels of tokens,
            say): name to the value that stands at padding.
        pad_to_multiple_of (`int`, *optional*): Rounds the length up; 8 suits the matrix units of GPUs.

    Called with a list of rows, it returns:
        `dict[str, torch.Tensor]`: input_ids, attention_mask and, where rows have them, token_type_ids of shape
        (batch, sequence), int64; columns of `per_token` of the same shape, int64 or bool; other labels of shape
        (batch,) or (batch, labels); example_id (batch,), int64; any other column as a tensor. `length` and `lost_words`
        are left out: no model takes them.
    """

    padding_side = None  # the tokenizer's
    not_for_the_model = ("length", "lost_words")

    def __init__(self, tokenizer, *, float_labels=False, per_token=None, pad_to_multiple_of=None):
        if tokenizer.pad_token is None:
            raise ValueError(
                f"{type(tokenizer).__name__} has no padding token, so texts of different length cannot share a batch. "
                f"Set one, e.g. `tokenizer.pad_token = tokenizer.eos_token`, and the model's `config.pad_token_id`."
            )
        self.tokenizer = tokenizer
        self.label_dtype = torch.float32 if float_labels else torch.int64
        self.per_token = per_token or {}
        self.pad_to_multiple_of = pad_to_multiple_of

    def __call__(self, rows):
        inputs = [name for name in TOKENS if name in rows[0]]
        padded = self.tokenizer.pad(
            {name: [row[name] for row in rows] for name in inputs},
            pad_to_multiple_of=self.pad_to_multiple_of,
            padding_side=self.padding_side,
            return_tensors="pt",
        )
        batch = dict(padded)
        for name in rows[0]:
            if name in self.per_token:
                batch[name] = self._padded([row[name] for row in rows], batch["input_ids"], self.per_token[name])
            elif name not in TOKENS and name not in self.not_for_the_model:
                dtype = self.label_dtype if name == "labels" else None
                batch[name] = torch.as_tensor([row[name] for row in rows], dtype=dtype)
        return batch

    def _padded(self, rows, like, value):
        """Rows of values as a tensor of the shape of `like`, `value` on the side where the tokenizer pads."""
        batch = torch.full(like.shape, value)
        for row, values in zip(batch, rows, strict=True):
            place = (
                slice(len(row) - len(values), None) if self.tokenizer.padding_side == "left" else slice(len(values))
            )
            row[place] = torch.as_tensor(values, dtype=batch.dtype)
        return batch
