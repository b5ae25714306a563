"""Losses between feature maps of convolutions: tensors of shape (batch, channels, height, width)."""

from torch.nn.functional import log_softmax, normalize

from .correlation import correlation
from .pooling import to_smaller_size
from .precision import check_same_shape, upcast


def hint_mse(student_map, teacher_map):
    """Squared distance of two maps, averaged over channels and pixels, per example.

    Args:
        student_map (`torch.Tensor`): Shape (batch, channels, height, width), brought to the teacher's channels and size.
        teacher_map (`torch.Tensor`): Same shape. No gradient flows into it.

    Returns:
        `torch.Tensor` of shape (batch,), not reduced.

    Raises:
        ValueError: The shapes differ, or are those of no maps.

    Reference: Romero et al. 2015, "FitNets: Hints for Thin Deep Nets", equation 3.
    """
    _check_maps(student_map, teacher_map)
    check_same_shape(student_map, teacher_map, "feature maps")
    return (upcast(student_map) - upcast(teacher_map.detach())).square().mean(dim=(1, 2, 3))


def attention_transfer(student_map, teacher_map):
    """Squared distance of where two maps are strong, summed over pixels, per example.

    A map's attention is the sum of squares over its channels, brought to length 1; channels may differ. Where sizes do,
    the larger attention is averaged down to the smaller one.

    Args:
        student_map (`torch.Tensor`): Shape (batch, any channels, height, width).
        teacher_map (`torch.Tensor`): Shape (batch, any channels, any height, any width). No gradient flows into it.

    Returns:
        `torch.Tensor` of shape (batch,), 0 to 2, not reduced.

    Raises:
        ValueError: Not the same number of examples; a size of one pixel, which has no place to look at.

    Reference: Zagoruyko and Komodakis 2017, "Paying More Attention to Attention", section 3.1 and equation 2, there
    without the square. The authors' code squares as we do and averages over the pixels where we sum: its weight of 1000
    is 1000 / (height x width) here.
    """
    _check_maps(student_map, teacher_map)
    ours, theirs = (upcast(one).square().sum(dim=1, keepdim=True) for one in (student_map, teacher_map.detach()))
    ours, theirs = to_smaller_size(ours, theirs)
    _check_pixels(ours, "An attention map")
    ours, theirs = (normalize(one.flatten(1), dim=-1) for one in (ours, theirs))
    return (ours - theirs).square().sum(dim=-1)


def channel_wise_kl(student_map, teacher_map, *, temperature):
    """Divergence of where each channel of the student is strong from where the teacher's is, averaged over channels.

    A channel becomes a distribution over its pixels. Multiplied by temperature**2 so that its gradient keeps its size
    when temperature changes.

    Args:
        student_map (`torch.Tensor`): Shape (batch, channels, height, width), brought to the teacher's channels and size.
        teacher_map (`torch.Tensor`): Same shape. No gradient flows into it.
        temperature (`float`): Dimensionless, greater than 0.

    Returns:
        `torch.Tensor` of shape (batch,), in nats, not reduced.

    Raises:
        ValueError: The shapes differ, or are those of no maps; a size of one pixel, whose softmax is always 1.

    Reference: Shu et al. 2021, "Channel-wise Knowledge Distillation for Dense Prediction".
    """
    _check_maps(student_map, teacher_map)
    check_same_shape(student_map, teacher_map, "feature maps")
    _check_pixels(student_map, "A distribution over pixels")
    student, teacher = (
        log_softmax(upcast(one).flatten(2) / temperature, dim=-1) for one in (student_map, teacher_map.detach())
    )
    return (teacher.exp() * (teacher - student)).sum(dim=-1).mean(dim=-1) * temperature**2


def pearson_maps(student_map, teacher_map):
    """1 minus the correlation of two maps over all examples and pixels of the batch, averaged over channels.

    It is half the squared distance of maps of which each channel was brought to mean 0 and variance 1 over the batch and
    its pixels: what counts is where, and for which examples, a channel is strong, not how strong. Since mean and variance
    are the batch's, it is one value for the whole batch.

    Args:
        student_map (`torch.Tensor`): Shape (batch, channels, height, width), brought to the teacher's channels and size.
        teacher_map (`torch.Tensor`): Same shape. No gradient flows into it.

    Returns:
        `torch.Tensor` of shape (1,), 0 to 2. A channel that is constant in either map counts as matched: it correlates
        with nothing, and no step could improve it. So the value is 0 for one example of one pixel.

    Raises:
        ValueError: The shapes differ, or are those of no maps.

    Reference: Cao et al. 2022, "PKD: General Distillation Framework for Object Detectors via Pearson Correlation
    Coefficient".
    """
    _check_maps(student_map, teacher_map)
    check_same_shape(student_map, teacher_map, "feature maps")
    ours, theirs = (upcast(one).transpose(0, 1).flatten(1) for one in (student_map, teacher_map.detach()))
    return (1 - correlation(ours, theirs, dim=1)).mean().reshape(1)


def _check_maps(student_map, teacher_map):
    if student_map.dim() != 4 or teacher_map.dim() != 4 or len(student_map) != len(teacher_map):
        raise ValueError(
            f"Feature maps have shape (batch, channels, height, width), and there are as many of the student's as of the "
            f"teacher's; got {tuple(student_map.shape)} and {tuple(teacher_map.shape)}. Take the output of a convolution."
        )


def _check_pixels(one, what):
    if one.shape[-1] * one.shape[-2] < 2:
        raise ValueError(
            f"{what} of one pixel (shape {tuple(one.shape)}) is the same whatever the map holds, so the loss would always "
            f"be 0. Take a map from before the last pooling, or larger images; hint_mse compares single pixels."
        )
