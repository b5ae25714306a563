"""Learning from hidden states."""

from torch import nn

from ..losses import hidden_cosine, hidden_mse, normalized_mse
from ..losses.precision import upcast
from .base import every_example
from .layers import LayerTerm, of_images

DISTANCES = {
    "mse": (hidden_mse, "Romero et al. 2015, FitNets: Hints for Thin Deep Nets"),
    "cosine": (hidden_cosine, "Sanh et al. 2019, DistilBERT, a distilled version of BERT"),
}


class ProjectedTerm(LayerTerm):
    """What pairs of layers return, the student's brought to the teacher's width.

    The projections (linear maps without bias, one for each pair of different widths) are trained with the student,
    saved beside it for resuming, and no part of it.
    """

    def __init__(self, weight, *, layers):
        super().__init__(weight, layers=layers)
        self.projections = nn.ModuleList()

    def setup(self, student, teacher, batch):
        super().setup(student, teacher, batch)
        self.projections = nn.ModuleList(projection(*pair) for pair in self.hidden(student, teacher))

    def projected(self, student, teacher):
        """`[(student's, teacher's), ...]` of equal widths."""
        # Half-precision features meet a float32 projection where no autocast is: a half-precision student, evaluation.
        return [
            (project(upcast(ours)), theirs)
            for project, (ours, theirs) in zip(self.projections, self.hidden(student, teacher), strict=True)
        ]


class HiddenStates(ProjectedTerm):
    """Bring hidden states of the student to hidden states of the teacher (hints), averaged over the pairs.

    An item is a position that is no padding. Of images, where there is none, it is the example: all its positions count.

    Args:
        weight (`float`): Weight in the objective.
        layers: See `LayerTerm`. "embeddings" names the output of the embedding layer.
        distance (`str`): "mse", or "cosine" where the direction should count and the length should not.

    Raises:
        ValueError: An unknown distance; layers that do not exist or return no hidden states.
    """

    name = "hidden"

    def __init__(self, weight, *, layers="uniform", distance="mse"):
        super().__init__(weight, layers=layers)
        if distance not in DISTANCES:
            raise ValueError(f"distance must be one of {', '.join(DISTANCES)}; got {distance!r}.")
        self.distance = distance
        self._loss, self.paper = DISTANCES[distance]

    def values(self, student, teacher, batch):
        values = [self._loss(ours, theirs) for ours, theirs in self.projected(student, teacher)]
        if of_images(batch):
            values = [each.mean(dim=1) for each in values]
        return sum(values) / len(values)

    def settings(self):
        return {**super().settings(), "distance": self.distance}


class PatientStates(ProjectedTerm):
    """Bring the student's state of the first token, layer by layer, to the direction of the teacher's.

    An item is a sequence that begins with its first token, [CLS], as one padded on the right does. The pairs are added
    up.

    Args:
        weight (`float`): Weight in the objective.
        layers: See `LayerTerm`.
    """

    name = "patient"
    paper = "Sun et al. 2019, Patient Knowledge Distillation for BERT Model Compression"

    def __init__(self, weight, *, layers="skip"):
        super().__init__(weight, layers=layers)

    def setup(self, student, teacher, batch):
        super().setup(student, teacher, batch)
        if of_images(batch):
            return
        padded = batch["attention_mask"][:, 0] == 0
        if padded.any():
            raise ValueError(
                f"PatientStates compare the first token of each text, and in {int(padded.sum())} of {len(padded)} it is "
                f"padding. Pad on the right (tokenizer.padding_side='right')."
            )

    def items(self, batch):
        return every_example(batch) if of_images(batch) else batch["attention_mask"][:, 0].bool()

    def values(self, student, teacher, batch):
        return sum(normalized_mse(ours[:, 0], theirs[:, 0]) for ours, theirs in self.projected(student, teacher))


def projection(ours, theirs):
    """A bridge from the width of a student's tensor to a teacher's: nothing where they are equal, else a linear map.

    The width is the last dimension; that of feature maps, (batch, channels, height, width), is their channels.
    """
    of_maps = ours.dim() == 4
    wide, wanted = (tensor.shape[1 if of_maps else -1] for tensor in (ours, theirs))
    if wide == wanted:
        return nn.Identity()
    # Drawn on the CPU, so that one seed gives one projection on every device.
    made = nn.Conv2d(wide, wanted, 1, bias=False) if of_maps else nn.Linear(wide, wanted, bias=False)
    return made.to(ours.device, upcast(ours).dtype)
