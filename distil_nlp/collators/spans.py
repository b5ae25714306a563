"""Windows of a context become a batch."""

import torch

from ..signals.columns import SOFT_ITEMS
from .text import PaddingCollator


class SpanCollator(PaddingCollator):
    """Pads on the right, where no position of an answer moves, and says that the teacher counts in every window.

    Args:
        tokenizer: Its `pad` knows the padding token.
        pad_to_multiple_of (`int`, *optional*): See `PaddingCollator`.

    Called with a list of rows from `QuestionAnswering.prepare`, it returns what `PaddingCollator` does: labels of shape
    (batch, 2), int64; context_span, where rows have it, of shape (batch, 2), int64; and soft_items of shape (batch, 2),
    bool, all True. Where the tokens stand in the text is left out.
    """

    padding_side = "right"
    not_for_the_model = (*PaddingCollator.not_for_the_model, "example", "token_starts", "token_ends")

    def __init__(self, tokenizer, *, pad_to_multiple_of=None):
        super().__init__(tokenizer, float_labels=False, pad_to_multiple_of=pad_to_multiple_of)

    def __call__(self, rows):
        return {**super().__call__(rows), SOFT_ITEMS: torch.ones(len(rows), 2, dtype=torch.bool)}
