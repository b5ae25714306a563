"""Losses of detectors that answer with a set of queries: each query says a class, perhaps none, and a box.

Two habits exist. *Exclusive* classes (DETR, YOLOS): a softmax whose last class is "no object". *Independent* ones
(Conditional, Deformable, RT-DETR): a sigmoid for each class, and no object where all are low. Boxes are
(center x, center y, width, height), each 0 to 1 of the image.
"""

import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, one_hot

from .precision import check_same_shape, product, upcast
from .soft import soft_target_bce, soft_target_kl

# The coefficients of DETR (Carion et al. 2020, appendix A.4).
L1_WEIGHT, GIOU_WEIGHT, NO_OBJECT_WEIGHT = 5.0, 2.0, 0.1
# Those of the focal loss (Lin et al. 2017, section 4.1).
FOCAL_ALPHA, FOCAL_GAMMA = 0.25, 2.0


def corners(boxes):
    """Boxes (center x, center y, width, height) as (left, top, right, bottom); shape (..., 4) both."""
    center, size = upcast(boxes).split(2, dim=-1)
    return torch.cat([center - size / 2, center + size / 2], dim=-1)


def generalized_iou(boxes, others):
    """Intersection over union, less the share of their common hull that neither covers: -1 (far apart) to 1 (equal).

    Args:
        boxes, others (`torch.Tensor`): Shape (..., 4), center and size; the leading dimensions broadcast.

    Returns:
        `torch.Tensor` of the broadcast leading shape.

    Reference: Rezatofighi et al. 2019, "Generalized Intersection over Union", algorithm 1.
    """
    ours, theirs = corners(boxes), corners(others)
    overlap = _area(torch.maximum(ours[..., :2], theirs[..., :2]), torch.minimum(ours[..., 2:], theirs[..., 2:]))
    hull = _area(torch.minimum(ours[..., :2], theirs[..., :2]), torch.maximum(ours[..., 2:], theirs[..., 2:]))
    union = _area(*ours.split(2, dim=-1)) + _area(*theirs.split(2, dim=-1)) - overlap
    tiny = torch.finfo(union.dtype).tiny  # two points at one place: 0 over 0
    return overlap / union.clamp(min=tiny) - (hull - union) / hull.clamp(min=tiny)


def box_distance(boxes, targets):
    """How far a predicted box is from the one it should be.

    Args:
        boxes, targets (`torch.Tensor`): Shape (..., 4), center and size; the leading dimensions broadcast.

    Returns:
        `torch.Tensor` of the broadcast leading shape, not reduced: 5 x the sum of the four absolute differences
        + 2 x (1 - generalized IoU). 0 where they are equal, 25 or less otherwise.

    Reference: Carion et al. 2020, "End-to-End Object Detection with Transformers", section 3.1, "Bounding box loss".
    """
    absolute = (upcast(boxes) - upcast(targets)).abs().sum(-1)
    return L1_WEIGHT * absolute + GIOU_WEIGHT * (1 - generalized_iou(boxes, targets))


def query_classes(logits, classes, *, exclusive):
    """What each query says of its class, against what it should.

    Args:
        logits (`torch.Tensor`): Shape (batch, queries, classes), with exclusive classes (batch, queries, classes + 1).
        classes (`torch.LongTensor`): Shape (batch, queries); the number of classes stands for "no object".
        exclusive (`bool`): A softmax with "no object" last, or a sigmoid for each class.

    Returns:
        `torch.Tensor` of shape (batch, queries), in nats, not reduced. Exclusive: cross-entropy, times 0.1 where there
        is no object. Independent: the focal loss, summed over the classes.

    Reference: Carion et al. 2020, equation 2 and appendix A.4; Lin et al. 2017, "Focal Loss for Dense Object
    Detection", equation 5.
    """
    logits = upcast(logits)
    if exclusive:
        return cross_entropy(logits.transpose(1, 2), classes, reduction="none") * class_weights(classes, logits)
    targets = one_hot(classes, logits.shape[-1] + 1)[..., :-1].to(logits.dtype)
    wrong = (logits.sigmoid() - targets).abs()  # 1 - p_t of the paper
    alpha = FOCAL_ALPHA * targets + (1 - FOCAL_ALPHA) * (1 - targets)
    values = binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return (alpha * wrong**FOCAL_GAMMA * values).sum(-1)


