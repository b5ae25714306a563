"""Losses against the labels. A missing label (-100, or NaN for regression) gives 0 and no gradient."""

import torch.nn.functional as functional

from .precision import upcast

MISSING = -100


def cross_entropy(logits, labels):
    """Negative log-likelihood of the label, per item; of a soft label, its mean over the label's classes.

    Args:
        logits (`torch.Tensor`): Shape (batch, classes) or (batch, sequence, classes).
        labels (`torch.LongTensor` or `torch.FloatTensor`): Shape (batch,) or (batch, sequence); -100 where there is none.
            Soft ones are probabilities of the shape of the logits; a row of -100 where there is none.

    Returns:
        `torch.Tensor` of shape (batch,) or (batch, sequence), in nats, not reduced; 0 where the label is missing.

    Raises:
        ValueError: Soft labels of another shape than the logits.
    """
    if labels.is_floating_point():
        return _soft_cross_entropy(logits, labels)
    flat = functional.cross_entropy(
        upcast(logits).flatten(0, -2), labels.flatten(), ignore_index=MISSING, reduction="none"
    )
    return flat.view(labels.shape)


def _soft_cross_entropy(logits, labels):
    if labels.shape != logits.shape:
        raise ValueError(
            f"Soft labels are one probability for each class, of the shape of the logits, {tuple(logits.shape)}; got "
            f"{tuple(labels.shape)}. Mixup and cutmix must know the model's number of classes."
        )
    log_probabilities = functional.log_softmax(upcast(logits), dim=-1)
    target = labels.masked_fill(labels < 0, 0).to(log_probabilities.dtype)
    return -(target * log_probabilities).sum(dim=-1)


def binary_cross_entropy(logits, labels):
    """Negative log-likelihood of each yes/no label, averaged over the labels, per item.

    Args:
        logits (`torch.Tensor`): Shape (batch, labels).
        labels (`torch.FloatTensor`): Same shape, 0 to 1; a row of -100 where there are none.

    Returns:
        `torch.Tensor` of shape (batch,), in nats, not reduced; 0 where the row is missing.
    """
    missing = labels < 0
    target = labels.masked_fill(missing, 0).to(upcast(logits).dtype)
    values = functional.binary_cross_entropy_with_logits(upcast(logits), target, reduction="none")
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
    predictions = upcast(predictions).reshape(targets.shape)
    missing = targets.isnan()
    # The missing target is replaced before the subtraction: NaN times 0 is NaN in the gradient, too.
    return (predictions - targets.masked_fill(missing, 0)).masked_fill(missing, 0).square()
