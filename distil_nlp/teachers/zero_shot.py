"""Zero-shot classification by a model of natural language inference."""

import copy
from typing import TYPE_CHECKING

import torch
from torch import nn

from ..internals.messages import listed, shown
from ..signals.forward import accepted_columns, forward_logits

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

TEMPLATE = "This text is about {}."


class ZeroShotClassifier(nn.Module):
    """Classifies texts with an NLI model: the text is the premise, each class a hypothesis.

    The entailment logits of the hypotheses are the class logits. The model runs once per class, so it is slow: cache its
    outputs, or distill it into a student.

    Args:
        model (`PreTrainedModel`): Classifies pairs of sentences, with the label "entailment".
        tokenizer: The model's tokenizer, which also made the batches.
        class_names (`list[str]`): The classes in order; underscores are replaced by spaces.
        template (`str`): The hypothesis, with {} in place of the class.

    Called with `input_ids` and `attention_mask` (and `token_type_ids`) of single texts padded on the right, shape
    (batch, sequence), it returns logits of shape (batch, classes).

    Raises:
        ValueError: The model has no entailment label, the template has no {}, or there are fewer than two classes.

    Reference: Yin et al. 2019, "Benchmarking Zero-shot Text Classification", section 5; the softmax over the
    entailments of all classes follows the zero-shot pipeline of transformers.
    """

    ending_ids: torch.Tensor
    ending_types: torch.Tensor
    ending_mask: torch.Tensor

    def __init__(
        self,
        model: "PreTrainedModel",
        tokenizer: "PreTrainedTokenizerBase",
        class_names: list[str],
        *,
        template: str = TEMPLATE,
    ) -> None:
        super().__init__()
        if "{}" not in template:
            raise ValueError(
                f"hypothesis_template must have {{}} in place of the class, as in {shown(TEMPLATE)}; got {shown(template)}."
            )
        if len(class_names or []) < 2:
            raise ValueError(
                f"A zero-shot teacher needs the names of the classes, two or more; the data has {shown(class_names)}. "
                f"Name the classes in the data (words, or class labels of a parquet file)."
            )
        self.model = model
        self._entailment = _entailment(model)
        self._columns = accepted_columns(model)
        self._limit = min(tokenizer.model_max_length, model.config.max_position_embeddings)
        hypotheses = [template.format(name.replace("_", " ")) for name in class_names]
        if len(set(hypotheses)) < len(hypotheses):
            raise ValueError(
                f"Two classes have the same hypothesis ({listed(hypotheses)}), so they would get one logit. Classes "
                f"must differ in more than '_': it is read as a space."
            )
        closing, endings = _endings(tokenizer, hypotheses)
        self._closing, longest = closing, max(len(ids) for ids, _ in endings)
        # Buffers, because the fingerprint covers the state dict, and the logits depend on these tensors.
        self.register_buffer("ending_ids", _filled([ids for ids, _ in endings], longest, tokenizer.pad_token_id))
        self.register_buffer("ending_types", _filled([types for _, types in endings], longest, 0))
        self.register_buffer("ending_mask", _filled([[1] * len(ids) for ids, _ in endings], longest, 0))
        self.config = copy.deepcopy(model.config)
        self.config.id2label = dict(enumerate(class_names))
        self.config.label2id = {name: index for index, name in enumerate(class_names)}

    def get_input_embeddings(self) -> nn.Module:
        """Return the model's token embeddings."""
        return self.model.get_input_embeddings()

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor | None = None
    ) -> torch.Tensor:
        if token_type_ids is None:
            token_type_ids = torch.zeros_like(input_ids)
        columns = [
            self._entailment_logits(index, input_ids, attention_mask, token_type_ids)
            for index in range(len(self.ending_ids))
        ]
        return torch.stack(columns, dim=-1)

    def _entailment_logits(
        self, index: int, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor
    ) -> torch.Tensor:
        """Entailment logits of one hypothesis for every text, shape (batch,)."""
        ending = self.ending_mask[index].bool()
        ids, types = self.ending_ids[index][ending], self.ending_types[index][ending]
        # The closing tokens of a text are removed and, if text and hypothesis are too long together, its last tokens.
        lengths = (attention_mask.sum(1) - self._closing).clamp(max=self._limit - len(ids))
        length = int(lengths.max()) + len(ids)
        width = min(input_ids.shape[1], length)
        pair = {
            "input_ids": input_ids.new_zeros(len(input_ids), length),
            "token_type_ids": token_type_ids.new_zeros(len(input_ids), length),
        }
        pair["input_ids"][:, :width] = input_ids[:, :width]
        pair["token_type_ids"][:, :width] = token_type_ids[:, :width]
        hypothesis_positions = lengths[:, None] + torch.arange(len(ids), device=lengths.device)
        pair["input_ids"].scatter_(1, hypothesis_positions, ids.expand_as(hypothesis_positions))
        pair["token_type_ids"].scatter_(1, hypothesis_positions, types.expand_as(hypothesis_positions))
        positions = torch.arange(length, device=lengths.device)
        pair["attention_mask"] = (positions < (lengths + len(ids))[:, None]).to(attention_mask.dtype)
        return forward_logits(self.model, pair, self._columns)[:, self._entailment]


def _entailment(model: "PreTrainedModel") -> int:
    names = getattr(model.config, "id2label", None) or {}
    entailments = [index for index, name in names.items() if str(name).lower().startswith("entail")]
    if len(entailments) != 1:
        raise ValueError(
            f"A zero-shot teacher is a model of natural language inference with a label 'entailment'; the labels of "
            f"{getattr(model, 'name_or_path', '') or type(model).__name__} are {listed(names.values())}. "
            f"Use an NLI model, or name its labels in config.id2label."
        )
    return int(entailments[0])


def _endings(
    tokenizer: "PreTrainedTokenizerBase", hypotheses: list[str]
) -> tuple[int, list[tuple[list[int], list[int]]]]:
    """The number of closing tokens of a single text, and what replaces them in a pair: (ids, types) per hypothesis."""
    text, single = tokenizer("a", add_special_tokens=False)["input_ids"], tokenizer("a")["input_ids"]
    start = next(index for index in range(len(single)) if single[index : index + len(text)] == text)
    end, endings = start + len(text), []
    for hypothesis in hypotheses:
        pair = tokenizer("a", hypothesis)
        types = pair.get("token_type_ids", [0] * len(pair["input_ids"]))
        endings.append((pair["input_ids"][end:], types[end:]))
    return len(single) - end, endings


def _filled(rows: list[list[int]], length: int, value: int) -> torch.Tensor:
    return torch.tensor([[*row, *[value] * (length - len(row))] for row in rows])
