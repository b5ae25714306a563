"""More text for the teacher to speak about: rows that are there, with words a masked language model would put there."""

import datasets
import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence
from tqdm.auto import tqdm

from ..models.loading import load_model, load_tokenizer
from ..signals.columns import POSITIONS
from ..signals.forward import accepted_columns, forward_logits
from .text import FlatRows

_WORD_STARTS = ("Ġ", "▁")  # how vocabularies of byte-level BPE and SentencePiece mark the beginning of a word


def replaced_copies(
    rows, tokenizer, model, *, num_copies, probability=0.4, num_candidates=15, seed=0, batch_size=64, device=None
):
    """Copies of tokenized rows, in which words are replaced by what a masked language model finds likely there.

    Each word of a text is replaced with `probability`. The model reads the row with this one word masked; its
    `num_candidates` most probable other words are the candidates, and one of them is drawn, each as likely. It is asked
    once about every place that any copy replaces. Words of several pieces are left alone (the paper takes neighbors
    among GloVe vectors for them), as are punctuation and special tokens, and pieces and punctuation are no candidates.
    What a row means then nobody knows but the teacher, so the result goes through `Task.with_unlabeled`.

    Args:
        rows (`datasets.Dataset`): From `Task.prepare`.
        tokenizer: The one `prepare` was given.
        model (`PreTrainedModel`): With a head for masked-language modeling, over the vocabulary of `tokenizer`; from
            `load_replacer`, which checks this.
        num_copies (`int`): Copies of every row, 1 or more.
        probability (`float`): Of each word to be replaced; 0 to 1.
        num_candidates (`int`): 1 or more.
        seed (`int`): Same rows, model and seed, same copies.
        batch_size (`int`): Rows in one forward pass.
        device (`torch.device`, *optional*): Where the model runs; by default where it is.

    Returns:
        `datasets.Dataset`: `num_copies` times as many rows, of the same columns and lengths.

    Raises:
        ValueError: Numbers out of range; a tokenizer without a mask token.

    Reference: Jiao et al. 2020, "TinyBERT", section 3.3 and algorithm 1, with its numbers (0.4, 15; 20 copies there).
    """
    _check(tokenizer, num_copies=num_copies, num_candidates=num_candidates, probability=probability)
    if len(rows) == 0:
        return rows
    originals, words = FlatRows.of(rows, tokenizer.all_special_ids), _Words(tokenizer)
    single = words.single(originals)
    draw = np.random.default_rng(seed)
    drawn = [
        (single & (draw.random(len(single)) < probability), draw.integers(num_candidates, size=len(single)))
        for _ in range(num_copies)
    ]
    places = np.flatnonzero(np.any([chosen for chosen, _ in drawn], axis=0))
    found = _candidates(originals, places, tokenizer, model, words, num_candidates, batch_size, device)
    at = np.zeros(len(single), dtype=np.int64)
    at[places] = np.arange(len(places))
    copies = []
    for chosen, rank in drawn:
        ids = originals.columns["input_ids"].copy()
        ids[chosen] = found[at[chosen], rank[chosen] % max(found.shape[1], 1)]
        copy = FlatRows({**originals.columns, "input_ids": ids}, originals.starts, originals.special)
        copies.append(copy.in_place_of(rows))
    return datasets.concatenate_datasets(copies)


def load_replacer(name_or_path, tokenizer, *, trust_remote_code=False):
    """The masked language model for `replaced_copies`.

    Args:
        name_or_path (`str` or `Path`): Hub id or folder.
        tokenizer: Of the rows; the model must have the same.
        trust_remote_code (`bool`): Run code that comes with the model.

    Returns:
        `PreTrainedModel` in eval mode.

    Raises:
        ValueError: No trained head for masked-language modeling; no tokenizer, or another one.
    """
    theirs = load_tokenizer(name_or_path, trust_remote_code=trust_remote_code)
    if theirs is None or theirs.get_vocab() != tokenizer.get_vocab():
        size = "none" if theirs is None else f"one of {len(theirs)} tokens"
        raise ValueError(
            f"augmentation_model={str(name_or_path)!r} should have the tokenizer of the data (the teacher's, "
            f"{len(tokenizer)} tokens); it has {'' if theirs is None else 'another, '}{size}, so its words would be read "
            f"as others. Take a masked language model of the teacher's own family."
        )
    model, fresh = load_model("AutoModelForMaskedLM", name_or_path, trust_remote_code=trust_remote_code)
    if fresh:
        raise ValueError(
            f"augmentation_model={str(name_or_path)!r} has no trained head for masked-language modeling ({len(fresh)} "
            f"weights are not in its checkpoint: {', '.join(fresh[:4])}), so its words would be noise. Take the model as "
            f"it was pre-trained, or train it with `task: fill-mask` first."
        )
    return model


