"""A search over settings: every trial is the training that its settings alone would have been."""

import sys

import optuna
import pytest
import torch
from transformers import EarlyStoppingCallback, TrainerCallback

from distil_nlp.objectives import HardLabels, HiddenStates, LogitMatching, Objective, SoftTargets
from distil_nlp.teachers import OnlineTeacher
from distil_nlp.training.trainer import DistillationTrainer
from tests.tiny import tiny_model, tiny_tokenizer
from tests.training.runs import NUM_CLASSES, make_arguments, make_pair, make_rows, same_weights

SETTINGS = [
    {"temperature": 1.0, "kd_ratio": 0.2},
    {"temperature": 8.0, "kd_ratio": 0.9, "learning_rate": 0.03},
    {"temperature": 1.0, "kd_ratio": 0.2},
]


class Kept(DistillationTrainer):
    """Keeps every student that a search evaluates, in a list that all its trainers share."""

    students = []

    def evaluate(self, *args, **kwargs):
        Kept.students.append({name: weight.clone() for name, weight in self.model.state_dict().items()})
        return super().evaluate(*args, **kwargs)


@pytest.fixture(autouse=True)
def no_students_yet():
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    Kept.students = []


def accuracy(prediction):
    return {"accuracy": float((prediction.predictions.argmax(-1) == prediction.label_ids).mean())}


def new_student(trial=None):
    num_layers = 1 if trial is None else trial.suggest_categorical("num_layers", [1])
    model = tiny_model(num_layers=num_layers, num_labels=NUM_CLASSES, dropout=0.1)
    for parameter in model.parameters():  # from the random state of the training, as a fresh model is
        torch.nn.init.normal_(parameter, std=0.2)
    return model.train()


def make_search(folder, teacher, *, kind=Kept, model_init=new_student, objective=None, more=None, **changes):
    return kind(
        model_init=model_init,
        teacher=teacher,
        args=make_arguments(folder, **{"optim": "adamw_torch", "learning_rate": 1e-2, **changes}),
        objective=objective,
        train_dataset=make_rows(32),
        eval_dataset=make_rows(16, seed=1),
        processing_class=tiny_tokenizer(),
        compute_metrics=accuracy,
        **(more or {}),
    )


def each_of(settings):
    """A space that gives these settings, one after the other."""
    return lambda trial: {**settings[trial.number], "seed": 7}


def searched(trainer, settings, **more):
    return trainer.hyperparameter_search(
        each_of(settings),
        lambda metrics: metrics["eval_accuracy"],
        n_trials=len(settings),
        direction="maximize",
        **more,
    )


def trained_alone(folder, settings, **more):
    trainer = make_search(folder, make_pair()[1], seed=7, **{**settings, **more})
    trainer.train()
    return trainer.model


def two_trials_and_alone(folder):
    """Whether the students of two trials are those of two trainers; for any number of processes."""

    def space(trial):
        return {"temperature": trial.suggest_categorical("temperature", [1.0, 8.0]), "seed": 7}

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    Kept.students = []
    settings = {"model_init": lambda: new_student(), "per_device_train_batch_size": 4}
    search = make_search(folder / "search", make_pair()[1], **settings)
    sampler = optuna.samplers.GridSampler({"temperature": [1.0, 8.0]}, seed=0)
    search.hyperparameter_search(
        space, lambda metrics: metrics["eval_accuracy"], n_trials=2, direction="maximize", sampler=sampler
    )
    alone = [trained_alone(folder / str(t), {"temperature": t}, **settings) for t in (1.0, 8.0)]
    return [any(same_weights(student, one) for student in Kept.students) for one in alone]


def test_a_trial_is_bit_identical_to_a_trainer_with_its_settings(tmp_path):
    teacher = OnlineTeacher(make_pair()[1])
    before = teacher.fingerprint()
    trainer = make_search(tmp_path / "search", teacher)
    searched(trainer, SETTINGS)
    for number, (settings, student) in enumerate(zip(SETTINGS, Kept.students, strict=True)):
        alone = trained_alone(tmp_path / str(number), settings)
        assert same_weights(student, alone)
    assert same_weights(Kept.students[0], Kept.students[2])
    assert not same_weights(Kept.students[0], Kept.students[1])
    assert teacher.fingerprint() == before and trainer.teacher is teacher


def test_projections_of_an_objective_start_anew_in_every_trial(tmp_path):
    def wider():  # than the student: a projection
        return Objective([HardLabels(0.5), HiddenStates(0.5, layers="last")])

    trainer = make_search(tmp_path / "search", make_pair()[1], objective=wider())
    searched(trainer, [{"learning_rate": 0.01}, {"learning_rate": 0.02}])
    alone = trained_alone(tmp_path / "alone", {"learning_rate": 0.02}, objective=wider())
    assert same_weights(Kept.students[1], alone)


