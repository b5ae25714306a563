"""Augmentation of tokenized texts: copies of rows with words replaced by a masked language model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import datasets
import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence
from tqdm.auto import tqdm

from ..internals.messages import shown
from ..models.loading import load_model, load_tokenizer
from ..signals.columns import POSITIONS
from ..signals.forward import accepted_columns, forward_logits
from .text import FlatRows

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_WORD_STARTS = ("Ġ", "▁")  # how vocabularies of byte-level BPE and SentencePiece mark the beginning of a word


def replaced_copies(
    rows: datasets.Dataset,
    tokenizer: PreTrainedTokenizerBase,
    model: PreTrainedModel,
    *,
    num_copies: int,
    probability: float = 0.4,
    num_candidates: int = 15,
    seed: int = 0,
    batch_size: int = 64,
    device: torch.device | None = None,
) -> datasets.Dataset:
    """Copies of tokenized rows, in which words are replaced by likely predictions of a masked language model.

    Each word of a text is replaced with `probability`. The model reads the row with this one word masked; its
    `num_candidates` most probable other words are the candidates, and one of them is drawn uniformly. Each position that is
    replaced in any copy costs one prediction. Words of several pieces are not replaced (the paper takes their neighbors
    among GloVe vectors), nor are punctuation and special tokens; pieces and punctuation are not candidates. The label of
    such a row is unknown, so the result goes through `Task.with_unlabeled` and the teacher labels it.

    Args:
        rows (`datasets.Dataset`): From `Task.prepare`.
        tokenizer: The tokenizer given to `prepare`.
        model (`PreTrainedModel`): With a head for masked-language modeling, over the vocabulary of `tokenizer`; from
            `load_masked_lm`, which checks this.
        num_copies (`int`): Copies of every row, 1 or more.
        probability (`float`): Probability that a word is replaced; 0 to 1.
        num_candidates (`int`): 1 or more.
        seed (`int`): The same rows, model and seed give the same copies.
        batch_size (`int`): Rows in one forward pass.
        device (`torch.device`, *optional*): Where the model runs. Default: where it is.

    Returns:
        `datasets.Dataset`: `num_copies` times as many rows, of the same columns and lengths.

    Raises:
        ValueError: Numbers out of range; a tokenizer without a mask token.

    Reference: Jiao et al. 2020, "TinyBERT", section 3.3 and algorithm 1, with its numbers (0.4, 15; 20 copies there).
    """
    _check(tokenizer, num_copies=num_copies, num_candidates=num_candidates, probability=probability)
    if len(rows) == 0:
        return rows
    originals, vocabulary = FlatRows.from_dataset(rows, tokenizer.all_special_ids), _Vocabulary(tokenizer)
    is_word = vocabulary.single_token_words(originals)
    generator = np.random.default_rng(seed)
    choices = [
        (
            is_word & (generator.random(len(is_word)) < probability),
            generator.integers(num_candidates, size=len(is_word)),
        )
        for _ in range(num_copies)
    ]
    positions = np.flatnonzero(np.any([is_replaced for is_replaced, _ in choices], axis=0))
    candidates = _candidates(originals, positions, tokenizer, model, vocabulary, num_candidates, batch_size, device)
    copies = [_replaced(originals, positions, candidates, *choice).to_dataset(rows) for choice in choices]
    return datasets.concatenate_datasets(copies)


def _replaced(
    rows: FlatRows, positions: np.ndarray, candidates: np.ndarray, is_replaced: np.ndarray, rank: np.ndarray
) -> FlatRows:
    """Rows with the candidate of rank `rank` at the tokens of the mask `is_replaced`, which are some of `positions`."""
    ids = rows.columns["input_ids"].copy()
    index_of_position = np.zeros(len(ids), dtype=np.int64)
    index_of_position[positions] = np.arange(len(positions))
    ranks = rank[is_replaced] % max(candidates.shape[1], 1)
    ids[is_replaced] = candidates[index_of_position[is_replaced], ranks]
    return FlatRows({**rows.columns, "input_ids": ids}, rows.starts, rows.special)


def load_masked_lm(
    name_or_path: str | Path, tokenizer: PreTrainedTokenizerBase, *, trust_remote_code: bool = False
) -> PreTrainedModel:
    """The masked language model for `replaced_copies`.

    Args:
        name_or_path (`str` or `Path`): Hub id or folder.
        tokenizer: The tokenizer of the rows; the model must have the same.
        trust_remote_code (`bool`): Run code that comes with the model.

    Returns:
        `PreTrainedModel` in eval mode.

    Raises:
        ValueError: No trained head for masked-language modeling; no tokenizer, or a different one.
    """
    model_tokenizer = load_tokenizer(name_or_path, trust_remote_code=trust_remote_code)
    if model_tokenizer is None or model_tokenizer.get_vocab() != tokenizer.get_vocab():
        difference = "none" if model_tokenizer is None else f"a different one of {len(model_tokenizer)} tokens"
        raise ValueError(
            f"augmentation_model={shown(str(name_or_path))} must have the tokenizer of the data (the teacher's, "
            f"{len(tokenizer)} tokens); it has {difference}, so its predictions would be other words. Choose a masked "
            f"language model of the teacher's family."
        )
    model, missing_weights = load_model("AutoModelForMaskedLM", name_or_path, trust_remote_code=trust_remote_code)
    if missing_weights:
        raise ValueError(
            f"augmentation_model={shown(str(name_or_path))} has no trained head for masked-language modeling "
            f"({len(missing_weights)} weights are not in its checkpoint: {', '.join(missing_weights[:4])}), so its "
            f"predictions would be noise. Use the model as it was pre-trained, or train it with `task: fill-mask` first."
        )
    return model


def _check(tokenizer: PreTrainedTokenizerBase, *, num_copies: int, num_candidates: int, probability: float) -> None:
    """Raise ValueError on numbers out of range, or a tokenizer without a mask token."""
    if num_copies < 1 or num_candidates < 1 or not 0 <= probability <= 1:
        raise ValueError(
            f"num_copies and num_candidates must be 1 or more, and probability 0 to 1; got num_copies={shown(num_copies)}, "
            f"num_candidates={shown(num_candidates)}, probability={shown(probability)}."
        )
    if tokenizer.mask_token_id is None:
        raise ValueError(
            f"{type(tokenizer).__name__} has no mask token, so no model can predict a word in its place. Leave out "
            f"augmentation_model: num_augmented_copies alone alters copies without a model."
        )


class _Vocabulary:
    """The kinds of tokens in a vocabulary, as masks over it.

    Attributes:
        begins (`np.ndarray` of bool): Tokens that begin a word, special tokens included.
        plain (`np.ndarray` of bool): Tokens with a letter or digit, without special tokens.
        candidates (`np.ndarray` of bool): Both: tokens that may replace a word.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase):
        tokens = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
        marks_beginnings = sum(token.startswith(_WORD_STARTS) for token in tokens) > len(tokens) / 10
        special = np.isin(np.arange(len(tokens)), tokenizer.all_special_ids)
        begins = [
            token.startswith(_WORD_STARTS) if marks_beginnings else not token.startswith("##") for token in tokens
        ]
        self.begins = np.array(begins) | special
        self.plain = np.array([any(map(str.isalnum, token)) for token in tokens]) & ~special
        self.candidates = self.plain & self.begins

    def single_token_words(self, rows: FlatRows) -> np.ndarray:
        """Mask of the tokens of `rows` that are whole words: they begin a word, and so does the next token."""
        ids = rows.columns["input_ids"]
        after_special = np.concatenate([[True], rows.special[:-1]])  # the first word of a text has no mark
        begins = self.begins[ids] | after_special
        return begins & np.concatenate([begins[1:], [True]]) & self.plain[ids]


