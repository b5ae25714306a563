"""Students of encoder-decoders that keep the teacher's encoder: it is frozen, and run once for both models."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel


def freeze_encoder(student: PreTrainedModel, teacher: PreTrainedModel) -> None:
    """Freeze the student's encoder, which must equal the teacher's: only the other parameters are trained.

    Args:
        student (`PreTrainedModel`): An encoder-decoder with the teacher's encoder (`student_from_teacher` copies it).
        teacher (`PreTrainedModel`): Only read.

    Raises:
        ValueError: A model is not an encoder-decoder, or the encoders differ, and the student's would stay untrained.

    Reference: Gandhi et al. 2023, "Distil-Whisper: Robust Knowledge Distillation via Large-Scale Pseudo Labeling",
    section 4.
    """
    for role, model in (("student", student), ("teacher", teacher)):
        if not getattr(getattr(model, "config", None), "is_encoder_decoder", False):
            raise ValueError(
                f"freeze_encoder needs encoder-decoders; the {role}, {type(model).__name__}, is none. Leave it out."
            )
    student_encoder, teacher_encoder = student.get_encoder(), teacher.get_encoder()
    if not _same_weights(student_encoder, teacher_encoder):
        raise ValueError(
            f"The encoder of the student ({_size(student_encoder)} parameters) is not the teacher's "
            f"({_size(teacher_encoder)}), so it must be trained. Use a student made of the teacher's layers (leave "
            f"`student` out), or freeze_encoder: false."
        )
    student_encoder.requires_grad_(False)
    # Trainer puts the whole model into train mode at every step, but a frozen encoder must not use dropout.
    student_encoder.register_forward_pre_hook(_eval_mode)


def share_encoder(student: PreTrainedModel, teacher: PreTrainedModel) -> bool:
    """Let a student with a frozen encoder use the teacher's, which then runs once per batch for both.

    The outputs stay the same, bit for bit. Nothing is shared if the encoder is trained or differs in precision.

    Args:
        student, teacher (`PreTrainedModel`): After `freeze_encoder`.

    Returns:
        `bool`: Whether they share it now.
    """
    student_encoder, teacher_encoder = student.get_encoder(), teacher.get_encoder()
    is_trained = any(parameter.requires_grad for parameter in student_encoder.parameters())
    if is_trained or not _same_weights(student_encoder, teacher_encoder):
        return False
    teacher_encoder.requires_grad_(False)
    if not isinstance(teacher_encoder.forward, _MemoizedForward):
        teacher_encoder.forward = _MemoizedForward(teacher_encoder.forward)
    student_encoder.forward = teacher_encoder.forward
    return True


class _MemoizedForward:
    """A forward that returns its last output again when it is called with the same tensor."""

    def __init__(self, forward: Callable[..., Any]):
        self.forward = forward
        self.last_call: tuple[torch.Tensor, tuple[tuple[Any, ...], dict[str, Any]]] | None = None
        self.output: Any = None

    def __call__(self, input_features: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        last_call = self.last_call
        if last_call is None or last_call[0] is not input_features or last_call[1] != (args, kwargs):
            # The teacher runs in inference mode, whose tensors the student's graph could not use.
            with torch.inference_mode(False), torch.no_grad():
                self.output = self.forward(input_features, *args, **kwargs)
            self.last_call = input_features, (args, kwargs)
        return self.output


def _eval_mode(module: nn.Module, args: tuple[Any, ...]) -> None:
    module.eval()


def _same_weights(student_module: nn.Module, teacher_module: nn.Module) -> bool:
    student_state, teacher_state = student_module.state_dict(), teacher_module.state_dict()
    return student_state.keys() == teacher_state.keys() and all(
        tensor.dtype == teacher_state[name].dtype and torch.equal(tensor, teacher_state[name].to(tensor.device))
        for name, tensor in student_state.items()
    )


def _size(module: nn.Module) -> str:
    return f"{sum(parameter.numel() for parameter in module.parameters()):,}"
