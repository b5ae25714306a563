"""Losses of the student's predictions and the teacher's, dense or sparse."""

import torch
from torch.nn.functional import log_softmax, logsigmoid

from .divergence import divergence, expected, logsumexp_without
from .precision import check_same_shape, upcast

_SQUARES_OVERFLOW = 1e15  # of larger logits, scaled before they are squared


def soft_target_kl(student_logits: torch.Tensor, teacher_logits: torch.Tensor, *, temperature: float) -> torch.Tensor:
    """KL divergence of the student's softened prediction from the teacher's, per item.

    A high temperature exposes the teacher's ranking of the wrong classes.
    Multiplied by temperature**2 so that its gradient keeps its size when temperature changes.

    Args:
        student_logits (`torch.Tensor`): Shape (batch, classes) or (batch, sequence, classes).
        teacher_logits (`torch.Tensor`): Same shape; -inf excludes a class. No gradient flows into it.
        temperature (`float`): Dimensionless, greater than 0. 1 changes nothing.

    Returns:
        `torch.Tensor` of shape (batch,) or (batch, sequence), in nats, not reduced.

    Raises:
        ValueError: The shapes differ, or there is one class only, whose softmax is always 1.

    Reference: Hinton et al. 2015, "Distilling the Knowledge in a Neural Network", section 2.1.
    """
    check_same_shape(student_logits, teacher_logits, "logits")
    if student_logits.shape[-1] == 1:
        raise ValueError(
            f"A KL divergence over 1 class is always 0 (logits of shape {tuple(student_logits.shape)}), so the student "
            f"would not learn. For regression match the logits (`LogitMatching`); for a yes/no task use "
            f"2 classes, or problem_type='multi_label_classification'."
        )
    student = log_softmax(upcast(student_logits) / temperature, dim=-1)
    teacher = log_softmax(upcast(teacher_logits.detach()) / temperature, dim=-1)
    return divergence(student, teacher) * temperature**2


def standardized_kl(student_logits: torch.Tensor, teacher_logits: torch.Tensor, *, temperature: float) -> torch.Tensor:
    """KL divergence of softened predictions after standardizing the logits, per item.

    Each item's logits are brought to mean 0 and standard deviation 1 before they are softened: the order and spacing of
    the classes count, and a small student need not reach the scale of its teacher's logits.

    Args:
        student_logits (`torch.Tensor`): Shape (batch, classes) or (batch, sequence, classes).
        teacher_logits (`torch.Tensor`): Same shape. No gradient flows into it.
        temperature (`float`): Dimensionless, greater than 0.

    Returns:
        `torch.Tensor` of shape (batch,) or (batch, sequence), in nats, not reduced. Multiplied by temperature**2.

    Raises:
        ValueError: The shapes differ, or there are fewer than 3 classes: two standardized logits are always 1 and -1.

    Reference: Sun et al. 2024, "Logit Standardization in Knowledge Distillation", algorithm 1.
    """
    if student_logits.shape[-1] < 3:
        raise ValueError(
            f"Standardized logits need 3 classes or more; got logits of shape {tuple(student_logits.shape)}. Those of "
            f"{student_logits.shape[-1]} classes are always 1 and -1. Use soft_target_kl."
        )
    return soft_target_kl(_standardized(student_logits), _standardized(teacher_logits), temperature=temperature)


def _standardized(logits: torch.Tensor) -> torch.Tensor:
    logits = upcast(logits)
    centered = logits - logits.mean(dim=-1, keepdim=True)
    largest = centered.detach().abs().amax(dim=-1, keepdim=True)
    centered = centered / largest.where(largest > _SQUARES_OVERFLOW, 1)  # divided by 1 in all usual cases
    return centered / centered.square().mean(dim=-1, keepdim=True).clamp(min=1e-12).sqrt()


def soft_target_bce(student_logits: torch.Tensor, teacher_logits: torch.Tensor, *, temperature: float) -> torch.Tensor:
    """KL divergence of the student's softened yes/no predictions from the teacher's, averaged over the labels.

    Each label is a separate prediction of two classes (yes, no); its divergence is summed over these two. The labels are
    averaged as in `binary_cross_entropy`, so that `kd_ratio` weighs two losses of the same scale.

    Args:
        student_logits (`torch.Tensor`): Shape (batch, labels).
        teacher_logits (`torch.Tensor`): Same shape. No gradient flows into it.
        temperature (`float`): Dimensionless, greater than 0.

    Returns:
        `torch.Tensor` of shape (batch,), in nats, not reduced. Multiplied by temperature**2.

    Raises:
        ValueError: The shapes differ.

    Reference: Hinton et al. 2015, section 2.1, with a sigmoid instead of the softmax.
    """
    check_same_shape(student_logits, teacher_logits, "logits")
    student = upcast(student_logits) / temperature
    teacher = upcast(teacher_logits.detach()) / temperature
    yes = expected(teacher.sigmoid(), logsigmoid(teacher) - logsigmoid(student))
    no = expected((-teacher).sigmoid(), logsigmoid(-teacher) - logsigmoid(-student))
    return (yes + no).mean(dim=-1) * temperature**2


