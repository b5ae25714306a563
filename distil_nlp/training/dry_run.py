"""One dry forward pass before the first step: shapes are inferred, misfits show."""

import copy

import torch

from ..models.feature_stages import in_eval_mode
from ..signals.base import Signals
from ..signals.forward import accepted_columns, forward_logits
from ..signals.frames import frame_stride
from ..signals.taps import FeatureTap


def dry_run(objective, student, teacher, batch, *, seed=0):
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
        objective.resolve_layers(student, getattr(teacher, "architecture", None))
        with in_eval_mode(student), FeatureTap(student, objective.student_taps) as tap:
            said = Signals(
                forward_logits(student, batch, accepted_columns(student)),
                tap.take(),
                frame_stride=frame_stride(student),
            )
        answer = None
        if teacher is not None and objective.needs_teacher:
            teacher.tap_layers(objective.teacher_taps)
            answer = teacher(batch)
        objective.setup(said, answer, batch)


def check_last_batch(student, batch, num_rows, args):
    """Where one row is left over for the last batch of an epoch, see whether the student can be trained on one.

    Args:
        student (`nn.Module`): A copy of it is asked.
        batch (`dict[str, torch.Tensor]`): Any rows, on the student's device; the first is taken.
        num_rows (`int`): Of the training data.
        args (`TrainingArguments`): How it is cut into batches.

    Raises:
        ValueError: A BatchNorm that would see one number a channel, of which there is no deviation.
    """
    size = args.train_batch_size
    if num_rows % size != 1 or args.dataloader_drop_last or args.world_size > 1:  # several processes fill the batch up
        return
    if not any(isinstance(module, torch.nn.modules.batchnorm._BatchNorm) for module in student.modules()):
        return
    try:
        with torch.random.fork_rng(), torch.no_grad():
            row = {name: value[:1] for name, value in batch.items()}
            forward_logits(copy.deepcopy(student).train(), row, accepted_columns(student))
    except ValueError as error:
        raise ValueError(
            f"{num_rows} rows in batches of {size} leave one row for the last batch of an epoch, and the student "
            f"({type(student).__name__}) cannot be trained on one: {error}. Set dataloader_drop_last=True, or another "
            f"per_device_train_batch_size."
        ) from error
