"""The evaluator of a problem type, where no task names one."""

import numpy as np

from .classification import Classification
from .verification import VerificationEvaluator


def default_evaluator(problem_type, labels, num_classes):
    """How models are judged by one label, set of labels or number an example.

    Args:
        problem_type (`str`): transformers' word for the problem, or ours: "identity".
        labels (`list[np.ndarray]`): Of a batch each, shape (batch,), or (batch, labels) of a multi-label classification.
        num_classes (`int`): Width of the logits.

    Returns:
        `Evaluator`.

    Raises:
        ValueError: Labels of parts of an example; a problem type without a usual evaluator.
    """
    if problem_type == "identity":
        return VerificationEvaluator(np.concatenate(labels))
    if problem_type in ("object_detection", "ctc") or (problem_type.startswith("single") and labels[0].ndim > 1):
        raise ValueError(
            f"Labels of shape {labels[0].shape} are of tokens or boxes, and how models are judged by these is for their "
            f"task to say: compare(dataset, evaluator=task.evaluator(dataset))."
        )
    return Classification(problem_type, np.concatenate(labels), num_classes)
