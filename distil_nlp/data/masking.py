"""Masked-language-modeling data: texts grouped into rows of one length, and masked tokens as a function of the seed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm.auto import tqdm

from ..signals.problem_kinds import MISSING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_TEXTS_AT_ONCE = 1_000
_MASKED, _SWAPPED = 0.8, 0.1  # of the chosen tokens; the others stay


def group_texts(texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, max_length: int) -> list[np.ndarray]:
    """Rows of `max_length` tokens: texts joined by the separator, cut, with the special tokens around each row.

    Args:
        texts (`list` of `str`): Empty texts are left out.
        tokenizer: Its separator or end token, where it has one, goes between the texts.
        max_length (`int`): Tokens of a row, special ones included.

    Returns:
        `list` of `np.ndarray` of int32; all but the last have `max_length` tokens.
    """
    before, after = _special_tokens_around(tokenizer)
    separator = tokenizer.sep_token_id if tokenizer.sep_token_id is not None else tokenizer.eos_token_id
    between = [] if separator is None else [separator]
    pieces = []
    for start in tqdm(range(0, len(texts), _TEXTS_AT_ONCE), desc="Tokenizing", delay=3.0, leave=False):
        batch = tokenizer(texts[start : start + _TEXTS_AT_ONCE], add_special_tokens=False, verbose=False)["input_ids"]
        pieces += [np.array([*between, *ids], dtype=np.int32) for ids in batch if ids]
    if not pieces:
        return []
    stream = np.concatenate(pieces)[len(between) :]
    size = max_length - len(before) - len(after)
    cuts = np.split(stream, range(size, len(stream), size))
    return [np.concatenate([before, cut, after]).astype(np.int32) for cut in cuts]


def mask_tokens(
    row: np.ndarray, vocabulary: MaskableTokens, *, probability: float, seed: Any
) -> tuple[np.ndarray, np.ndarray]:
    """One row with masked tokens and its labels: of the chosen tokens 80 % are masked, 10 % swapped for another word, 10 %
    stay.

    Args:
        row (`np.ndarray` of int): Token ids, at least one of them not special.
        vocabulary (`MaskableTokens`): The tokens that may be chosen.
        probability (`float`): Probability that a token is chosen. At least one is chosen.
        seed: A seed for `np.random.default_rng`; the same seed gives the same choice.

    Returns:
        `(ids, labels)`: arrays of the row's shape; `labels` has the token where it was chosen, otherwise -100.

    Reference: Devlin et al. 2019, BERT, section 3.1 and appendix A.1.
    """
    generator = np.random.default_rng(seed)
    maskable = vocabulary.maskable(row)
    chosen = maskable & (generator.random(len(row)) < probability)
    if not chosen.any():
        chosen[generator.choice(np.flatnonzero(maskable))] = True
    uniforms = generator.random(len(row))
    swapped = chosen & (uniforms >= _MASKED) & (uniforms < _MASKED + _SWAPPED)
    ids = np.where(chosen & (uniforms < _MASKED), vocabulary.mask_token, row)
    ids[swapped] = generator.choice(vocabulary.words, swapped.sum())
    return ids, np.where(chosen, row, MISSING)


class MaskableTokens:
    """The mask token of a vocabulary and the tokens that may be masked.

    Args:
        tokenizer: With a mask token.

    Attributes:
        mask_token (`int`): Its id.
        words (`np.ndarray` of int): All ids but the special ones.

    Raises:
        ValueError: No mask token.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase):
        if tokenizer.mask_token_id is None:
            raise ValueError(
                f"{type(tokenizer).__name__} has no mask token, so no word can be masked. Use a teacher made for "
                f"masked-language modeling (such as BERT, RoBERTa or ModernBERT), with its tokenizer."
            )
        self.mask_token = tokenizer.mask_token_id
        self._special = np.array(tokenizer.all_special_ids)
        self.words = np.setdiff1d(np.arange(len(tokenizer)), self._special)

    def maskable(self, row: np.ndarray) -> np.ndarray:
        """Mask of the tokens of a row that are not special."""
        return ~np.isin(row, self._special)


def _special_tokens_around(tokenizer: PreTrainedTokenizerBase) -> tuple[list[int], list[int]]:
    """The special tokens before and after a text."""
    encoding = tokenizer(tokenizer.unk_token or "a", return_special_tokens_mask=True)
    is_text = np.flatnonzero(np.array(encoding["special_tokens_mask"]) == 0)
    ids = encoding["input_ids"]
    return ids[: is_text[0]], ids[is_text[-1] + 1 :]
