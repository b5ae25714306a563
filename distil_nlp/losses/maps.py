"""Losses between feature maps of shape (batch, channels, height, width), and their pooling."""

import torch
from torch.nn.functional import adaptive_avg_pool2d, log_softmax, normalize

from .correlation import correlation
from .divergence import divergence
from .precision import check_same_shape, upcast


def hint_mse(student_map: torch.Tensor, teacher_map: torch.Tensor) -> torch.Tensor:
    """Squared difference of two maps, averaged over channels and pixels, per example.

    Args:
        student_map (`torch.Tensor`): Shape (batch, channels, height, width), projected to the teacher's shape.
        teacher_map (`torch.Tensor`): Same shape. No gradient flows into it.

    Returns:
        `torch.Tensor` of shape (batch,), not reduced.

    Raises:
        ValueError: The shapes differ, or do not have 4 dimensions.

    Reference: Romero et al. 2015, "FitNets: Hints for Thin Deep Nets", equation 3.
    """
    _check_maps(student_map, teacher_map)
    check_same_shape(student_map, teacher_map, "feature maps")
    return (upcast(student_map) - upcast(teacher_map.detach())).square().mean(dim=(1, 2, 3))


def attention_transfer(student_map: torch.Tensor, teacher_map: torch.Tensor) -> torch.Tensor:
    """Squared distance of the spatial attention of two maps, summed over pixels, per example.

    A map's spatial attention is the sum of squares over its channels, scaled to length 1, so the numbers of channels may
    differ. The larger attention is averaged down to the smaller size.

    Args:
        student_map (`torch.Tensor`): Shape (batch, any channels, height, width).
        teacher_map (`torch.Tensor`): Shape (batch, any channels, any height, any width). No gradient flows into it.

    Returns:
        `torch.Tensor` of shape (batch,), 0 to 2, not reduced.

    Raises:
        ValueError: The numbers of examples differ, or a map has one pixel, whose attention is always 1.

    Reference: Zagoruyko and Komodakis 2017, "Paying More Attention to Attention", section 3.1 and equation 2, there
    without the square. The authors' code squares, too, and averages over pixels instead of summing: its weight of 1000
    is 1000 / (height x width) here.
    """
    _check_maps(student_map, teacher_map)
    student, teacher = to_smaller_size(
        upcast(student_map).square().sum(dim=1, keepdim=True),
        upcast(teacher_map.detach()).square().sum(dim=1, keepdim=True),
    )
    _check_pixels(student, "An attention map")
    student, teacher = normalize(student.flatten(1), dim=-1), normalize(teacher.flatten(1), dim=-1)
    return (student - teacher).square().sum(dim=-1)


def channel_wise_kl(student_map: torch.Tensor, teacher_map: torch.Tensor, *, temperature: float) -> torch.Tensor:
    """KL divergence of each student channel from the teacher's, as distributions over pixels, averaged over channels.

    Multiplied by temperature**2 so that its gradient keeps its size when temperature changes.

    Args:
        student_map (`torch.Tensor`): Shape (batch, channels, height, width), projected to the teacher's shape.
        teacher_map (`torch.Tensor`): Same shape. No gradient flows into it.
        temperature (`float`): Dimensionless, greater than 0.

    Returns:
        `torch.Tensor` of shape (batch,), in nats, not reduced.

    Raises:
        ValueError: The shapes differ or do not have 4 dimensions, or a map has one pixel, whose softmax is always 1.

    Reference: Shu et al. 2021, "Channel-wise Knowledge Distillation for Dense Prediction".
    """
    _check_maps(student_map, teacher_map)
    check_same_shape(student_map, teacher_map, "feature maps")
    _check_pixels(student_map, "A distribution over pixels")
    student = log_softmax(upcast(student_map).flatten(2) / temperature, dim=-1)
    teacher = log_softmax(upcast(teacher_map.detach()).flatten(2) / temperature, dim=-1)
    return divergence(student, teacher).mean(dim=-1) * temperature**2


def pearson_maps(student_map: torch.Tensor, teacher_map: torch.Tensor) -> torch.Tensor:
    """1 minus the correlation of two maps over all examples and pixels of the batch, averaged over channels.

    It equals half the squared distance of maps whose channels are standardized over the batch and its pixels: the
    locations and examples of high activations count, their scale does not. Since mean and variance are taken over the
    batch, it is one value for the whole batch.

    Args:
        student_map (`torch.Tensor`): Shape (batch, channels, height, width), projected to the teacher's shape.
        teacher_map (`torch.Tensor`): Same shape. No gradient flows into it.

    Returns:
        `torch.Tensor` of shape (1,), 0 to 2. A channel that is constant in either map counts as matched, see
        `correlation`, so the value is 0 for one example of one pixel.

    Raises:
        ValueError: The shapes differ, or do not have 4 dimensions.

    Reference: Cao et al. 2022, "PKD: General Distillation Framework for Object Detectors via Pearson Correlation
    Coefficient".
    """
    _check_maps(student_map, teacher_map)
    check_same_shape(student_map, teacher_map, "feature maps")
    student, teacher = (upcast(maps).transpose(0, 1).flatten(1) for maps in (student_map, teacher_map.detach()))
    return (1 - correlation(student, teacher, dim=1)).mean().reshape(1)


def mean_of_pixels(feature_map: torch.Tensor) -> torch.Tensor:
    """Mean over the pixels of a map of shape (batch, channels, height, width): (batch, channels), float32 or wider."""
    return upcast(feature_map).mean(dim=(2, 3))


def to_smaller_size(student_map: torch.Tensor, teacher_map: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Average both maps down to the smaller of their heights and the smaller of their widths.

    Maps are never enlarged, because that would invent values between pixels.

    Args:
        student_map, teacher_map (`torch.Tensor`): Shape (batch, any channels, any height, any width).

    Returns:
        `(student_map, teacher_map)`, float32 or wider; a map that already has the size keeps its values.
    """
    height, width = map(min, student_map.shape[2:], teacher_map.shape[2:])
    size = (height, width)
    return _pooled(student_map, size), _pooled(teacher_map, size)


def _pooled(feature_map: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    values = upcast(feature_map)
    return values if values.shape[2:] == size else adaptive_avg_pool2d(values, size)


def _check_maps(student_map: torch.Tensor, teacher_map: torch.Tensor) -> None:
    if student_map.dim() != 4 or teacher_map.dim() != 4 or len(student_map) != len(teacher_map):
        raise ValueError(
            f"Feature maps have shape (batch, channels, height, width), with the same batch for student and teacher; got "
            f"{tuple(student_map.shape)} and {tuple(teacher_map.shape)}. Use the output of a convolution."
        )


def _check_pixels(feature_map: torch.Tensor, name: str) -> None:
    if feature_map.shape[-1] * feature_map.shape[-2] < 2:
        raise ValueError(
            f"{name} of one pixel (shape {tuple(feature_map.shape)}) is constant, so the loss would always be 0. "
            f"Use a map from before the last pooling, or larger images; hint_mse compares single pixels."
        )
