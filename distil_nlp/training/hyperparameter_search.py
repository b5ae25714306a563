"""Searching settings: many trainings in a row, each exactly as if it were the only one."""

import copy
import dataclasses
from pathlib import Path

from transformers import Trainer
from transformers.trainer_callback import ExportableState
from transformers.trainer_utils import default_compute_objective, default_hp_space_optuna

from ..internals.imports import import_extra
from ..internals.messages import nearest


class TrialRunner:
    """What `Trainer.hyperparameter_search` needs of a trainer, where a trial is a function.

    transformers trains one trainer again and again. Ours settles objective, taps and projections when it is made, and
    calls `objective` what transformers calls the result of a trial; so a trial is made anew, from its settings.

    Args:
        args (`TrainingArguments`): Says which process this is.
        run_trial (callable): trial -> metrics, a `dict[str, float]`.
    """

    def __init__(self, args, run_trial):
        self.args, self._run_trial = args, run_trial
        self.model_init = run_trial  # transformers asks that there is one
        self.model = self.model_wrapped = self.objective = self._metrics = None
        self.accelerator = self  # to be cleared after a trial, and there is nothing left of one

    def train(self, resume_from_checkpoint=None, trial=None):
        self._metrics = self._run_trial(trial)

    def evaluate(self):
        return self._metrics

    def clear(self):
        pass

    def search(self, hp_space, compute_objective, **settings):
        """`Trainer.hyperparameter_search` with Optuna.

        Args:
            hp_space, compute_objective, settings: As there.

        Returns:
            `BestRun`, or a list of them where there are several directions; None on processes other than the first.
        """
        import_extra("sweep")
        return Trainer.hyperparameter_search(self, hp_space, compute_objective, backend="optuna", **settings)


