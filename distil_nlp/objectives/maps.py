"""Terms on feature maps of convolutional networks. An item is an example: all its pixels count."""

from typing import Any

import torch

from ..losses import attention_transfer, channel_wise_kl, hint_mse, pearson_maps, to_smaller_size
from ..signals.base import Signals
from .base import Batch, every_example, valid_temperature, whole_batch
from .hidden import ProjectedTerm
from .layers import Layers, LayerTerm, check_examples, total
from .schedules import Scheduled


class MapTerm(LayerTerm):
    """A term between maps of pairs of stages, averaged over the pairs.

    Args:
        weight (`float` or `Schedule`): Weight in the objective.
        layers: See `LayerTerm`.

    Raises:
        ValueError: Layers that do not exist or return no maps of shape (batch, channels, height, width).
    """

    def __init__(self, weight: Scheduled, *, layers: Layers = "uniform"):
        super().__init__(weight, layers=layers)

    def check_tensor(self, tensor: torch.Tensor, batch: Batch, name: str) -> None:
        check_examples(tensor, batch, name, dims=(4,))

    def items(self, batch: Batch) -> torch.Tensor:
        return every_example(batch)


class ProjectedMaps(MapTerm, ProjectedTerm):
    """Base class of terms on maps of equal size, the student's projected to the teacher's channels by 1x1 convolutions.

    Where sizes differ, the larger map is averaged down to the smaller one. See `MapTerm` and `ProjectedTerm`.
    """

    def projected(self, student: Signals, teacher: Signals) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Maps of each pair of stages, of equal sizes and channels: `[(student, teacher), ...]`."""
        # Averaged before the projection, which gives the same result at a lower cost.
        pairs = [to_smaller_size(*pair) for pair in self.hidden(student, teacher)]
        return [
            (project(student_map), teacher_map)
            for project, (student_map, teacher_map) in zip(self.projections, pairs, strict=True)
        ]


class FeatureMaps(ProjectedMaps):
    """Match the teacher's maps by squared distance (hints). See `ProjectedMaps`."""

    name, paper = "hints", "Romero et al. 2015, FitNets: Hints for Thin Deep Nets"

    def values(self, student: Signals, teacher: Signals, batch: Batch) -> torch.Tensor:
        values = [hint_mse(*pair) for pair in self.projected(student, teacher)]
        return total(values) / len(values)


class AttentionMaps(MapTerm):
    """Match where the teacher's maps are large, whatever the channels. Nothing is projected. See `MapTerm`."""

    name, paper = "attention_maps", "Zagoruyko and Komodakis 2017, Paying More Attention to Attention"

    def values(self, student: Signals, teacher: Signals, batch: Batch) -> torch.Tensor:
        values = [attention_transfer(*pair) for pair in self.hidden(student, teacher)]
        return total(values) / len(values)


class ChannelMaps(ProjectedMaps):
    """Match, channel by channel, the distribution of a map over its pixels (CWD). See `ProjectedMaps`.

    Args:
        temperature (`float` or `Schedule`): Greater than 0; 4 in the paper.
    """

    name, paper = "channels", "Shu et al. 2021, Channel-wise Knowledge Distillation for Dense Prediction"

    def __init__(self, weight: Scheduled, *, layers: Layers = "uniform", temperature: Scheduled = 4.0):
        super().__init__(weight, layers=layers)
        self.temperature = self.follow("temperature", temperature, valid_temperature)

    def values(self, student: Signals, teacher: Signals, batch: Batch) -> torch.Tensor:
        pairs = self.projected(student, teacher)
        return total([channel_wise_kl(*pair, temperature=self.temperature) for pair in pairs]) / len(pairs)

    def settings(self) -> dict[str, Any]:
        return {**super().settings(), "temperature": self.temperature}


class PearsonMaps(ProjectedMaps):
    """Match, channel by channel, where and for which images a map is large, not how large (PKD). See `ProjectedMaps`.

    Means and variances are those of the batch, as in the paper, so the item is the micro-batch: a step averages its
    micro-batches, and another micro-batch size gives another loss.
    """

    name, paper = "pearson", "Cao et al. 2022, PKD: General Distillation Framework for Object Detectors"

    def items(self, batch: Batch) -> torch.Tensor:
        return whole_batch(batch)

    def values(self, student: Signals, teacher: Signals, batch: Batch) -> torch.Tensor:
        pairs = self.projected(student, teacher)
        return total([pearson_maps(*pair) for pair in pairs]) / len(pairs)
