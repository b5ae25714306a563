"""Terms on the distances and similarities among the examples of a batch.

They compare examples with each other, so their item is the micro-batch: a step averages its micro-batches, and another
micro-batch size gives another loss.
"""

from collections.abc import Callable
from typing import Any

import torch

from ..losses import (
    batch_correlation,
    mean_of_pixels,
    mean_of_tokens,
    relational_angle,
    relational_distance,
    similarity_kl,
    similarity_preserving,
)
from ..signals.base import Signals
from .base import Batch, Term, valid_temperature, whole_batch
from .kind_objectives import check_exclusive_classes
from .layers import Layers, LayerTerm, check_examples, check_positions, of_images, total
from .schedules import Scheduled


class PooledTerm(LayerTerm):
    """Base class of terms that compare the examples of a micro-batch with each other, each as one vector (a point).

    Unless a term differs, a point is the mean of hidden states (batch, sequence, width) without padding, or of the
    pixels of a feature map (batch, channels, height, width), or a vector (batch, width). Averaged over the pairs of layers.
    The widths of student and teacher may differ, and one may be hidden states where the other is a map.

    Args:
        weight (`float` or `Schedule`): Weight in the objective.
        layers: See `LayerTerm`.
    """

    flattens_maps = False  # True: a map is a point as it is, not the mean of its pixels
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]  # (student points, teacher points) -> one value

    def __init__(self, weight: Scheduled, *, layers: Layers = "last"):
        super().__init__(weight, layers=layers)

    def check_tensor(self, tensor: torch.Tensor, batch: Batch, name: str) -> None:
        if tensor.dim() == 3:
            check_positions(tensor, batch, name)
        else:
            check_examples(tensor, batch, name, dims=(2, 4))

    def items(self, batch: Batch) -> torch.Tensor:
        return whole_batch(batch)

    def values(self, student: Signals, teacher: Signals, batch: Batch) -> torch.Tensor:
        pairs = self.hidden(student, teacher)
        return total([type(self).loss(*(self._points(tensor, batch) for tensor in pair)) for pair in pairs]) / len(
            pairs
        )

    def _points(self, tensor: torch.Tensor, batch: Batch) -> torch.Tensor:
        if tensor.dim() == 2:
            return tensor
        if tensor.dim() == 4:
            return tensor.flatten(1) if self.flattens_maps else mean_of_pixels(tensor)
        return mean_of_tokens(tensor, torch.ones_like(tensor[..., 0]) if of_images(batch) else batch["attention_mask"])


class RelationalDistance(PooledTerm):
    """Match the distances between examples. See `PooledTerm`."""

    name, paper = "distance", "Park et al. 2019, Relational Knowledge Distillation"
    loss = staticmethod(relational_distance)


class RelationalAngle(PooledTerm):
    """Match the angles of triples of examples. See `PooledTerm`."""

    name, paper = "angle", "Park et al. 2019, Relational Knowledge Distillation"
    loss = staticmethod(relational_angle)


class SimilarityPreserving(PooledTerm):
    """Match the similarities between examples. A point is a whole feature map, as in the paper; see `PooledTerm`."""

    flattens_maps = True
    name, paper = "similarity", "Tung and Mori 2019, Similarity-Preserving Knowledge Distillation"
    loss = staticmethod(similarity_preserving)


class SimilarityTargets(Term):
    """Match, text by text, the teacher's distribution of similarities to the other texts of the micro-batch.

    Widths may differ, and nothing is projected. It compares the outputs of models with one row per text: embeddings, or
    the logits of a classifier.

    Args:
        weight (`float` or `Schedule`): Weight in the objective.
        temperature (`float` or `Schedule`): Greater than 0, of cosines: with 0.05 the nearest few texts count, with 1 all
            nearly equally.

    Raises:
        ValueError: Outputs for each token.
    """

    name, paper = (
        "similarity_targets",
        "Fang et al. 2021, SEED: Self-supervised Distillation for Visual Representation",
    )

    def __init__(self, weight: Scheduled, *, temperature: Scheduled = 0.05):
        super().__init__(weight)
        self.temperature = self.follow("temperature", temperature, valid_temperature)

    def setup(self, student: Signals, teacher: Signals, batch: Batch) -> None:
        _check_sequences(student, "SimilarityTargets", "HiddenStates")

    def items(self, batch: Batch) -> torch.Tensor:
        return whole_batch(batch)

    def values(self, student: Signals, teacher: Signals, batch: Batch) -> torch.Tensor:
        return similarity_kl(student.logits, teacher.logits, temperature=self.temperature)

    def settings(self) -> dict[str, Any]:
        return {"temperature": self.temperature}


class BatchCorrelation(Term):
    """Match, class by class, how the teacher's probability varies over the micro-batch (DIST, intra-class).

    Args:
        weight (`float` or `Schedule`): Gamma of the paper, 2 there.
        temperature (`float` or `Schedule`): Greater than 0; 1 in the paper's large runs.
        problem_type (`str`): Must have classes that exclude each other.

    Raises:
        ValueError: A problem kind without probabilities over classes; logits per token.
    """

    name, paper = "batch_correlation", "Huang et al. 2022, Knowledge Distillation from A Stronger Teacher"

    def __init__(
        self,
        weight: Scheduled,
        *,
        temperature: Scheduled = 1.0,
        problem_type: str = "single_label_classification",
    ):
        super().__init__(weight)
        self.temperature = self.follow("temperature", temperature, valid_temperature)
        check_exclusive_classes(problem_type, "BatchCorrelation")

    def setup(self, student: Signals, teacher: Signals, batch: Batch) -> None:
        _check_sequences(student, "BatchCorrelation", "SoftTargets")

    def items(self, batch: Batch) -> torch.Tensor:
        return whole_batch(batch)

    def values(self, student: Signals, teacher: Signals, batch: Batch) -> torch.Tensor:
        return batch_correlation(student.logits, teacher.at(self.temperature), temperature=self.temperature)

    def settings(self) -> dict[str, Any]:
        return {"temperature": self.temperature}


def _check_sequences(student: Signals, term: str, instead: str) -> None:
    if student.logits.dim() != 2:
        raise ValueError(
            f"{term} compares whole sequences and needs logits of shape (batch, classes); got "
            f"{tuple(student.logits.shape)}. Use {instead} for tokens."
        )
