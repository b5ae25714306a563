"""Invariant 2: padding more changes no loss; a batch where every item is masked gives 0 and a warning, not nan."""

import logging

import pytest
import torch

from distil_nlp.objectives import HiddenStates, Objective, SoftTargets
from distil_nlp.signals.base import Signals
from tests.training.runs import PROBLEMS, hint_objective, in_float64, make_pair, make_rows, make_trainer

CASES = [*PROBLEMS, "token", "none"]


def loss_of(trainer, batch):
    trainer.model.eval()
    return trainer.compute_loss(trainer.model, batch)


def padded(batch, extra):
    filling = {"labels": -100}
    widths = batch["input_ids"].shape
    return {
        name: torch.nn.functional.pad(column, (0, extra), value=filling.get(name, 0))
        if column.shape[:2] == widths
        else column
        for name, column in batch.items()
    }


@pytest.mark.parametrize("architecture", ["bert", "distilbert", "roberta", "modernbert"])
@pytest.mark.parametrize("problem", CASES)
def test_more_padding_changes_no_loss(architecture, problem, tmp_path):
    rows = make_rows(6, problem=problem)
    trainer = make_trainer(*in_float64(make_pair(architecture, problem=problem)), rows, tmp_path)
    batch = next(trainer._batches_of(rows, range(6)))
    torch.testing.assert_close(loss_of(trainer, padded(batch, 7)), loss_of(trainer, batch), rtol=1e-9, atol=1e-12)


def test_more_padding_changes_no_hint(tmp_path):
    rows = make_rows(6)
    trainer = make_trainer(*make_pair(), rows, tmp_path, objective=hint_objective())
    batch = next(trainer._batches_of(rows, range(6)))
    torch.testing.assert_close(loss_of(trainer, padded(batch, 7)), loss_of(trainer, batch), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("problem", [*PROBLEMS, "token"])
def test_a_run_whose_labels_are_all_missing_gives_a_loss_of_zero_and_says_so_once(problem, tmp_path, caplog):
    rows = make_rows(8, problem=problem, labeled=lambda row: False)
    if problem == "token":
        rows = rows.map(lambda row: {"labels": [-100] * len(row["input_ids"])})
    student, _ = make_pair(problem=problem)
    trainer = make_trainer(
        student, None, rows, tmp_path, logging_strategy="steps", logging_steps=1, num_train_epochs=2
    )
    with caplog.at_level(logging.WARNING, logger="distil_nlp"):
        trainer.train()
    lines = [line for line in trainer.state.log_history if "loss" in line]
    assert len(lines) > 1 and all(line["loss"] == line["loss/hard"] == 0 for line in lines)
    assert caplog.text.count("contained no item for the term 'hard'") == 1


def test_a_hint_on_padding_alone_is_zero_and_has_no_gradient():
    hint = HiddenStates(1.0, layers=[("a", "b")])
    hidden = torch.randn(2, 3, 4, requires_grad=True)
    batch = {"attention_mask": torch.zeros(2, 3, dtype=torch.long)}
    objective = Objective([hint, SoftTargets(1.0, temperature=1.0)])
    logits = torch.zeros(2, 3)
    student, teacher = Signals(logits, {"a": hidden}), Signals(logits, {"b": torch.randn(2, 3, 4)})
    objective.resolve_layers(torch.nn.Module(), torch.nn.Module())
    objective.setup(student, teacher, batch)
    loss, parts = objective(student, teacher, batch, objective.count([batch]))
    loss.backward()
    assert parts["loss/hidden"] == 0 and not hidden.grad.any()
