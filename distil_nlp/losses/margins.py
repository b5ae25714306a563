"""Losses that ask for more than the right answer: the embedding of an example must lie nearer to the center of its own
class, by a margin, than to any other."""

import torch
from torch.nn.functional import normalize, one_hot

from .hard import MISSING, cross_entropy
from .precision import product, upcast

# Below it (an angle of 0.0003) a float32 cosine says nothing of its sine, whose gradient would be infinite.
_SMALLEST_SQUARED_SINE = 1e-7


def angular_margin_loss(embeddings, centers, labels, *, margin, scale):
    """Cross-entropy of scaled cosines, once `margin` was added to the angle between an embedding and its own center.

    Where the angle and the margin come to more than pi, cos(angle + margin) would rise again. There the cosine itself is
    taken, less margin * sin(margin), as the authors' code has it: it goes on falling.

    Args:
        embeddings (`torch.Tensor`): Shape (batch, width), of any length.
        centers (`torch.Tensor`): Shape (classes, width), of any length.
        labels (`torch.LongTensor`): Shape (batch,); -100 where there is none.
        margin (`float`): In radians, 0 to pi.
        scale (`float`): Greater than 0: what cosines, -1 to 1, are multiplied by before the softmax.

    Returns:
        `torch.Tensor` of shape (batch,), in nats, not reduced; 0 where the label is missing.

    Raises:
        ValueError: Embeddings and centers of different widths.

    Reference: Deng et al. 2019, "ArcFace: Additive Angular Margin Loss for Deep Face Recognition", equation 3.
    """
    cosines, own = _cosines(embeddings, centers, labels)
    sines = (1 - cosines.square()).clamp(min=_SMALLEST_SQUARED_SINE).sqrt()
    angle = torch.tensor(margin, dtype=torch.float64)
    moved = cosines * angle.cos() - sines * angle.sin()
    moved = moved.where(cosines > -angle.cos(), cosines - margin * angle.sin())
    return cross_entropy(scale * moved.where(own, cosines), labels)


def cosine_margin_loss(embeddings, centers, labels, *, margin, scale):
    """Cross-entropy of scaled cosines, once `margin` was taken from that of an embedding and its own center.

    Args:
        embeddings (`torch.Tensor`): Shape (batch, width), of any length.
        centers (`torch.Tensor`): Shape (classes, width), of any length.
        labels (`torch.LongTensor`): Shape (batch,); -100 where there is none.
        margin (`float`): Of a cosine, 0 or greater.
        scale (`float`): Greater than 0: what cosines, -1 to 1, are multiplied by before the softmax.

    Returns:
        `torch.Tensor` of shape (batch,), in nats, not reduced; 0 where the label is missing.

    Raises:
        ValueError: Embeddings and centers of different widths.

    Reference: Wang et al. 2018, "CosFace: Large Margin Cosine Loss for Deep Face Recognition", equation 4.
    """
    cosines, own = _cosines(embeddings, centers, labels)
    return cross_entropy(scale * (cosines - margin * own), labels)


def class_centers(batches, num_classes):
    """The mean direction of the embeddings of each class.

    Args:
        batches (iterable of `(embeddings, labels)`): Of shapes (batch, width), any length, and (batch,); -100 where there
            is no label.
        num_classes (`int`): More than the greatest label.

    Returns:
        `torch.Tensor` of shape (num_classes, width), each of length 1; zeros for a class without an example.

    Raises:
        ValueError: A label that is no class.

    Reference: Wen et al. 2016, "A Discriminative Feature Learning Approach for Deep Face Recognition", for centers as
    means of embeddings; here of directions, because only these are compared.
    """
    total = 0
    for embeddings, labels in batches:
        check_labels(labels, num_classes)
        known = labels != MISSING
        directions = normalize(upcast(embeddings[known]), dim=-1)
        total = total + product(one_hot(labels[known], num_classes).to(directions.dtype).T, directions)
    return normalize(total, dim=-1)


def check_labels(labels, num_classes):
    """Raise a ValueError where a label is none of the classes."""
    if len(labels) and labels.max() >= num_classes:
        raise ValueError(
            f"There are {num_classes} classes, 0 to {num_classes - 1}, and an example has the label {int(labels.max())}. "
            f"Give the number of classes (num_classes, or the student's config.num_labels)."
        )


def _cosines(embeddings, centers, labels):
    """Shape (batch, classes), and which of them are of an embedding and its own center."""
    if embeddings.shape[-1] != centers.shape[-1]:
        raise ValueError(
            f"The embeddings are {embeddings.shape[-1]} wide and the class centers {centers.shape[-1]}, so there is no "
            f"angle between them. Give the student the width of whoever the centers are from."
        )
    embeddings = upcast(embeddings)
    directions, of_classes = (normalize(one, dim=-1) for one in (embeddings, centers.to(embeddings.dtype)))
    cosines = product(directions, of_classes.T).clamp(-1, 1)
    own = one_hot(labels.masked_fill(labels == MISSING, 0), len(centers)).bool()
    return cosines, own & (labels != MISSING).unsqueeze(-1)
