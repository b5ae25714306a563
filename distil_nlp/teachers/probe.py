"""Is the teacher worth listening to? Asked before the first step."""

import logging
from dataclasses import dataclass

import numpy as np
import torch

from ..losses.hard import MISSING
from ..signals.columns import LABELS
from ..signals.forward import predicts_spans
from ..signals.problem_kinds import problem_kind

logger = logging.getLogger(__name__)

_MOST_RENAMED = 1000  # beyond that the classes are a vocabulary, and no few batches could show a renaming


@dataclass
class ProbeResult:
    """What a probe of a classifier found.

    Args:
        num_items (`int`): Labeled items looked at.
        accuracy (`float`): Share the teacher got right.
        majority (`float`): Share of the most frequent label: what a constant answer gets.
        permuted (`float`): Accuracy on one half of the items after renaming the teacher's classes as fits the other.
    """

    num_items: int
    accuracy: float
    majority: float
    permuted: float

    def __str__(self):
        return (
            f"The teacher is right on {self.accuracy:.1%} of {self.num_items} training items "
            f"(always the most frequent label: {self.majority:.1%})."
        )


def labeled_items(dataset, *, num_items=128, seed=0):
    """Indices of a few random examples that have a label; none where the dataset cannot say.

    Args:
        dataset (`datasets.Dataset`): Others (streams, plain datasets) give an empty list.
    """
    # Data of GLUE's kind says "label"; the collator makes "labels" of it.
    column = next((name for name in LABELS if name in (getattr(dataset, "column_names", None) or ())), None)
    if column is None or not hasattr(dataset, "__len__"):
        return []
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(dataset), generator=generator)
    labels = dataset.select_columns(column).with_format("numpy")[:][column]
    known = _known(labels)
    if known is not None:
        order = order[torch.as_tensor(known)[order]]
    return order[:num_items].tolist()


def _known(labels):
    """Which examples have a label, or a token with one; None where labels are no classes."""
    kind = labels[0].dtype.kind if len(labels) and hasattr(labels[0], "dtype") else None
    if kind != "i":
        return None
    return [bool((np.asarray(one) >= 0).any()) for one in labels]


def probe(teacher, batches, problem_type="single_label_classification"):
    """Compare the teacher's classes with the labels of a few batches.

    Args:
        teacher (`Teacher`): Already matched and on its device.
        batches (`Iterable[Mapping[str, torch.Tensor]]`): With "labels", whole numbers, -100 where missing, or
            rows of class probabilities.
        problem_type (`str`): transformers' word for the problem. Only where one class is right can a teacher have
            them in another order.

    Returns:
        `ProbeResult`, or None where there is nothing of the kind to compare: another problem, no label. A warning is
        logged where the teacher does not beat a constant answer.

    Raises:
        ValueError: The teacher would be right if its classes had other names: its labels are permuted.
    """
    if not problem_kind(problem_type).exclusive_classes:
        return None
    guesses, labels, num_classes = _collect(teacher, batches)
    if labels.numel() == 0:
        return None
    found = measure(guesses, labels, num_classes)
    spread = (0.25 / found.num_items) ** 0.5  # one standard deviation of an accuracy, at most
    if found.permuted > found.accuracy + 6 * spread and found.permuted > found.majority + 2 * spread:
        raise ValueError(
            f"The teacher is right on {found.accuracy:.1%} of {found.num_items} training items, but would be on "
            f"{found.permuted:.1%} if its classes were renamed: its labels stand in another order than the data's. "
            f"Set the teacher's `config.id2label` to the order it was trained with."
        )
    if found.accuracy <= found.majority + 2 * spread:
        logger.warning(
            "The teacher is right on %.1f %% of %d training items; always giving the most frequent label is right on "
            "%.1f %%. A student cannot learn much from it: is it fine-tuned on this task, with this tokenizer?",
            100 * found.accuracy,
            found.num_items,
            100 * found.majority,
        )
    return found


def measure(guesses, labels, num_classes):
    """The figures of a probe from two tensors of class indices, of shape (items,); `num_classes` None: no classes."""
    accuracy = (guesses == labels).float().mean().item()
    majority = labels.bincount().max().item() / labels.numel()
    fit, held_out = slice(0, None, 2), slice(1, None, 2)
    if num_classes is None or num_classes > _MOST_RENAMED or labels.numel() < 2:
        return ProbeResult(labels.numel(), accuracy, majority, accuracy)
    renaming = best_renaming(guesses[fit], labels[fit], num_classes)
    permuted = (renaming[guesses[held_out]] == labels[held_out]).float().mean().item()
    return ProbeResult(labels.numel(), accuracy, majority, permuted)


def best_renaming(guesses, labels, num_classes):
    """The one-to-one renaming of classes under which `guesses` fit `labels` best (an assignment problem)."""
    from scipy.optimize import linear_sum_assignment

    together = torch.zeros(num_classes, num_classes)
    together.index_put_((guesses, labels), torch.ones(len(labels)), accumulate=True)
    _, columns = linear_sum_assignment(together.numpy(), maximize=True)
    return torch.as_tensor(columns)


def _collect(teacher, batches):
    guesses, labels = [], []
    for batch in batches:
        said, right = teacher(batch), _classes(batch["labels"])
        guesses.append(said.best()[right >= 0].cpu())
        labels.append(right[right >= 0].cpu())
    num_classes = said.num_classes if all(map(_has_classes, teacher.models)) else None
    return torch.cat(guesses), torch.cat(labels), num_classes


def _has_classes(model):
    """Positions in a text are none: each batch has as many as its longest text, and no name. Nor are tokens, which a
    tokenizer names."""
    return not predicts_spans(model) and not getattr(getattr(model, "config", None), "is_encoder_decoder", False)


def _classes(labels):
    """Labels as class indices, -100 where missing; of soft labels those of one class, for a mixture has no right answer."""
    if not labels.is_floating_point():
        return labels
    share, label = labels.max(dim=-1)
    return label.masked_fill(share < 1, MISSING)
