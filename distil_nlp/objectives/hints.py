"""Learning from a layer of the teacher."""

from torch import nn

from ..losses import hidden_mse
from ..losses.precision import widened
from .base import Term


class Hint(Term):
    """Bring a hidden state of the student, projected to the teacher's width, to one of the teacher's.

    Args:
        weight (`float`): Weight in the objective.
        student_layer, teacher_layer (`str`): Module names, as in `model.named_modules()`. Each returns a hidden
            state of shape (batch, sequence, width), or a tuple that begins with one.

    The projection (a linear map without bias) is made where the widths differ; it is trained with the student,
    saved beside it for resuming, and no part of it.
    """

    name = "hint"
    paper = "Romero et al. 2015, FitNets: Hints for Thin Deep Nets"

    def __init__(self, weight, *, student_layer, teacher_layer):
        super().__init__(weight)
        self.student_taps, self.teacher_taps = (student_layer,), (teacher_layer,)
        self.projection = nn.Identity()

    def build(self, student, teacher, batch):
        ours, theirs = self._hidden(student, teacher)
        for hidden, (layer,) in ((ours, self.student_taps), (theirs, self.teacher_taps)):
            if hidden.dim() != 3 or hidden.numel() == 0:
                raise ValueError(
                    f"The hint on '{layer}' needs a hidden state of shape (batch, sequence, width); the module "
                    f"returned shape {tuple(hidden.shape)}. Tap a transformer layer."
                )
        if ours.shape[-1] != theirs.shape[-1]:
            # Drawn on the CPU, so that one seed gives one projection on every device.
            projection = nn.Linear(ours.shape[-1], theirs.shape[-1], bias=False)
            self.projection = projection.to(ours.device, widened(ours).dtype)

    def items(self, batch):
        return batch["attention_mask"].bool()

    def values(self, student, teacher, batch):
        ours, theirs = self._hidden(student, teacher)
        # Half-precision features meet a float32 projection where no autocast is: a half-precision student, evaluation.
        return hidden_mse(self.projection(widened(ours)), theirs)

    def _hidden(self, student, teacher):
        return student.features[self.student_taps[0]], teacher.features[self.teacher_taps[0]]

    def settings(self):
        return {"student_layer": self.student_taps[0], "teacher_layer": self.teacher_taps[0]}
