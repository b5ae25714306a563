"""Precision and shape checks shared by the losses."""

import torch


def upcast(tensor: torch.Tensor) -> torch.Tensor:
    """Convert float16 and bfloat16 to float32; leave float32 and float64 unchanged.

    When student and teacher nearly agree, the difference of two softened predictions is far below bfloat16's
    resolution: with a vocabulary of 30,522 the gradient's error would reach 93 %.
    """
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def product(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Matrix product in the precision of its inputs, with autocast disabled.

    In bfloat16, as autocast computes it, cosines would be rounded to steps of 0.004.
    """
    with torch.autocast(left.device.type, enabled=False):
        return left @ right


def check_same_shape(student: torch.Tensor, teacher: torch.Tensor, name: str) -> None:
    """Raise a ValueError if the shapes differ: torch would broadcast (batch, 1) without a warning."""
    if student.shape != teacher.shape:
        raise ValueError(
            f"The student's {name} have shape {tuple(student.shape)} and the teacher's {tuple(teacher.shape)}. They "
            f"must be equal: broadcasting would compare values of different items or classes. For logits, give both "
            f"models the same labels (or vocabulary)."
        )
