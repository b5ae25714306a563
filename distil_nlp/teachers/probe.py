"""Check of the teacher's accuracy and label order on a few training items before the first step."""

import itertools
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import nn
from transformers.trainer_utils import has_length

from ..losses.hard import MISSING
from ..signals.columns import LABELS
from ..signals.finite import NonFiniteError, describe_values, examples_of, name_of_example
from ..signals.forward import predicts_spans
from ..signals.problem_kinds import problem_kind, problem_kind_of
from ..signals.wrappers import config_of
from .base import Teacher

logger = logging.getLogger(__name__)

_MAX_READ = 8  # examples that are read for each labeled one, of a data set whose labels are not in a column
_MAX_RENAMED = 1000  # more classes are a vocabulary, for which a few batches cannot show a permutation


@dataclass
class ProbeResult:
    """Result of a probe of a classifier.

    Args:
        num_items (`int`): Number of labeled items.
        accuracy (`float`): Accuracy of the teacher.
        majority (`float`): Frequency of the most frequent label: the accuracy of a constant prediction.
        permuted (`float`): Accuracy on one half of the items after renaming the teacher's classes to fit the other half.
    """

    num_items: int
    accuracy: float
    majority: float
    permuted: float

    def __str__(self) -> str:
        return (
            f"The teacher is right on {self.accuracy:.1%} of {self.num_items} training items "
            f"(always predicting the most frequent label: {self.majority:.1%})."
        )


def labeled_items(dataset: Any, *, num_items: int = 128, seed: int = 0) -> list[int]:
    """Return the indices of a few random labeled examples.

    Args:
        dataset: Of any class. Of a stream, which cannot be read in random order, the first examples: their labels are not
            read here.
        num_items (`int`): Maximum number of indices.
        seed (`int`): Seed of the random choice.
    """
    if dataset is None:
        return []
    if not has_length(dataset):
        return list(range(num_items))
    if len(dataset) == 0:
        return []
    # GLUE and similar data sets have the column "label"; the collator renames it to "labels".
    column = next((name for name in LABELS if name in _keys(dataset)), None)
    if column is None:
        return []
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(dataset), generator=generator)
    if not hasattr(dataset, "select_columns"):
        drawn = order[: _MAX_READ * num_items].tolist()
        found = (index for index in drawn if _may_be_labeled(cast("Any", dataset)[index][column]))
        return list(itertools.islice(found, num_items))
    labels = dataset.select_columns(column).with_format("numpy")[:][column]
    is_labeled = _is_labeled(labels)
    if is_labeled is not None:
        order = order[torch.as_tensor(is_labeled)[order]]
    return order[:num_items].tolist()


def _keys(dataset: Any) -> list[str]:
    """Names of the columns; empty where examples are no mappings."""
    names = getattr(dataset, "column_names", None)
    first = {} if names else dataset[0]
    return list(names or (first if isinstance(first, Mapping) else ()))


def _may_be_labeled(label: Any) -> bool:
    """Whether a label is none that is missing: a class index below 0, or one for each token."""
    values = np.asarray(label)
    return values.dtype.kind != "i" or bool((values >= 0).any())


def _is_labeled(labels: Any) -> list[bool] | None:
    """Whether each example has a label, or a token with a label; None if labels are not class indices."""
    kind = labels[0].dtype.kind if len(labels) and hasattr(labels[0], "dtype") else None
    if kind != "i":
        return None
    return [bool((np.asarray(label) >= 0).any()) for label in labels]


def probe(
    teacher: Teacher,
    batches: Iterable[Mapping[str, torch.Tensor]],
    problem_type: str = "single_label_classification",
) -> ProbeResult | None:
    """Compare the teacher's predicted classes with the labels of a few batches.

    Args:
        teacher (`Teacher`): After `reconcile` and `prepare`.
        batches (`Iterable[Mapping[str, torch.Tensor]]`): With "labels": class indices, -100 where missing, or rows of
            class probabilities.
        problem_type (`str`): Problem type as in transformers. Only exclusive classes are compared.

    Returns:
        `ProbeResult`, or None for other problems or without labels. Logs a warning if the teacher is not better than a
        constant prediction.

    Raises:
        ValueError: The teacher's labels are permuted: it would be far more accurate with renamed classes.
    """
    if not problem_kind(problem_type).exclusive_classes:
        return None
    predictions, labels, num_classes = _collect(teacher, batches)
    if labels.numel() == 0:
        return None
    result = probe_statistics(predictions, labels, num_classes)
    spread = (0.25 / result.num_items) ** 0.5  # upper bound of the standard deviation of an accuracy
    if result.permuted > result.accuracy + 6 * spread and result.permuted > result.majority + 2 * spread:
        raise ValueError(
            f"The teacher is right on {result.accuracy:.1%} of {result.num_items} training items, but would be on "
            f"{result.permuted:.1%} if its classes were renamed: its labels have another order than the data's. "
            f"Set the teacher's `config.id2label` to the order it was trained with."
        )
    # Examples of one class, the first of a sorted stream, tell nothing about the teacher.
    if result.majority < 1 and result.accuracy <= result.majority + 2 * spread:
        logger.warning(
            "The teacher is right on %.1f %% of %d training items; always predicting the most frequent label is right on "
            "%.1f %%. A student cannot learn much from it: is it fine-tuned on this task, with this tokenizer?",
            100 * result.accuracy,
            result.num_items,
            100 * result.majority,
        )
    return result


