"""Checks during training: a loss or a weight that is NaN or infinite stops it, with the cause."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from ..signals.finite import DivergenceError

logger = logging.getLogger(__name__)

_MUCH_HIGHER = 10.0  # last loss over the first one


class LossCheck:
    """Notices a loss that is not finite before its gradient changes a weight.

    On CUDA the answer is copied to the host while the backward pass is computed, so that nothing waits for the latter.

    Args:
        device (`torch.device`): Of the losses.
    """

    def __init__(self, device: torch.device | str):
        self._on_cuda = torch.device(device).type == "cuda"
        self._is_finite = torch.ones((), dtype=torch.bool, pin_memory=self._on_cuda)
        self._copied = torch.cuda.Event() if self._on_cuda else None

    def record(self, loss: torch.Tensor) -> None:
        """Remember whether a loss is finite."""
        is_finite = loss.detach().isfinite().all()
        if self._copied is None:
            self._is_finite = is_finite
        else:
            self._is_finite.copy_(is_finite, non_blocking=True)
            self._copied.record()

    def passed(self) -> bool:
        """Whether the last loss is finite."""
        if self._copied is not None:
            self._copied.synchronize()
        return bool(self._is_finite)


def non_finite_weights(model: nn.Module) -> list[str]:
    """Names of the parameters that contain NaN or infinity. Waits for the device once."""
    names, flags = [], []
    for name, parameter in model.named_parameters():
        if parameter.is_floating_point() and parameter.device.type != "meta":
            names.append(name)
            flags.append(parameter.detach().isfinite().all())
    if not flags:
        return []
    finite = torch.stack([flag.to(flags[0].device) for flag in flags]).tolist()
    return [name for name, is_finite in zip(names, finite, strict=True) if not is_finite]


def check_weights(model: nn.Module, *, step: int, learning_rate: float | None) -> None:
    """Raise a DivergenceError if weights of the student are not finite.

    Args:
        model (`nn.Module`): The student.
        step (`int`): Optimizer steps so far.
        learning_rate (`float`, *optional*): For the message.
    """
    names = non_finite_weights(model)
    if names:
        raise DivergenceError(
            f"After step {step} weights of the student are NaN or infinite ({len(names)}, such as {names[0]}): a gradient "
            f"was not finite, and the training has diverged. Nothing is saved. "
            f"{ADVICE.format(learning_rate=learning_rate)}"
        )


ADVICE = (
    "Lower the learning rate (now {learning_rate}), warm it up, or clip gradients (max_grad_norm); with fp16 use bf16 or "
    "float32. Of several processes, another may name the cause."
)


def warn_of_divergence(log_history: Sequence[Mapping[str, Any]], learning_rate: float) -> None:
    """Log a warning if the loss at the end of a training is far above the loss at its beginning."""
    losses = [line["loss"] for line in log_history if "loss" in line]
    if len(losses) > 1 and losses[-1] > _MUCH_HIGHER * losses[0] > 0:
        logger.warning(
            "The training has diverged: the loss rose from %.3g to %.3g. Lower the learning rate (%g), warm it up, or "
            "clip gradients (max_grad_norm).",
            losses[0],
            losses[-1],
            learning_rate,
        )
