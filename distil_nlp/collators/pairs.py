"""Pairs of texts become a batch of texts: the two of a pair stand side by side."""

import torch

from .text import PaddingCollator


class PairCollator:
    """Pads the texts of all pairs to the longest of them.

    Args:
        tokenizer, pad_to_multiple_of: See `PaddingCollator`.

    Called with a list of prepared pairs, it returns:
        `dict[str, torch.Tensor]`: input_ids, attention_mask and, where rows have them, token_type_ids of shape
        (2 * pairs, sequence): first and second text of the first pair, then the next pair's. labels (pairs,), float32;
        example_id (pairs,), int64.
    """

    def __init__(self, tokenizer, *, pad_to_multiple_of=None):
        self._pad = PaddingCollator(tokenizer, float_labels=True, pad_to_multiple_of=pad_to_multiple_of)

    def __call__(self, rows):
        inputs = [name for name, value in rows[0].items() if isinstance(value, (list, tuple))]
        batch = self._pad([{name: row[name][place] for name in inputs} for row in rows for place in (0, 1)])
        for name in rows[0]:
            if name not in inputs and name != "length":
                dtype = torch.float32 if name == "labels" else None
                batch[name] = torch.as_tensor([row[name] for row in rows], dtype=dtype)
        return batch
