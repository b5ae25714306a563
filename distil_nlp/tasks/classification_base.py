"""Base class of the classification tasks: labels of whole texts, images and audio clips."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import datasets
import numpy as np

from ..data.columns import first_split, label_column_of, source_rows, source_split
from ..data.labels import LabelEncoder, column_values, read_labels
from ..internals.messages import shown
from ..metrics import ClassificationEvaluator, compute_metrics, metrics_for
from .base import Splits, Task

logger = logging.getLogger(__name__)


class ClassificationTask(Task):
    """Classification or regression of whole examples.

    Attributes:
        label_column (`str`): Splits may lack it; their labels are missing then.

    See `Task` for the others.
    """

    one_output_per_example = True

    def __init__(self, label_column: str, encoder: LabelEncoder) -> None:
        self.label_column, self._encoder = label_column, encoder
        self.problem_type, self.label_names = encoder.problem_type, encoder.names
        self.num_labels = encoder.num_labels

    def evaluator(
        self, prepared: datasets.Dataset, raw: datasets.Dataset | None = None, main_metric: str | None = None
    ) -> ClassificationEvaluator:
        """A `ClassificationEvaluator` of the labels of the rows, see `Task.evaluator`."""
        return ClassificationEvaluator(self.problem_type, np.asarray(prepared["labels"]), self.num_labels, main_metric)

    def compute_metrics(self) -> Callable:
        """A function for `Trainer(compute_metrics=)`: every metric of the problem kind."""
        return compute_metrics(self.problem_type)

    def labels_of(self, split: datasets.Dataset, split_name: str = "given", *, with_labels: bool = True) -> list[Any]:
        """The labels of raw rows as the losses take them; missing without a label column, or without `with_labels`."""
        if not with_labels or self.label_column not in split.column_names:
            return self.missing_labels(len(split))
        values, name = column_values(split, self.label_column), source_split(split, split_name)
        return self._encoder.encode(values, name, rows=source_rows(split))

    def check_labels(self, splits: Splits) -> None:
        """Check that all labels can be encoded, and that train and validation have some; ValueError."""
        blank = self.missing_labels(1)[0]
        for split_name, split in splits.items():
            if split_name == "unlabeled" or self.label_column not in split.column_names:
                continue
            labels = self.labels_of(split, split_name)
            num_missing = sum(label == blank or label != label for label in labels)  # NaN alone differs from itself
            if num_missing == len(labels) and split_name != "test":
                raise ValueError(
                    f"All {len(labels)} labels of the {split_name} split are missing (empty or -1) in column "
                    f"{shown(self.label_column)}. GLUE publishes its test sets like this. Use a split with labels; rows "
                    f"without them can be learned from as the 'unlabeled' split (unlabeled_file)."
                )
            if 0 < num_missing < len(labels):
                logger.warning(
                    "%d of %d labels of the %s split are missing (empty or -1): only a teacher has targets for these "
                    "rows. If -1 is a class of your data, pass label_names with '-1' in it.",
                    num_missing,
                    len(labels),
                    split_name,
                )


def check_problem_type(problem_type: str | None) -> None:
    """Raise a ValueError for a problem type without metrics; None means that the labels decide."""
    if problem_type is not None:
        metrics_for(problem_type, num_labels=2)


def read_label_column(
    splits: Splits, label_column: str | None, problem_type: str | None, label_names: Sequence[str] | None
) -> tuple[str, LabelEncoder]:
    """Find the label column and read its classes, see `label_column_of` and `read_labels`.

    Args:
        splits (`dict[str, datasets.Dataset]`): Whole splits. The classes are those of train, else of validation or test.
        label_column, problem_type, label_names (*optional*): Where the data leaves them open.
    """
    label = label_column_of(splits, label_column)
    reference = first_split(splits, "train", "validation", "test")
    return label, read_labels(reference, label, problem_type=problem_type, label_names=label_names)
