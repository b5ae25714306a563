"""Projections: the weights of an objective, such as the linear maps that bridge two hidden sizes.

They are built from one dry forward pass, optimized, clipped and cleared with the student, synchronized over
processes, saved in checkpoints and loaded when a run is resumed. They are never part of the student:
`from_pretrained` loads it without unexpected keys.
"""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from accelerate import Accelerator
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import TrainerCallback

from ..internals.files import replacing
from ..models.architectures import without_inner_padding
from ..models.feature_stages import in_eval_mode
from ..objectives import Objective
from ..objectives.diagnosis import diagnose
from ..signals.base import Signals
from ..signals.finite import NonFiniteError
from ..signals.forward import accepted_columns, forward_logits
from ..signals.frames import frame_stride
from ..signals.problem_kinds import problem_kind_of_model
from ..signals.taps import FeatureTap, forget_compiled
from ..teachers.base import Teacher
from .alignment import check_alignment, check_decoder, check_lengths, check_logits
from .data_check import explained_forward

logger = logging.getLogger(__name__)

_FILE = "projections.safetensors"


def dry_run(
    objective: Objective,
    student: nn.Module,
    teacher: Teacher | None,
    batch: Mapping[str, torch.Tensor],
    *,
    seed: int = 0,
) -> Signals:
    """Run both models once: resolve the objective's layers, build its projections, check all shapes.

    No random state is changed, and the student's mode (training or evaluation) is restored.

    Args:
        objective (`Objective`): Its taps are resolved and its projections built.
        student (`nn.Module`): Run in evaluation mode.
        teacher (`Teacher`, *optional*): Already reconciled with the student. Run only if the objective needs a teacher.
        batch (`Mapping[str, torch.Tensor]`): Two examples are enough; on the student's device.
        seed (`int`): Random seed of the projections.

    Returns:
        `Signals` of the student.

    Raises:
        ValueError: Layers that do not exist, shapes that do not fit, data the objective cannot use, a loss that is not
            finite.
    """
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        objective.resolve_layers(student, getattr(teacher, "architecture", None))
        if objective.student_taps:
            forget_compiled(student)
        with in_eval_mode(student), FeatureTap(student, objective.student_taps) as tap:
            check_decoder(student, batch)
            with explained_forward(type(student).__name__, student, batch):
                student_signals = _signals(student, tap, batch)
            logits = student_signals.logits
            check_logits(student, logits)
            check_alignment(student, logits, batch)
        teacher_signals = None
        if teacher is not None and objective.needs_teacher:
            teacher.tap_layers(objective.teacher_taps)
            with explained_forward(f"The teacher ({teacher.name})", teacher.architecture, batch):
                teacher_signals = teacher(batch)
        loss = objective.setup(student_signals, teacher_signals, batch)
        if not loss.isfinite():
            kind = problem_kind_of_model(student, batch)
            reason = diagnose(objective, student_signals, teacher_signals, batch, kind)
            raise NonFiniteError(
                f"Before the first step, on {len(logits)} examples: {reason or f'the loss is {loss:g}.'}"
            )
        check_frozen(objective, student, teacher_signals, batch)
        with in_eval_mode(student), FeatureTap(student, objective.student_taps) as tap:
            check_lengths(type(student).__name__, student_signals, lambda part: _signals(student, tap, part), batch)
        if teacher_signals is not None and teacher is not None and not teacher.is_precomputed:
            check_lengths(teacher.name, teacher_signals, teacher, batch)
    return student_signals


def check_frozen(
    objective: Objective, student: nn.Module, teacher: Signals | None, batch: Mapping[str, torch.Tensor]
) -> None:
    """Check that every term with taps trains weights of the student, not its own projection alone.

    Raises:
        ValueError: All weights of the student that a term depends on are frozen. Where only some of its layers depend on
            frozen weights alone, a warning is logged.
    """
    trained = [parameter for parameter in student.parameters() if parameter.requires_grad]
    if not objective.student_taps or not trained or len(trained) == len(list(student.parameters())):
        return
    with torch.enable_grad(), in_eval_mode(student), FeatureTap(student, objective.student_taps) as tap:
        signals = _signals(student, tap, batch)
        for name, term in zip(objective.names, objective.terms, strict=True):
            frozen = [tapped for tapped in term.student_taps if not signals.features[tapped].requires_grad]
            if not frozen:
                continue
            values = term.values(signals, cast(Signals, teacher), batch).sum()
            gradients = torch.autograd.grad(values, trained, allow_unused=True) if values.requires_grad else [None]
            if all(gradient is None for gradient in gradients):
                raise ValueError(
                    f"The term {name} compares layers of the student that depend on frozen weights only "
                    f"({', '.join(frozen)}; requires_grad=False), so it would train nothing but its own projection. Remove "
                    f"the term, choose layers above the frozen ones, or unfreeze them."
                )
            logger.warning(
                "Layers %s of the student depend on frozen weights only (requires_grad=False): the term %s trains nothing "
                "of the student there.",
                ", ".join(frozen),
                name,
            )


def _signals(student: nn.Module, tap: FeatureTap, batch: Mapping[str, torch.Tensor]) -> Signals:
    logits = forward_logits(student, batch, accepted_columns(student))
    features = without_inner_padding(student, tap.take(), batch)
    return Signals(logits, features, frame_stride=frame_stride(student))


