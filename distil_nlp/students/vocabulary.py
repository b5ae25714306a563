"""Removes the tokens that the data never uses from a model and its tokenizer."""

import copy
import re
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import torch
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from ..internals.files import read_json, write_json
from ..internals.messages import shown
from ..models.architectures import EMBEDDINGS, ENCODERS
from .tokenizer_json import needed_pieces, special_ids, trimmed_json

_TOKEN_ID = re.compile(r"\w+_token_ids?")


@dataclass
class TrimmedVocabulary:
    """A trimmed model with its tokenizer, and the tokens kept.

    Args:
        model (`PreTrainedModel`), tokenizer (`PreTrainedTokenizerFast`): Copies; the originals stay unchanged.
        kept_ids (`list` of `int`): Old id of every new id, ascending: token `i` was token `kept_ids[i]`.
        num_tokens_before, num_tokens_after (`int`): Rows of the model's word embeddings.
        num_bytes_before, num_bytes_after (`int`): Of the model's parameters, tied ones counted once.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    kept_ids: list[int]
    num_tokens_before: int
    num_tokens_after: int
    num_bytes_before: int
    num_bytes_after: int

    @cached_property
    def _new_ids(self) -> dict[int, int]:
        return {old: new for new, old in enumerate(self.kept_ids)}

    def renumber(self, token_ids: Iterable[int]) -> list[int]:
        """Convert old token ids to new ones.

        Raises:
            ValueError: A token that was not kept.
        """
        try:
            return [self._new_ids[int(token)] for token in token_ids]
        except KeyError as error:
            raise ValueError(
                f"Token {error.args[0]} was not kept, so it has no new id. Tokenize the text again with the trimmed "
                f"tokenizer, which splits it into smaller tokens."
            ) from None

    def __str__(self) -> str:
        return (
            f"{self.num_tokens_after:,} of {self.num_tokens_before:,} tokens kept; "
            f"{self.num_bytes_after / 1e6:.1f} MB of parameters instead of {self.num_bytes_before / 1e6:.1f} MB"
        )


def trim_vocabulary(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, token_ids: Iterable[Iterable[int]]
) -> TrimmedVocabulary:
    """Remove the tokens that the data never uses from a model and its tokenizer.

    Word embeddings are most of a small student. On text made of the tokens that were kept, the trimmed pair gives
    the same tokens and the same logits; a masked-language model keeps its logits of the tokens that it keeps. A word
    with a removed token is split into smaller tokens, as any unknown word is.

    Kept are: `token_ids`; special and added tokens; pieces of one character or byte, so that unseen words can still be
    split (not in a vocabulary of whole words, where they have no use); the intermediate merges of BPE on the way to a
    kept token. Trim after training: a student in distillation shares the teacher's token ids.

    Args:
        model (`PreTrainedModel`): One of `ENCODERS`, bare or with any head. Only read.
        tokenizer (`PreTrainedTokenizerFast`): With a WordPiece, BPE, Unigram or WordLevel model. Only read.
        token_ids (iterable of lists of `int`): For example the `input_ids` of prepared rows.

    Returns:
        `TrimmedVocabulary`

    Raises:
        TypeError: Not a transformers model.
        ValueError: A slow tokenizer, an unsupported architecture or kind of vocabulary, a tokenizer with more tokens
            than the model, tokens that are not the tokenizer's.
    """
    _check_model(model)
    _check_tokenizer(tokenizer)
    num_rows, vocabulary = cast(int, model.get_input_embeddings().num_embeddings), tokenizer.get_vocab()
    _check_rows(model, tokenizer, vocabulary, num_rows)
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        path = Path(folder) / "tokenizer.json"
        backend = read_json(path)
        required = _used(token_ids, set(vocabulary.values())) | _referred(model, tokenizer, vocabulary, backend)
        kept_ids = sorted(needed_pieces(backend, required))
        new_ids = {old: new for new, old in enumerate(kept_ids)}
        write_json(path, trimmed_json(backend, new_ids))
        smaller_tokenizer = _load_saved(tokenizer, folder)
    expected = {token: new_ids[old] for token, old in vocabulary.items() if old in new_ids}
    if smaller_tokenizer.get_vocab() != expected:
        raise ValueError(
            f"{type(tokenizer).__name__} changes its token ids when it is loaded, so a trimmed tokenizer would not fit "
            f"the trimmed model. Keep the whole vocabulary of this model."
        )
    smaller = _trimmed_model(model, kept_ids, new_ids)
    return TrimmedVocabulary(
        smaller, smaller_tokenizer, kept_ids, num_rows, len(kept_ids), _num_bytes(model), _num_bytes(smaller)
    )


def _num_bytes(model: PreTrainedModel) -> int:
    return sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())


def _check_model(model: Any) -> None:
    if not isinstance(model, PreTrainedModel):
        raise TypeError(
            f"model must be a transformers PreTrainedModel, because its config and embeddings are rewritten; got "
            f"{type(model).__name__}. Pass the model itself rather than a wrapper around it."
        )
    if model.config.model_type not in ENCODERS:
        raise ValueError(
            f"The tensors of {type(model).__name__} ({shown(model.config.model_type)}) that have a row for each token "
            f"are not known; supported are {', '.join(ENCODERS)}. Keep the whole vocabulary of this model."
        )


def _check_tokenizer(tokenizer: Any) -> None:
    if not getattr(tokenizer, "is_fast", False):
        raise ValueError(
            f"Only a fast tokenizer can be trimmed, because its whole state is one JSON file; got "
            f"{type(tokenizer).__name__}. Load it with AutoTokenizer.from_pretrained, which converts where it can."
        )


def _check_rows(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, vocabulary: Mapping[str, int], num_rows: int
) -> None:
    largest = max(vocabulary.values())
    if largest >= num_rows:
        raise ValueError(
            f"The tokenizer ({type(tokenizer).__name__}) has token {largest}, but the word embeddings of "
            f"{type(model).__name__} have {num_rows} rows: they do not belong together. Pass the tokenizer that the "
            f"model was trained with."
        )


def _used(token_ids: Iterable[Iterable[int]], known: set[int]) -> set[int]:
    used: set[int] = set()
    for row in token_ids:
        used.update(map(int, row))
    unknown = sorted(used - known)
    if unknown or not used:
        unknown_ids = ", ".join(map(str, unknown[:5]))
        problem = f"contains {unknown_ids}, not a token of this tokenizer" if unknown else "is empty"
        raise ValueError(
            f"token_ids must contain lists of this tokenizer's token ids, the tokens to keep; it {problem}. Pass the "
            f"input_ids of text that this tokenizer prepared."
        )
    return used


def _referred(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    vocabulary: Mapping[str, int],
    backend: Mapping[str, Any],
) -> set[int]:
    """Tokens that the tokenizer or the config refers to, whether the data uses them or not."""
    referred = set(tokenizer.all_special_ids) | set(tokenizer.added_tokens_decoder) | special_ids(backend)
    for _, value in _token_settings(model.config):
        referred.update(value if isinstance(value, list) else [value])
    if hasattr(getattr(model.base_model, EMBEDDINGS), "padding_idx"):
        # RoBERTa and similar models count positions from the padding id on, so this id must not change.
        referred.update(range(cast(int, model.get_input_embeddings().padding_idx)))
    return referred & set(vocabulary.values())


def _token_settings(config: PreTrainedConfig) -> list[tuple[str, Any]]:
    """(name, value) of the token ids that the config sets."""
    return [(name, value) for name, value in vars(config).items() if _TOKEN_ID.fullmatch(name) and value is not None]


def _load_saved(tokenizer: PreTrainedTokenizerBase, folder: str) -> PreTrainedTokenizerBase:
    smaller = type(tokenizer).from_pretrained(folder)
    smaller.name_or_path = smaller.init_kwargs["name_or_path"] = ""  # neither the temporary folder nor the original
    return smaller


@torch.no_grad()
def _trimmed_model(model: PreTrainedModel, kept_ids: list[int], new_ids: Mapping[int, int]) -> PreTrainedModel:
    config = copy.deepcopy(model.config)
    config.vocab_size = len(kept_ids)
    for name, value in _token_settings(config):
        ids = [new_ids.get(index, index) for index in value] if isinstance(value, list) else new_ids.get(value, value)
        setattr(config, name, ids)
    smaller = type(model)(config)
    smaller.to(device=model.device, dtype=model.dtype)  # type: ignore[call-arg]  # transformers wraps `to` without its `self`
    smaller.train(model.training)
    tensors, rows = model.state_dict(), torch.tensor(kept_ids, device=model.device)
    for name, tensor in smaller.state_dict().items():  # tensors of another shape have one row per token
        source = tensors[name]
        tensor.copy_(source if source.shape == tensor.shape else source[rows])
    return smaller
