"""From the states of a text's tokens, or of an image's pixels, to one point; from a large map to a smaller one."""

from torch.nn.functional import adaptive_avg_pool2d

from .precision import upcast


def mean_of_tokens(hidden, mask):
    """The mean of the states where the mask is 1.

    Args:
        hidden (`torch.Tensor`): Shape (batch, sequence, width).
        mask (`torch.Tensor`): Shape (batch, sequence), 1 for a token and 0 for padding.

    Returns:
        `torch.Tensor` of shape (batch, width), float32 or wider; 0 for a text without a token.
    """
    # A masked sum, not a product with 0: padding may hold anything.
    total = upcast(hidden).masked_fill(mask.unsqueeze(-1) == 0, 0).sum(dim=1)
    return total / mask.sum(dim=1, keepdim=True).clamp(min=1)


def mean_of_pixels(feature_map):
    """The mean over the pixels of a map of shape (batch, channels, height, width): (batch, channels), float32 or wider."""
    return upcast(feature_map).mean(dim=(2, 3))


def to_smaller_size(student_map, teacher_map):
    """Both maps at the smaller of their heights and the smaller of their widths, by averaging over areas.

    Down and never up: nothing is made up between the pixels of a small map.

    Args:
        student_map, teacher_map (`torch.Tensor`): Shape (batch, any channels, any height, any width).

    Returns:
        `(student_map, teacher_map)`, float32 or wider; each as it came, where it has the size already.
    """
    size = tuple(min(ours, theirs) for ours, theirs in zip(student_map.shape[2:], teacher_map.shape[2:], strict=True))
    return tuple(
        upcast(one) if one.shape[2:] == size else adaptive_avg_pool2d(upcast(one), size)
        for one in (student_map, teacher_map)
    )
