"""Principal components: the few directions in which vectors differ most."""

import torch


@torch.no_grad()
def pca_embeddings(embeddings, num_components, *, std):
    """The principal components of an embedding matrix, as word embeddings for a narrower model.

    Centered first: the mean vector is the same for every word and tells none apart. Not whitened: a direction in
    which words differ much stays one in which they differ much. Scaled as a whole to `std`; the LayerNorm after the
    embeddings would undo any other scale but for the position embeddings added before it, which start at the same
    `std`. Each component's sign is fixed (its largest entry is positive), so the same teacher gives the same student.

    Args:
        embeddings (`torch.Tensor`): Shape (vocabulary, width). Any dtype; the work is done in float64.
        num_components (`int`): New width, at most the old one.
        std (`float`): Standard deviation of the result over all its entries.

    Returns:
        `torch.Tensor` of shape (vocabulary, num_components), float32.

    Reference: Mukherjee & Awadallah 2020, "XtremeDistil", which starts its students from reduced teacher embeddings.
    """
    centered = embeddings.double() - embeddings.double().mean(dim=0)
    components = centered @ principal_directions(centered.T @ centered, num_components)
    return (components * (std / components.std())).float()


def principal_directions(moment, num_directions):
    """The directions in which vectors are longest, most first. The caller centers the vectors, or does not.

    Args:
        moment (`torch.Tensor`): Shape (width, width), the sum of every vector times itself transposed. Float64.
        num_directions (`int`): At most `width`.

    Returns:
        `torch.Tensor` of shape (width, num_directions) with orthonormal columns, the largest entry of each positive.
    """
    _, directions = torch.linalg.eigh(moment)  # ascending eigenvalues
    directions = directions.flip(1)[:, :num_directions]
    largest = directions.gather(0, directions.abs().argmax(dim=0, keepdim=True))
    return directions * largest.sign()
