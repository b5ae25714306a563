"""Terms on attention and on relations between positions. Queries, keys and values are tapped, so sdpa stays on."""

import logging
from collections.abc import Sequence
from math import gcd
from typing import Any

import torch
from torch import nn

from ..internals.messages import shown
from ..internals.numbers import COUNT
from ..losses import attention_kl, attention_mse, dot_products
from ..models.architectures import ENCODERS, QKV, qkv_slices
from ..signals.base import Signals
from ..signals.wrappers import config_of
from .base import Batch
from .layers import Layers, LayerTerm, check_reduction, reduced, total
from .schedules import Scheduled

logger = logging.getLogger(__name__)

_MIN_HEAD_WIDTH = 16  # MiniLMv2's 48 relation heads of a 768 wide teacher
_MAPS = {
    "scores": (attention_mse, "Jiao et al. 2020, TinyBERT: Distilling BERT for Natural Language Understanding"),
    "probabilities": (attention_kl, "Wang et al. 2020, MiniLM: Deep Self-Attention Distillation"),
}


class QKVTerm(LayerTerm):
    """A term on the queries, keys and values of pairs of layers."""

    def tap_layers(self, student: nn.Module, teacher: nn.Module) -> None:
        self._slots = [
            (qkv_slices(student, student_layer), qkv_slices(teacher, teacher_layer))
            for student_layer, teacher_layer in self.pairs
        ]
        self.student_taps, self.teacher_taps = (
            tuple(dict.fromkeys(slots[part].module for slots in side for part in self.parts()))
            for side in zip(*self._slots, strict=True)
        )

    def parts(self) -> Sequence[str]:
        """Those of query, key and value that the term reads."""
        return QKV

    def read(self, student: Signals, teacher: Signals, part: str) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Query, key or value of each pair of layers: `[(student, teacher), ...]`, (batch, sequence, width)."""
        return [
            (student_slots[part].read(student.features), teacher_slots[part].read(teacher.features))
            for student_slots, teacher_slots in self._slots
        ]

    def setup(self, student: Signals, teacher: Signals, batch: Batch) -> None:
        self.check(self.read(student, teacher, self.parts()[0]), batch)


class Attention(QKVTerm):
    """Match attention maps, averaged over heads.

    Args:
        weight (`float` or `Schedule`): Weight in the objective.
        layers: See `LayerTerm`.
        compare (`str`): "scores", before the softmax, by squared distance; or "probabilities", after it, by KL.
        average_heads (`bool`, *optional*): Compare the means over heads, for models with different numbers of heads.
            None: only where the numbers differ.
        layer_reduction (`str`): "mean" over the pairs of layers, or "sum" (Jiao et al. 2020, TinyBERT, equation 11).

    Raises:
        ValueError: Different numbers of heads without `average_heads`; an architecture whose scores depend on more
            than queries and keys (rotary or relative positions).
    """

    name = "attention"

    def __init__(
        self,
        weight: Scheduled,
        *,
        layers: Layers = "uniform",
        compare: str = "scores",
        average_heads: bool | None = False,
        layer_reduction: str = "mean",
    ):
        super().__init__(weight, layers=layers)
        if compare not in _MAPS:
            raise ValueError(f"compare must be one of {', '.join(_MAPS)}; got {shown(compare)}.")
        if average_heads and compare != "scores":
            raise ValueError(f"average_heads goes with compare='scores'; got compare={shown(compare)}. Use Relations.")
        self.compare, self.average_heads = compare, average_heads
        self.layer_reduction = check_reduction(layer_reduction)
        self._loss, self.paper = _MAPS[compare]

    def parts(self) -> Sequence[str]:
        return ("query", "key")

    def tap_layers(self, student: nn.Module, teacher: nn.Module) -> None:
        super().tap_layers(student, teacher)
        configs: list[Any] = [config_of(student), config_of(teacher)]
        for model, config in zip((student, teacher), configs, strict=True):
            if not ENCODERS[config.model_type].plain_attention:
                raise ValueError(
                    f"The attention scores of {type(model).__name__} depend on positions, not on queries and keys alone, "
                    f"so they cannot be rebuilt from these. Use Relations, which need no scores."
                )
        self._num_heads = tuple(config.num_attention_heads for config in configs)
        differ = len(set(self._num_heads)) > 1
        self.average_heads = differ if self.average_heads is None else self.average_heads
        if differ and not self.average_heads:
            raise ValueError(
                f"The student has {self._num_heads[0]} attention heads and the teacher {self._num_heads[1]}, so their maps "
                f"cannot be paired. Use Relations, which split both into the same number of heads, or average_heads=True."
            )

    def values(self, student: Signals, teacher: Signals, batch: Batch) -> torch.Tensor:
        mask, values = batch["attention_mask"].bool(), []
        queries, keys = self.read(student, teacher, "query"), self.read(student, teacher, "key")
        for query_pair, key_pair in zip(queries, keys, strict=True):
            scores = [
                dot_products(query, key, num_heads)
                for query, key, num_heads in zip(query_pair, key_pair, self._num_heads, strict=True)
            ]
            if self.average_heads:
                scores = [heads.mean(dim=1, keepdim=True) for heads in scores]
            student_scores, teacher_scores = scores
            values.append(self._loss(student_scores, teacher_scores, mask))
        return reduced(values, self.layer_reduction)

    def settings(self) -> dict[str, Any]:
        names = ("compare", "average_heads", "layer_reduction")
        return {**super().settings(), **{name: getattr(self, name) for name in names}}


class Relations(QKVTerm):
    """Match relations between positions: softmax of the dot products of queries, keys or values with each other.

    Both models are split into the same number of relation heads, whatever their own heads and widths, so any two can be
    compared, without a projection. Averaged over heads and pairs of layers, summed over the relations.

    Args:
        weight (`float` or `Schedule`): Weight in the objective.
        layers: See `LayerTerm`. One layer is enough; for large teachers the papers take an upper middle one.
        relations (`tuple` of `str`): Pairs such as "query-query"; "query-key" is the attention map where the heads
            are the models' own.
        num_heads (`int` or `str`, *optional*): Relation heads; they must divide the widths of both. Default: the largest
            number that does and gives the teacher's heads a width of at least 16, as in the paper. "attention": as many
            as the teacher has attention heads (Wang et al. 2020, MiniLM, equation 6), or, with a warning, the largest
            smaller number that divides both widths.

    Raises:
        ValueError: Heads that do not divide a width, an unknown relation, another word than "attention".
    """

    name = "relations"
    paper = "Wang et al. 2021, MiniLMv2: Multi-Head Self-Attention Relation Distillation"

    def __init__(
        self,
        weight: Scheduled,
        *,
        layers: Layers = "last",
        relations: Sequence[str] = ("query-query", "key-key", "value-value"),
        num_heads: int | str | None = None,
    ):
        super().__init__(weight, layers=layers)
        self.relations = tuple(relations)
        known = [f"{first}-{second}" for first in QKV for second in QKV]
        if not self.relations or any(relation not in known for relation in self.relations):
            raise ValueError(f"relations must be some of {', '.join(known)}; got {list(self.relations)}.")
        if num_heads not in (None, "attention"):
            num_heads = COUNT.check(num_heads, "num_heads", "Or it is 'attention', or left out.")
        self.num_heads: int = num_heads  # type: ignore[assignment]  # a number after setup

    def parts(self) -> Sequence[str]:
        return tuple(dict.fromkeys(part for relation in self.relations for part in relation.split("-")))

    def tap_layers(self, student: nn.Module, teacher: nn.Module) -> None:
        super().tap_layers(student, teacher)
        self._teacher_heads = config_of(teacher).num_attention_heads

    def setup(self, student: Signals, teacher: Signals, batch: Batch) -> None:
        super().setup(student, teacher, batch)
        widths = [[tensor.shape[-1] for tensor in pair] for pair in self.read(student, teacher, self.parts()[0])]
        if self.num_heads is None:
            self.num_heads = _largest_divisor(widths, min(width for _, width in widths) // _MIN_HEAD_WIDTH)
        elif self.num_heads == "attention":
            self.num_heads = _largest_divisor(widths, self._teacher_heads)
            if self.num_heads != self._teacher_heads:
                logger.warning(
                    f"The teacher has {self._teacher_heads} attention heads, which do not divide the student's width of "
                    f"{widths[0][0]}, so the relations are split into {self.num_heads} heads instead."
                )
        for student_width, teacher_width in widths:
            if student_width % self.num_heads or teacher_width % self.num_heads:
                raise ValueError(
                    f"num_heads={self.num_heads} relation heads must divide the widths of both models; the student is "
                    f"{student_width} wide, the teacher {teacher_width}. Use a divisor of "
                    f"{gcd(student_width, teacher_width)}, or leave it out."
                )

    def values(self, student: Signals, teacher: Signals, batch: Batch) -> torch.Tensor:
        mask = batch["attention_mask"].bool()
        tensors = {part: self.read(student, teacher, part) for part in self.parts()}
        values = []
        for relation in self.relations:
            first_part, second_part = relation.split("-")
            for first_pair, second_pair in zip(tensors[first_part], tensors[second_part], strict=True):
                student_scores, teacher_scores = (
                    dot_products(first, second, self.num_heads)
                    for first, second in zip(first_pair, second_pair, strict=True)
                )
                values.append(attention_kl(student_scores, teacher_scores, mask))
        return total(values) / len(self.pairs)

    def settings(self) -> dict[str, Any]:
        return {**super().settings(), "relations": list(self.relations), "num_heads": self.num_heads}


def _largest_divisor(widths: list[list[int]], most: int) -> int:
    """The largest number up to `most` that divides all widths."""
    common = gcd(*(width for pair in widths for width in pair))
    return max(heads for heads in range(1, max(most, 1) + 1) if common % heads == 0)
