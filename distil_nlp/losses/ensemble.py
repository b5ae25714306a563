"""Weighted means of the predictions of several teachers, as logits."""

import torch
from torch.nn.functional import log_softmax, logsigmoid

from .precision import upcast


def mean_softmax(logits: torch.Tensor, weights: torch.Tensor, *, temperature: float) -> torch.Tensor:
    """Logits whose softmax at a temperature is the weighted mean of the teachers' softmaxes at this temperature.

    Probabilities are averaged, not logits: the mean of logits is a product of predictions, in which one teacher that
    excludes a class overrules all others. Computed in log space, so that no probability becomes 0.

    Args:
        logits (`torch.Tensor`): Shape (teachers, ..., classes); -inf for classes that a teacher does not have. No gradient
            flows into it.
        weights (`torch.Tensor`): Shape (teachers, 1), or (teachers, classes) with 0 for classes that a teacher does not
            have. Each column sums to 1.
        temperature (`float`): Greater than 0. The result is valid for this temperature only.

    Returns:
        `torch.Tensor` of shape (..., classes). The additive constant, which a softmax ignores, is the weighted mean of the
        teachers' log-normalizers, so that equal teachers give their own logits.

    Reference: Hinton et al. 2015, "Distilling the Knowledge in a Neural Network", section 2, for the mean of an ensemble.
    """
    logits, weights = upcast(logits.detach()) / temperature, _broadcast_weights(weights, logits)
    log_mean = (log_softmax(logits, dim=-1) + weights.log()).logsumexp(dim=0)
    constant = (logits.logsumexp(dim=-1, keepdim=True) * weights.mean(dim=-1, keepdim=True)).sum(dim=0)
    return (log_mean + constant) * temperature


def mean_sigmoid(logits: torch.Tensor, weights: torch.Tensor, *, temperature: float) -> torch.Tensor:
    """Logits whose sigmoid at a temperature is the weighted mean of the teachers' sigmoids at this temperature.

    Args:
        logits, weights, temperature: See `mean_softmax`; each label is a separate yes/no prediction.

    Returns:
        `torch.Tensor` of shape (..., labels).
    """
    logits, weights = upcast(logits.detach()) / temperature, _broadcast_weights(weights, logits)
    yes, no = ((logsigmoid(sign * logits) + weights.log()).logsumexp(dim=0) for sign in (1, -1))
    return (yes - no) * temperature


def mean_number(logits: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Weighted mean of the teachers' numbers, for a regression.

    Args:
        logits, weights: See `mean_softmax`; all logits are finite.

    Returns:
        `torch.Tensor` of shape (..., numbers).
    """
    return (upcast(logits.detach()) * _broadcast_weights(weights, logits)).sum(dim=0)


def _broadcast_weights(weights: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    """Weights in the device, precision and number of dimensions of the logits: (teachers, 1, ..., classes)."""
    shape = (weights.shape[0], *[1] * (logits.dim() - 2), weights.shape[-1])
    return weights.to(logits.device, upcast(logits[:0]).dtype).view(shape)
