"""A model and its tokenizer without the tokens that the data never uses."""

import copy
import re
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from transformers import PreTrainedModel

from ..internals.files import read_json, write_json
from ..models.architectures import EMBEDDINGS, ENCODERS
from .tokenizer_json import needed_pieces, special_ids, trimmed_json

_TOKEN_ID = re.compile(r"\w+_token_ids?")


@dataclass
class TrimmedVocabulary:
    """A trimmed model with its tokenizer, and what was kept.

    Args:
        model (`PreTrainedModel`), tokenizer (`PreTrainedTokenizerFast`): New ones; those given are as they were.
        kept_ids (`list` of `int`): The old id of every new one, ascending: token `i` was token `kept_ids[i]`.
        num_tokens_before, num_tokens_after (`int`): Rows of the model's word embeddings.
        num_bytes_before, num_bytes_after (`int`): Of the model's parameters, tied ones counted once.
    """

    model: PreTrainedModel
    tokenizer: object
    kept_ids: list
    num_tokens_before: int
    num_tokens_after: int
    num_bytes_before: int
    num_bytes_after: int

    @cached_property
    def _new_ids(self):
        return {old: new for new, old in enumerate(self.kept_ids)}

    def renumber(self, token_ids):
        """Old token ids as new ones: a list of ids gives a list.

        Raises:
            ValueError: A token that was not kept.
        """
        try:
            return [self._new_ids[int(token)] for token in token_ids]
        except KeyError as error:
            raise ValueError(
                f"Token {error.args[0]} was not kept, so it has no new number. Tokenize the text again with the "
                f"trimmed tokenizer, which spells it out of what it has."
            ) from None

    def __str__(self):
        return (
            f"{self.num_tokens_after:,} of {self.num_tokens_before:,} tokens kept; "
            f"{self.num_bytes_after / 1e6:.1f} MB of parameters instead of {self.num_bytes_before / 1e6:.1f} MB"
        )


def trim_vocabulary(model, tokenizer, token_ids):
    """Leave out the tokens that the data never uses, from the model and from its tokenizer alike.

    Word embeddings are most of a small student. On text made of the tokens that were kept, the trimmed pair gives
    the same tokens and the same logits; a masked-language model keeps its logits of the tokens that it keeps. A word
    that needs a token left out is spelled with smaller ones, as any unknown word is.

    What is kept: `token_ids`; special and added tokens; pieces of one character or byte, so that unseen words can
    still be spelled (not in a vocabulary of whole words, where they spell nothing); whatever a BPE merges on the way
    to a kept token. Trim after training: a student that learns from a teacher shares the teacher's token ids.

    Args:
        model (`PreTrainedModel`): One of `ENCODERS`, bare or with any head. Only read.
        tokenizer (`PreTrainedTokenizerFast`): With a WordPiece, BPE, Unigram or WordLevel model. Only read.
        token_ids (iterable of lists of `int`): For example the `input_ids` of prepared rows.

    Returns:
        `TrimmedVocabulary`

    Raises:
        TypeError: Not a transformers model.
        ValueError: A slow tokenizer, an architecture or a kind of vocabulary that we do not know, a tokenizer with
            more tokens than the model, tokens that are not the tokenizer's.
    """
    _check_model(model)
    _check_tokenizer(tokenizer)
    num_rows, vocabulary = model.get_input_embeddings().num_embeddings, tokenizer.get_vocab()
    _check_rows(model, tokenizer, vocabulary, num_rows)
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        path = Path(folder) / "tokenizer.json"
        backend = read_json(path)
        kept = _used(token_ids, set(vocabulary.values())) | _referred(model, tokenizer, vocabulary, backend)
        kept = sorted(needed_pieces(backend, kept))
        new_ids = {old: new for new, old in enumerate(kept)}
        write_json(path, trimmed_json(backend, new_ids))
        smaller_tokenizer = _loaded(tokenizer, folder)
    expected = {token: new_ids[old] for token, old in vocabulary.items() if old in new_ids}
    if smaller_tokenizer.get_vocab() != expected:
        raise ValueError(
            f"{type(tokenizer).__name__} numbers its tokens in a way of its own when it is loaded, so a trimmed one "
            f"would not fit the trimmed model. Keep the whole vocabulary of this model."
        )
    smaller = _trimmed_model(model, kept, new_ids)
    sizes = [sum(one.numel() * one.element_size() for one in of.parameters()) for of in (model, smaller)]
    return TrimmedVocabulary(smaller, smaller_tokenizer, kept, num_rows, len(kept), *sizes)


