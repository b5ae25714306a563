"""Average precision equals that of COCO's own code, and follows from the statistics of any choice of images."""

import contextlib
import io

import numpy as np
import pytest
import torch

from distil_nlp.metrics import DetectionEvaluator
from distil_nlp.metrics.detection import detections_of, intersection_over_union

NUM_CLASSES = 3


def draw_images(num_images=12, *, seed=0):
    """True boxes of some images, one of them empty, and logits that detect most of them roughly."""
    draw = np.random.default_rng(seed)
    labels, boxes, logits = [], [], []
    for image in range(num_images):
        count = 0 if image == 3 else int(draw.integers(1, 7))
        size = draw.uniform(0.1, 0.4, (count, 2))
        boxes.append(np.hstack([size / 2 + draw.uniform(size=(count, 2)) * (1 - size), size]))
        labels.append(draw.integers(NUM_CLASSES, size=count))
        output = draw.normal(size=(10, NUM_CLASSES + 1 + 4))
        output[:, -4:] = draw.uniform(0.1, 0.5, (10, 4))
        output[:count, -4:] = boxes[-1] + draw.normal(scale=0.015, size=(count, 4))
        output[np.arange(count), labels[-1]] += draw.normal(2, 1.5, count)
        logits.append(output)
    return labels, boxes, torch.tensor(np.array(logits))


def of_coco(labels, boxes, answers, images=None):
    """(map, map_50) by pycocotools."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truth, found = COCO(), []
    images = range(len(labels)) if images is None else images
    truth.dataset = {
        "images": [{"id": new} for new, _ in enumerate(images)],
        "categories": [{"id": label} for label in range(NUM_CLASSES)],
        "annotations": [],
    }
    for new, image in enumerate(images):
        for label, (x, y, width, height) in zip(labels[image], 1000 * boxes[image], strict=True):
            corner = [x - width / 2, y - height / 2, width, height]
            truth.dataset["annotations"].append(
                {"image_id": new, "category_id": int(label), "bbox": corner, "area": width * height, "iscrowd": 0}
            )
        for label, score, left, top, right, bottom in answers[image]:
            box = [1000 * value for value in (left, top, right - left, bottom - top)]
            found.append({"image_id": new, "category_id": int(label), "bbox": box, "score": score})
    for number, annotation in enumerate(truth.dataset["annotations"]):
        annotation["id"] = number + 1
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(found), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats[:2]


@pytest.mark.parametrize("exclusive", [True, False], ids=["exclusive", "independent"])
@pytest.mark.parametrize("seed", range(4))
def test_average_precision_equals_that_of_coco(seed, exclusive):
    labels, boxes, logits = draw_images(seed=seed)
    logits = logits if exclusive else torch.cat([logits[..., :NUM_CLASSES] - 2, logits[..., -4:]], -1)
    evaluator = DetectionEvaluator(labels, boxes, NUM_CLASSES)
    answers = evaluator.answers(logits, {})
    found = evaluator.scores(evaluator.statistics(answers))
    expected = of_coco(labels, boxes, answers)
    assert 0.1 < expected[0] < 0.9
    assert [found["map"], found["map_50"]] == pytest.approx(expected, abs=1e-9)


def test_the_statistics_of_chosen_images_give_their_average_precision():
    labels, boxes, logits = draw_images(seed=9)
    evaluator = DetectionEvaluator(labels, boxes, NUM_CLASSES)
    answers = evaluator.answers(logits, {})
    drawn = [0, 5, 5, 2, 11, 7, 7, 7]
    statistics = evaluator.statistics(answers)[drawn]
    expected = of_coco(labels, boxes, answers, drawn)
    assert [evaluator.compute(name, statistics) for name in evaluator.names] == pytest.approx(expected, abs=1e-9)


def test_average_precision_is_1_with_every_box_detected_and_0_with_none():
    labels, boxes, _ = draw_images()
    evaluator = DetectionEvaluator(labels, boxes, NUM_CLASSES)
    perfect = [
        np.column_stack([label, np.ones(len(label)), box[:, :2] - box[:, 2:] / 2, box[:, :2] + box[:, 2:] / 2])
        for label, box in zip(labels, boxes, strict=True)
    ]
    assert evaluator.scores(evaluator.statistics(perfect)) == {"map": 1.0, "map_50": 1.0}
    blind = [answer[:0] for answer in perfect]
    assert evaluator.scores(evaluator.statistics(blind)) == {"map": 0.0, "map_50": 0.0}
    assert evaluator.agreement(perfect, perfect) == 1 and evaluator.agreement(perfect, blind) == 0


def test_images_with_unknown_boxes_count_for_agreement_only():
    labels, boxes, logits = draw_images()
    whole = DetectionEvaluator(labels, boxes, NUM_CLASSES)
    unknown = [*boxes[:-1], np.full((1, 4), np.nan)]
    part = DetectionEvaluator(labels, unknown, NUM_CLASSES)
    answers = part.answers(logits, {})
    assert part.num_rows == 12 and part.num_examples == 11
    assert part.compute("map", part.statistics(answers)) == whole.compute("map", whole.statistics(answers)[:-1])


def test_one_nan_in_the_logits_makes_every_metric_nan():
    labels, boxes, logits = draw_images()
    logits[2, 1] = float("nan")
    evaluator = DetectionEvaluator(labels, boxes, NUM_CLASSES)
    with pytest.warns(UserWarning, match="NaN"):
        statistics = evaluator.statistics(evaluator.answers(logits, {}))
    assert np.isnan(statistics).all() and np.isnan(evaluator.compute("map", statistics))


def test_scaling_an_axis_does_not_change_intersection_over_union():
    draw = np.random.default_rng(0)
    corners = [np.hstack([first, first + draw.uniform(0.1, 0.5, (5, 2))]) for first in draw.uniform(size=(2, 5, 2))]
    scaled = [boxes * [640, 480, 640, 480] for boxes in corners]
    np.testing.assert_allclose(intersection_over_union(*corners), intersection_over_union(*scaled))


def test_at_most_a_hundred_detections_of_an_image_are_kept_by_descending_score():
    (found,) = detections_of(np.random.default_rng(0).normal(size=(1, 70, NUM_CLASSES + 4)), exclusive=False)
    assert found.shape == (100, 6) and (np.diff(found[:, 1]) <= 0).all()


@pytest.mark.parametrize("shape", [(2, 9), (2, 5, NUM_CLASSES + 2)])
def test_logits_of_another_shape_than_queries_are_refused(shape):
    evaluator = DetectionEvaluator([np.array([1])], [np.full((1, 4), 0.5)], NUM_CLASSES)
    with pytest.raises(ValueError, match="AutoModelForObjectDetection"):
        evaluator.answers(torch.zeros(shape), {})


def test_data_without_any_box_is_refused():
    with pytest.raises(ValueError, match="None of 2 images has a box"):
        DetectionEvaluator([np.zeros(0)] * 2, [np.zeros((0, 4))] * 2, NUM_CLASSES)
