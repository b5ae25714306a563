"""Losses between the distances, angles and similarities of the examples of a batch.

All but `pair_cosine_error` return one value for the whole batch, and the widths of student and teacher may differ.
"""

import torch
from torch.nn.functional import cosine_similarity, huber_loss, normalize

from .divergence import divergence
from .precision import product, upcast

_TINY = 1e-12


def relational_distance(student_points: torch.Tensor, teacher_points: torch.Tensor) -> torch.Tensor:
    """Huber loss between the student's and the teacher's distances of examples, over all pairs.

    Each model's distances are divided by their mean, so their scale does not count.

    Args:
        student_points (`torch.Tensor`): Shape (batch, width), one point per example.
        teacher_points (`torch.Tensor`): Shape (batch, any width). No gradient flows into it.

    Returns:
        `torch.Tensor` of shape (1,); 0 for a batch of one.

    Raises:
        ValueError: The numbers of points differ, or the tensors do not have 2 dimensions.

    Reference: Park et al. 2019, "Relational Knowledge Distillation", equations 5 to 8.
    """
    student, teacher = _points(student_points, teacher_points)
    pairs = ~torch.eye(len(student), dtype=torch.bool, device=student.device)
    if len(student) < 2:
        return student[:0].sum().reshape(1)  # 0, in the graph
    student_distances, teacher_distances = _distances(student)[pairs], _distances(teacher)[pairs]
    student_scale, teacher_scale = (
        distances.mean().clamp(min=_TINY) for distances in (student_distances, teacher_distances)
    )
    return huber_loss(student_distances / student_scale, teacher_distances / teacher_scale).reshape(1)


def relational_angle(student_points: torch.Tensor, teacher_points: torch.Tensor) -> torch.Tensor:
    """Huber loss between the cosines of the student's and the teacher's angles, over all triples of examples.

    Args:
        student_points (`torch.Tensor`): Shape (batch, width), one point per example.
        teacher_points (`torch.Tensor`): Shape (batch, any width). No gradient flows into it.

    Returns:
        `torch.Tensor` of shape (1,); 0 for a batch of fewer than three. Memory grows with the cube of the batch size.

    Raises:
        ValueError: The numbers of points differ, or the tensors do not have 2 dimensions.

    Reference: Park et al. 2019, "Relational Knowledge Distillation", equations 9 and 10.
    """
    student, teacher = _points(student_points, teacher_points)
    num_points = len(student)
    if num_points < 3:
        return student[:0].sum().reshape(1)  # 0, in the graph
    pairs = ~torch.eye(num_points, dtype=torch.bool, device=student.device)
    # The vertex is the first index: cosines[j, i, k] is of the angle at j between i and k, all different.
    triples = pairs[:, :, None] & pairs[:, None, :] & pairs[None, :, :]
    return huber_loss(_cosines(student)[triples], _cosines(teacher)[triples]).reshape(1)


def similarity_preserving(student_points: torch.Tensor, teacher_points: torch.Tensor) -> torch.Tensor:
    """Squared difference of the two matrices of dot products between examples, averaged over their entries.

    Each row of a matrix is scaled to length 1.

    Args:
        student_points (`torch.Tensor`): Shape (batch, width), one point per example.
        teacher_points (`torch.Tensor`): Shape (batch, any width). No gradient flows into it.

    Returns:
        `torch.Tensor` of shape (1,).

    Raises:
        ValueError: The numbers of points differ, or the tensors do not have 2 dimensions.

    Reference: Tung and Mori 2019, "Similarity-Preserving Knowledge Distillation", equations 2 to 4.
    """
    student, teacher = _points(student_points, teacher_points)
    student, teacher = (normalize(product(points, points.T), dim=1) for points in (student, teacher))
    return (student - teacher).square().mean().reshape(1)


