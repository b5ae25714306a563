"""The precision losses are computed in, and the shapes they agree on."""

import torch


def upcast(tensor):
    """float16 and bfloat16 become float32; float32 and float64 stay as they are.

    Near the teacher the difference of two softened predictions is far below bfloat16's resolution: at a
    vocabulary of 30,522 its gradient would be off by up to 93 %.
    """
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def product(left, right):
    """The matrix product of two tensors in the precision they have: autocast would take it in bfloat16.

    Cosines would come in steps of 0.004.
    """
    with torch.autocast(left.device.type, enabled=False):
        return left @ right


def check_same_shape(student, teacher, what):
    """Raise a ValueError unless both have one shape: torch would broadcast (batch, 1) in silence."""
    if student.shape != teacher.shape:
        raise ValueError(
            f"The student's {what} have shape {tuple(student.shape)} and the teacher's {tuple(teacher.shape)}; they "
            f"must be equal, because broadcasting would compare different things. For logits, give both models the "
            f"same labels (or vocabulary)."
        )
