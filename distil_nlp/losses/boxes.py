"""Losses of detectors with object queries: each query predicts a class, or "no object", and a box.

Detectors have *exclusive* classes (DETR, YOLOS), a softmax whose last class is "no object", or *independent* classes
(Conditional DETR, Deformable DETR, RT-DETR), a sigmoid per class with "no object" where all are low. Boxes are
(center x, center y, width, height), each 0 to 1 of the image.
"""

import torch
from torch.nn.functional import cross_entropy, one_hot

from .hard import yes_no_cross_entropy
from .precision import check_same_shape, product, upcast
from .soft import soft_target_bce, soft_target_kl

# Coefficients of DETR (Carion et al. 2020, appendix A.4).
L1_WEIGHT, GIOU_WEIGHT, NO_OBJECT_WEIGHT = 5.0, 2.0, 0.1
# Coefficients of the focal loss (Lin et al. 2017, section 4.1).
FOCAL_ALPHA, FOCAL_GAMMA = 0.25, 2.0
# Coefficient of independent classes in the loss and in the matching cost, in the code of the authors of Conditional DETR,
# Deformable DETR and DAB-DETR (`cls_loss_coef`, `set_cost_class`); with exclusive classes it is 1.
INDEPENDENT_CLASS_WEIGHT = 2.0


def corners(boxes: torch.Tensor) -> torch.Tensor:
    """Convert boxes (center x, center y, width, height) to (left, top, right, bottom); both of shape (..., 4)."""
    center, size = upcast(boxes).split(2, dim=-1)
    return torch.cat([center - size / 2, center + size / 2], dim=-1)


