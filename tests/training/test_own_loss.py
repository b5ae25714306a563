"""Invariant 8: cross-entropy comes from our own logits with our own count; the control run goes through the same."""

import pytest
import torch

from tests.tiny import tiny_model
from tests.training.runs import (
    PROBLEMS,
    gradients_of,
    in_float64,
    make_pair,
    make_rows,
    make_trainer,
    relative_difference,
    step_gradients,
)


class Loud(torch.nn.Module):
    """A student that, given labels, returns a loss nobody should use."""

    def __init__(self):
        super().__init__()
        self.model = tiny_model(seed=1, num_layers=1)
        self.given = []

    def forward(self, input_ids, attention_mask, labels=None):
        self.given.append(labels)
        output = self.model(input_ids=input_ids, attention_mask=attention_mask)
        output.loss = torch.tensor(1e9)
        return output


def test_labels_are_never_passed_to_the_student_and_its_loss_is_never_used(tmp_path):
    student = Loud()
    trainer = make_trainer(student, make_pair()[1], make_rows(8), tmp_path, logging_strategy="steps", logging_steps=1)
    trainer.train()
    assert student.given and all(labels is None for labels in student.given)
    assert all(line["loss"] < 100 for line in trainer.state.log_history if "loss" in line)


@pytest.mark.parametrize("num_micro_batches", [1, 4])
@pytest.mark.parametrize("problem", PROBLEMS)
def test_the_control_has_the_gradients_transformers_own_loss_has_on_the_whole_batch(
    problem, num_micro_batches, tmp_path
):
    rows = make_rows(8, problem=problem)
    student, _ = in_float64(make_pair(problem=problem))
    reference, _ = in_float64(make_pair(problem=problem))
    trainer = make_trainer(reference, None, rows, tmp_path / "reference")
    batch = dict(next(trainer._batches_of(rows, range(8))))
    labels = batch["labels"] if problem == "single_label_classification" else batch["labels"].double()
    reference.train()
    reference(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], labels=labels).loss.backward()
    found = step_gradients(student, None, rows, tmp_path / "ours", num_micro_batches=num_micro_batches)
    assert relative_difference(found["student"], gradients_of(reference)) < 1e-6


def test_a_loss_function_from_outside_is_refused(tmp_path):
    from distil_nlp.training.trainer import DistillationTrainer
    from tests.training.runs import make_arguments

    with pytest.raises(ValueError, match="compute_loss_func=.* would have no effect"):
        DistillationTrainer(
            tiny_model(), None, make_arguments(tmp_path), train_dataset=make_rows(4), compute_loss_func=print
        )
