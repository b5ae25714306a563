"""Sums over classes in which a class of probability 0 counts 0, as in the limit, and not 0 times infinity, NaN."""

import torch
from torch.autograd.function import FunctionCtx


def divergence(student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """KL divergence of the student's distribution from the teacher's, summed over the last dimension.

    Args:
        student (`torch.Tensor`): Log-probabilities, shape (..., classes); -inf for a probability of 0.
        teacher (`torch.Tensor`): Same shape. No gradient flows into it.

    Returns:
        `torch.Tensor` of shape (...), in nats. A class that the teacher excludes counts 0. Infinite where the student
        excludes a class that the teacher does not.
    """
    return _Divergence.apply(student, teacher)


class _Divergence(torch.autograd.Function):
    """Written out because the plain formula would pass over all classes twice more to leave out those of probability 0."""

    @staticmethod
    def forward(ctx: FunctionCtx, student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
        probabilities = teacher.exp()
        ctx.save_for_backward(probabilities)
        return (teacher - student).mul_(probabilities).masked_fill_(probabilities == 0, 0).sum(dim=-1)

    @staticmethod
    def backward(ctx: FunctionCtx, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        (probabilities,) = ctx.saved_tensors  # type: ignore[attr-defined]
        return probabilities * gradient.neg().unsqueeze(-1), None


def expected(probabilities: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Probabilities times values, element by element: 0 where the probability is 0, even of an infinite value."""
    return (probabilities * values).masked_fill(probabilities == 0, 0)


def without(logits: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    """The logits, with the lowest finite number for some classes: their probability and gradient are exactly 0.

    Args:
        logits (`torch.Tensor`): Shape (..., classes).
        classes (`torch.LongTensor`): Shape (..., K): indices of the classes to exclude.
    """
    return logits.scatter(-1, classes, torch.finfo(logits.dtype).min)


def logsumexp_without(logits: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    """Logarithm of the sum of exponentials over all other classes, shape (...); -inf where it is 0. See `without`."""
    total = without(logits, classes).logsumexp(dim=-1)
    return total.masked_fill(total == torch.finfo(total.dtype).min, float("-inf"))
