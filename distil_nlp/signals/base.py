"""Signals: the outputs of a student or a teacher for a batch."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field

import torch


@dataclass
class SparseTargets:
    """The stored part of a teacher's distribution over a vocabulary: some tokens of each item, with weights.

    Args:
        ids (`torch.Tensor`): Shape (..., K), int64: tokens. Those at padding have no effect.
        weights (`torch.Tensor`): Shape (..., K), float32: the weights of the tokens; 0 marks padding.
        rest (`torch.Tensor`, *optional*): Shape (...), float32: the probability of all other tokens. None where tokens
            were sampled: the weights then sum to 1 and are unbiased.
        entropy (`torch.Tensor`, *optional*): Shape (...), float32, in nats: entropy of the whole softened distribution.
            With it the loss on sampled tokens estimates a KL divergence, without it a cross-entropy.
        temperature (`float`): The temperature of the teacher's distribution. A loss must soften the student by the same.
        vocabulary (`int`): Size of the vocabulary.
    """

    ids: torch.Tensor
    weights: torch.Tensor
    rest: torch.Tensor | None
    entropy: torch.Tensor | None
    temperature: float
    vocabulary: int

    def best(self) -> torch.Tensor:
        """The token with the largest weight, shape (...). Among sampled tokens this is an estimate."""
        return self.ids.gather(-1, self.weights.argmax(dim=-1, keepdim=True)).squeeze(-1)


@dataclass
class Signals:
    """Outputs of a model for a batch.

    Args:
        logits (`torch.Tensor`): Shape (batch, classes) or (batch, sequence, classes). Of a model that predicts spans:
            (batch, 2, sequence), start and end of a span, with padding so low that its probability is 0. Of a detector:
            (batch, queries, classes + 4), the class logits of each query, then its box.
        features (`dict[str, torch.Tensor]`): Outputs of tapped modules, by module name.
        sparse (`SparseTargets`, *optional*): The stored part of a distribution over a vocabulary. `logits` is None then.
        frame_stride (`float`, *optional*): Frames of the batch per output frame, see `signals.frames.frame_stride`.
    """

    logits: torch.Tensor
    features: dict[str, torch.Tensor] = field(default_factory=dict)
    sparse: SparseTargets | None = None
    frame_stride: float | None = None

    def at(self, temperature: float) -> torch.Tensor:
        """Logits whose softmax at this temperature is the prediction. Those of an ensemble depend on the temperature."""
        return self.logits

    def with_tensors(self, change: Callable[[torch.Tensor], torch.Tensor]) -> "Signals":
        """A copy with changed logits and features.

        Args:
            change (`Callable`): tensor -> tensor, applied to the logits, where there are any, and to each feature.
        """
        changed = copy.copy(self)
        if self.logits is not None:
            changed.logits = change(self.logits)
        changed.features = {name: change(tensor) for name, tensor in self.features.items()}
        return changed

    def best(self) -> torch.Tensor:
        """The class with the largest probability of each item: shape of the logits without their last dimension."""
        return self.logits.argmax(-1) if self.sparse is None else self.sparse.best()

    @property
    def num_classes(self) -> int:
        """Number of classes of the predicted distributions."""
        return self.logits.shape[-1] if self.sparse is None else self.sparse.vocabulary