def generalized_iou(boxes: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Generalized intersection over union of boxes: -1 (far apart) to 1 (equal).

    The intersection over union, minus the fraction of the enclosing box that neither box covers.

    Args:
        boxes, targets (`torch.Tensor`): Shape (..., 4), center and size; the leading dimensions broadcast.

    Returns:
        `torch.Tensor` of the broadcast leading shape.

    Reference: Rezatofighi et al. 2019, "Generalized Intersection over Union", algorithm 1.
    """
    top_left, bottom_right = corners(boxes).split(2, dim=-1)
    target_top_left, target_bottom_right = corners(targets).split(2, dim=-1)
    overlap = _area(torch.maximum(top_left, target_top_left), torch.minimum(bottom_right, target_bottom_right))
    hull = _area(torch.minimum(top_left, target_top_left), torch.maximum(bottom_right, target_bottom_right))
    union = _area(top_left, bottom_right) + _area(target_top_left, target_bottom_right) - overlap
    tiny = torch.finfo(union.dtype).tiny  # avoids 0 / 0 for two identical boxes without area
    return overlap / union.clamp(min=tiny) - (hull - union) / hull.clamp(min=tiny)


def box_distance(boxes: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Distance of a predicted box from its target box.

    Args:
        boxes, targets (`torch.Tensor`): Shape (..., 4), center and size; the leading dimensions broadcast.

    Returns:
        `torch.Tensor` of the broadcast leading shape, not reduced: 5 x the sum of the four absolute differences
        + 2 x (1 - generalized IoU). 0 for equal boxes, 25 at most.

    Reference: Carion et al. 2020, "End-to-End Object Detection with Transformers", section 3.1, "Bounding box loss".
    """
    absolute = (upcast(boxes) - upcast(targets)).abs().sum(-1)
    return L1_WEIGHT * absolute + GIOU_WEIGHT * (1 - generalized_iou(boxes, targets))


def query_class_loss(logits: torch.Tensor, classes: torch.Tensor, *, exclusive: bool) -> torch.Tensor:
    """Classification loss of each query.

    Args:
        logits (`torch.Tensor`): Shape (batch, queries, classes), with exclusive classes (batch, queries, classes + 1).
        classes (`torch.LongTensor`): Shape (batch, queries); an index equal to the number of classes is "no object".
        exclusive (`bool`): True for a softmax with "no object" last, False for a sigmoid per class.

    Returns:
        `torch.Tensor` of shape (batch, queries), in nats, not reduced. Exclusive: cross-entropy, times 0.1 for
        "no object". Independent: twice the focal loss, summed over the classes.

    Reference: Carion et al. 2020, equation 2 and appendix A.4; Lin et al. 2017, "Focal Loss for Dense Object
    Detection", equation 5.
    """
    logits = upcast(logits)
    if exclusive:
        return cross_entropy(logits.transpose(1, 2), classes, reduction="none") * class_weights(classes, logits)
    targets = one_hot(classes, logits.shape[-1] + 1)[..., :-1].to(logits.dtype)
    error = (logits.sigmoid() - targets).abs()  # 1 - p_t of the paper
    alpha = FOCAL_ALPHA * targets + (1 - FOCAL_ALPHA) * (1 - targets)
    focal = alpha * error**FOCAL_GAMMA * yes_no_cross_entropy(logits, targets)
    return INDEPENDENT_CLASS_WEIGHT * focal.sum(-1)


def class_weights(classes: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    """Weight of each query: 1 with an object, 0.1 for "no object", which is the target of most queries."""
    return torch.where(classes == logits.shape[-1] - 1, NO_OBJECT_WEIGHT, 1.0)


def foreground_probability(logits: torch.Tensor, *, exclusive: bool) -> torch.Tensor:
    """Probability of each query that it has an object, 0 to 1.

    Args:
        logits (`torch.Tensor`): See `query_class_loss`.
        exclusive (`bool`): See `query_class_loss`.

    Returns:
        `torch.Tensor` of shape (batch, queries).
    """
    if exclusive:
        return 1 - upcast(logits).softmax(-1)[..., -1]
    return upcast(logits).sigmoid().amax(-1)


def query_soft_target_loss(
    student: tuple[torch.Tensor, torch.Tensor],
    teacher: tuple[torch.Tensor, torch.Tensor],
    *,
    temperature: float,
    exclusive: bool,
    counted: torch.Tensor | None = None,
) -> torch.Tensor:
    """Distance of the student's queries from the teacher's queries at the same index, one value per image.

    Queries are weighted by the teacher's foreground probability: with an object, class and box have weight 1; without,
    the class has weight 0.1 and the box 0. Each part of an image's value is divided by its sum of weights.

    Args:
        student, teacher (pair of `torch.Tensor`): Class logits of shape (batch, queries, classes), see
            `query_class_loss`, and boxes of shape (batch, queries, 4). No gradient flows into the teacher's.
        temperature (`float`): Of the classes, greater than 0.
        exclusive (`bool`): See `query_class_loss`.
        counted (`torch.BoolTensor`, *optional*): Shape (batch, queries): False for queries without a teacher query.

    Returns:
        `torch.Tensor` of shape (batch,), not reduced: the KL divergence of the classes (times temperature**2) plus
        `box_distance`, each averaged with these weights.

    Raises:
        ValueError: The shapes of the class logits differ.

    Reference: Wang et al. 2024, "KD-DETR: Knowledge Distillation for Detection Transformer with Consistent
    Distillation Points Sampling", section 3.4 (weight of the foreground); 0.1 is DETR's weight of "no object".
    """
    logits, boxes = student
    teacher_logits, teacher_boxes = (tensor.detach() for tensor in teacher)
    check_same_shape(logits, teacher_logits, "class logits")
    box_weights = foreground_probability(teacher_logits, exclusive=exclusive)
    if exclusive:
        class_distances = soft_target_kl(logits, teacher_logits, temperature=temperature)
    else:
        class_distances = soft_target_bce(logits, teacher_logits, temperature=temperature) * logits.shape[-1]
    query_weights = NO_OBJECT_WEIGHT + (1 - NO_OBJECT_WEIGHT) * box_weights
    if counted is not None:
        box_weights, query_weights = box_weights * counted, query_weights * counted
    class_part = (query_weights * class_distances).sum(1) / query_weights.sum(1).clamp(min=NO_OBJECT_WEIGHT)
    # At least 1: otherwise the boxes of an image without objects would weigh as much as those of an image with objects.
    box_part = (box_weights * box_distance(boxes, teacher_boxes)).sum(1) / box_weights.sum(1).clamp(min=1)
    return class_part + box_part


def matching_cost(
    logits: torch.Tensor, boxes: torch.Tensor, targets: torch.Tensor, target_boxes: torch.Tensor, *, exclusive: bool
) -> torch.Tensor:
    """Cost of assigning each query to each target, for a one-to-one matching.

    Args:
        logits (`torch.Tensor`): Class logits of the queries, see `query_class_loss`.
        boxes (`torch.Tensor`): Boxes of the queries, shape (batch, queries, 4).
        targets (`torch.Tensor`): Shape (batch, targets, classes): the probability of each class without "no object";
            one-hot for a label.
        target_boxes (`torch.Tensor`): Shape (batch, targets, 4).
        exclusive (`bool`): See `query_class_loss`.

    Returns:
        `torch.Tensor` of shape (batch, queries, targets).

    Reference: Carion et al. 2020, section 3.1, "matching cost"; Zhu et al. 2021, "Deformable DETR", appendix A.4, for
    independent classes, with the coefficient 2 of its code.
    """
    logits = upcast(logits)
    if exclusive:
        gain = logits.softmax(-1)[..., :-1]
    else:
        probabilities = logits.sigmoid()
        positive_cost = FOCAL_ALPHA * (1 - probabilities) ** FOCAL_GAMMA * -(probabilities + 1e-8).log()
        negative_cost = (1 - FOCAL_ALPHA) * probabilities**FOCAL_GAMMA * -(1 - probabilities + 1e-8).log()
        gain = INDEPENDENT_CLASS_WEIGHT * (negative_cost - positive_cost)
    cost = -product(gain, targets.to(gain.dtype).transpose(1, 2))
    return cost + box_distance(boxes.unsqueeze(2), target_boxes.unsqueeze(1))


def _area(top_left: torch.Tensor, bottom_right: torch.Tensor) -> torch.Tensor:
    size = (bottom_right - top_left).clamp(min=0)
    return size[..., 0] * size[..., 1]
