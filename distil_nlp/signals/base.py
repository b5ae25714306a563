"""Signals: what a model computed for a batch."""

from dataclasses import dataclass, field

import torch


@dataclass
class Signals:
    """What a model said about a batch.

    Args:
        logits (`torch.Tensor`): Shape (batch, classes) or (batch, sequence, classes). Of a model that marks spans:
            (batch, 2, sequence), where a span begins and where it ends, padding so low that it has no probability.
            Of a detector: (batch, queries, classes + 4), the class logits of each query and then its box.
        features (`dict[str, torch.Tensor]`): Outputs of tapped modules by module name.
        sparse (`SparseTargets`, *optional*): Instead of logits, where a distribution over a vocabulary was kept in parts.
        frame_stride (`float`, *optional*): From an answer to the next, in frames of the batch, see `frame_stride`.
    """

    logits: torch.Tensor | None
    features: dict = field(default_factory=dict)
    sparse: object = None
    frame_stride: float | None = None

    def at(self, temperature):
        """Logits whose softmax at this temperature is what was said. Several speakers give others at each."""
        return self.logits

    def best(self):
        """The class of the largest probability, item by item: shape of the logits without their last dimension."""
        return self.logits.argmax(-1) if self.sparse is None else self.sparse.best()

    @property
    def num_classes(self):
        """Classes the items are distributed over."""
        return self.logits.shape[-1] if self.sparse is None else self.sparse.vocabulary