def probe_statistics(predictions: torch.Tensor, labels: torch.Tensor, num_classes: int | None) -> ProbeResult:
    """Compute a probe's statistics from class indices of shape (items,); no renaming if `num_classes` is None."""
    accuracy = (predictions == labels).float().mean().item()
    majority = labels.bincount().max().item() / labels.numel()
    fit, held_out = slice(0, None, 2), slice(1, None, 2)
    if num_classes is None or num_classes > _MAX_RENAMED or labels.numel() < 2:
        return ProbeResult(labels.numel(), accuracy, majority, accuracy)
    renaming = best_renaming(predictions[fit], labels[fit], num_classes)
    permuted = (renaming[predictions[held_out]] == labels[held_out]).float().mean().item()
    return ProbeResult(labels.numel(), accuracy, majority, permuted)


def best_renaming(predictions: torch.Tensor, labels: torch.Tensor, num_classes: int) -> torch.Tensor:
    """Find the one-to-one renaming of classes with the highest accuracy (an assignment problem)."""
    from scipy.optimize import linear_sum_assignment

    confusion = torch.zeros(num_classes, num_classes)
    confusion.index_put_((predictions, labels), torch.ones(len(labels)), accumulate=True)
    _, columns = linear_sum_assignment(confusion.numpy(), maximize=True)
    return torch.as_tensor(columns)


def _collect(
    teacher: Teacher, batches: Iterable[Mapping[str, torch.Tensor]]
) -> tuple[torch.Tensor, torch.Tensor, int | None]:
    """Predicted classes and labels of all labeled items, and the number of classes (None without named classes)."""
    predictions, labels = [], []
    for batch in batches:
        signals, batch_labels = teacher(batch), _class_indices(batch["labels"])
        if signals.sparse is None:
            _check_defined(teacher, signals.logits, batch, labeled=batch_labels >= 0)
        predictions.append(signals.best()[batch_labels >= 0].cpu())
        labels.append(batch_labels[batch_labels >= 0].cpu())
    num_classes = signals.num_classes if all(map(_has_classes, teacher.models)) else None
    return torch.cat(predictions), torch.cat(labels), num_classes


def _check_defined(
    teacher: Teacher, logits: torch.Tensor, batch: Mapping[str, torch.Tensor], *, labeled: torch.Tensor
) -> None:
    """Raise a NonFiniteError for labeled items whose logits contain no prediction: NaN would count as a class."""
    undefined = ~problem_kind_of(None, batch).is_defined(logits) & labeled
    if undefined.any():
        row = examples_of(undefined, batch)[0]
        raise NonFiniteError(
            f"The teacher ({teacher.name}) returns {describe_values(logits[undefined])} for {int(undefined.sum())} of "
            f"{int(labeled.sum())} labeled items, first in {name_of_example(row, batch)}, so it has no prediction there. "
            f"Run it in float32 (teacher_dtype), check its weights, and build a new cache of its outputs."
        )


def _has_classes(model: nn.Module) -> bool:
    """Whether predictions are classes that can be renamed, neither positions in a text nor tokens of a tokenizer."""
    return not predicts_spans(model) and not getattr(config_of(model), "is_encoder_decoder", False)


def _class_indices(labels: torch.Tensor) -> torch.Tensor:
    """Labels as class indices, -100 where missing or where a soft label has more than one class."""
    if not labels.is_floating_point():
        return labels
    share, label = labels.max(dim=-1)
    return label.masked_fill(share < 1, MISSING)