class Projections(TrainerCallback):
    """The weights of an objective in training. As a callback it clears their gradients, as Trainer does the model's.

    Args:
        objective (`nn.Module`): After `dry_run`, on the training device. It may have no weights: then nothing is
            optimized, clipped or saved.
    """

    def __init__(self, objective: nn.Module):
        self.objective = objective

    @property
    def exist(self) -> bool:
        """Whether the objective has weights."""
        return any(True for _ in self.objective.parameters())

    def synchronized(self, accelerator: Accelerator) -> nn.Module:
        """The objective, wrapped so that processes average the gradients of its weights; unwrapped without any."""
        is_trained = any(parameter.requires_grad for parameter in self.objective.parameters())
        return accelerator.prepare_model(self.objective) if is_trained else self.objective

    def with_student(self, student: nn.Module) -> nn.ModuleDict:
        """Student and objective as one module, for the optimizer to find the parameters of both."""
        return nn.ModuleDict({"student": student, "objective": self.objective})

    def clip(self, student: nn.Module, accelerator: Accelerator, max_norm: float) -> torch.Tensor | None:
        """Clip the norm of all gradients, the student's and the projections' together, and return the norm before."""
        return accelerator.clip_grad_norm_([*student.parameters(), *self.objective.parameters()], max_norm)

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Check that optimizer and scheduler reach the weights, and clear the gradients, before the first step."""
        check_optimizer(self.objective, kwargs["model"], kwargs["optimizer"], kwargs["lr_scheduler"])
        self.objective.zero_grad()

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Clear the gradients after each optimizer step: Trainer clears those of its model only."""
        self.objective.zero_grad()

    def save(self, folder: str | Path) -> None:
        """Write the weights to `projections.safetensors` in a checkpoint; nothing without weights."""
        weights = self.objective.state_dict()
        if weights:
            with replacing(Path(folder) / _FILE) as temporary:
                save_file({name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}, temporary)

    def load(self, folder: str | Path) -> None:
        """Load the weights that `save` wrote; nothing without weights.

        Raises:
            FileNotFoundError: The objective has weights and the checkpoint contains none.
        """
        expected = self.objective.state_dict()
        if not expected:
            return
        path = Path(folder) / _FILE
        if not path.is_file():
            raise FileNotFoundError(
                f"{folder} contains no {_FILE}, but the objective has {len(expected)} weights "
                f"({', '.join(list(expected)[:3])}). Resume with the objective the run was started with."
            )
        self.objective.load_state_dict(load_file(path))


def check_optimizer(objective: nn.Module, student: nn.Module, optimizer: Any, scheduler: Any) -> None:
    """Check that a training has something to train, all of it in the optimizer, and a schedule that moves its rates.

    Args:
        objective, student (`nn.Module`): Their trainable parameters. A student may be trained in part.
        optimizer, scheduler: As `Trainer` has them, wrapped by accelerate or not.

    Raises:
        ValueError: A parameter would not be trained, or at a rate that is not scheduled.
    """
    optimizer = _innermost(optimizer)
    if not any(parameter.requires_grad for parameter in student.parameters()):
        raise ValueError(
            f"{type(student).__name__} should have trainable parameters; all its {sum(1 for _ in student.parameters())} "
            f"have requires_grad=False, so nothing would be trained. Unfreeze some of them."
        )
    groups = optimizer.param_groups
    optimized = {id(parameter) for group in groups for parameter in group["params"]}
    trained = {name: weight for name, weight in objective.named_parameters() if weight.requires_grad}
    missing = [name for name, weight in trained.items() if id(weight) not in optimized]
    if missing:
        raise ValueError(
            f"The optimizer should have all trainable weights of the objective; {len(missing)} of {len(trained)} are not "
            f"in its {len(groups)} parameter groups ({', '.join(missing[:3])}) and would stay as they were drawn. Give the "
            f"class instead, optimizer_cls_and_kwargs=({type(optimizer).__name__}, {{...}}), or add them before train(): "
            f"trainer.optimizer.add_param_group({{'params': [*trainer.objective.parameters()]}})."
        )
    scheduled = _innermost(getattr(scheduler, "optimizer", optimizer))
    if scheduled is not optimizer:
        raise ValueError(
            f"The {type(scheduler).__name__} should schedule the optimizer of the training ({type(optimizer).__name__}), "
            f"and was made for another {type(scheduled).__name__}: the learning rate would stay constant. Pass both, "
            f"optimizers=(optimizer, scheduler), or the optimizer alone."
        )
    num_rates = len(getattr(scheduler, "base_lrs", groups))
    if num_rates != len(groups):
        raise ValueError(
            f"The {type(scheduler).__name__} schedules {num_rates} parameter groups, and the optimizer has {len(groups)}: "
            f"the learning rates of the others would stay constant. Make the scheduler after the last add_param_group."
        )


def _innermost(optimizer: Any) -> Any:
    """The optimizer inside of its wrappers, accelerate's and others."""
    while hasattr(optimizer, "optimizer"):
        optimizer = optimizer.optimizer
    return optimizer
