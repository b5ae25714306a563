"""Learning from what positions say of each other. Queries, keys and values are tapped, so sdpa stays on."""

from math import gcd

from ..losses import attention_kl, attention_mse, dot_products
from ..models.architectures import ENCODERS, QKV, qkv_slices
from .layers import LayerTerm

_LEAST_HEAD = 16  # MiniLMv2's 48 relation heads of a 768 wide teacher
_MAPS = {
    "scores": (attention_mse, "Jiao et al. 2020, TinyBERT: Distilling BERT for Natural Language Understanding"),
    "probabilities": (attention_kl, "Wang et al. 2020, MiniLM: Deep Self-Attention Distillation"),
}


class QKVTerm(LayerTerm):
    """A term on the queries, keys and values of pairs of layers."""

    def tap_layers(self, student, teacher):
        self._slots = [(qkv_slices(student, ours), qkv_slices(teacher, theirs)) for ours, theirs in self.pairs]
        self.student_taps, self.teacher_taps = (
            tuple(dict.fromkeys(slots[part].module for slots in side for part in self.parts()))
            for side in zip(*self._slots, strict=True)
        )

    def parts(self):
        """Which of query, key and value are read."""
        return QKV

    def read(self, student, teacher, part):
        """One of query, key and value for each pair: `[(student's, teacher's), ...]`, (batch, sequence, width)."""
        return [
            (ours[part].read(student.features), theirs[part].read(teacher.features)) for ours, theirs in self._slots
        ]

    def setup(self, student, teacher, batch):
        self.check(self.read(student, teacher, self.parts()[0]), batch)


class Attention(QKVTerm):
    """Match attention maps, averaged over heads and pairs of layers.

    Args:
        weight (`float`): Weight in the objective.
        layers: See `LayerTerm`.
        compare (`str`): "scores", before the softmax, by squared distance; or "probabilities", after it, by KL.
        average_heads (`bool`, *optional*): Compare the means over heads, for models with different numbers of heads.
            None: only where the numbers differ.

    Raises:
        ValueError: Different numbers of heads without `average_heads`; an architecture whose scores depend on more
            than queries and keys (rotary or relative positions).
    """

    name = "attention"

    def __init__(self, weight, *, layers="uniform", compare="scores", average_heads=False):
        super().__init__(weight, layers=layers)
        if compare not in _MAPS:
            raise ValueError(f"compare must be one of {', '.join(_MAPS)}; got {compare!r}.")
        if average_heads and compare != "scores":
            raise ValueError(f"average_heads goes with compare='scores'; got compare={compare!r}. Use Relations.")
        self.compare, self.average_heads = compare, average_heads
        self._loss, self.paper = _MAPS[compare]

    def parts(self):
        return ("query", "key")

    def tap_layers(self, student, teacher):
        super().tap_layers(student, teacher)
        for model in (student, teacher):
            if not ENCODERS[model.config.model_type].plain_attention:
                raise ValueError(
                    f"The attention scores of {type(model).__name__} depend on positions, not on queries and keys alone, "
                    f"so they cannot be rebuilt from these. Use Relations, which need no scores."
                )
        self._num_heads = tuple(model.config.num_attention_heads for model in (student, teacher))
        differ = len(set(self._num_heads)) > 1
        self.average_heads = differ if self.average_heads is None else self.average_heads
        if differ and not self.average_heads:
            raise ValueError(
                f"The student has {self._num_heads[0]} attention heads and the teacher {self._num_heads[1]}, so their maps "
                f"cannot be paired. Use Relations, which cut both into the same number of heads, or average_heads=True."
            )

    def values(self, student, teacher, batch):
        mask, values = batch["attention_mask"].bool(), []
        queries, keys = self.read(student, teacher, "query"), self.read(student, teacher, "key")
        for of_query, of_key in zip(queries, keys, strict=True):
            scores = [dot_products(*each) for each in zip(of_query, of_key, self._num_heads, strict=True)]
            if self.average_heads:
                scores = [each.mean(dim=1, keepdim=True) for each in scores]
            values.append(self._loss(*scores, mask))
        return sum(values) / len(values)

    def settings(self):
        return {**super().settings(), "compare": self.compare, "average_heads": self.average_heads}


class Relations(QKVTerm):
    """Match relations between positions: softmax of the dot products of queries, keys or values with each other.

    Both models are cut into the same number of relation heads, whatever their own heads and widths, so any two can be
    compared, without a projection. Averaged over heads and pairs of layers, added up over the relations.

    Args:
        weight (`float`): Weight in the objective.
        layers: See `LayerTerm`. One layer is enough; for large teachers the papers take an upper middle one.
        relations (`tuple` of `str`): Pairs such as "query-query"; "query-key" is the attention map where the heads
            are the models' own.
        num_heads (`int`, *optional*): Relation heads; they must divide the widths of both. By default as many as do
            and leave the teacher's heads 16 wide or wider, as in the paper.

    Raises:
        ValueError: Heads that do not divide a width, a relation that is none.
    """

    name = "relations"
    paper = "Wang et al. 2021, MiniLMv2: Multi-Head Self-Attention Relation Distillation"

    def __init__(self, weight, *, layers="last", relations=("query-query", "key-key", "value-value"), num_heads=None):
        super().__init__(weight, layers=layers)
        self.relations = tuple(relations)
        known = [f"{one}-{other}" for one in QKV for other in QKV]
        if not self.relations or any(relation not in known for relation in self.relations):
            raise ValueError(f"relations must be some of {', '.join(known)}; got {list(self.relations)}.")
        self.num_heads = num_heads

    def parts(self):
        return tuple(dict.fromkeys(part for relation in self.relations for part in relation.split("-")))

    def setup(self, student, teacher, batch):
        super().setup(student, teacher, batch)
        widths = [[tensor.shape[-1] for tensor in pair] for pair in self.read(student, teacher, self.parts()[0])]
        if self.num_heads is None:
            self.num_heads = _relation_heads(widths)
        for ours, theirs in widths:
            if ours % self.num_heads or theirs % self.num_heads:
                raise ValueError(
                    f"num_heads={self.num_heads} relation heads must divide the widths of both models; the student is "
                    f"{ours} wide, the teacher {theirs}. Use a divisor of {gcd(ours, theirs)}, or leave it out."
                )

    def values(self, student, teacher, batch):
        mask, read = batch["attention_mask"].bool(), {part: self.read(student, teacher, part) for part in self.parts()}
        values = 0.0
        for relation in self.relations:
            one, other = relation.split("-")
            for firsts, seconds in zip(read[one], read[other], strict=True):
                scores = (dot_products(*pair, self.num_heads) for pair in zip(firsts, seconds, strict=True))
                values = values + attention_kl(*scores, mask)
        return values / len(self.pairs)

    def settings(self):
        return {**super().settings(), "relations": list(self.relations), "num_heads": self.num_heads}


def _relation_heads(widths):
    common = gcd(*(width for pair in widths for width in pair))
    most = max(min(theirs for _, theirs in widths) // _LEAST_HEAD, 1)
    return max(heads for heads in range(1, most + 1) if common % heads == 0)
