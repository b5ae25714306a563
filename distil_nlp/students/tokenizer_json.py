"""The JSON of a fast tokenizer: its special tokens, the pieces it needs, and a copy with fewer tokens."""

import copy
from collections.abc import Iterable, Mapping
from typing import Any

from ..internals.messages import shown

_WHOLE_WORDS = "WordLevel"


def needed_pieces(backend: Mapping[str, Any], kept: Iterable[int]) -> set[int]:
    """The tokens needed so that a tokenizer produces the kept tokens and can split unseen words.

    Args:
        backend (`dict`): The tokenizer's JSON.
        kept (`set` of `int`): Token ids.

    Returns:
        `set` of `int`: `kept` and the tokens that it needs.

    Raises:
        ValueError: An unsupported kind of vocabulary.
    """
    model = backend["model"]
    vocabulary = _vocabulary(model)
    kept = set(kept)
    if model["type"] != _WHOLE_WORDS:
        kept |= {index for piece, index in vocabulary.items() if _is_single_character(piece, model)}
    if model["type"] == "Unigram":
        # The cost of an unknown character depends on that of the least likely piece, which must therefore stay.
        scores = [score for _, score in model["vocab"]]
        kept.add(scores.index(min(scores)))
    if model["type"] == "BPE":
        kept |= _intermediate_merges(model, vocabulary, kept)
    return kept


def special_ids(backend: Mapping[str, Any]) -> set[int]:
    """Ids of the tokens that the tokenizer adds to texts: those of its template, padding and the unknown token."""
    model = backend["model"]
    ids: set[int] = set()
    _renumber_processor(copy.deepcopy(backend.get("post_processor")), _Collector(ids))
    if backend.get("padding"):
        ids.add(backend["padding"]["pad_id"])
    vocabulary = _vocabulary(model)
    if model.get("unk_token") in vocabulary:
        ids.add(vocabulary[model["unk_token"]])
    if model.get("unk_id") is not None:
        ids.add(model["unk_id"])
    return ids


def trimmed_json(backend: Mapping[str, Any], new_ids: Mapping[int, int]) -> dict[str, Any]:
    """The JSON of the same tokenizer with new token ids, and without the tokens that have no new id.

    Args:
        backend (`dict`): The tokenizer's JSON. Only read.
        new_ids (`dict`): Old token id -> new token id, ascending.
    """
    trimmed = copy.deepcopy(dict(backend))
    model, vocabulary = trimmed["model"], _vocabulary(trimmed["model"])
    pieces = {piece: new_ids[index] for piece, index in vocabulary.items() if index in new_ids}
    if model["type"] == "Unigram":
        model["vocab"] = [entry for index, entry in enumerate(model["vocab"]) if index in new_ids]
        if model.get("unk_id") is not None:
            model["unk_id"] = new_ids[model["unk_id"]]
    else:
        model["vocab"] = pieces
    if model["type"] == "BPE":
        model["merges"] = [pair for pair in model["merges"] if {*pair, "".join(pair)} <= pieces.keys()]
    for added in trimmed["added_tokens"]:
        added["id"] = new_ids[added["id"]]
    if trimmed.get("padding"):
        trimmed["padding"]["pad_id"] = new_ids[trimmed["padding"]["pad_id"]]
    _renumber_processor(trimmed.get("post_processor"), new_ids)
    return trimmed


class _Collector(dict[int, int]):
    """A mapping of ids to themselves that collects the ids that are looked up."""

    def __init__(self, ids: set[int]):
        super().__init__()
        self.ids = ids

    def __missing__(self, index: int) -> int:
        self.ids.add(index)
        return index


def _renumber_processor(processor: dict[str, Any] | None, new_ids: Mapping[int, int]) -> None:
    if not processor:
        return
    for inner in processor.get("processors", []):
        _renumber_processor(inner, new_ids)
    if processor["type"] == "TemplateProcessing":
        for special in processor["special_tokens"].values():
            special["ids"] = [new_ids[index] for index in special["ids"]]
    for name in ("sep", "cls"):  # of the processors of BERT and RoBERTa
        if name in processor:
            token, index = processor[name]
            processor[name] = [token, new_ids[index]]


def _vocabulary(model: Mapping[str, Any]) -> dict[str, int]:
    """Piece -> id."""
    if model["type"] == "Unigram":
        return {piece: index for index, (piece, _) in enumerate(model["vocab"])}
    prefix = model.get("continuing_subword_prefix") if model["type"] == "BPE" else ""
    if model["type"] not in ("WordPiece", "BPE", _WHOLE_WORDS) or prefix:
        raise ValueError(
            f"A {model['type']} vocabulary{f' with the prefix {shown(prefix)}' if prefix else ''} cannot be trimmed; "
            f"supported are WordPiece, BPE without a prefix, Unigram and WordLevel. Keep the whole vocabulary of this "
            f"model."
        )
    return model["vocab"]


def _is_single_character(piece: str, model: Mapping[str, Any]) -> bool:
    """Whether a piece is one character, at the start of a word or inside it, or one byte."""
    if model["type"] == "WordPiece":
        return len(piece.removeprefix(model["continuing_subword_prefix"])) == 1
    is_byte = len(piece) == 6 and piece.startswith("<0x") and piece.endswith(">")
    return is_byte or len(piece.removesuffix(model.get("end_of_word_suffix") or "")) == 1


def _intermediate_merges(model: Mapping[str, Any], vocabulary: Mapping[str, int], kept: set[int]) -> set[int]:
    """Ids of the pieces that BPE builds before it builds the kept pieces.

    No other merges happen inside a kept token, in any context; so with these alone the data's text is split into the
    same tokens as with all merges.
    """
    ranks = {tuple(pair): rank for rank, pair in enumerate(model["merges"])}
    suffix = model.get("end_of_word_suffix") or ""
    ids: set[int] = set()
    for piece in [piece for piece, index in vocabulary.items() if index in kept]:
        body = piece.removesuffix(suffix) if suffix else piece
        parts = [*body[:-1], body[-1:] + piece[len(body) :]]
        while len(parts) > 1:
            rank, index = min(
                (ranks.get(pair, len(ranks)), index) for index, pair in enumerate(zip(parts, parts[1:], strict=False))
            )
            if rank == len(ranks):
                break  # a piece that no merges build
            parts[index : index + 2] = [parts[index] + parts[index + 1]]
            ids.add(vocabulary[parts[index]])
    return ids