def _candidates(
    rows: FlatRows,
    positions: np.ndarray,
    tokenizer: PreTrainedTokenizerBase,
    model: PreTrainedModel,
    vocabulary: _Vocabulary,
    num_candidates: int,
    batch_size: int,
    device: torch.device | None,
) -> np.ndarray:
    """The most probable other words at positions of `rows`, shape (positions, num_candidates or fewer), int64."""
    model = (model if device is None else model.to(device)).eval()
    columns, row_of = accepted_columns(model), np.searchsorted(rows.starts, positions, side="right") - 1
    num_candidates = min(num_candidates, int(vocabulary.candidates.sum()) - 1)
    candidates = np.zeros((len(positions), num_candidates), dtype=np.int64)
    order = np.argsort(
        -np.diff(rows.starts)[row_of], kind="stable"
    )  # rows of similar length together, the longest first
    with (
        torch.inference_mode(),
        tqdm(total=len(positions), desc="Replacing words", unit=" words", delay=3.0) as progress,
    ):
        for start in range(0, len(positions), batch_size):
            members = order[start : start + batch_size]
            batch = _masked_batch(rows, positions[members], row_of[members], tokenizer, model.device)
            logits = forward_logits(model, batch, columns)[:, : len(vocabulary.candidates)]
            is_allowed = torch.as_tensor(vocabulary.candidates, device=logits.device).repeat(len(members), 1)
            original_ids = torch.as_tensor(rows.columns["input_ids"][positions[members]], device=logits.device)
            is_allowed[torch.arange(len(members), device=logits.device), original_ids.long()] = False
            top = logits.masked_fill(~is_allowed, -torch.inf).topk(num_candidates)
            candidates[members] = top.indices.cpu().numpy()
            progress.update(len(members))
    return candidates


def _masked_batch(
    rows: FlatRows,
    positions: np.ndarray,
    row_of: np.ndarray,
    tokenizer: PreTrainedTokenizerBase,
    device: torch.device,
) -> dict[str, torch.Tensor]:
    """One row per position, masked there and padded on the right, so that predictions do not depend on other rows."""
    spans = [slice(rows.starts[row], rows.starts[row + 1]) for row in row_of]
    offsets = torch.as_tensor(positions - rows.starts[row_of], device=device)
    batch = {}
    for name, column in rows.columns.items():
        padding = (tokenizer.pad_token_id or 0) if name == "input_ids" else 0
        parts = [torch.as_tensor(column[span], dtype=torch.int64) for span in spans]
        batch[name] = pad_sequence(parts, batch_first=True, padding_value=padding).to(device)
    batch[POSITIONS] = torch.zeros_like(batch["input_ids"], dtype=torch.bool)
    batch[POSITIONS][torch.arange(len(positions), device=device), offsets] = True
    batch["input_ids"][batch[POSITIONS]] = tokenizer.mask_token_id
    return batch
