"""Learning from feature maps of convolutions. An item is an example, all of whose pixels count."""

from ..losses import attention_transfer, channel_wise_kl, hint_mse, pearson_maps, to_smaller_size
from .base import every_example, positive
from .hidden import ProjectedTerm
from .layers import LayerTerm, check_examples
from .relational import whole_batch


class MapTerm(LayerTerm):
    """A term between maps of pairs of stages, averaged over the pairs.

    Args:
        weight (`float` or `Schedule`): Weight in the objective.
        layers: See `LayerTerm`.

    Raises:
        ValueError: Layers that do not exist or return no maps of shape (batch, channels, height, width).
    """

    def __init__(self, weight, *, layers="uniform"):
        super().__init__(weight, layers=layers)

    def check_tensor(self, tensor, batch, what):
        check_examples(tensor, batch, what, dims=(4,))

    def items(self, batch):
        return every_example(batch)


class ProjectedMaps(MapTerm, ProjectedTerm):
    """Maps of pairs of stages, of one size, the student's brought to the teacher's channels by 1x1 convolutions.

    Where sizes differ, the larger map is averaged down to the smaller one. See `MapTerm` and `ProjectedTerm`.
    """

    def projected(self, student, teacher):
        # Averaged before it is projected, which gives the same and costs less.
        pairs = [to_smaller_size(*pair) for pair in self.hidden(student, teacher)]
        return [(project(ours), theirs) for project, (ours, theirs) in zip(self.projections, pairs, strict=True)]


class FeatureMaps(ProjectedMaps):
    """Bring the student's maps to the teacher's by squared distance (hints). See `ProjectedMaps`."""

    name, paper = "hints", "Romero et al. 2015, FitNets: Hints for Thin Deep Nets"

    def values(self, student, teacher, batch):
        values = [hint_mse(*pair) for pair in self.projected(student, teacher)]
        return sum(values) / len(values)


class AttentionMaps(MapTerm):
    """Be strong where the teacher's maps are strong, whatever the channels. Nothing is projected. See `MapTerm`."""

    name, paper = "attention_maps", "Zagoruyko and Komodakis 2017, Paying More Attention to Attention"

    def values(self, student, teacher, batch):
        values = [attention_transfer(*pair) for pair in self.hidden(student, teacher)]
        return sum(values) / len(values)


class ChannelMaps(ProjectedMaps):
    """Match, channel by channel, the distribution of a map over its pixels (CWD). See `ProjectedMaps`.

    Args:
        temperature (`float` or `Schedule`): Greater than 0; 4 in the paper.
    """

    name, paper = "channels", "Shu et al. 2021, Channel-wise Knowledge Distillation for Dense Prediction"

    def __init__(self, weight, *, layers="uniform", temperature=4.0):
        super().__init__(weight, layers=layers)
        self.temperature = self.follow("temperature", temperature, positive)

    def values(self, student, teacher, batch):
        pairs = self.projected(student, teacher)
        return sum(channel_wise_kl(*pair, temperature=self.temperature) for pair in pairs) / len(pairs)

    def settings(self):
        return {**super().settings(), "temperature": self.temperature}


class PearsonMaps(ProjectedMaps):
    """Match, channel by channel, where and for which images a map is strong, not how strong (PKD). See `ProjectedMaps`.

    Means and variances are those of the batch, as in the paper, so the item is the micro-batch: a step averages its
    micro-batches, and cutting it differently changes what is compared.
    """

    name, paper = "pearson", "Cao et al. 2022, PKD: General Distillation Framework for Object Detectors"

    def items(self, batch):
        return whole_batch(batch)

    def values(self, student, teacher, batch):
        pairs = self.projected(student, teacher)
        return sum(pearson_maps(*pair) for pair in pairs) / len(pairs)
