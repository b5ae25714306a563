"""Losses between how the examples of a batch lie to each other: one value for the whole batch.

Widths may differ: only distances, angles and similarities within each model are compared.
"""

import torch
from torch.nn.functional import huber_loss, normalize

from .precision import product, upcast

_TINY = 1e-12


def relational_distance(student_points, teacher_points):
    """How differently the distances between examples are spread, as a Huber loss over pairs.

    Each model's distances are divided by their own mean, so scale does not count.

    Args:
        student_points (`torch.Tensor`): Shape (batch, width), one point an example.
        teacher_points (`torch.Tensor`): Shape (batch, any width). No gradient flows into it.

    Returns:
        `torch.Tensor` of shape (1,); 0 for a batch of one.

    Raises:
        ValueError: Not the same number of points.

    Reference: Park et al. 2019, "Relational Knowledge Distillation", equations 5 to 8.
    """
    student, teacher = _points(student_points, teacher_points)
    apart = ~torch.eye(len(student), dtype=torch.bool, device=student.device)
    ours, theirs = (_distances(points)[apart] for points in (student, teacher))
    if not len(ours):
        return student.sum().reshape(1) * 0
    ours, theirs = (distances / distances.mean().clamp(min=_TINY) for distances in (ours, theirs))
    return huber_loss(ours, theirs).reshape(1)


def relational_angle(student_points, teacher_points):
    """How differently triples of examples are bent, as a Huber loss over the cosines of their angles.

    Args:
        student_points (`torch.Tensor`): Shape (batch, width), one point an example.
        teacher_points (`torch.Tensor`): Shape (batch, any width). No gradient flows into it.

    Returns:
        `torch.Tensor` of shape (1,); 0 for a batch of fewer than three. Takes memory of the batch size cubed.

    Raises:
        ValueError: Not the same number of points.

    Reference: Park et al. 2019, "Relational Knowledge Distillation", equations 9 and 10.
    """
    student, teacher = _points(student_points, teacher_points)
    num_points = len(student)
    if num_points < 3:
        return student.sum().reshape(1) * 0
    apart = ~torch.eye(num_points, dtype=torch.bool, device=student.device)
    # Corner first: cosines[j, i, k] is of the angle at j between i and k, all different.
    triples = apart[:, :, None] & apart[:, None, :] & apart[None, :, :]
    ours, theirs = (_cosines(points)[triples] for points in (student, teacher))
    return huber_loss(ours, theirs).reshape(1)


def similarity_preserving(student_points, teacher_points):
    """Squared distance of the two matrices of similarities between examples, averaged over their entries.

    Each row of similarities is brought to length 1.

    Args:
        student_points (`torch.Tensor`): Shape (batch, width), one point an example.
        teacher_points (`torch.Tensor`): Shape (batch, any width). No gradient flows into it.

    Returns:
        `torch.Tensor` of shape (1,).

    Raises:
        ValueError: Not the same number of points.

    Reference: Tung and Mori 2019, "Similarity-Preserving Knowledge Distillation", equations 2 to 4.
    """
    student, teacher = _points(student_points, teacher_points)
    ours, theirs = (normalize(product(points, points.T), dim=1) for points in (student, teacher))
    return (ours - theirs).square().mean().reshape(1)


def similarity_kl(student_points, teacher_points, *, temperature):
    """Divergence of how the student spreads a text's likeness over the other texts, averaged over the texts.

    The cosines of a text to all the others, divided by the temperature, are softened to probabilities. Multiplied by
    temperature**2, so that its gradient keeps its size when temperature changes.

    Args:
        student_points (`torch.Tensor`): Shape (batch, width), one point a text.
        teacher_points (`torch.Tensor`): Shape (batch, any width). No gradient flows into it.
        temperature (`float`): Greater than 0. Cosines lie in -1 to 1, so it is small: 0.05 looks at the nearest few.

    Returns:
        `torch.Tensor` of shape (1,); 0 for a batch of one or two, in which there is nothing to choose from.

    Raises:
        ValueError: Not the same number of points.

    Reference: Fang et al. 2021, "SEED: Self-supervised Distillation for Visual Representation", equations 3 to 5; there
    the others are a queue of earlier texts, and the factor temperature**2 is not.
    """
    student, teacher = _points(student_points, teacher_points)
    if len(student) < 3:
        return student.sum().reshape(1) * 0
    ours, theirs = (_log_likeness(points, temperature) for points in (student, teacher))
    return (theirs.exp() * (theirs - ours)).sum(dim=1).mean().reshape(1) * temperature**2


def _log_likeness(points, temperature):
    directions, num_points = normalize(points, dim=-1), len(points)
    apart = ~torch.eye(num_points, dtype=torch.bool, device=points.device)
    cosines = product(directions, directions.T)[apart].view(num_points, num_points - 1)
    return (cosines / temperature).log_softmax(dim=1)


def _points(student_points, teacher_points):
    if student_points.dim() != 2 or teacher_points.dim() != 2 or len(student_points) != len(teacher_points):
        raise ValueError(
            f"Examples are compared as points of shape (batch, width), as many for the student as for the teacher; got "
            f"{tuple(student_points.shape)} and {tuple(teacher_points.shape)}. Pool hidden states over the sequence."
        )
    return upcast(student_points), upcast(teacher_points.detach())


def _distances(points):
    # The square root has no finite slope at 0, where two examples are one and the same.
    squares = (points[:, None] - points[None]).square().sum(dim=-1)
    return squares.clamp(min=_TINY).sqrt()


def _cosines(points):
    directions = normalize(points[None] - points[:, None], dim=-1)  # [j, i]: from j to i
    return product(directions, directions.transpose(1, 2))
