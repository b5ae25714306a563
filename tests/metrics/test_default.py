"""What models are judged by where nobody says it."""

import numpy as np
import pytest

from distil_nlp.metrics import Classification, VerificationEvaluator, default_evaluator


@pytest.mark.parametrize(
    ("problem_type", "labels", "kind"),
    [
        ("single_label_classification", np.array([0, 1]), Classification),
        ("multi_label_classification", np.array([[0.0, 1.0], [1.0, 1.0]]), Classification),
        ("regression", np.array([0.5, 1.5]), Classification),
        ("identity", np.array([0, 1]), VerificationEvaluator),
    ],
)
def test_the_batches_of_a_problem_have_its_yardstick(problem_type, labels, kind):
    evaluator = default_evaluator(problem_type, [labels, labels], 2)
    assert type(evaluator) is kind and evaluator.num_rows == 4


@pytest.mark.parametrize("problem_type", ["single_label_classification", "object_detection"])
def test_labels_of_parts_are_for_their_task_to_judge(problem_type):
    batches = [np.zeros((2, 3), dtype=int), np.zeros((2, 5), dtype=int)]  # padded to their own longest
    with pytest.raises(ValueError, match=r"shape \(2, 3\).*of tokens, boxes or pairs.*task.evaluator"):
        default_evaluator(problem_type, batches, 2)
