"""Text in rows of one length, with some of its tokens hidden: pure arrays, a function of the seed."""

import numpy as np
from tqdm.auto import tqdm

MISSING = -100
_AT_ONCE = 1_000
_MASKED, _SWAPPED = 0.8, 0.1  # of the chosen tokens; the rest is shown as it is


def blocks(texts, tokenizer, max_length):
    """Texts end to end, the separator between them, cut into rows of `max_length` tokens with the special ones around.

    Args:
        texts (`list` of `str`): Empty ones are left out.
        tokenizer: With a separator or an end token, where it has one.
        max_length (`int`): Tokens of a row, special ones included.

    Returns:
        `list` of `np.ndarray` of int32; all but the last have `max_length` tokens.
    """
    before, after = _frame(tokenizer)
    separator = tokenizer.sep_token_id if tokenizer.sep_token_id is not None else tokenizer.eos_token_id
    between = [] if separator is None else [separator]
    pieces = []
    for start in tqdm(range(0, len(texts), _AT_ONCE), desc="Tokenizing", delay=3.0, leave=False):
        batch = tokenizer(texts[start : start + _AT_ONCE], add_special_tokens=False, verbose=False)["input_ids"]
        pieces += [np.array([*between, *ids], dtype=np.int32) for ids in batch if ids]
    if not pieces:
        return []
    stream = np.concatenate(pieces)[len(between) :]
    size = max_length - len(before) - len(after)
    cuts = np.split(stream, range(size, len(stream), size))
    return [np.concatenate([before, cut, after]).astype(np.int32) for cut in cuts]


def hidden(row, tokenizer, *, probability, seed):
    """One row with tokens hidden: of those chosen 80 % are masked, 10 % swapped for another word, 10 % stay.

    Args:
        row (`np.ndarray` of int): Token ids, at least one of them no special token.
        tokenizer (`MaskableTokens`): What may be chosen.
        probability (`float`): Of each token to be chosen. One is, whatever the draw.
        seed: What `np.random.default_rng` takes; same seed, same choice.

    Returns:
        `(ids, labels)`: arrays of the row's shape; `labels` has the token where it was chosen, otherwise -100.

    Reference: Devlin et al. 2019, BERT, section 3.1 and appendix A.1.
    """
    draw = np.random.default_rng(seed)
    maskable = tokenizer.maskable(row)
    chosen = maskable & (draw.random(len(row)) < probability)
    if not chosen.any():
        chosen[draw.choice(np.flatnonzero(maskable))] = True
    how = draw.random(len(row))
    swapped = chosen & (how >= _MASKED) & (how < _MASKED + _SWAPPED)
    ids = np.where(chosen & (how < _MASKED), tokenizer.mask_token, row)
    ids[swapped] = draw.choice(tokenizer.words, swapped.sum())
    return ids, np.where(chosen, row, MISSING)


class MaskableTokens:
    """Which tokens of a vocabulary are words, and what stands for a hidden one.

    Args:
        tokenizer: With a mask token.

    Attributes:
        mask_token (`int`): Its id.
        words (`np.ndarray` of int): All ids but the special ones.

    Raises:
        ValueError: No mask token.
    """

    def __init__(self, tokenizer):
        if tokenizer.mask_token_id is None:
            raise ValueError(
                f"{type(tokenizer).__name__} has no mask token, so no word can be hidden. Take a teacher that was made "
                f"for masked-language modeling (BERT, RoBERTa, ModernBERT and their kin), with its tokenizer."
            )
        self.mask_token = tokenizer.mask_token_id
        self._special = np.array(tokenizer.all_special_ids)
        self.words = np.setdiff1d(np.arange(len(tokenizer)), self._special)

    def maskable(self, row):
        """Mask of the tokens of a row that are words."""
        return ~np.isin(row, self._special)


def _frame(tokenizer):
    """The special tokens before and after a text."""
    filled = tokenizer(tokenizer.unk_token or "a", return_special_tokens_mask=True)
    is_text = np.flatnonzero(np.array(filled["special_tokens_mask"]) == 0)
    ids = filled["input_ids"]
    return ids[: is_text[0]], ids[is_text[-1] + 1 :]
