"""Which query of a detector stands for which box: the assignment of least cost, one to one."""

import numpy as np
import torch

from ..losses.boxes import foreground_probability, matching_cost

# More than any pair can cost (a distance of boxes is 25 at most), so that no target is left out to save cost.
_MORE_THAN_ANY = 30.0


@torch.no_grad()
def match_labels(logits, boxes, labels, true_boxes, *, exclusive):
    """The query for each true box.

    Args:
        logits (`torch.Tensor`): Shape (batch, queries, classes), see `losses.query_class_loss`.
        boxes (`torch.Tensor`): Shape (batch, queries, 4).
        labels (`torch.LongTensor`): Shape (batch, most boxes), -100 where an image has fewer.
        true_boxes (`torch.Tensor`): Shape (batch, most boxes, 4).
        exclusive (`bool`): See `losses.query_class_loss`.

    Returns:
        `torch.LongTensor` of shape (batch, most boxes): a query's number, -1 where there is no box, and for boxes of an
        image with more boxes than queries.
    """
    num_classes = logits.shape[-1] - exclusive
    targets = torch.nn.functional.one_hot(labels.clamp(min=0), num_classes)
    cost = matching_cost(logits, boxes, targets, true_boxes.nan_to_num(), exclusive=exclusive)
    return _assigned(cost.transpose(1, 2), labels >= 0)


@torch.no_grad()
def match_teacher(student, teacher, *, exclusive):
    """The teacher's query for each query of the student: what the teacher is surest of finds its partner first.

    Args:
        student, teacher (pair of `torch.Tensor`): Class logits and boxes; the numbers of queries may differ.
        exclusive (`bool`): See `losses.query_class_loss`.

    Returns:
        `torch.LongTensor` of shape (batch, queries of the student), -1 where the teacher has fewer.

    Reference: Chang et al. 2023, "DETRDistill", section 3.2, Hungarian-matching logits distillation.
    """
    (logits, boxes), (targets, target_boxes) = student, teacher
    certain = foreground_probability(targets, exclusive=exclusive)
    classes = targets.float().softmax(-1)[..., :-1] if exclusive else targets.float().sigmoid()
    cost = matching_cost(logits, boxes, classes, target_boxes, exclusive=exclusive) - _MORE_THAN_ANY
    everybody = torch.ones(logits.shape[:2], dtype=torch.bool, device=logits.device)
    return _assigned(cost * certain.unsqueeze(1), everybody)


def _assigned(cost, counted):
    """For each row that counts the column it is assigned to, else -1. Cost: shape (batch, rows, columns)."""
    from scipy.optimize import linear_sum_assignment

    # A model that says NaN is told by its loss; here it would be an error of another library.
    most = torch.finfo(cost.dtype).max
    table = cost.nan_to_num(nan=most, posinf=most, neginf=most).double().cpu().numpy()
    counted = counted.cpu().numpy()
    found = np.full(counted.shape, -1)
    for image, rows in enumerate(counted):
        chosen, columns = linear_sum_assignment(table[image, rows])
        found[image, np.flatnonzero(rows)[chosen]] = columns
    return torch.from_numpy(found).to(cost.device)