def test_a_search_leaves_its_trainer_as_it_was(tmp_path):
    trainer = make_search(tmp_path / "search", make_pair()[1], temperature=3.0, seed=7)
    objective = trainer.objective
    searched(trainer, SETTINGS[:2])
    assert trainer.objective is objective and trainer.args.temperature == 3.0
    trainer.train()
    assert same_weights(trainer.model, trained_alone(tmp_path / "alone", {"temperature": 3.0}))


def test_the_student_of_a_trial_may_depend_on_it_and_the_teacher_listens_to_the_trainer_again(tmp_path):
    def student(trial=None):
        layers = 2 if trial is None else trial.suggest_categorical("num_layers", [1])
        return tiny_model(num_layers=layers, num_labels=NUM_CLASSES).train()

    teacher = OnlineTeacher(tiny_model(num_layers=4, num_labels=NUM_CLASSES, seed=2))
    uniform = Objective([SoftTargets(0.5, temperature=2.0), HiddenStates(0.5, layers="uniform")])
    trainer = make_search(tmp_path / "search", teacher, model_init=student, objective=uniform)
    searched(trainer, [{"learning_rate": 0.01}])
    assert sum("layer.0.output.dense.weight" in name for name in Kept.students[0]) == 1
    assert not any("layer.1." in name for name in Kept.students[0])
    trainer.train()
    assert trainer.state.global_step == 4


def test_the_teacher_is_probed_once_however_many_trials_there_are(tmp_path, capsys):
    searched(make_search(tmp_path, make_pair()[1]), SETTINGS)
    assert capsys.readouterr().out.count("The teacher is right on") == 1


def test_early_stopping_counts_anew_in_every_trial(tmp_path):
    stopping = EarlyStoppingCallback(early_stopping_patience=1)
    changes = {
        "eval_strategy": "epoch",
        "save_strategy": "epoch",
        "metric_for_best_model": "accuracy",
        "load_best_model_at_end": True,
        "num_train_epochs": 3,
    }
    trainer = make_search(tmp_path, make_pair()[1], more={"callbacks": [stopping]}, **changes)
    searched(trainer, [SETTINGS[0], SETTINGS[0]])
    assert stopping.early_stopping_patience_counter == 0
    evaluations = len(Kept.students) // 2
    assert same_weights(Kept.students[evaluations - 1], Kept.students[-1])


def test_a_callback_that_was_removed_is_in_no_trial(tmp_path):
    class Counted(TrainerCallback):
        begun = 0

        def on_train_begin(self, *args, **kwargs):
            Counted.begun += 1

    trainer = make_search(tmp_path, make_pair()[1], more={"callbacks": [Counted()]})
    searched(trainer, SETTINGS[:1])
    trainer.remove_callback(Counted)
    searched(trainer, SETTINGS[:1])
    assert Counted.begun == 1


def refused(trainer, settings=SETTINGS, **more):
    with pytest.raises((ValueError, ImportError)) as error:
        searched(trainer, settings, **more)
    return str(error.value)


def test_a_search_that_could_not_be_is_refused_before_any_training(tmp_path, monkeypatch):
    trainer = make_search(tmp_path, make_pair()[1])
    assert "backend must be 'optuna'; got 'ray'" in refused(trainer, backend="ray")
    assert "pruner='x' would have no effect" in refused(trainer, pruner="x")
    assert "n_jobs=2 trains in several threads" in refused(trainer, n_jobs=2)
    assert "'temprature', which is not a training argument; the nearest is 'temperature'" in refused(
        trainer, [{"temprature": 1.0}]
    )
    assert "temperature must lie in 0.001 to 1,000; got -1" in refused(trainer, [{"temperature": -1}])
    given = Kept(make_pair()[0], args=make_arguments(tmp_path), processing_class=tiny_tokenizer())
    assert "model_init=..." in refused(given)
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert 'pip install "distil-nlp[sweep]"' in refused(trainer)
    assert Kept.students == []


def test_a_temperature_for_an_objective_of_ones_own_is_refused(tmp_path):
    trainer = make_search(tmp_path, make_pair()[1], objective=Objective([LogitMatching(1.0)]))
    assert "temperature=1" in refused(trainer, [{"temperature": 1.0}])


def test_metrics_that_cannot_be_compared_are_refused(tmp_path):
    trainer = make_search(tmp_path, make_pair()[1], eval_with_teacher=True)
    with pytest.raises(ValueError, match="compute_objective=lambda"):
        trainer.hyperparameter_search(each_of(SETTINGS), n_trials=1)
    with pytest.raises(ValueError, match="a number to compare; got None"):
        trainer.hyperparameter_search(each_of(SETTINGS), lambda metrics: None, n_trials=1)


def test_a_trial_that_diverges_is_pruned_and_the_others_go_on(tmp_path):
    def fail(module, inputs):
        if module.training:
            next(module.parameters()).data.fill_(float("nan"))

    def diverging(trial=None):
        model = new_student(trial)
        if trial is not None and trial.number == 0:
            model.register_forward_pre_hook(fail)
        return model

    trainer = make_search(tmp_path, make_pair()[1], model_init=diverging)
    best = searched(trainer, SETTINGS[:2], backend="optuna")
    assert best.run_id == "1" and len(Kept.students) == 1
