"""Losses of detectors: against transformers' own, and by hand."""

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
    """Images with so many boxes: labels and boxes, padded."""
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


def ours(logits, boxes, batch):
    objective = Objective([QueryLabels(1.0), BoxLabels(1.0)])
    said = Signals(torch.cat([logits, boxes], dim=-1))
    for term in objective.terms:
        term.num_labels = NUM_CLASSES
    objective.setup(said, None, batch)
    _, parts = objective(said, None, batch, objective.count([batch]))
    return parts


@pytest.mark.parametrize("counts", [(4, 0, 7), (12, 3, 1), (1,), (0, 0)])
def test_with_a_class_for_no_object_the_terms_are_the_loss_of_detr(counts):
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
    found = ours(logits, boxes, batch)
    assert found["loss/classes"].item() == pytest.approx(expected["loss_ce"].item(), rel=1e-5)
    box_loss = 5 * expected["loss_bbox"] + 2 * expected["loss_giou"]
    assert found["loss/boxes"].item() == pytest.approx(box_loss.item(), rel=1e-5)


@pytest.mark.parametrize("counts", [(4, 0, 7), (12, 3, 1), (1,)])
def test_with_independent_classes_the_terms_are_the_loss_of_deformable_detr(counts):
    logits, boxes = draw_queries(len(counts), False)
    batch = draw_batch(counts)
    config = ConditionalDetrConfig(
        num_labels=NUM_CLASSES, use_timm_backbone=False, backbone_config={"model_type": "resnet"}, class_cost=1
    )
    _, expected, _ = DeformableDetrForObjectDetectionLoss(
        logits.float(),
        as_transformers_has_them({**batch, "boxes": batch["boxes"].float()}),
        "cpu",
        boxes.float(),
        config,
    )
    found = ours(logits, boxes, batch)
    assert found["loss/classes"].item() == pytest.approx(expected["loss_ce"].item(), rel=1e-5)
    box_loss = 5 * expected["loss_bbox"] + 2 * expected["loss_giou"]
    assert found["loss/boxes"].item() == pytest.approx(box_loss.item(), rel=1e-5)


def test_the_generalized_iou_is_that_of_transformers_and_has_its_gradient():
    one, other = (draw_boxes(9, seed=seed).requires_grad_() for seed in (5, 6))
    found = losses.generalized_iou(one, other)
    expected = generalized_box_iou(center_to_corners_format(one), center_to_corners_format(other)).diag()
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(
        torch.autograd.grad(found.sum(), one)[0], torch.autograd.grad(expected.sum(), one)[0], rtol=1e-9, atol=1e-12
    )


def test_boxes_without_extent_have_a_finite_distance_and_gradient():
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
def test_the_matching_costs_less_than_any_other(exclusive):
    logits, boxes = draw_queries(1, exclusive, num_queries=4)
    batch = draw_batch((3,))
    found = match_labels(logits, boxes, **_named(batch), exclusive=exclusive)
    targets = torch.nn.functional.one_hot(batch["labels"], NUM_CLASSES)
    cost = losses.matching_cost(logits, boxes, targets, batch["boxes"], exclusive=exclusive)[0]
    totals = {
        (a, b, c): (cost[a, 0] + cost[b, 1] + cost[c, 2]).item()
        for a in range(4)
        for b in range(4)
        for c in range(4)
        if len({a, b, c}) == 3
    }
    assert tuple(found[0].tolist()) == min(totals, key=totals.get)


def test_an_image_with_more_boxes_than_queries_leaves_some_unmatched():
    logits, boxes = draw_queries(1, True, num_queries=4)
    batch = draw_batch((7,))
    found = match_labels(logits, boxes, **_named(batch), exclusive=True)[0]
    assert sorted(found[found >= 0].tolist()) == [0, 1, 2, 3] and (found < 0).sum() == 3


def test_logits_of_nan_are_matched_somehow_and_give_a_loss_of_nan():
    logits, boxes = draw_queries(2, True)
    found = ours(logits * float("nan"), boxes, draw_batch((2, 1)))
    assert found["loss/classes"].isnan()


@EXCLUSIVE
def test_soft_targets_of_queries_are_zero_where_the_student_is_the_teacher(exclusive):
    said = draw_queries(2, exclusive)
    found = losses.query_soft_target_loss(said, said, temperature=2.0, exclusive=exclusive)
    assert found.shape == (2,) and found.abs().max() < 1e-9


@EXCLUSIVE
def test_the_box_of_a_query_that_sees_nothing_is_not_taught(exclusive):
    (logits, boxes), (_, others) = draw_queries(1, exclusive), draw_queries(1, exclusive, seed=8)
    nothing = torch.full_like(logits, -1e4)
    nothing[..., -1] = 1e4 if exclusive else -1e4
    found = losses.query_soft_target_loss((nothing, others), (nothing, boxes), temperature=1.0, exclusive=exclusive)
    assert found.abs().max() < 1e-9


@EXCLUSIVE
def test_a_teacher_whose_queries_stand_in_another_order_is_found_again(exclusive):
    logits, boxes = draw_queries(2, exclusive)
    order = torch.randperm(NUM_QUERIES, generator=torch.Generator().manual_seed(3))
    found = match_teacher((logits, boxes), (logits[:, order], boxes[:, order]), exclusive=exclusive)
    certain = losses.foreground_probability(logits, exclusive=exclusive) > 0.9
    assert (order[found] == torch.arange(NUM_QUERIES))[certain].all()


def test_where_the_teacher_has_fewer_queries_the_surest_keep_a_partner_and_the_rest_of_the_student_has_none():
    student, teacher = draw_queries(2, True), draw_queries(2, True, num_queries=5, seed=9)
    found = match_teacher(student, teacher, exclusive=True)
    assert all(sorted(row[row >= 0].tolist()) == list(range(5)) for row in found)
    found = match_teacher(teacher, student, exclusive=True)
    certain = losses.foreground_probability(student[0], exclusive=True)
    for image, row in enumerate(found):
        assert certain[image, row].min() > certain[image].sort().values[2]


def _named(batch):
    return {"labels": batch["labels"], "true_boxes": batch["boxes"]}
