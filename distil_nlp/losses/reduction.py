"""The one division: from values per item to a loss."""


def mean_over_items(values, mask, count):
    """Sum of the values that count, divided by how many count in the whole optimizer step.

    The count spans all accumulation micro-batches and all processes, so that the gradient of a step does not
    depend on how its examples are cut into batches.

    Args:
        values (`torch.Tensor`): One value per item, any shape.
        mask (`torch.BoolTensor`): Same shape; True where the item counts.
        count (`torch.Tensor` or `int`): Items that count in the step; 0 divides by 1 and gives 0.

    Returns:
        `torch.Tensor`, a scalar.

    Raises:
        ValueError: The shapes of values and mask differ.
    """
    if values.shape != mask.shape:
        raise ValueError(
            f"A loss gave values of shape {tuple(values.shape)} but the items of the batch have shape "
            f"{tuple(mask.shape)}; one value per item is needed to leave out the items that do not count."
        )
    total = values.masked_fill(~mask, 0).sum()
    return total / (count.clamp(min=1) if hasattr(count, "clamp") else max(count, 1))