def class_weights(classes, logits):
    """1 for a query that should find something, 0.1 for one that should not: most should not."""
    return torch.where(classes == logits.shape[-1] - 1, NO_OBJECT_WEIGHT, 1.0)


def foreground(logits, *, exclusive):
    """How sure a query is that something is there, 0 to 1.

    Args:
        logits (`torch.Tensor`): See `query_classes`.

    Returns:
        `torch.Tensor` of shape (batch, queries).
    """
    if exclusive:
        return 1 - upcast(logits).softmax(-1)[..., -1]
    return upcast(logits).sigmoid().amax(-1)


def query_soft_targets(student, teacher, *, temperature, exclusive, counted=None):
    """How far each query of the student is from the query of the teacher at its place, as one value an image.

    Where the teacher sees something, class and box count in full; where it sees nothing, its class counts a tenth and
    its box not at all. An image's value is divided by what counted in it.

    Args:
        student, teacher (pair of `torch.Tensor`): Class logits of shape (batch, queries, classes), see
            `query_classes`, and boxes of shape (batch, queries, 4). No gradient flows into the teacher's.
        temperature (`float`): Greater than 0; of the classes.
        exclusive (`bool`): See `query_classes`.
        counted (`torch.BoolTensor`, *optional*): Shape (batch, queries): False for queries that have no teacher.

    Returns:
        `torch.Tensor` of shape (batch,), not reduced: the divergence of the classes (times temperature squared) and
        `box_distance`, each averaged with these weights.

    Reference: Wang et al. 2024, "KD-DETR: Knowledge Distillation for Detection Transformer with Consistent
    Distillation Points Sampling", section 3.4 (weight of the foreground); the tenth is DETR's for "no object".
    """
    (logits, boxes), (targets, target_boxes) = student, (part.detach() for part in teacher)
    check_same_shape(logits, targets, "class logits")
    certain = foreground(targets, exclusive=exclusive)
    if exclusive:
        classes = soft_target_kl(logits, targets, temperature=temperature)
    else:
        classes = soft_target_bce(logits, targets, temperature=temperature) * logits.shape[-1]
    weights = NO_OBJECT_WEIGHT + (1 - NO_OBJECT_WEIGHT) * certain
    if counted is not None:
        certain, weights = certain * counted, weights * counted
    # An image in which the teacher sees less than one thing is divided by one, or its doubts would weigh as much as
    # another's boxes.
    return (weights * classes).sum(1) / weights.sum(1).clamp(min=NO_OBJECT_WEIGHT) + (
        certain * box_distance(boxes, target_boxes)
    ).sum(1) / certain.sum(1).clamp(min=1)


def matching_cost(logits, boxes, targets, target_boxes, *, exclusive):
    """What it costs to let each query stand for each target, for a one-to-one matching.

    Args:
        logits, boxes (`torch.Tensor`): Of the queries, see `query_classes`; (batch, queries, 4).
        targets (`torch.Tensor`): Shape (batch, targets, classes): the probability of each class, "no object" not among
            them. Of a label: one 1.
        target_boxes (`torch.Tensor`): Shape (batch, targets, 4).
        exclusive (`bool`): See `query_classes`.

    Returns:
        `torch.Tensor` of shape (batch, queries, targets).

    Reference: Carion et al. 2020, section 3.1, "matching cost"; Zhu et al. 2021, "Deformable DETR", appendix A.4, for
    independent classes.
    """
    logits = upcast(logits)
    if exclusive:
        gain = logits.softmax(-1)[..., :-1]
    else:
        probabilities = logits.sigmoid()
        found = FOCAL_ALPHA * (1 - probabilities) ** FOCAL_GAMMA * -(probabilities + 1e-8).log()
        missed = (1 - FOCAL_ALPHA) * probabilities**FOCAL_GAMMA * -(1 - probabilities + 1e-8).log()
        gain = missed - found
    cost = -product(gain, targets.to(gain.dtype).transpose(1, 2))
    return cost + box_distance(boxes.unsqueeze(2), target_boxes.unsqueeze(1))


def _area(first, last):
    size = (last - first).clamp(min=0)
    return size[..., 0] * size[..., 1]
