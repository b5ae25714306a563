"""The default evaluator of each problem kind."""

import numpy as np
import pytest

from distil_nlp.metrics import ClassificationEvaluator, VerificationEvaluator, default_evaluator


@pytest.mark.parametrize(
    ("problem_type", "labels", "kind"),
    [
        ("single_label_classification", np.array([0, 1]), ClassificationEvaluator),
        ("multi_label_classification", np.array([[0.0, 1.0], [1.0, 1.0]]), ClassificationEvaluator),
        ("regression", np.array([0.5, 1.5]), ClassificationEvaluator),
        ("identity", np.array([0, 1]), VerificationEvaluator),
    ],
)
def test_each_problem_kind_has_its_default_evaluator(problem_type, labels, kind):
    evaluator = default_evaluator(problem_type, [labels, labels], 2)
    assert type(evaluator) is kind and evaluator.num_rows == 4


@pytest.mark.parametrize("problem_type", ["single_label_classification", "object_detection"])
def test_labels_of_tokens_or_boxes_have_no_default_evaluator(problem_type):
    batches = [np.zeros((2, 3), dtype=int), np.zeros((2, 5), dtype=int)]  # padded to their own longest
    with pytest.raises(ValueError, match=r"shape \(2, 3\).*of tokens, boxes or pairs.*task.evaluator"):
        default_evaluator(problem_type, batches, 2)
