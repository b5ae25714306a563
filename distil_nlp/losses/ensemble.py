"""What several teachers predict together: means of predictions, given back as logits."""

from torch.nn.functional import log_softmax, logsigmoid

from .precision import upcast


def mean_softmax(logits, weights, *, temperature):
    """Logits whose softmax at a temperature is the weighted mean of several softmaxes at it.

    Probabilities are averaged, not logits: a mean of logits is a product of the predictions, in which one teacher that
    rules a class out overrules all others. Computed in log space, so that no probability is ever 0.

    Args:
        logits (`torch.Tensor`): Shape (teachers, ..., classes). -inf where a teacher does not know a class. No gradient
            flows into it.
        weights (`torch.Tensor`): Shape (teachers, 1), or (teachers, classes) with 0 where a teacher does not know a class.
            Each column has the sum 1.
        temperature (`float`): Greater than 0. The result belongs to it and to no other.

    Returns:
        `torch.Tensor` of shape (..., classes). A softmax does not see the level of logits, so it may be chosen: it is the
        mean of the teachers', by which teachers of one opinion give back their own logits.

    Reference: Hinton et al. 2015, "Distilling the Knowledge in a Neural Network", section 2, for the mean of an ensemble.
    """
    logits, weights = upcast(logits.detach()) / temperature, _beside(weights, logits)
    spoken = (log_softmax(logits, dim=-1) + weights.log()).logsumexp(dim=0)
    level = (logits.logsumexp(dim=-1, keepdim=True) * weights.mean(dim=-1, keepdim=True)).sum(dim=0)
    return (spoken + level) * temperature


def mean_sigmoid(logits, weights, *, temperature):
    """Logits whose sigmoid at a temperature is the weighted mean of several sigmoids at it.

    Args:
        logits, weights, temperature: As for `mean_softmax`, each class a question of its own.

    Returns:
        `torch.Tensor` of shape (..., labels).
    """
    logits, weights = upcast(logits.detach()) / temperature, _beside(weights, logits)
    yes, no = ((logsigmoid(sign * logits) + weights.log()).logsumexp(dim=0) for sign in (1, -1))
    return (yes - no) * temperature


def mean_number(logits, weights):
    """The weighted mean of numbers, for a regression: `logits` and `weights` as for `mean_softmax`, none of them -inf."""
    return (upcast(logits.detach()) * _beside(weights, logits)).sum(dim=0)


def _beside(weights, logits):
    """Weights as logits can be multiplied by them: (teachers, 1, ..., classes)."""
    shape = (weights.shape[0], *[1] * (logits.dim() - 2), weights.shape[-1])
    return weights.to(logits.device, upcast(logits[:0]).dtype).view(shape)
