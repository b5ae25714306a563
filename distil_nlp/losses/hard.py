"""Losses against the labels. A missing label (-100, or NaN for regression) gives 0 and no gradient."""

import torch.nn.functional as functional

from .precision import widened

MISSING = -100


def cross_entropy(logits, labels):
    """Negative log-likelihood of the label, per item.

    Args:
        logits (`torch.Tensor`): Shape (batch, classes) or (batch, sequence, classes).
        labels (`torch.LongTensor`): Shape (batch,) or (batch, sequence); -100 where there is none.

    Returns:
        `torch.Tensor` of the labels' shape, in nats, not reduced; 0 where the label is missing.
    """
    flat = functional.cross_entropy(
        widened(logits).flatten(0, -2), labels.flatten(), ignore_index=MISSING, reduction="none"
    )
    return flat.view(labels.shape)


def binary_cross_entropy(logits, labels):
    """Negative log-likelihood of each yes/no label, averaged over the labels, per item.

    Args:
        logits (`torch.Tensor`): Shape (batch, labels).
        labels (`torch.FloatTensor`): Same shape, 0 to 1; a row of -100 where there are none.

    Returns:
        `torch.Tensor` of shape (batch,), in nats, not reduced; 0 where the row is missing.
    """
    missing = labels < 0
    target = labels.masked_fill(missing, 0).to(widened(logits).dtype)
    values = functional.binary_cross_entropy_with_logits(widened(logits), target, reduction="none")
    return values.masked_fill(missing, 0).mean(dim=-1)


def squared_error(predictions, targets):
    """Squared distance of a prediction from its target, per item.

    Args:
        predictions (`torch.Tensor`): Shape (batch,) or (batch, 1).
        targets (`torch.FloatTensor`): Shape (batch,); NaN where there is none.

    Returns:
        `torch.Tensor` of shape (batch,), in squared units of the target, not reduced; 0 where it is missing.

    Raises:
        ValueError: The shapes do not name the same items.
    """
    if predictions.numel() != targets.numel():
        raise ValueError(
            f"Predictions of shape {tuple(predictions.shape)} cannot be compared with targets of shape "
            f"{tuple(targets.shape)}: a regression has one number per item (num_labels=1)."
        )
    predictions = widened(predictions).reshape(targets.shape)
    missing = targets.isnan()
    # The missing target is replaced before the subtraction: NaN times 0 is NaN in the gradient, too.
    return (predictions - targets.masked_fill(missing, 0)).masked_fill(missing, 0).square()