def _check(tokenizer, *, num_copies, num_candidates, probability):
    if num_copies < 1 or num_candidates < 1 or not 0 <= probability <= 1:
        raise ValueError(
            f"num_copies and num_candidates count from 1, and probability lies in 0 to 1; got num_copies={num_copies!r}, "
            f"num_candidates={num_candidates!r}, probability={probability!r}."
        )
    if tokenizer.mask_token_id is None:
        raise ValueError(
            f"{type(tokenizer).__name__} has no mask token, so no model can be asked for a word in its place. Leave out "
            f"augmentation_model: num_augmented_copies alone alters copies without one."
        )


class _Words:
    """What each token of a vocabulary is: whether it begins a word, and whether there is a letter or digit in it."""

    def __init__(self, tokenizer):
        tokens = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
        marked = sum(token.startswith(_WORD_STARTS) for token in tokens) > len(tokens) / 10
        special = np.isin(np.arange(len(tokens)), tokenizer.all_special_ids)
        begins = [token.startswith(_WORD_STARTS) if marked else not token.startswith("##") for token in tokens]
        self.begins = np.array(begins) | special
        self.plain = np.array([any(map(str.isalnum, token)) for token in tokens]) & ~special
        self.candidates = self.plain & self.begins

    def single(self, rows):
        """Mask of the tokens of `FlatRows` that are whole words: they begin one, and the next token begins another."""
        ids = rows.columns["input_ids"]
        after_special = np.concatenate([[True], rows.special[:-1]])  # the first word of a text has no mark
        begins = self.begins[ids] | after_special
        return begins & np.concatenate([begins[1:], [True]]) & self.plain[ids]


def _candidates(rows, places, tokenizer, model, words, num_candidates, batch_size, device):
    """The most probable other words at places of `FlatRows`, `np.ndarray` of shape (places, num_candidates or fewer)."""
    model = (model if device is None else model.to(device)).eval()
    columns, row_of = accepted_columns(model), np.searchsorted(rows.starts, places, side="right") - 1
    num_candidates = min(num_candidates, int(words.candidates.sum()) - 1)
    found = np.zeros((len(places), num_candidates), dtype=np.int64)
    order = np.argsort(-np.diff(rows.starts)[row_of], kind="stable")  # of like length together, the longest first
    with torch.inference_mode(), tqdm(total=len(places), desc="Replacing words", unit=" words", delay=3.0) as progress:
        for start in range(0, len(places), batch_size):
            members = order[start : start + batch_size]
            batch = _masked_batch(rows, places[members], row_of[members], tokenizer, model.device)
            logits = forward_logits(model, batch, columns)[:, : len(words.candidates)]
            allowed = torch.as_tensor(words.candidates, device=logits.device).repeat(len(members), 1)
            itself = torch.as_tensor(rows.columns["input_ids"][places[members]], device=logits.device)
            allowed[torch.arange(len(members), device=logits.device), itself.long()] = False
            found[members] = logits.masked_fill(~allowed, -torch.inf).topk(num_candidates).indices.cpu().numpy()
            progress.update(len(members))
    return found


def _masked_batch(rows, places, row_of, tokenizer, device):
    """A row for each place, with the mask there, padded on the right: what is said does not depend on the others."""
    spans = [slice(rows.starts[row], rows.starts[row + 1]) for row in row_of]
    inside = torch.as_tensor(places - rows.starts[row_of], device=device)
    batch = {}
    for name, column in rows.columns.items():
        empty = (tokenizer.pad_token_id or 0) if name == "input_ids" else 0
        parts = [torch.as_tensor(column[span], dtype=torch.int64) for span in spans]
        batch[name] = pad_sequence(parts, batch_first=True, padding_value=empty).to(device)
    batch[POSITIONS] = torch.zeros_like(batch["input_ids"], dtype=torch.bool)
    batch[POSITIONS][torch.arange(len(places), device=device), inside] = True
    batch["input_ids"][batch[POSITIONS]] = tokenizer.mask_token_id
    return batch
