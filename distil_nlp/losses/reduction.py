"""Reduction of values per item to a loss."""

import torch


def mean_over_items(values: torch.Tensor, mask: torch.Tensor, count: torch.Tensor | int) -> torch.Tensor:
    """Sum of the values where the mask is True, divided by the number of such items in the optimizer step.

    The count covers all micro-batches of gradient accumulation and all processes, so the gradient of a step does not
    depend on how its examples are split into batches.

    Args:
        values (`torch.Tensor`): One value per item, any shape.
        mask (`torch.BoolTensor`): Same shape; True where the item counts.
        count (`torch.Tensor` or `int`): Items that count in the step; 0 is replaced by 1, so the result is 0.

    Returns:
        `torch.Tensor`, a scalar.

    Raises:
        ValueError: The shapes of values and mask differ.
    """
    if values.shape != mask.shape:
        raise ValueError(
            f"A loss returned values of shape {tuple(values.shape)}, but the mask of items has shape "
            f"{tuple(mask.shape)}. Return one value per item, so that masked items can be excluded."
        )
    total = values.masked_fill(~mask, 0).sum()
    return total / (count.clamp(min=1) if isinstance(count, torch.Tensor) else max(count, 1))