def _check_model(model):
    if not isinstance(model, PreTrainedModel):
        raise TypeError(
            f"model must be a transformers PreTrainedModel, because its config and embeddings are rewritten; got "
            f"{type(model).__name__}. Pass the model itself rather than a wrapper around it."
        )
    if model.config.model_type not in ENCODERS:
        raise ValueError(
            f"Which tensors of {type(model).__name__} ({model.config.model_type!r}) have a row for each token is not "
            f"known; it is for {', '.join(ENCODERS)}. Keep the whole vocabulary of this model."
        )


def _check_tokenizer(tokenizer):
    if not getattr(tokenizer, "is_fast", False):
        raise ValueError(
            f"Only a fast tokenizer can be trimmed, because its whole state is one JSON file; got "
            f"{type(tokenizer).__name__}. Load it with AutoTokenizer.from_pretrained, which converts where it can."
        )


def _check_rows(model, tokenizer, vocabulary, num_rows):
    largest = max(vocabulary.values())
    if largest >= num_rows:
        raise ValueError(
            f"The tokenizer ({type(tokenizer).__name__}) has token {largest}, but the word embeddings of "
            f"{type(model).__name__} have {num_rows} rows: they do not belong together. Pass the tokenizer that the "
            f"model was trained with."
        )


def _used(token_ids, known):
    used = set()
    for row in token_ids:
        used.update(map(int, row))
    unknown = sorted(used - known)
    if unknown or not used:
        what = f"holds {', '.join(map(str, unknown[:5]))}, not a token of this tokenizer" if unknown else "is empty"
        raise ValueError(
            f"token_ids must hold lists of this tokenizer's token ids, the tokens to keep; it {what}. Pass the "
            f"input_ids of text that this tokenizer prepared."
        )
    return used


def _referred(model, tokenizer, vocabulary, backend):
    """Tokens that the tokenizer or the config name, whether the data uses them or not."""
    named = set(tokenizer.all_special_ids) | set(tokenizer.added_tokens_decoder) | special_ids(backend)
    for _, value in _token_settings(model.config):
        named.update(value if isinstance(value, list) else [value])
    if hasattr(getattr(model.base_model, EMBEDDINGS), "padding_idx"):
        # RoBERTa and its kind count positions from the id of padding on: it has to stay the same number.
        named.update(range(model.get_input_embeddings().padding_idx))
    return named & set(vocabulary.values())


def _token_settings(config):
    """(name, value) of the config's token ids that are set."""
    return [(name, value) for name, value in vars(config).items() if _TOKEN_ID.fullmatch(name) and value is not None]


def _loaded(tokenizer, folder):
    smaller = type(tokenizer).from_pretrained(folder)
    smaller.name_or_path = smaller.init_kwargs["name_or_path"] = ""  # neither the folder nor the old one
    return smaller


@torch.no_grad()
def _trimmed_model(model, kept, new_ids):
    config = copy.deepcopy(model.config)
    config.vocab_size = len(kept)
    for name, value in _token_settings(config):
        ids = [new_ids.get(one, one) for one in value] if isinstance(value, list) else new_ids.get(value, value)
        setattr(config, name, ids)
    smaller = type(model)(config).to(device=model.device, dtype=model.dtype).train(model.training)
    theirs, rows = model.state_dict(), torch.tensor(kept, device=model.device)
    for name, tensor in smaller.state_dict().items():  # what the vocabulary alone made smaller has a row a token
        source = theirs[name]
        tensor.copy_(source if source.shape == tensor.shape else source[rows])
    return smaller
