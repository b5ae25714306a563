"""What a test of detectors under the trainer needs: a pair of them, images with boxes, the gradients of one step."""

import datasets

from distil_nlp.collators import Collator
from distil_nlp.objectives import BoxLabels, Objective, QueryLabels, QuerySoftTargets
from distil_nlp.tasks import ObjectDetection
from tests.detectors import detector_processor, draw_things, tiny_detector
from tests.training.runs import in_float64, step_gradients

COUNTS = (3, 0, 1, 2, 9, 0, 0, 4)  # boxes in each image: none in some, more than there are queries in one


def pair(kind, **of_teacher):
    return tiny_detector(kind, seed=1), tiny_detector(kind, seed=2, width=24, num_layers=2, **of_teacher)


def rows_and_collator(num_rows=8, *, unlabeled=()):
    raw = draw_things(num_rows, counts=COUNTS)
    task, processor = ObjectDetection.from_splits({"train": raw, "validation": raw}), detector_processor()
    rows = task.prepare(raw, processor)
    if unlabeled:
        parts = [rows.select([index]) for index in range(num_rows)]
        parts = [
            task.without_labels(part) if index in unlabeled else part.select_columns(rows.column_names)
            for index, part in enumerate(parts)
        ]
        rows = datasets.concatenate_datasets([part.select_columns(rows.column_names) for part in parts])
    return rows, task.collator(processor)


def detection_gradients(kind, folder, num_micro_batches, *, num_processes=1, unlabeled=(), **settings):
    """The student's gradients of the one step that takes in all images, in float64."""
    rows, collator = rows_and_collator(unlabeled=unlabeled)
    models = in_float64(pair(kind))
    for model in models:  # BatchNorm looks at a micro-batch: with its running statistics, a step can be cut at will
        model.eval()
        model.train = lambda mode=True, model=model: model
    return step_gradients(
        *models,
        rows,
        folder,
        objective=Objective([QueryLabels(0.5), BoxLabels(0.5), QuerySoftTargets(0.5, **settings)]),
        collator=_InFloat64(collator),
        num_micro_batches=num_micro_batches,
        num_processes=num_processes,
    )["student"]


class _InFloat64(Collator):
    def __init__(self, collator):
        self.collator, self.columns = collator, collator.columns

    def __call__(self, rows):
        batch = self.collator(rows)
        return {name: values.double() if values.is_floating_point() else values for name, values in batch.items()}
