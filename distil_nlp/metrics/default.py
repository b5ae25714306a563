"""The table of default evaluators, keyed by the name of a problem kind: used where no task provides an evaluator."""

from collections.abc import Callable
from functools import partial

import numpy as np

from ..internals.messages import shown
from .base import Evaluator
from .classification import PROBLEM_TYPES, ClassificationEvaluator
from .masked import NextTokenEvaluator
from .verification import VerificationEvaluator

EVALUATORS: dict[str, Callable[[list[np.ndarray], int], Evaluator]] = {}


def register_evaluator(problem_type: str, make: Callable[[list[np.ndarray], int], Evaluator]) -> None:
    """Add the default evaluator of a problem kind.

    Args:
        problem_type (`str`): Name of the problem kind.
        make (`Callable`): (labels, num_classes) -> `Evaluator`, arguments as for `default_evaluator`.

    Raises:
        ValueError: The kind has a default evaluator already.
    """
    if EVALUATORS.setdefault(problem_type, make) is not make:
        raise ValueError(f"The problem kind {shown(problem_type)} has a default evaluator already.")


def default_evaluator(problem_type: str, labels: list[np.ndarray], num_classes: int) -> Evaluator:
    """The evaluator of models whose examples have one label, one set of labels or one number each.

    Args:
        problem_type (`str`): Name of the problem kind.
        labels (`list[np.ndarray]`): One array for each batch, of shape (batch,), or (batch, labels) for multi-label
            classification.
        num_classes (`int`): Width of the logits.

    Raises:
        ValueError: Labels of parts of an example; a problem kind without a default evaluator.
    """
    make = EVALUATORS.get(problem_type)
    if make is None:
        raise _no_default(problem_type, labels)
    return make(labels, num_classes)


def _no_default(problem_type: str, labels: list[np.ndarray]) -> ValueError:
    return ValueError(
        f"There is no default evaluator for problem_type={shown(problem_type)} with labels of shape {labels[0].shape}: "
        f"labels of tokens, boxes or pairs are evaluated by their task. Pass compare(dataset, "
        f"evaluator=task.evaluator(dataset))."
    )


def _classification(problem_type: str, labels: list[np.ndarray], num_classes: int) -> Evaluator:
    return ClassificationEvaluator(problem_type, np.concatenate(labels), num_classes)


def _whole_examples(problem_type: str, labels: list[np.ndarray], num_classes: int) -> Evaluator:
    if labels[0].ndim > 1:
        raise _no_default(problem_type, labels)
    return _classification(problem_type, labels, num_classes)


for _name in PROBLEM_TYPES[1:]:
    register_evaluator(_name, partial(_classification, _name))
register_evaluator(PROBLEM_TYPES[0], partial(_whole_examples, PROBLEM_TYPES[0]))
register_evaluator(
    "next_token", lambda labels, num_classes: NextTokenEvaluator([row for batch in labels for row in batch])
)
register_evaluator("identity", lambda labels, num_classes: VerificationEvaluator(np.concatenate(labels)))
