"""Learning how the examples of a batch lie to each other.

These terms compare examples with each other, so their item is the micro-batch: a step averages its micro-batches, and
cutting it differently changes what is compared.
"""

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
from .base import Term, positive
from .layers import LayerTerm, check_examples, check_positions, of_images
from .problem_kinds import check_exclusive_classes


class PooledTerm(LayerTerm):
    """A term between the examples of a micro-batch, each of them one point.

    A point is the mean of hidden states (batch, sequence, width), padding left out, or of the pixels of a feature map
    (batch, channels, height, width); a vector (batch, width) is one already. Averaged over the pairs of layers; widths
    may differ, and so may what student and teacher return.

    Args:
        weight (`float`): Weight in the objective.
        layers: See `LayerTerm`.
    """

    loss = None  # (student points, teacher points) -> one value

    def __init__(self, weight, *, layers="last"):
        super().__init__(weight, layers=layers)

    def check_tensor(self, tensor, batch, what):
        if tensor.dim() == 3:
            check_positions(tensor, batch, what)
        else:
            check_examples(tensor, batch, what, dims=(2, 4))

    def items(self, batch):
        return whole_batch(batch)

    def values(self, student, teacher, batch):
        pairs = self.hidden(student, teacher)
        return sum(type(self).loss(*(_points(one, batch) for one in pair)) for pair in pairs) / len(pairs)


class RelationalDistance(PooledTerm):
    """Match the distances between examples. See `PooledTerm`."""

    name, paper = "distance", "Park et al. 2019, Relational Knowledge Distillation"
    loss = staticmethod(relational_distance)


class RelationalAngle(PooledTerm):
    """Match the angles of triples of examples. See `PooledTerm`."""

    name, paper = "angle", "Park et al. 2019, Relational Knowledge Distillation"
    loss = staticmethod(relational_angle)


class SimilarityPreserving(PooledTerm):
    """Match the similarities between examples. See `PooledTerm`."""

    name, paper = "similarity", "Tung and Mori 2019, Similarity-Preserving Knowledge Distillation"
    loss = staticmethod(similarity_preserving)


class SimilarityTargets(Term):
    """Match, text by text, which other texts of the micro-batch the teacher's embeddings are nearest to.

    Widths may differ, and nothing is projected. It reads what the models answer, so it is for models whose answer is
    one row a text: embeddings, or the logits of a classifier.

    Args:
        weight (`float`): Weight in the objective.
        temperature (`float` or `Schedule`): Greater than 0, of cosines: 0.05 looks at the nearest few texts, 1 at all
            nearly alike.

    Raises:
        ValueError: Answers for each token.
    """

    name, paper = (
        "similarity_targets",
        "Fang et al. 2021, SEED: Self-supervised Distillation for Visual Representation",
    )

    def __init__(self, weight, *, temperature=0.05):
        super().__init__(weight)
        self.temperature = self.follow("temperature", temperature, positive)

    def setup(self, student, teacher, batch):
        _refuse_tokens(student, "SimilarityTargets", "HiddenStates")

    def items(self, batch):
        return whole_batch(batch)

    def values(self, student, teacher, batch):
        return similarity_kl(student.logits, teacher.logits, temperature=self.temperature)

    def settings(self):
        return {"temperature": self.temperature}


class BatchCorrelation(Term):
    """Match, class by class, which examples of the micro-batch the teacher gives more of the class (DIST, intra-class).

    Args:
        weight (`float`): Gamma of the paper, 2 there.
        temperature (`float` or `Schedule`): Greater than 0; 1 in the paper's large runs.
        problem_type (`str`): Single-label classification of whole sequences.

    Raises:
        ValueError: A problem without probabilities over classes; logits per token.
    """

    name, paper = "batch_correlation", "Huang et al. 2022, Knowledge Distillation from A Stronger Teacher"

    def __init__(self, weight, *, temperature=1.0, problem_type="single_label_classification"):
        super().__init__(weight)
        self.temperature = self.follow("temperature", temperature, positive)
        check_exclusive_classes(problem_type, "BatchCorrelation")

    def setup(self, student, teacher, batch):
        _refuse_tokens(student, "BatchCorrelation", "SoftTargets")

    def items(self, batch):
        return whole_batch(batch)

    def values(self, student, teacher, batch):
        return batch_correlation(student.logits, teacher.at(self.temperature), temperature=self.temperature)

    def settings(self):
        return {"temperature": self.temperature}


def _refuse_tokens(student, who, instead):
    if student.logits.dim() != 2:
        raise ValueError(
            f"{who} compares whole sequences and needs logits of shape (batch, classes); got "
            f"{tuple(student.logits.shape)}. Use {instead} for tokens."
        )


def _points(tensor, batch):
    if tensor.dim() == 2:
        return tensor
    if tensor.dim() == 4:
        return mean_of_pixels(tensor)
    return mean_of_tokens(tensor, torch.ones_like(tensor[..., 0]) if of_images(batch) else batch["attention_mask"])


def whole_batch(batch):
    """A mask of one item: the micro-batch itself."""
    first = next(iter(batch.values()))
    return torch.ones(1, dtype=torch.bool, device=first.device)
