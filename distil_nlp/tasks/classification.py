"""An example gets a class, several classes, or a score: what texts and images have in common."""

import logging

import numpy as np

from ..data.columns import source_rows, source_split
from ..data.labels import column_values
from ..metrics import Classification, compute_metrics, metrics_for
from .base import Task

logger = logging.getLogger(__name__)


class ClassificationTask(Task):
    """Classification or regression of whole examples.

    Attributes:
        label_column (`str`): Splits may lack it; their labels are missing then.

    See `Task` for the others.
    """

    one_output_per_example = True

    def __init__(self, label_column, code):
        self.label_column, self._code = label_column, code
        self.problem_type, self.label_names, self.num_labels = code.problem_type, code.names, code.num_labels

    def evaluator(self, prepared, raw=None, main_metric=None):
        """A `Classification` over the labels of the rows, see `Task.evaluator`."""
        return Classification(self.problem_type, np.asarray(prepared["labels"]), self.num_labels, main_metric)

    def compute_metrics(self):
        """A function for `Trainer(compute_metrics=)`: every metric of the problem."""
        return compute_metrics(self.problem_type)

    def labels_of(self, split, split_name="given", *, with_labels=True):
        """The labels of raw rows as the losses take them; missing where there is no column, or they are not wanted."""
        if not with_labels or self.label_column not in split.column_names:
            return self.missing_labels(len(split))
        values, name = column_values(split, self.label_column), source_split(split, split_name)
        return self._code.encode(values, name, rows=source_rows(split))

    def check_labels(self, splits):
        """Every label of every split has its place, and train and validation have some; ValueError."""
        blank = self.missing_labels(1)[0]
        for split_name, split in splits.items():
            if split_name == "unlabeled" or self.label_column not in split.column_names:
                continue
            labels = self.labels_of(split, split_name)
            num_missing = sum(label == blank or label != label for label in labels)  # NaN alone differs from itself
            if num_missing == len(labels) and split_name != "test":
                raise ValueError(
                    f"All {len(labels)} labels of the {split_name} split are missing (empty or -1) in column "
                    f"{self.label_column!r}. GLUE publishes its test sets like this. Use a split with labels; rows "
                    f"without them can be learned from as the 'unlabeled' split (unlabeled_file)."
                )
            if 0 < num_missing < len(labels):
                logger.warning(
                    "%d of %d labels of the %s split are missing (empty or -1): only a teacher can say something "
                    "about these rows. If -1 is a class of yours, pass label_names with '-1' in it.",
                    num_missing,
                    len(labels),
                    split_name,
                )


def check_problem_type(problem_type):
    """Raise a ValueError for a problem type without metrics; None means that the labels decide."""
    if problem_type is not None:
        metrics_for(problem_type, num_labels=2)
