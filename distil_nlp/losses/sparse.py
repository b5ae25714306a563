"""Soft targets of which only some classes were kept."""

import torch
from torch.nn.functional import log_softmax

from .precision import upcast

_LEAST = -1e30  # stands for a class left out; its probability is exactly 0 and its gradient is, too


def sparse_target_kl(student_logits, ids, weights, *, temperature, rest=None, entropy=None):
    """Divergence of the student's softened prediction from some classes of the teacher's, per item.

    Where classes were drawn (no `rest`), it is a cross-entropy with the drawn weights less the teacher's entropy: right
    on average, values and gradients; a single value may lie below 0. Where the likeliest classes were kept, `rest` is the
    probability of all others, and the two predictions are compared over the kept classes and the others as one more.

    Args:
        student_logits (`torch.Tensor`): Shape (..., vocabulary).
        ids (`torch.LongTensor`): Shape (..., K), the classes kept, each once.
        weights (`torch.Tensor`): Shape (..., K), of the teacher softened at `temperature`; 0 for padding, whose id does
            not matter.
        temperature (`float`): Dimensionless, greater than 0; softens the student.
        rest (`torch.Tensor`, *optional*): Shape (...), 0 to 1; adds up to 1 with the weights.
        entropy (`torch.Tensor`, *optional*): Shape (...), in nats. Moves the values, not the gradient. With `rest` it
            is not needed and not looked at.

    Returns:
        `torch.Tensor` of shape (...), in nats, not reduced. Multiplied by temperature**2.

    Raises:
        ValueError: Shapes that do not name the same items.

    Reference: Anshumann et al. 2025, "Sparse Logit Sampling: Accelerating Knowledge Distillation in LLMs".
    """
    _check_items(student_logits, ids=ids, weights=weights, rest=rest, entropy=entropy)
    student = log_softmax(upcast(student_logits) / temperature, dim=-1)
    weights = weights.detach().to(student.dtype)
    padding = weights == 0
    # Before the sum: 0 times the infinite surprise of a class the student rules out would be NaN.
    values = -(weights * student.gather(-1, ids).masked_fill(padding, 0)).sum(dim=-1)
    if rest is None:
        values = values if entropy is None else values - entropy.to(student.dtype)
    else:
        rest = rest.to(student.dtype)
        kept = ids.where(~padding, ids.gather(-1, weights.argmax(dim=-1, keepdim=True)))
        others = student.scatter(-1, kept, _LEAST).logsumexp(dim=-1)
        values = values - rest * others + torch.xlogy(weights, weights).sum(dim=-1) + torch.xlogy(rest, rest)
    return values * temperature**2


def _check_items(student_logits, *, ids, weights, **per_item):
    shape = student_logits.shape[:-1]
    shapes = {"ids": ids.shape, "weights": weights.shape}
    shapes |= {name: one.shape for name, one in per_item.items() if one is not None}
    fits = ids.shape == weights.shape and ids.shape[:-1] == shape
    if not fits or any(one.shape != shape for one in per_item.values() if one is not None):
        raise ValueError(
            f"Student logits of shape {tuple(student_logits.shape)} need ids and weights of shape "
            f"{(*shape, 'K')} and, where given, rest and entropy of shape {tuple(shape)}; got "
            f"{', '.join(f'{name} {tuple(one)}' for name, one in shapes.items())}. Keep the items of both in one order."
        )
