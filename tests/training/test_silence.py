"""Invariant 7: what would be a silent zero is an error or a warning before step 1."""

import logging

import pytest
import torch

from distil_nlp.objectives import HardLabels, HiddenStates, LogitMatching, Objective, SoftTargets
from distil_nlp.teachers.probe import best_renaming, labeled_items, probe, probe_statistics
from tests.tiny import tiny_model
from tests.training.runs import make_pair, make_rows, make_trainer


class Oracle(torch.nn.Module):
    """Knows the label from the first token: `renamed` says what it calls each class."""

    def __init__(self, renamed=(0, 1, 2)):
        super().__init__()
        self.renamed = torch.nn.Parameter(torch.tensor(renamed, dtype=torch.float), requires_grad=False)

    def forward(self, input_ids):
        known = self.renamed[input_ids[:, 1] % 3].long()
        return 5.0 * torch.nn.functional.one_hot(known, 3)


def rows_for_the_oracle(num_rows=120):
    rows = make_rows(num_rows)
    return rows.map(lambda row: {"labels": row["input_ids"][1] % 3})


def test_a_layer_that_is_not_there_is_an_error_that_lists_its_neighbors(tmp_path):
    hint = HiddenStates(1.0, layers=[("bert.encoder.layer.7", "bert.encoder.layer.0")])
    with pytest.raises(ValueError, match=r"'bert.encoder.layer.7' is not in the model .*bert.encoder.layer.0"):
        make_trainer(*make_pair(), make_rows(8), tmp_path, objective=Objective([hint]))


def test_a_tap_that_never_fires_is_an_error_before_the_first_step(tmp_path):
    student, teacher = make_pair()
    student.unused = torch.nn.Linear(2, 2)
    hint = HiddenStates(1.0, layers=[("unused", 0)])
    with pytest.raises(RuntimeError, match="'unused' captured no tensor: the module never ran"):
        make_trainer(student, teacher, make_rows(8), tmp_path, objective=Objective([hint]))


def test_a_feature_that_is_no_hidden_state_is_an_error_before_the_first_step(tmp_path):
    hint = HiddenStates(1.0, layers=[("classifier", 0)])
    with pytest.raises(ValueError, match=r"layer 'classifier' of the student needs a tensor .*returned \(2, 3\)"):
        make_trainer(*make_pair(), make_rows(8), tmp_path, objective=Objective([hint]))


def test_a_divergence_over_one_class_is_an_error_before_the_first_step(tmp_path):
    student, teacher = make_pair(problem="regression")
    objective = Objective([SoftTargets(1.0, temperature=2.0)])
    with pytest.raises(ValueError, match="KL divergence over 1 class is always 0"):
        make_trainer(student, teacher, make_rows(8, problem="regression"), tmp_path, objective=objective)


def test_soft_targets_refuse_a_regression():
    with pytest.raises(ValueError, match="'regression' has none: .* Use LogitMatching"):
        SoftTargets(1.0, temperature=2.0, problem_type="regression")


def test_a_temperature_for_a_regression_is_refused(tmp_path):
    student, teacher = make_pair(problem="regression")
    with pytest.raises(ValueError, match="temperature=2 would have no effect for problem_type='regression'"):
        make_trainer(student, teacher, make_rows(8, problem="regression"), tmp_path, temperature=2.0)


def test_regression_labels_never_meet_a_cross_entropy(tmp_path):
    student, teacher = make_pair()
    objective = Objective([HardLabels(0.5), LogitMatching(0.5)])
    with pytest.raises(ValueError, match="labels must be whole numbers.*got torch.float32"):
        make_trainer(student, teacher, make_rows(8, problem="regression"), tmp_path, objective=objective)


def test_hard_labels_without_a_labels_column_are_refused(tmp_path):
    with pytest.raises(ValueError, match="hard labels with 0.3, but the data has no 'labels' column"):
        make_trainer(*make_pair(), make_rows(8, problem="none"), tmp_path, kd_ratio=0.7)


