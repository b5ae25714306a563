"""The private methods of Trainer that distillation overrides exist, are called, and stand in one module."""

import pytest
from transformers import Trainer

from distil_nlp.training.compat import CALLED, PrivateHooks, missing_hooks, overridden_hooks
from distil_nlp.training.trainer import DistillationTrainer
from tests.tiny import tiny_tokenizer
from tests.training.runs import hint_objective, make_arguments, make_pair, make_rows


def test_the_installed_transformers_has_and_calls_every_private_hook():
    assert not missing_hooks(), (
        " ".join(missing_hooks()) + " Adapt distil_nlp/training/compat.py to this transformers."
    )


def test_a_hook_that_is_missing_or_no_longer_called_is_named():
    class OtherTrainer:
        def _run_epoch(self):
            pass

        def train(self):
            self._clip_grad_norm = self._prepare_inputs

    sentences = missing_hooks(OtherTrainer)
    assert "OtherTrainer no longer calls _run_epoch, which distil_nlp/training overrides." in sentences
    assert "OtherTrainer has no _load_best_model, which distil_nlp/training overrides." in sentences
    assert "OtherTrainer has no _signature_columns, which distil_nlp/training calls." in sentences
    assert len(sentences) == len(overridden_hooks()) + len(CALLED) - 2


def test_no_other_class_overrides_a_private_method_of_trainer():
    ours = DistillationTrainer.__mro__[: DistillationTrainer.__mro__.index(Trainer)]
    overridden = {
        f"{owner.__name__}.{name}"
        for owner in ours
        if owner is not PrivateHooks
        for name in vars(owner)
        if name.startswith("_") and not name.startswith("__") and hasattr(Trainer, name)
    }
    assert not overridden, f"Private methods of Trainer are overridden in training/compat.py only; got {overridden}."


def test_every_hook_has_its_reason_in_its_docstring():
    assert [name for name in overridden_hooks() if "Reason: " not in getattr(PrivateHooks, name).__doc__] == []


@pytest.fixture(scope="module")
def calls(tmp_path_factory):
    """Names of the hooks that were called in a training that clips, evaluates, saves, resumes and loads the best."""
    called = set()

    def recorded(name):
        def method(self, *args, **kwargs):
            called.add(name)
            return getattr(super(Recorder, self), name)(*args, **kwargs)

        return method

    Recorder = type("Recorder", (DistillationTrainer,), {name: recorded(name) for name in overridden_hooks()})
    folder, rows = tmp_path_factory.mktemp("run"), make_rows(16)
    for num_epochs in (1, 2):
        student, teacher = make_pair()
        trainer = Recorder(
            student,
            teacher,
            make_arguments(
                folder,
                num_train_epochs=num_epochs,
                max_grad_norm=1.0,
                save_strategy="epoch",
                eval_strategy="epoch",
                load_best_model_at_end=True,
            ),
            objective=hint_objective(),
            train_dataset=rows,
            eval_dataset=rows,
            processing_class=tiny_tokenizer(),
        )
        trainer.train(resume_from_checkpoint=True)
    return called


@pytest.mark.parametrize("name", overridden_hooks())
def test_a_training_calls_the_hook(name, calls):
    assert name in calls, f"transformers no longer calls {name} in training. Adapt distil_nlp/training/compat.py."
