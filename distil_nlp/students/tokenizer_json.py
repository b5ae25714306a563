"""The JSON of a fast tokenizer: what is in it, and the same with fewer tokens."""

import copy

_WHOLE_WORDS = "WordLevel"


def needed_pieces(backend, kept):
    """The tokens without which a tokenizer would not find the kept ones, or could not spell an unseen word.

    Args:
        backend (`dict`): The tokenizer's JSON.
        kept (`set` of `int`): Token ids.

    Returns:
        `set` of `int`: `kept` and what it needs.

    Raises:
        ValueError: A kind of vocabulary that we do not know.
    """
    model = backend["model"]
    vocabulary = _vocabulary(model)
    kept = set(kept)
    if model["type"] != _WHOLE_WORDS:
        kept |= {index for piece, index in vocabulary.items() if _is_letter(piece, model)}
    if model["type"] == "Unigram":
        # A character without a piece costs what the least likely piece costs, and more: that one has to stay.
        scores = [score for _, score in model["vocab"]]
        kept.add(scores.index(min(scores)))
    if model["type"] == "BPE":
        kept |= _merged_on_the_way(model, vocabulary, kept)
    return kept


def special_ids(backend):
    """The tokens that the tokenizer adds by itself: of its template, for padding, for what is unknown."""
    model, found = backend["model"], set()
    _renumber_processor(copy.deepcopy(backend.get("post_processor")), _Collector(found))
    if backend.get("padding"):
        found.add(backend["padding"]["pad_id"])
    vocabulary = _vocabulary(model)
    if model.get("unk_token") in vocabulary:
        found.add(vocabulary[model["unk_token"]])
    if model.get("unk_id") is not None:
        found.add(model["unk_id"])
    return found


def trimmed_json(backend, new_ids):
    """The same tokenizer with other token ids, and without the tokens that have none.

    Args:
        backend (`dict`): The tokenizer's JSON. Only read.
        new_ids (`dict`): Old token id -> new token id, ascending.

    Returns:
        `dict`: The JSON to be.
    """
    backend = copy.deepcopy(backend)
    model, vocabulary = backend["model"], _vocabulary(backend["model"])
    pieces = {piece: new_ids[index] for piece, index in vocabulary.items() if index in new_ids}
    if model["type"] == "Unigram":
        model["vocab"] = [entry for index, entry in enumerate(model["vocab"]) if index in new_ids]
        if model.get("unk_id") is not None:
            model["unk_id"] = new_ids[model["unk_id"]]
    else:
        model["vocab"] = pieces
    if model["type"] == "BPE":
        model["merges"] = [pair for pair in model["merges"] if {*pair, "".join(pair)} <= pieces.keys()]
    for added in backend["added_tokens"]:
        added["id"] = new_ids[added["id"]]
    if backend.get("padding"):
        backend["padding"]["pad_id"] = new_ids[backend["padding"]["pad_id"]]
    _renumber_processor(backend.get("post_processor"), new_ids)
    return backend


class _Collector:
    """Looks like a renumbering, and writes down what it is asked for."""

    def __init__(self, found):
        self.found = found

    def __getitem__(self, index):
        self.found.add(index)
        return index


def _renumber_processor(processor, new_ids):
    if not processor:
        return
    for inner in processor.get("processors", []):
        _renumber_processor(inner, new_ids)
    if processor["type"] == "TemplateProcessing":
        for special in processor["special_tokens"].values():
            special["ids"] = [new_ids[index] for index in special["ids"]]
    for name in ("sep", "cls"):  # of BERT's and RoBERTa's own processors
        if name in processor:
            token, index = processor[name]
            processor[name] = [token, new_ids[index]]


def _vocabulary(model):
    """Piece -> id."""
    if model["type"] == "Unigram":
        return {piece: index for index, (piece, _) in enumerate(model["vocab"])}
    prefix = model.get("continuing_subword_prefix") if model["type"] == "BPE" else ""
    if model["type"] not in ("WordPiece", "BPE", _WHOLE_WORDS) or prefix:
        raise ValueError(
            f"How a {model['type']} vocabulary{f' with the prefix {prefix!r}' if prefix else ''} gets smaller is not "
            f"known; it is for WordPiece, BPE without a prefix, Unigram and WordLevel. Keep the whole vocabulary of "
            f"this model."
        )
    return model["vocab"]


def _is_letter(piece, model):
    """One character, of a word's beginning or of its middle; or one byte."""
    if model["type"] == "WordPiece":
        return len(piece.removeprefix(model["continuing_subword_prefix"])) == 1
    is_byte = len(piece) == 6 and piece.startswith("<0x") and piece.endswith(">")
    return is_byte or len(piece.removesuffix(model.get("end_of_word_suffix") or "")) == 1


def _merged_on_the_way(model, vocabulary, kept):
    """Ids of the pieces that BPE makes before it makes the kept ones.

    Only these merges happen inside a kept token, whatever stands beside it; so with them alone the data's text falls
    into the same tokens as with all.
    """
    ranks = {tuple(pair): rank for rank, pair in enumerate(model["merges"])}
    suffix, found = model.get("end_of_word_suffix") or "", set()
    for piece in [piece for piece, index in vocabulary.items() if index in kept]:
        body = piece.removesuffix(suffix) if suffix else piece
        parts = [*body[:-1], body[-1:] + piece[len(body) :]]
        while len(parts) > 1:
            rank, place = min(
                (ranks.get(pair, len(ranks)), place) for place, pair in enumerate(zip(parts, parts[1:], strict=False))
            )
            if rank == len(ranks):
                break  # a piece that no merges lead to
            parts[place : place + 2] = [parts[place] + parts[place + 1]]
            found.add(vocabulary[parts[place]])
    return found
