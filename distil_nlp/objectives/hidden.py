"""Terms on hidden states."""

from typing import Any

import torch
from torch import nn

from ..internals.messages import shown
from ..losses import hidden_cosine, hidden_mse, normalized_mse
from ..losses.precision import upcast
from ..signals.base import Signals
from .base import Batch, every_example
from .layers import Layers, LayerTerm, check_reduction, of_images, reduced, total
from .schedules import Scheduled

DISTANCES = {
    "mse": (hidden_mse, "Romero et al. 2015, FitNets: Hints for Thin Deep Nets"),
    "cosine": (hidden_cosine, "Sanh et al. 2019, DistilBERT, a distilled version of BERT"),
}


class ProjectedTerm(LayerTerm):
    """Base class of terms on the outputs of pairs of layers, with the student's projected to the teacher's width.

    The projections (linear maps without bias, one for each pair of different widths) are trained with the student and
    saved in checkpoints for resuming. They are not part of the student.
    """

    def __init__(self, weight: Scheduled, *, layers: Layers):
        super().__init__(weight, layers=layers)
        self.projections = nn.ModuleList()

    def setup(self, student: Signals, teacher: Signals, batch: Batch) -> None:
        super().setup(student, teacher, batch)
        self.projections = nn.ModuleList(projection(*pair) for pair in self.hidden(student, teacher))

    def projected(self, student: Signals, teacher: Signals) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Outputs of each pair of layers, of equal widths: `[(student, teacher), ...]`."""
        # Without autocast (a half-precision student, evaluation) features are half precision and projections float32.
        return [
            (project(upcast(student_hidden)), teacher_hidden)
            for project, (student_hidden, teacher_hidden) in zip(
                self.projections, self.hidden(student, teacher), strict=True
            )
        ]


class HiddenStates(ProjectedTerm):
    """Match hidden states of the teacher (hints).

    An item is a position that is not padding. For images, which have no padding, it is the example: all positions count.

    Args:
        weight (`float` or `Schedule`): Weight in the objective.
        layers: See `LayerTerm`. "embeddings" is the output of the embedding layer.
        distance (`str`): "mse", or "cosine" to compare directions without lengths.
        layer_reduction (`str`): "mean" over the pairs of layers, or "sum" (Jiao et al. 2020, TinyBERT, equation 11).

    Raises:
        ValueError: An unknown distance or reduction; layers that do not exist or return no hidden states.
    """

    name = "hidden"

    def __init__(
        self, weight: Scheduled, *, layers: Layers = "uniform", distance: str = "mse", layer_reduction: str = "mean"
    ):
        super().__init__(weight, layers=layers)
        self.layer_reduction = check_reduction(layer_reduction)
        if distance not in DISTANCES:
            raise ValueError(f"distance must be one of {', '.join(DISTANCES)}; got {shown(distance)}.")
        self.distance = distance
        self._loss, self.paper = DISTANCES[distance]

    def values(self, student: Signals, teacher: Signals, batch: Batch) -> torch.Tensor:
        values = [self._loss(*pair) for pair in self.projected(student, teacher)]
        if of_images(batch):
            values = [positions.mean(dim=1) for positions in values]
        return reduced(values, self.layer_reduction)

    def settings(self) -> dict[str, Any]:
        return {**super().settings(), "distance": self.distance, "layer_reduction": self.layer_reduction}


class PatientStates(ProjectedTerm):
    """Match the direction of the teacher's state of the first token, layer by layer.

    An item is a sequence that begins with its first token, [CLS], as a sequence padded on the right does. Summed over the
    pairs of layers.

    Args:
        weight (`float` or `Schedule`): Weight in the objective.
        layers: See `LayerTerm`.
    """

    name = "patient"
    paper = "Sun et al. 2019, Patient Knowledge Distillation for BERT Model Compression"

    def __init__(self, weight: Scheduled, *, layers: Layers = "skip"):
        super().__init__(weight, layers=layers)

    def setup(self, student: Signals, teacher: Signals, batch: Batch) -> None:
        super().setup(student, teacher, batch)
        if of_images(batch):
            return
        padded = batch["attention_mask"][:, 0] == 0
        if padded.any():
            raise ValueError(
                f"PatientStates compare the first token of each text, and in {int(padded.sum())} of {len(padded)} it is "
                f"padding. Pad on the right (tokenizer.padding_side='right')."
            )

    def items(self, batch: Batch) -> torch.Tensor:
        return every_example(batch) if of_images(batch) else batch["attention_mask"][:, 0].bool()

    def values(self, student: Signals, teacher: Signals, batch: Batch) -> torch.Tensor:
        pairs = self.projected(student, teacher)
        return total([normalized_mse(*(states[:, 0] for states in pair)) for pair in pairs])


def projection(student_tensor: torch.Tensor, teacher_tensor: torch.Tensor) -> nn.Module:
    """A projection from the student's width to the teacher's: the identity where they are equal, else a linear map.

    The width is the last dimension; that of feature maps, (batch, channels, height, width), is their channels.
    """
    is_map = student_tensor.dim() == 4
    width, teacher_width = (tensor.shape[1 if is_map else -1] for tensor in (student_tensor, teacher_tensor))
    if width == teacher_width:
        return nn.Identity()
    # Drawn on the CPU, so that one seed gives one projection on every device.
    module = nn.Conv2d(width, teacher_width, 1, bias=False) if is_map else nn.Linear(width, teacher_width, bias=False)
    return module.to(student_tensor.device, upcast(student_tensor).dtype)
