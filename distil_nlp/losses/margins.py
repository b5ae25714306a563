"""Classification losses with a margin: an embedding must be closer to its own class center by a margin."""

from collections.abc import Iterable

import torch
from torch.nn.functional import normalize, one_hot

from .hard import MISSING, cross_entropy
from .precision import product, upcast

# Below it (an angle of 0.0003) a float32 cosine does not determine the sine, and the sine's gradient would be infinite.
_SMALLEST_SQUARED_SINE = 1e-7


def angular_margin_loss(
    embeddings: torch.Tensor, centers: torch.Tensor, labels: torch.Tensor, *, margin: float, scale: float
) -> torch.Tensor:
    """Cross-entropy of scaled cosines, with `margin` added to the angle of an embedding and its own center.

    Where the angle plus the margin exceeds pi, cos(angle + margin) would rise again. There it is replaced by
    cos(angle) - margin * sin(margin), which keeps falling, as in the authors' code.

    Args:
        embeddings (`torch.Tensor`): Shape (batch, width), of any length.
        centers (`torch.Tensor`): Shape (classes, width), of any length.
        labels (`torch.LongTensor`): Shape (batch,); -100 where missing.
        margin (`float`): In radians, 0 to pi.
        scale (`float`): Factor of the cosines, -1 to 1, before the softmax; greater than 0.

    Returns:
        `torch.Tensor` of shape (batch,), in nats, not reduced; 0 where the label is missing.

    Raises:
        ValueError: The widths of embeddings and centers differ.

    Reference: Deng et al. 2019, "ArcFace: Additive Angular Margin Loss for Deep Face Recognition", equation 3.
    """
    cosines, own = _cosines(embeddings, centers, labels)
    sines = (1 - cosines.square()).clamp(min=_SMALLEST_SQUARED_SINE).sqrt()
    angle = torch.tensor(margin, dtype=torch.float64)
    with_margin = cosines * angle.cos() - sines * angle.sin()
    with_margin = with_margin.where(cosines > -angle.cos(), cosines - margin * angle.sin())
    return cross_entropy(scale * with_margin.where(own, cosines), labels)


def cosine_margin_loss(
    embeddings: torch.Tensor, centers: torch.Tensor, labels: torch.Tensor, *, margin: float, scale: float
) -> torch.Tensor:
    """Cross-entropy of scaled cosines, with `margin` subtracted from the cosine of an embedding and its own center.

    Args:
        embeddings (`torch.Tensor`): Shape (batch, width), of any length.
        centers (`torch.Tensor`): Shape (classes, width), of any length.
        labels (`torch.LongTensor`): Shape (batch,); -100 where missing.
        margin (`float`): Subtracted from the cosine, 0 or greater.
        scale (`float`): Factor of the cosines, -1 to 1, before the softmax; greater than 0.

    Returns:
        `torch.Tensor` of shape (batch,), in nats, not reduced; 0 where the label is missing.

    Raises:
        ValueError: The widths of embeddings and centers differ.

    Reference: Wang et al. 2018, "CosFace: Large Margin Cosine Loss for Deep Face Recognition", equation 4.
    """
    cosines, own = _cosines(embeddings, centers, labels)
    return cross_entropy(scale * (cosines - margin * own), labels)


def class_centers(batches: Iterable[tuple[torch.Tensor, torch.Tensor]], num_classes: int) -> torch.Tensor:
    """Mean direction of the embeddings of each class.

    Args:
        batches (iterable of `(embeddings, labels)`): Of shapes (batch, width), any length, and (batch,); -100 for
            missing labels.
        num_classes (`int`): Greater than every label.

    Returns:
        `torch.Tensor` of shape (num_classes, width), each of length 1; zeros for a class without examples.

    Raises:
        ValueError: A label is not below num_classes.

    Reference: Wen et al. 2016, "A Discriminative Feature Learning Approach for Deep Face Recognition", for centers as
    means of embeddings; here means of directions, because the losses compare directions only.
    """
    total = torch.zeros(())
    for embeddings, labels in batches:
        check_labels(labels, num_classes)
        labeled = labels != MISSING
        directions = normalize(upcast(embeddings[labeled]), dim=-1)
        total = total + product(one_hot(labels[labeled], num_classes).to(directions.dtype).T, directions)
    return normalize(total, dim=-1)


def check_labels(labels: torch.Tensor, num_classes: int) -> None:
    """Raise a ValueError if a label is not below the number of classes."""
    if len(labels) and labels.max() >= num_classes:
        raise ValueError(
            f"There are {num_classes} classes, 0 to {num_classes - 1}, and an example has the label {int(labels.max())}. "
            f"Pass the right number of classes (num_classes, or the student's config.num_labels)."
        )


def _cosines(
    embeddings: torch.Tensor, centers: torch.Tensor, labels: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines of shape (batch, classes), and a mask of the entries of an embedding and its own center."""
    if embeddings.shape[-1] != centers.shape[-1]:
        raise ValueError(
            f"The embeddings are {embeddings.shape[-1]} wide and the class centers {centers.shape[-1]}, so there is no "
            f"angle between them. Build the student with the width of the centers."
        )
    embeddings = upcast(embeddings)
    directions, class_directions = normalize(embeddings, dim=-1), normalize(centers.to(embeddings.dtype), dim=-1)
    cosines = product(directions, class_directions.T).clamp(-1, 1)
    own = one_hot(labels.masked_fill(labels == MISSING, 0), len(centers)).bool()
    return cosines, own & (labels != MISSING).unsqueeze(-1)
