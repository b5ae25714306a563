"""Base class of the evaluators: references of a split in, metrics of a model out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..internals.messages import nearest, shown

if TYPE_CHECKING:
    import torch


class Evaluator(ABC):
    """Computes the metrics of models on one split. It contains the references of the split.

    Three steps, so that a bootstrap can repeat the last one alone: `answers` reduces the logits of each row to what the
    metrics need, `statistics` compares the answers of each example with its reference, `compute` is a metric of chosen
    rows of the statistics. An example may have several rows: the windows of a long text are answered one by one and
    evaluated together.

    Args:
        names (list of str): The metrics in display order. The first is the main one unless `main_metric` is given.
        num_rows (`int`): Rows of the prepared split; every model has an answer for each.
        num_examples (`int`): Number of examples that the metrics are over.
        problem_type (`str`, *optional*): transformers' problem type, or the task's own; goes into the report.
        main_metric (`str`, *optional*): Another of the names as the main metric.

    Attributes:
        names, num_rows, num_examples, problem_type: As given.
        main (`str`): The metric that models are compared by. `display(name)` has whether lower is better.

    Raises:
        ValueError: `main_metric` is not one of the names.
    """

    def __init__(
        self,
        names: Sequence[str],
        *,
        num_rows: int,
        num_examples: int,
        problem_type: str | None = None,
        main_metric: str | None = None,
    ) -> None:
        self.names, self.num_rows, self.num_examples = list(names), num_rows, num_examples
        self.problem_type = problem_type
        if main_metric is not None and main_metric not in self.names:
            raise ValueError(
                f"The main metric must be one that {problem_type or 'this task'} has: {', '.join(self.names)}; "
                f"got {shown(main_metric)}{nearest(main_metric, self.names)}."
            )
        self.main = main_metric or self.names[0]

    def answers(self, logits: torch.Tensor, batch: Mapping[str, torch.Tensor]) -> Sequence[np.ndarray] | np.ndarray:
        """Reduce the logits of a batch to what the metrics need. Default: the logits, one row per example.

        Args:
            logits (`torch.Tensor`): On any device, in any precision.
            batch (`Mapping[str, torch.Tensor]`): The collated batch on the same device, labels included.

        Returns:
            A list with one numpy entry for each row of the batch, or an array of as many rows.
        """
        return rows_of(logits)

    @abstractmethod
    def statistics(self, answers: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
        """Contribution of each example to the metrics.

        Args:
            answers (list of `np.ndarray`, or one): An entry for each row of the split, in its order.

        Returns:
            `np.ndarray` of shape (num_examples, k). Every metric is a function of chosen rows of it. NaN in every row
            where the model's outputs contain NaN.

        Raises:
            ValueError: Answers that do not fit the references.
        """

    @abstractmethod
    def compute(self, name: str, statistics: np.ndarray) -> float:
        """One metric of rows of the statistics; nan where it is undefined."""

    def per_example(self, name: str, statistics: np.ndarray) -> np.ndarray | None:
        """Values whose mean is the metric, shape (rows of the statistics,); None where the metric is not such a mean.

        Default: None. The bootstrap of a mean is a hundred times cheaper.
        """
        return None

    def scores(self, statistics: np.ndarray) -> dict[str, float]:
        """Every metric by name."""
        return {name: self.compute(name, statistics) for name in self.names}

    @abstractmethod
    def agreement(
        self, student_answers: Sequence[np.ndarray] | np.ndarray, teacher_answers: Sequence[np.ndarray] | np.ndarray
    ) -> float | None:
        """Share of the student's decisions that equal the teacher's; None where nothing is decided."""

    def most_frequent(self, answers: Sequence[np.ndarray] | np.ndarray) -> float | None:
        """Share of the decisions that are the most frequent one; None where decisions have no classes."""
        return None


def share_of_most_frequent(decisions: np.ndarray) -> float:
    """Share of the most frequent row; nan where a decision is.

    Args:
        decisions (`np.ndarray`): Shape (n,) or (n, labels).
    """
    if np.isnan(decisions).any():
        return float("nan")
    return float(np.unique(decisions, axis=0, return_counts=True)[1].max() / len(decisions))


def rows_of(logits: torch.Tensor) -> np.ndarray:
    """Logits with one row per example as a float32 array.

    Args:
        logits (`torch.Tensor`): Shape (batch, columns).

    Returns:
        `np.ndarray` of the same shape.

    Raises:
        ValueError: Another shape.
    """
    if logits.ndim != 2:
        raise ValueError(
            f"Logits should have shape ({len(logits) if logits.ndim else 'batch'}, labels), one row per example of the "
            f"batch; the model returned {tuple(logits.shape)}. Logits of tokens need an evaluator with its own `answers`, "
            f"passed to `predict` as `keep`."
        )
    return logits.float().cpu().numpy()


def first_of(value: object) -> np.ndarray:
    """The logits or labels of an `EvalPrediction`, whose fields are tuples where a model returns more than logits.

    Args:
        value (`np.ndarray` or tuple of them): `predictions` or `label_ids`; of a tuple the first is taken.
    """
    return np.asarray(value[0] if isinstance(value, (tuple, list)) else value)
