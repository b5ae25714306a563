"""One dry forward pass before the first step: shapes are inferred, misfits show."""

import torch

from ..signals import Signals, accepted_columns, ask, frame_hop
from ..stages import in_eval_mode
from ..taps import FeatureTap


def rehearse(objective, student, teacher, batch, *, seed=0):
    """Let an objective look at both models and at what they say about a few examples. Moves no random state.

    Args:
        objective (`Objective`): Its taps are settled, its projections made (from `seed`).
        student (`nn.Module`): In the mode it was in when this returns.
        teacher (`Teacher`, *optional*): Already matched; it is asked only where the objective needs one.
        batch (`dict[str, torch.Tensor]`): Two examples are enough; on the student's device.
        seed (`int`): Of the projections.

    Raises:
        ValueError: Layers that do not exist, shapes that do not fit, data the objective cannot use.
    """
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        objective.locate(student, getattr(teacher, "anatomy", None))
        with in_eval_mode(student), FeatureTap(student, objective.student_taps) as tap:
            said = Signals(ask(student, batch, accepted_columns(student)), tap.take(), hop=frame_hop(student))
        answer = None
        if teacher is not None and objective.needs_teacher:
            teacher.listen(objective.teacher_taps)
            answer = teacher(batch)
        objective.build(said, answer, batch)
