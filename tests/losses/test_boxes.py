"""Losses of detectors, compared with those of transformers."""

import pytest
import torch
from transformers import ConditionalDetrConfig, DetrConfig
from transformers.image_transforms import center_to_corners_format
from transformers.loss.loss_deformable_detr import DeformableDetrForObjectDetectionLoss
from transformers.loss.loss_for_object_detection import ForObjectDetectionLoss, generalized_box_iou

from distil_nlp.losses import boxes as losses
from distil_nlp.objectives import BoxLabels, Objective, QueryLabels
from distil_nlp.objectives.boxes import match_labels, match_teacher
from distil_nlp.signals.base import Signals

NUM_CLASSES, NUM_QUERIES = 3, 12
EXCLUSIVE = pytest.mark.parametrize("exclusive", [True, False], ids=["exclusive", "independent"])


def draw_boxes(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    size = 0.05 + 0.4 * torch.rand(*shape, 2, generator=generator, dtype=torch.float64)
    center = size / 2 + (1 - size) * torch.rand(*shape, 2, generator=generator, dtype=torch.float64)
    return torch.cat([center, size], dim=-1)


def draw_queries(num_images, exclusive, *, seed=1, num_queries=NUM_QUERIES):
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(
        num_images, num_queries, NUM_CLASSES + exclusive, generator=generator, dtype=torch.float64
    )
    return logits, draw_boxes(num_images, num_queries, seed=seed)


def draw_batch(counts=(4, 0, 7), *, seed=2):
    """Padded labels and boxes of images with these numbers of boxes."""
    most = max(1, *counts)
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(NUM_CLASSES, (len(counts), most), generator=generator)
    padding = torch.arange(most) >= torch.tensor(counts).unsqueeze(1)
    boxes = draw_boxes(len(counts), most, seed=seed).masked_fill(padding.unsqueeze(-1), 0)
    return {"labels": labels.masked_fill(padding, -100), "boxes": boxes}


def as_transformers_has_them(batch):
    return [
        {"class_labels": labels[labels >= 0], "boxes": boxes[labels >= 0]}
        for labels, boxes in zip(batch["labels"], batch["boxes"], strict=True)
    ]


def term_losses(logits, boxes, batch):
    objective = Objective([QueryLabels(1.0), BoxLabels(1.0)])
    signals = Signals(torch.cat([logits, boxes], dim=-1))
    for term in objective.terms:
        term.num_labels = NUM_CLASSES
    objective.setup(signals, None, batch)
    _, parts = objective(signals, None, batch, objective.count([batch]))
    return parts


@pytest.mark.parametrize("counts", [(4, 0, 7), (12, 3, 1), (1,), (0, 0)])
def test_with_exclusive_classes_the_terms_equal_the_loss_of_detr(counts):
    logits, boxes = draw_queries(len(counts), True)
    batch = draw_batch(counts)
    config = DetrConfig(num_labels=NUM_CLASSES, use_timm_backbone=False, backbone_config={"model_type": "resnet"})
    _, expected, _ = ForObjectDetectionLoss(
        logits.float(),
        as_transformers_has_them({**batch, "boxes": batch["boxes"].float()}),
        "cpu",
        boxes.float(),
        config,
    )
    result = term_losses(logits, boxes, batch)
    assert result["loss/classes"].item() == pytest.approx(expected["loss_ce"].item(), rel=1e-5)
    box_loss = 5 * expected["loss_bbox"] + 2 * expected["loss_giou"]
    assert result["loss/boxes"].item() == pytest.approx(box_loss.item(), rel=1e-5)


@pytest.mark.parametrize("counts", [(4, 0, 7), (12, 3, 1), (1,)])
def test_with_independent_classes_the_terms_equal_the_loss_of_deformable_detr(counts):
    logits, boxes = draw_queries(len(counts), False)
    batch = draw_batch(counts)
    config = ConditionalDetrConfig(
        num_labels=NUM_CLASSES, use_timm_backbone=False, backbone_config={"model_type": "resnet"}
    )
    _, expected, _ = DeformableDetrForObjectDetectionLoss(
        logits.float(),
        as_transformers_has_them({**batch, "boxes": batch["boxes"].float()}),
        "cpu",
        boxes.float(),
        config,
    )
    result = term_losses(logits, boxes, batch)
    assert (config.class_cost, config.cls_loss_coefficient) == (2, 2)  # of the authors, as in DAB-DETR
    assert result["loss/classes"].item() == pytest.approx(2 * expected["loss_ce"].item(), rel=1e-5)
    box_loss = 5 * expected["loss_bbox"] + 2 * expected["loss_giou"]
    assert result["loss/boxes"].item() == pytest.approx(box_loss.item(), rel=1e-5)


def test_the_generalized_iou_equals_that_of_transformers():
    one, other = (draw_boxes(9, seed=seed).requires_grad_() for seed in (5, 6))
    result = losses.generalized_iou(one, other)
    expected = generalized_box_iou(center_to_corners_format(one), center_to_corners_format(other)).diag()
    torch.testing.assert_close(result, expected)
    torch.testing.assert_close(
        torch.autograd.grad(result.sum(), one)[0], torch.autograd.grad(expected.sum(), one)[0], rtol=1e-9, atol=1e-12
    )


def test_boxes_without_area_have_a_finite_distance_and_gradient():
    point = torch.tensor([[0.5, 0.5, 0.0, 0.0]], requires_grad=True)
    distance = losses.box_distance(point, torch.tensor([[0.5, 0.5, 0.0, 0.0]]))
    distance.sum().backward()
    assert distance.isfinite().all() and point.grad.isfinite().all()


def test_the_distance_of_boxes_is_zero_where_they_are_equal_and_25_at_most():
    boxes = draw_boxes(50)
    assert losses.box_distance(boxes, boxes).abs().max() < 1e-9
    far = losses.box_distance(torch.tensor([0.0, 0.0, 0.0, 0.0]), torch.tensor([1.0, 1.0, 1.0, 1.0]))
    assert far <= 25


@EXCLUSIVE
def test_the_matching_has_the_lowest_cost(exclusive):
    logits, boxes = draw_queries(1, exclusive, num_queries=4)
    batch = draw_batch((3,))
    result = match_labels(logits, boxes, **_named(batch), exclusive=exclusive)
    targets = torch.nn.functional.one_hot(batch["labels"], NUM_CLASSES)
    cost = losses.matching_cost(logits, boxes, targets, batch["boxes"], exclusive=exclusive)[0]
    totals = {
        (a, b, c): (cost[a, 0] + cost[b, 1] + cost[c, 2]).item()
        for a in range(4)
        for b in range(4)
        for c in range(4)
        if len({a, b, c}) == 3
    }
    assert tuple(result[0].tolist()) == min(totals, key=totals.get)


def test_an_image_with_more_boxes_than_queries_leaves_some_unmatched():
    logits, boxes = draw_queries(1, True, num_queries=4)
    batch = draw_batch((7,))
    result = match_labels(logits, boxes, **_named(batch), exclusive=True)[0]
    assert sorted(result[result >= 0].tolist()) == [0, 1, 2, 3] and (result < 0).sum() == 3


def test_nan_logits_give_a_nan_loss():
    logits, boxes = draw_queries(2, True)
    result = term_losses(logits * float("nan"), boxes, draw_batch((2, 1)))
    assert result["loss/classes"].isnan()


@EXCLUSIVE
def test_the_soft_target_loss_of_equal_queries_is_zero(exclusive):
    queries = draw_queries(2, exclusive)
    result = losses.query_soft_target_loss(queries, queries, temperature=2.0, exclusive=exclusive)
    assert result.shape == (2,) and result.abs().max() < 1e-9


@EXCLUSIVE
def test_the_box_of_a_query_without_an_object_has_no_loss(exclusive):
    (logits, boxes), (_, others) = draw_queries(1, exclusive), draw_queries(1, exclusive, seed=8)
    nothing = torch.full_like(logits, -1e4)
    nothing[..., -1] = 1e4 if exclusive else -1e4
    result = losses.query_soft_target_loss((nothing, others), (nothing, boxes), temperature=1.0, exclusive=exclusive)
    assert result.abs().max() < 1e-9


@EXCLUSIVE
def test_queries_in_another_order_are_matched(exclusive):
    logits, boxes = draw_queries(2, exclusive)
    order = torch.randperm(NUM_QUERIES, generator=torch.Generator().manual_seed(3))
    result = match_teacher((logits, boxes), (logits[:, order], boxes[:, order]), exclusive=exclusive)
    certain = losses.foreground_probability(logits, exclusive=exclusive) > 0.9
    assert (order[result] == torch.arange(NUM_QUERIES))[certain].all()


def test_with_fewer_teacher_queries_the_most_certain_are_matched():
    student, teacher = draw_queries(2, True), draw_queries(2, True, num_queries=5, seed=9)
    result = match_teacher(student, teacher, exclusive=True)
    assert all(sorted(row[row >= 0].tolist()) == list(range(5)) for row in result)
    result = match_teacher(teacher, student, exclusive=True)
    certain = losses.foreground_probability(student[0], exclusive=True)
    for image, row in enumerate(result):
        assert certain[image, row].min() > certain[image].sort().values[2]


def _named(batch):
    return {"labels": batch["labels"], "true_boxes": batch["boxes"]}
