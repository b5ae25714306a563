"""A model of natural language inference as a classifier of any classes, without a label of theirs."""

import copy

import torch
from torch import nn

from ..signals.forward import accepted_columns, forward_logits

TEMPLATE = "This text is about {}."


class ZeroShotClassifier(nn.Module):
    """Reads a text as a premise and each class as a hypothesis; the logits of the entailments are the class logits.

    Every text is read once for each class, so it is slow: have its answers cached, or taught to a student.

    Args:
        model (`PreTrainedModel`): Classifies pairs of sentences, one of its labels being entailment.
        tokenizer: Its own, which made the batches, too.
        class_names (`list[str]`): The classes in order; they are read with spaces for underscores.
        template (`str`): The hypothesis, with {} in the place of the class.

    Called with `input_ids` and `attention_mask` (and `token_type_ids`) of single texts padded on the right, shape
    (batch, sequence), it returns logits of shape (batch, classes).

    Raises:
        ValueError: A model without an entailment label; a template without {}; fewer than two classes.

    Reference: Yin et al. 2019, "Benchmarking Zero-shot Text Classification", section 5; the softmax over the
    entailments of all classes is transformers' zero-shot pipeline's.
    """

    def __init__(self, model, tokenizer, class_names, *, template=TEMPLATE):
        super().__init__()
        if "{}" not in template:
            raise ValueError(
                f"hypothesis_template must have {{}} where the class goes, as in {TEMPLATE!r}; got {template!r}."
            )
        if len(class_names or []) < 2:
            raise ValueError(
                f"A zero-shot teacher reads the names of the classes, two or more; the data has {class_names!r}. Give the "
                f"classes names in the data (words, or class labels of a parquet file)."
            )
        self.model = model
        self._entailment = _entailment(model)
        self._columns = accepted_columns(model)
        self._limit = min(tokenizer.model_max_length, model.config.max_position_embeddings)
        hypotheses = [template.format(name.replace("_", " ")) for name in class_names]
        closing, endings = _endings(tokenizer, hypotheses)
        self._closing, longest = closing, max(len(ids) for ids, _ in endings)
        # Buffers: what the teacher says depends on them, and its fingerprint is taken of all there is in its state.
        self.register_buffer("ending_ids", _filled([ids for ids, _ in endings], longest, tokenizer.pad_token_id))
        self.register_buffer("ending_types", _filled([types for _, types in endings], longest, 0))
        self.register_buffer("ending_mask", _filled([[1] * len(ids) for ids, _ in endings], longest, 0))
        self.config = copy.deepcopy(model.config)
        self.config.id2label = dict(enumerate(class_names))
        self.config.label2id = {name: index for index, name in enumerate(class_names)}

    def get_input_embeddings(self):
        """The token embeddings, for whoever compares vocabularies."""
        return self.model.get_input_embeddings()

    def forward(self, input_ids, attention_mask, token_type_ids=None):
        if token_type_ids is None:
            token_type_ids = torch.zeros_like(input_ids)
        columns = [
            self._against(index, input_ids, attention_mask, token_type_ids) for index in range(len(self.ending_ids))
        ]
        return torch.stack(columns, dim=-1)

    def _against(self, index, input_ids, attention_mask, token_type_ids):
        """Logits of the entailment of one hypothesis by every text, shape (batch,)."""
        ending = self.ending_mask[index].bool()
        ids, types = self.ending_ids[index][ending], self.ending_types[index][ending]
        # A text loses its closing token(s) and then, where both would be too long, its last words.
        kept = (attention_mask.sum(1) - self._closing).clamp(max=self._limit - len(ids))
        length = int(kept.max()) + len(ids)
        width = min(input_ids.shape[1], length)
        pair = {
            "input_ids": input_ids.new_zeros(len(input_ids), length),
            "token_type_ids": token_type_ids.new_zeros(len(input_ids), length),
        }
        pair["input_ids"][:, :width] = input_ids[:, :width]
        pair["token_type_ids"][:, :width] = token_type_ids[:, :width]
        places = kept[:, None] + torch.arange(len(ids), device=kept.device)
        pair["input_ids"].scatter_(1, places, ids.expand_as(places))
        pair["token_type_ids"].scatter_(1, places, types.expand_as(places))
        positions = torch.arange(length, device=kept.device)
        pair["attention_mask"] = (positions < (kept + len(ids))[:, None]).to(attention_mask.dtype)
        return forward_logits(self.model, pair, self._columns)[:, self._entailment]


def _entailment(model):
    names = getattr(model.config, "id2label", None) or {}
    found = [index for index, name in names.items() if str(name).lower().startswith("entail")]
    if len(found) != 1:
        raise ValueError(
            f"A zero-shot teacher is a model of natural language inference with a label 'entailment'; the labels of "
            f"{getattr(model, 'name_or_path', '') or type(model).__name__} are {', '.join(map(str, names.values()))}. "
            f"Take an NLI model, or name its labels in config.id2label."
        )
    return int(found[0])


def _endings(tokenizer, hypotheses):
    """How many tokens close a single text, and what takes their place in a pair: (ids, types) of each hypothesis."""
    text, single = tokenizer("a", add_special_tokens=False)["input_ids"], tokenizer("a")["input_ids"]
    start = next(place for place in range(len(single)) if single[place : place + len(text)] == text)
    end, endings = start + len(text), []
    for hypothesis in hypotheses:
        pair = tokenizer("a", hypothesis)
        types = pair.get("token_type_ids", [0] * len(pair["input_ids"]))
        endings.append((pair["input_ids"][end:], types[end:]))
    return len(single) - end, endings


def _filled(rows, length, value):
    return torch.tensor([[*row, *[value] * (length - len(row))] for row in rows])
