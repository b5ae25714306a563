"""Tokenization of rows of text, in memory or in a file that the next run reads, and their largest length."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datasets.fingerprint import Hasher

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase

logger = logging.getLogger(__name__)


def clamp_max_length(max_length: int, tokenizer: PreTrainedTokenizerBase, *, is_pair: bool = False) -> int:
    """`max_length`, or the tokenizer's limit where that is smaller.

    Args:
        max_length (`int`): Tokens, special ones included.
        tokenizer: A `max_length` above its limit is logged as a warning.
        is_pair (`bool`): Rows contain two texts.

    Raises:
        ValueError: Special tokens leave no room for text.
    """
    num_special = tokenizer.num_special_tokens_to_add(pair=is_pair)
    if max_length <= num_special:
        raise ValueError(
            f"max_length={max_length} leaves no room for text: {num_special} tokens of every row are special ones. Set it "
            f"to the length of your longer texts, 128 for example."
        )
    if max_length > tokenizer.model_max_length:
        logger.warning(
            "max_length=%d is more than the model reads (%d); texts are cut there.",
            max_length,
            tokenizer.model_max_length,
        )
    return min(max_length, tokenizer.model_max_length)


def tokenize_rows(
    rows: Dataset,
    tokenize: Callable[[dict], dict],
    tokenizer: PreTrainedTokenizerBase,
    *,
    key: Iterable[Any],
    cache_dir: str | Path | None = None,
) -> Dataset:
    """Rows of tokens instead of the text columns.

    Args:
        rows (`datasets.Dataset`): The columns that `tokenize` reads, and no others.
        tokenize (`Callable[[dict], dict]`): Columns of some rows -> columns of as many rows.
        tokenizer: The tokenizer that `tokenize` uses; its state is part of the cache key.
        key (`tuple`): Everything else that determines the result.
        cache_dir (`str` or `Path`, *optional*): Store the tokens in a file here and read them from it, in later runs too.
            Default: in memory.

    Returns:
        `datasets.Dataset` of as many rows.
    """
    # Our own key: the pickle of a tokenizer changes after its first use.
    key = Hasher.hash([rows._fingerprint, *key, _state(tokenizer)])
    storage = {"keep_in_memory": True, "load_from_cache_file": False}
    if cache_dir is not None:
        Path(cache_dir).mkdir(parents=True, exist_ok=True)
        storage = {"cache_file_name": str(Path(cache_dir) / f"tokens-{key}.arrow"), "load_from_cache_file": True}
    return rows.map(
        tokenize, batched=True, remove_columns=rows.column_names, new_fingerprint=key, desc="Tokenizing", **storage
    )


def _state(tokenizer: PreTrainedTokenizerBase) -> list:
    """Everything that determines a tokenizer's output, but truncation and padding, which each call sets."""
    names = [type(tokenizer).__name__, tokenizer.model_input_names, tokenizer.truncation_side, tokenizer.padding_side]
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return [*names, sorted(tokenizer.get_vocab().items()), str(tokenizer.init_kwargs)]
    settings = json.loads(backend.to_str())
    return [*names, {name: value for name, value in settings.items() if name not in ("truncation", "padding")}]
