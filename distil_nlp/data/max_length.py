"""How many tokens a row may have."""

import logging

logger = logging.getLogger(__name__)


def clamp_max_length(max_length, tokenizer, *, is_pair=False):
    """`max_length` within the tokenizer's limit, and large enough for a text.

    Args:
        max_length (`int`): Tokens, special ones included.
        tokenizer: Its limit is kept, with a warning.
        is_pair (`bool`): Rows hold two texts.

    Raises:
        ValueError: No room for text.
    """
    special = tokenizer.num_special_tokens_to_add(pair=is_pair)
    if max_length <= special:
        raise ValueError(
            f"max_length={max_length} leaves no room for text: {special} tokens of every row are special ones. Set it "
            f"to the length of your longer texts, 128 for example."
        )
    if max_length > tokenizer.model_max_length:
        logger.warning(
            "max_length=%d is more than the model reads (%d); texts are cut there.",
            max_length,
            tokenizer.model_max_length,
        )
    return min(max_length, tokenizer.model_max_length)