class HyperparameterSearchMixin:
    """The part of `DistillationTrainer` that searches for settings."""

    probes_teacher = True  # False where somebody has, with this teacher and these examples

    def hyperparameter_search(
        self,
        hp_space=None,
        compute_objective=None,
        n_trials=20,
        direction="minimize",
        backend=None,
        hp_name=None,
        **kwargs,
    ):
        """As `Trainer.hyperparameter_search`, by Optuna; `temperature` and `kd_ratio` may be searched, too.

        Every trial ends with the student that a trainer made with its settings would have: objective, projections,
        callbacks with a state and the random state are new. Teacher and data are shared; the teacher is probed once.
        A trial is judged once, after training, and this trainer is left as it was.

        Args:
            hp_space (callable, *optional*): trial -> settings, a dict of training arguments. It is called before
                `model_init(trial)`, which may suggest what concerns the student only. With several processes all is
                to be suggested here, because the others learn of nothing else; `model_init` reads `trial.params`.
            compute_objective (callable, *optional*): metrics -> what is to be minimized or maximized. By default
                `eval_loss`, on the labels alone, or where there are other metrics their sum.
            n_trials (`int`), direction (`str` or list), hp_name (callable, *optional*): As in transformers.
            backend (`str`, *optional*): "optuna", the one there is.
            kwargs: For `optuna.create_study` (`storage`, `study_name`, `sampler`, `load_if_exists`) and
                `Study.optimize` (`timeout`, `catch`).

        Returns:
            `BestRun`, or a list of them where there are several directions; None on processes other than the first.

        Raises:
            ImportError: Optuna is missing.
            ValueError: No `model_init`, nothing to evaluate on, settings that would have no effect, names that are no
                training argument.
        """
        import_extra("sweep")
        self._refuse_search(backend, compute_objective, kwargs)
        self._probe_teacher()
        space = default_hp_space_optuna if hp_space is None else hp_space
        runner = TrialRunner(self.args, lambda trial: self._run_trial(trial, space(trial), hp_name))
        try:
            return runner.search(space, _a_number(compute_objective), n_trials=n_trials, direction=direction, **kwargs)
        finally:
            self._recall_teacher()

    def _refuse_search(self, backend, compute_objective, kwargs):
        if backend not in (None, "optuna"):
            raise ValueError(f"backend must be 'optuna'; got {backend!r}. The others copy a trainer, teacher and all.")
        if self.model_init is None:
            raise ValueError(
                "A search trains a new student in every trial, and this trainer was given one that exists (model=...). "
                "Pass a function that makes it, model_init=..., with the trial as its argument or with none."
            )
        if self.eval_dataset is None:
            raise ValueError("A search judges every trial, and there is nothing to evaluate on. Pass eval_dataset=...")
        if compute_objective is None and self.args.eval_with_teacher:
            raise ValueError(
                "eval_with_teacher=True puts terms that temperature and kd_ratio rescale among the metrics, and trials "
                "cannot be compared by their sum. Say what counts: compute_objective=lambda metrics: ..."
            )
        if "pruner" in kwargs:
            raise ValueError(
                f"pruner={kwargs['pruner']!r} would have no effect: a trial is judged once, after training. Leave it out."
            )
        if kwargs.get("n_jobs", 1) != 1:
            raise ValueError(
                f"n_jobs={kwargs['n_jobs']} trains in several threads, which share one random state; no trial could be "
                f"repeated. Leave it out."
            )

    def _run_trial(self, trial, settings, hp_name):
        trainer = self._sibling(trial, settings, f"run-{trial.number}" if hp_name is None else hp_name(trial))
        trainer.train()
        return trainer.evaluate()

    def _sibling(self, trial, settings, name):
        """A trainer as this one was made, with other settings and in a folder of its own."""
        known = [one.name for one in dataclasses.fields(self.args) if one.init]
        for setting in settings:
            if setting not in known:
                raise ValueError(
                    f"hp_space gives {setting!r}, which is no training argument{nearest(setting, known)}. What only the "
                    f"student is made of, model_init(trial) can suggest."
                )
        output_dir = str(Path(self.args.output_dir) / name)
        made_with = dict(self._made_with)
        callbacks = [_afresh(one) for one in made_with.pop("callbacks", None) or []]
        sibling = type(self)(
            model_init=lambda: self.call_model_init(trial),
            teacher=self.teacher,
            args=dataclasses.replace(self.args, **{"output_dir": output_dir, "push_to_hub": False, **settings}),
            objective=copy.deepcopy(made_with.pop("objective")),
            callbacks=callbacks,
            **made_with,
        )
        sibling.probes_teacher = False
        self._share_callbacks(sibling)
        return sibling

    def _share_callbacks(self, sibling):
        """Those that were added or removed since this trainer was made."""
        theirs = {type(one) for one in sibling.callback_handler.callbacks}
        for kind in theirs - {type(one) for one in self.callback_handler.callbacks}:
            sibling.remove_callback(kind)
        for one in self.callback_handler.callbacks:
            if type(one) not in theirs:
                sibling.add_callback(_afresh(one))

    def _recall_teacher(self):
        """A trial may have had the teacher listen to other layers."""
        if self.teacher is not None:
            self.teacher.reconcile(self.model, self.processing_class)
            self.teacher.tap_layers(self.objective.teacher_taps if self.objective.needs_teacher else ())


def _afresh(callback):
    """A callback that no trial has taught anything: early stopping counts."""
    return copy.deepcopy(callback) if isinstance(callback, ExportableState) else callback


def _a_number(compute_objective):
    compute = default_compute_objective if compute_objective is None else compute_objective

    def checked(metrics):
        found = compute(dict(metrics))
        for one in found if isinstance(found, (list, tuple)) else [found]:
            if one is None:  # NaN is Optuna's to note: the trial failed, and the next one may not
                raise ValueError(
                    f"A trial should end with a number to compare; got {one!r} from the metrics "
                    f"{', '.join(metrics)}. Pass compute_metrics= to the trainer, or compute_objective= here."
                )
        return found

    return checked