def test_an_objective_beside_temperature_or_kd_ratio_is_refused(tmp_path):
    objective = Objective([SoftTargets(1.0, temperature=2.0)])
    with pytest.raises(ValueError, match="Got an objective and temperature=3, kd_ratio=0.5"):
        make_trainer(*make_pair(), make_rows(8), tmp_path, objective=objective, temperature=3.0, kd_ratio=0.5)


def test_an_objective_that_needs_a_teacher_is_refused_without_one(tmp_path):
    objective = Objective([SoftTargets(1.0, temperature=2.0)])
    with pytest.raises(ValueError, match="terms soft compare with a teacher"):
        make_trainer(make_pair()[0], None, make_rows(8), tmp_path, objective=objective)


@pytest.mark.parametrize("settings", [{"kd_ratio": 0.5}, {"temperature": 2.0}])
def test_settings_of_the_soft_targets_are_refused_without_a_teacher(settings, tmp_path):
    with pytest.raises(ValueError, match="would have no effect: there is no teacher"):
        make_trainer(make_pair()[0], None, make_rows(8), tmp_path, **settings)


def test_an_objective_without_weight_is_refused():
    with pytest.raises(ValueError, match="a weight above 0; got {'hard': 0.0}"):
        Objective([HardLabels(0.0)])


def test_a_teacher_at_chance_earns_a_warning_before_the_first_step(tmp_path, caplog):
    student, teacher = make_pair()
    with caplog.at_level(logging.WARNING, logger="distil_nlp"):
        make_trainer(student, teacher, make_rows(64), tmp_path).train()
    assert "A student cannot learn much from it" in caplog.text


def test_a_teacher_whose_labels_are_permuted_is_refused_before_the_first_step(tmp_path):
    trainer = make_trainer(tiny_model(), Oracle((1, 2, 0)), rows_for_the_oracle(), tmp_path)
    with pytest.raises(ValueError, match="right on 0.0% of 120 .* 100.0% if its classes were renamed"):
        trainer.train()
    assert trainer.state.global_step == 0


def test_a_teacher_is_probed_where_the_column_is_called_label(tmp_path):
    rows = rows_for_the_oracle().rename_column("labels", "label")
    with pytest.raises(ValueError, match="100.0% if its classes were renamed"):
        make_trainer(tiny_model(), Oracle((1, 2, 0)), rows, tmp_path).train()


def test_a_good_teacher_passes_the_probe_and_its_accuracy_is_printed(tmp_path, capsys, caplog):
    with caplog.at_level(logging.WARNING, logger="distil_nlp"):
        make_trainer(tiny_model(), Oracle(), rows_for_the_oracle(), tmp_path).train()
    assert "The teacher is right on 100.0% of 120 training items" in capsys.readouterr().out
    assert "cannot learn" not in caplog.text


def test_a_probe_of_rows_without_labels_finds_nothing():
    batch = {"input_ids": torch.ones(2, 3, dtype=torch.long), "labels": torch.tensor([-100, -100])}
    from distil_nlp.teachers import OnlineTeacher

    assert probe(OnlineTeacher(Oracle()), [batch]) is None


def test_a_renaming_is_measured_on_items_it_was_not_fitted_to():
    torch.manual_seed(0)
    guesses, labels = torch.randint(50, (128,)), torch.randint(50, (128,))
    assert probe_statistics(guesses, labels, 50).permuted < 0.1
    assert (best_renaming(torch.tensor([0, 1, 2]), torch.tensor([2, 0, 1]), 3) == torch.tensor([2, 0, 1])).all()


def test_the_probe_looks_at_labeled_rows_however_few_they_are():
    rows = make_rows(200, labeled=lambda row: row % 20 == 0)
    items = labeled_items(rows)
    assert sorted(items) == list(range(0, 200, 20))
