"""Losses of predictions and labels. A missing label (-100, or NaN for regression) gives 0 and no gradient."""

import torch
import torch.nn.functional as functional

from .divergence import expected
from .precision import upcast

MISSING = -100


def cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of the logits with hard or soft labels, per item.

    Args:
        logits (`torch.Tensor`): Shape (batch, classes) or (batch, sequence, classes).
        labels (`torch.LongTensor` or `torch.FloatTensor`): Hard labels: shape (batch,) or (batch, sequence), -100 where
            missing (any below 0). Soft labels: probabilities of the shape of the logits, a row of -100 where missing.

    Returns:
        `torch.Tensor` of shape (batch,) or (batch, sequence), in nats, not reduced; 0 where the label is missing.

    Raises:
        ValueError: The shape of soft labels differs from that of the logits; a label beyond the last class.
    """
    if labels.is_floating_point():
        return _soft_cross_entropy(logits, labels)
    targets = labels.masked_fill(labels < 0, MISSING).flatten()
    try:
        flat = functional.cross_entropy(upcast(logits).flatten(0, -2), targets, ignore_index=MISSING, reduction="none")
    except IndexError as error:  # on a GPU, where labels cannot be read without waiting, an assertion of CUDA
        raise ValueError(
            f"Labels must be 0 to {logits.shape[-1] - 1}, for logits of shape {tuple(logits.shape)}; got {labels.max()}. "
            f"Correct the labels, or give the student the classes of the data."
        ) from error
    return flat.view(labels.shape)


def _soft_cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    if labels.shape != logits.shape:
        raise ValueError(
            f"Soft labels need a probability for each class, in the shape of the logits, {tuple(logits.shape)}; got "
            f"{tuple(labels.shape)}. Build mixup and cutmix with the model's number of classes."
        )
    log_probabilities = functional.log_softmax(upcast(logits), dim=-1)
    target = labels.masked_fill(labels < 0, 0).to(log_probabilities.dtype)
    return -expected(target, log_probabilities).sum(dim=-1)


def binary_cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Negative log-likelihood of each yes/no label, averaged over the labels, per item.

    Args:
        logits (`torch.Tensor`): Shape (batch, labels).
        labels (`torch.FloatTensor`): Same shape, 0 to 1; a row of -100 where missing.

    Returns:
        `torch.Tensor` of shape (batch,), in nats, not reduced; 0 where the row is missing.
    """
    missing = labels < 0
    values = yes_no_cross_entropy(logits, labels.masked_fill(missing, 0))
    return values.masked_fill(missing, 0).mean(dim=-1)


def yes_no_cross_entropy(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Negative log-likelihood of each yes/no label, in the shape of the logits; 0 where an infinite logit is right.

    Args:
        logits (`torch.Tensor`): Any shape.
        targets (`torch.FloatTensor`): Same shape, 0 to 1.
    """
    logits = upcast(logits)
    targets = targets.to(logits.dtype)
    certain = logits.isinf() & ((logits > 0) == targets)
    values = functional.binary_cross_entropy_with_logits(logits.masked_fill(certain, 0), targets, reduction="none")
    return values.masked_fill(certain, 0)


def squared_error(predictions: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Squared difference of a prediction and its target, per item.

    Args:
        predictions (`torch.Tensor`): Shape (batch,) or (batch, 1).
        targets (`torch.FloatTensor`): Shape (batch,); NaN where missing.

    Returns:
        `torch.Tensor` of shape (batch,), in squared units of the target, not reduced; 0 where the target is missing.

    Raises:
        ValueError: The numbers of predictions and targets differ.
    """
    if predictions.numel() != targets.numel():
        raise ValueError(
            f"Regression needs one prediction per target; got predictions of shape {tuple(predictions.shape)} and "
            f"targets of shape {tuple(targets.shape)}. Use a model with num_labels=1."
        )
    predictions = upcast(predictions).reshape(targets.shape)
    missing = targets.isnan()
    # Missing targets are replaced before the subtraction: NaN times 0 is NaN, also in the gradient.
    return (predictions - targets.masked_fill(missing, 0)).masked_fill(missing, 0).square()