def similarity_kl(student_points: torch.Tensor, teacher_points: torch.Tensor, *, temperature: float) -> torch.Tensor:
    """KL divergence of the student's similarities of each text to the others from the teacher's, averaged over texts.

    The cosines of a text to all others, divided by the temperature, become probabilities by a softmax. Multiplied by
    temperature**2, so that its gradient keeps its size when temperature changes.

    Args:
        student_points (`torch.Tensor`): Shape (batch, width), one point per text.
        teacher_points (`torch.Tensor`): Shape (batch, any width). No gradient flows into it.
        temperature (`float`): Greater than 0. Cosines lie in -1 to 1, so it is small: 0.05 weighs the nearest few.

    Returns:
        `torch.Tensor` of shape (1,); 0 for a batch of one or two, where at most one other text exists.

    Raises:
        ValueError: The numbers of points differ, or the tensors do not have 2 dimensions.

    Reference: Fang et al. 2021, "SEED: Self-supervised Distillation for Visual Representation", equations 3 to 5; there
    the other texts come from a queue of earlier batches, and the factor temperature**2 is absent.
    """
    student, teacher = _points(student_points, teacher_points)
    if len(student) < 3:
        return student[:0].sum().reshape(1)  # 0, in the graph
    student, teacher = (_log_similarities(points, temperature) for points in (student, teacher))
    return divergence(student, teacher).mean().reshape(1) * temperature**2


def pair_cosine_error(embeddings: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
    """Squared difference of the cosine of a pair's two embeddings and the pair's gold score, per pair.

    Args:
        embeddings (`torch.Tensor`): Shape (2 * pairs, width): first and second text of a pair, then the next pair.
        scores (`torch.FloatTensor`): Shape (pairs,), -1 to 1; NaN where missing.

    Returns:
        `torch.Tensor` of shape (pairs,), 0 to 4, not reduced; 0 where the score is missing.

    Raises:
        ValueError: There are not two embeddings for each score.

    Reference: Reimers and Gurevych 2019, "Sentence-BERT", section 3, regression objective function.
    """
    if embeddings.dim() != 2 or len(embeddings) != 2 * len(scores):
        raise ValueError(
            f"Expected two embeddings for each of the {len(scores)} scores, shape ({2 * len(scores)}, width); got "
            f"{tuple(embeddings.shape)}. Put the two embeddings of a pair in consecutive rows."
        )
    embeddings = upcast(embeddings)
    cosines = cosine_similarity(embeddings[0::2], embeddings[1::2], dim=-1)
    missing = scores.isnan()
    # Missing scores are replaced before the subtraction: NaN times 0 is NaN, also in the gradient.
    return (cosines - scores.masked_fill(missing, 0)).masked_fill(missing, 0).square()


def _log_similarities(points: torch.Tensor, temperature: float) -> torch.Tensor:
    directions, num_points = normalize(points, dim=-1), len(points)
    pairs = ~torch.eye(num_points, dtype=torch.bool, device=points.device)
    cosines = product(directions, directions.T)[pairs].view(num_points, num_points - 1)
    return (cosines / temperature).log_softmax(dim=1)


def _points(student_points: torch.Tensor, teacher_points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    if student_points.dim() != 2 or teacher_points.dim() != 2 or len(student_points) != len(teacher_points):
        raise ValueError(
            f"Examples are compared as points of shape (batch, width), with the same batch for student and teacher; got "
            f"{tuple(student_points.shape)} and {tuple(teacher_points.shape)}. Pool hidden states over the sequence."
        )
    return upcast(student_points), upcast(teacher_points.detach())


def _distances(points: torch.Tensor) -> torch.Tensor:
    # The gradient of the square root is infinite at 0, the distance of two equal examples.
    squares = (points[:, None] - points[None]).square().sum(dim=-1)
    return squares.clamp(min=_TINY).sqrt()


def _cosines(points: torch.Tensor) -> torch.Tensor:
    directions = normalize(points[None] - points[:, None], dim=-1)  # [j, i]: from j to i
    return product(directions, directions.transpose(1, 2))
