"""Rows with hidden words become a batch that asks for these positions alone."""

import torch

from ..data.masking import MISSING
from ..signals.columns import POSITIONS, SOFT_ITEMS
from .text import PaddingCollator


class MaskedCollator:
    """Pads the rows, and says at which positions a word is to be found.

    Logits at all positions would be seven times what is needed, over a vocabulary of 30,000 the largest tensors of a
    step; `signals.ask` gives those at `positions` alone.

    Args:
        tokenizer: Its `pad` knows the padding token and side.
        pad_to_multiple_of (`int`, *optional*): Rounds the length up; 8 suits the matrix units of GPUs.

    Called with a list of rows from `MaskedLanguageModeling.prepare`, it returns:
        `dict[str, torch.Tensor]`: input_ids, attention_mask and, where rows have them, token_type_ids of shape
        (batch, sequence), int64; positions (batch, sequence), bool, True where a word is hidden; labels
        (num_masked,), int64: the hidden words, row by row; soft_items (num_masked,), bool: the teacher counts at all
        of them. Without labels in the rows, the first three alone.
    """

    def __init__(self, tokenizer, *, pad_to_multiple_of=None):
        self._padded = PaddingCollator(tokenizer, float_labels=False, pad_to_multiple_of=pad_to_multiple_of)

    def __call__(self, rows):
        batch = self._padded([{name: value for name, value in row.items() if name != "labels"} for row in rows])
        if "labels" not in rows[0]:
            return batch
        words = torch.cat([torch.as_tensor(row["labels"], dtype=torch.int64) for row in rows])
        is_hidden = words != MISSING
        batch[POSITIONS] = torch.zeros(batch["input_ids"].shape, dtype=torch.bool)
        # Real tokens in the order of the rows, on whichever side the padding is.
        batch[POSITIONS][batch["attention_mask"].bool()] = is_hidden
        batch["labels"] = words[is_hidden]
        batch[SOFT_ITEMS] = torch.ones_like(batch["labels"], dtype=torch.bool)
        return batch