def logit_mse(student_logits: torch.Tensor, teacher_logits: torch.Tensor) -> torch.Tensor:
    """Squared difference of the logits, averaged over the classes, per item. Also the soft loss of a regression.

    Args:
        student_logits (`torch.Tensor`): Shape (batch, classes) or (batch, sequence, classes).
        teacher_logits (`torch.Tensor`): Same shape. No gradient flows into it.

    Returns:
        `torch.Tensor` of shape (batch,) or (batch, sequence), in squared logits, not reduced.

    Raises:
        ValueError: The shapes differ.

    Reference: Ba and Caruana 2014, "Do Deep Nets Really Need to be Deep?", equation 1.
    """
    check_same_shape(student_logits, teacher_logits, "logits")
    return (upcast(student_logits) - upcast(teacher_logits.detach())).square().mean(dim=-1)


def sparse_target_kl(
    student_logits: torch.Tensor,
    ids: torch.Tensor,
    weights: torch.Tensor,
    *,
    temperature: float,
    rest: torch.Tensor | None = None,
    entropy: torch.Tensor | None = None,
) -> torch.Tensor:
    """KL divergence of the student's softened prediction from a subset of the teacher's classes, per item.

    For sampled classes (no `rest`) it is the cross-entropy with the sampled weights minus the teacher's entropy: unbiased
    in value and gradient, but a single value may be below 0. For the top classes, `rest` is the probability of all
    others, and the predictions are compared over the top classes and one more class for all others.

    Args:
        student_logits (`torch.Tensor`): Shape (..., vocabulary).
        ids (`torch.LongTensor`): Shape (..., K), the stored classes, each once.
        weights (`torch.Tensor`): Shape (..., K), of the teacher softened at `temperature`; 0 for padding, whose ids are
            ignored.
        temperature (`float`): Dimensionless, greater than 0; softens the student.
        rest (`torch.Tensor`, *optional*): Shape (...), 0 to 1; sums to 1 with the weights.
        entropy (`torch.Tensor`, *optional*): Shape (...), in nats. Changes the values, not the gradient. Ignored with
            `rest`.

    Returns:
        `torch.Tensor` of shape (...), in nats, not reduced. Multiplied by temperature**2.

    Raises:
        ValueError: The shapes belong to different items.

    Reference: Anshumann et al. 2025, "Sparse Logit Sampling: Accelerating Knowledge Distillation in LLMs".
    """
    _check_items(student_logits, ids=ids, weights=weights, rest=rest, entropy=entropy)
    student = log_softmax(upcast(student_logits) / temperature, dim=-1)
    weights = weights.detach().to(student.dtype)
    padding = weights == 0
    # Masked before the sum: 0 times a log-probability of -inf would be NaN.
    values = -(weights * student.gather(-1, ids).masked_fill(padding, 0)).sum(dim=-1)
    if rest is None:
        values = values if entropy is None else values - entropy.to(student.dtype)
    else:
        rest = rest.to(student.dtype)
        stored = ids.where(~padding, ids.gather(-1, weights.argmax(dim=-1, keepdim=True)))
        others = logsumexp_without(student, stored)
        values = values - expected(rest, others) + torch.xlogy(weights, weights).sum(dim=-1) + torch.xlogy(rest, rest)
    return values * temperature**2


def _check_items(
    student_logits: torch.Tensor, *, ids: torch.Tensor, weights: torch.Tensor, **per_item: torch.Tensor | None
) -> None:
    shape = student_logits.shape[:-1]
    shapes = {"ids": ids.shape, "weights": weights.shape}
    shapes |= {name: tensor.shape for name, tensor in per_item.items() if tensor is not None}
    same_items = ids.shape == weights.shape and ids.shape[:-1] == shape
    if not same_items or any(tensor.shape != shape for tensor in per_item.values() if tensor is not None):
        received = ", ".join(f"{name} {tuple(size)}" for name, size in shapes.items())
        raise ValueError(
            f"Student logits of shape {tuple(student_logits.shape)} need ids and weights of shape {(*shape, 'K')} and, if "
            f"passed, rest and entropy of shape {tuple(shape)}; got {received}. Keep the items of both in one order."
        )
