"""From the states of a text's tokens to one point for the text."""

from .precision import widened


def mean_of_tokens(hidden, mask):
    """The mean of the states where the mask is 1.

    Args:
        hidden (`torch.Tensor`): Shape (batch, sequence, width).
        mask (`torch.Tensor`): Shape (batch, sequence), 1 for a token and 0 for padding.

    Returns:
        `torch.Tensor` of shape (batch, width), float32 or wider; 0 for a text without a token.
    """
    # A masked sum, not a product with 0: padding may hold anything.
    total = widened(hidden).masked_fill(mask.unsqueeze(-1) == 0, 0).sum(dim=1)
    return total / mask.sum(dim=1, keepdim=True).clamp(min=1)
