"""What a task owes to everything that trains on it."""

from abc import ABC, abstractmethod

import datasets

PROBLEM_TYPES = ("single_label_classification", "multi_label_classification", "regression")
# In the words of the losses: a label that is not there. For multi-label a whole row of it, for regression NaN.
MISSING = -100


class Task(ABC):
    """Knows the columns of a data set, its labels, and how its rows become batches.

    Adding a task is adding one file with a subclass of this in it. Nothing here has heard of a model: `auto_class`
    is a name, and the labels go to a model's config as plain values.

    Attributes:
        name (`str`): The task in the Hub's words, "text-classification".
        auto_class (`str`): The name in `transformers` of the class that loads a model for it.
        problem_type (`str`): transformers' word: one of `PROBLEM_TYPES`.
        label_names (`list[str]` or None): Names by class index; None where the data has none.
        num_labels (`int`): Columns of the logits; 1 for regression.
        main_metric (`str`): The metric that decides, by its name in `evaluation`.
    """

    name = None
    auto_class = None
    problem_type = None
    label_names = None
    num_labels = None

    @classmethod
    @abstractmethod
    def from_splits(cls, splits, **columns):
        """Read the task's columns and labels off the data, and refuse what would fail later."""

    @abstractmethod
    def prepare(self, split, tokenizer, **settings):
        """Rows as a model takes them, not padded: its inputs, `labels`, `length` and `example_id`."""

    @abstractmethod
    def collator(self, tokenizer):
        """A function from a list of prepared rows to a batch of tensors."""

    @property
    def main_metric(self):
        return {
            "single_label_classification": "accuracy",
            "multi_label_classification": "f1_micro",
            "regression": "pearson",
        }[self.problem_type]

    def config_labels(self):
        """What `from_pretrained` or a config needs to know about the labels.

        Returns:
            `dict`: num_labels, id2label, label2id, problem_type. Classes without names get transformers' own
            "LABEL_0", which everybody else's checkpoints carry too.
        """
        names = self.label_names or [f"LABEL_{index}" for index in range(self.num_labels)]
        return {
            "num_labels": self.num_labels,
            "id2label": dict(enumerate(names)),
            "label2id": {name: index for index, name in enumerate(names)},
            "problem_type": self.problem_type,
        }

    def with_unlabelled(self, train, unlabelled):
        """Prepared training rows followed by rows that only the teacher speaks about.

        Args:
            train, unlabelled (`datasets.Dataset`): From `prepare`, with the same tokenizer. Labels that `unlabelled`
                may carry are not used.

        Returns:
            `datasets.Dataset`: All rows; the labels of the second part are missing, and its `example_id` counts on
            from the first part, so that every row of the result has its own.
        """
        blank = add_labels(unlabelled.remove_columns(["labels", "example_id"]), self.missing_labels(len(unlabelled)))
        blank = add_ids(blank, start=len(train))
        return datasets.concatenate_datasets([train, blank.select_columns(train.column_names)])

    def missing_labels(self, count):
        """`count` labels that are not there, in the form the losses know."""
        if self.problem_type == "regression":
            return [float("nan")] * count
        if self.problem_type == "multi_label_classification":
            return [[float(MISSING)] * self.num_labels] * count
        return [MISSING] * count


def add_labels(dataset, labels):
    """`dataset` with a column `labels`: int64 for classes, float32 for scores and for rows of 0 and 1."""
    floats = datasets.Value("float32")
    if labels and isinstance(labels[0], list):
        feature = datasets.List(floats)
    else:
        feature = floats if labels and isinstance(labels[0], float) else datasets.Value("int64")
    return dataset.add_column("labels", labels, feature=feature)


def add_ids(dataset, *, start=0):
    """`dataset` with a column `example_id` that counts its rows from `start`."""
    return dataset.add_column("example_id", list(range(start, start + len(dataset))))
