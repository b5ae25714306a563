"""Hyperparameter search: many trainings in a row, each exactly as if it were the only one."""

import copy
import dataclasses
from collections.abc import Callable
from typing import Any, cast

from transformers import PreTrainedTokenizerBase, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import ExportableState
from transformers.trainer_utils import BestRun, default_compute_objective, default_hp_space_optuna

from ..internals.imports import import_extra
from ..internals.messages import nearest, shown
from ..signals.finite import DivergenceError
from .preparation import PreparationMixin


class TrialRunner:
    """The interface that `Trainer.hyperparameter_search` needs of a trainer, with a function as trial.

    transformers trains the same trainer again and again. `DistillationTrainer` resolves objective, taps and projections
    when it is constructed, and its attribute `objective` is not the result of a trial, as in transformers. So each trial
    constructs a new trainer from its settings.

    Args:
        args (`TrainingArguments`): Tells which process this is.
        run_trial (`Callable`): trial -> metrics, a `dict[str, float]`.
    """

    def __init__(self, args: TrainingArguments, run_trial: Callable[[Any], dict[str, float]]):
        self.args, self._run_trial = args, run_trial
        self.model_init = run_trial  # transformers checks that it exists
        self.model = self.model_wrapped = self.objective = None
        self._metrics: dict[str, float] | None = None
        self.accelerator = self  # transformers clears it after a trial; there is nothing to clear

    def train(self, resume_from_checkpoint: str | None = None, trial: Any = None) -> None:
        """Run a trial and keep its metrics."""
        self._metrics = self._run_trial(trial)

    def evaluate(self) -> dict[str, float] | None:
        """The metrics of the last trial."""
        return self._metrics

    def clear(self) -> None:
        """Do nothing: a trial leaves nothing in memory."""

    def search(
        self, hp_space: Callable, compute_objective: Callable, **settings: Any
    ) -> BestRun | list[BestRun] | None:
        """`Trainer.hyperparameter_search` with Optuna.

        Args:
            hp_space, compute_objective, settings: As for `Trainer.hyperparameter_search`.

        Returns:
            `BestRun`, or a list of them for several directions; None on processes other than the first.
        """
        import_extra("sweep")
        runner: Any = self  # not a Trainer, but all that this method needs of one
        return Trainer.hyperparameter_search(runner, hp_space, compute_objective, backend="optuna", **settings)


class HyperparameterSearchMixin(PreparationMixin):
    """The part of `DistillationTrainer` that searches for settings."""

    _made_with: dict[str, Any]

    def hyperparameter_search(  # type: ignore[override]  # transformers returns None, too, and does not say so
        self,
        hp_space: Callable[[Any], dict[str, Any]] | None = None,
        compute_objective: Callable[[dict[str, float]], float | list[float]] | None = None,
        n_trials: int = 20,
        direction: str | list[str] = "minimize",
        backend: str | None = None,
        hp_name: Callable[[Any], str] | None = None,
        **kwargs: Any,
    ) -> BestRun | list[BestRun] | None:
        """As `Trainer.hyperparameter_search`, with Optuna; `temperature` and `kd_ratio` can be searched, too.

        Every trial ends with the student that a trainer constructed with its settings would have: objective,
        projections, callbacks with a state and the random state are new. Teacher and data are shared; the teacher is
        probed once. A trial is evaluated once, after training, and this trainer is left unchanged.

        Args:
            hp_space (`Callable`, *optional*): trial -> settings, a dict of training arguments. It is called before
                `model_init(trial)`, which may suggest settings of the student alone. With several processes suggest
                all settings here, because only they are sent to the other processes; `model_init` reads `trial.params`.
            compute_objective (`Callable`, *optional*): metrics -> the number to minimize or maximize. Default:
                `eval_loss`, on the labels alone, or, if there are other metrics, their sum.
            n_trials (`int`), direction (`str` or list), hp_name (`Callable`, *optional*): As in transformers.
            backend (`str`, *optional*): "optuna", the only one.
            kwargs: For `optuna.create_study` (`storage`, `study_name`, `sampler`, `load_if_exists`) and
                `Study.optimize` (`timeout`, `catch`).

        Returns:
            `BestRun`, or a list of them for several directions; None on processes other than the first.

        Raises:
            ImportError: Optuna is missing.
            ValueError: No `model_init`, no evaluation data, settings that would have no effect, names that are not
                training arguments.
        """
        import_extra("sweep")
        self._check_search(backend, compute_objective, kwargs)
        self._probe_teacher()
        space = default_hp_space_optuna if hp_space is None else hp_space
        runner = TrialRunner(self.args, lambda trial: self._run_trial(trial, space(trial), hp_name))
        try:
            return runner.search(
                space, _checked_objective(compute_objective), n_trials=n_trials, direction=direction, **kwargs
            )
        finally:
            self._restore_teacher()

    def _check_search(self, backend: str | None, compute_objective: Callable | None, kwargs: dict[str, Any]) -> None:
        if backend not in (None, "optuna"):
            raise ValueError(
                f"backend must be 'optuna'; got {shown(backend)}. The others copy the whole trainer with its teacher."
            )
        if self.model_init is None:
            raise ValueError(
                f"A search trains a new student in every trial, but this trainer was given an existing one "
                f"({type(self.model).__name__}). Pass a function that makes the student, model_init=..., with the trial as "
                f"its argument or without arguments."
            )
        if self.eval_dataset is None:
            raise ValueError(
                f"A search evaluates every trial, but got eval_dataset={self.eval_dataset}. Pass evaluation data, "
                f"eval_dataset=..."
            )
        if compute_objective is None and self.args.eval_with_teacher:
            raise ValueError(
                f"eval_with_teacher={self.args.eval_with_teacher} adds terms to the metrics that temperature and kd_ratio "
                f"rescale, so trials cannot be compared by the sum of all metrics. Choose the number to compare: "
                f"compute_objective=lambda metrics: ..."
            )
        if "pruner" in kwargs:
            raise ValueError(
                f"pruner={shown(kwargs['pruner'])} would have no effect: a trial is evaluated once, after training. "
                f"Remove it."
            )
        if kwargs.get("n_jobs", 1) != 1:
            raise ValueError(
                f"n_jobs={kwargs['n_jobs']} trains in several threads, which share one random state, so no trial could be "
                f"repeated. Remove it."
            )

    def _run_trial(self, trial: Any, settings: dict[str, Any], hp_name: Callable | None) -> dict[str, float]:
        trainer = self._trial_trainer(trial, settings, f"run-{trial.number}" if hp_name is None else hp_name(trial))
        try:
            trainer.train()
            return trainer.evaluate()
        except DivergenceError as error:
            import optuna

            raise optuna.TrialPruned(str(error)) from error  # no result, and no reason to lose the other trials

    def _trial_trainer(self, trial: Any, settings: dict[str, Any], name: str) -> "HyperparameterSearchMixin":
        """A trainer constructed like this one, with other settings and another folder."""
        known = [field.name for field in dataclasses.fields(self.args) if field.init]
        for setting in settings:
            if setting not in known:
                raise ValueError(
                    f"hp_space returned {shown(setting)}, which is not a training argument{nearest(setting, known)}. "
                    f"Suggest settings of the student in model_init(trial)."
                )
        output_dir = str(self._output_dir / name)
        made_with = dict(self._made_with)
        callbacks = [_unused_copy(callback) for callback in made_with.pop("callbacks", None) or []]
        # A DistillationTrainer, whose constructor takes a teacher and an objective, too.
        construct: Callable[..., HyperparameterSearchMixin] = type(self)
        trainer = construct(
            model_init=lambda: self.call_model_init(trial),
            teacher=self.teacher,
            args=dataclasses.replace(self.args, **{"output_dir": output_dir, "push_to_hub": False, **settings}),
            objective=copy.deepcopy(made_with.pop("objective")),
            callbacks=callbacks,
            **made_with,
        )
        trainer.probes_teacher = False
        self._share_callbacks(trainer)
        return trainer

    def _share_callbacks(self, trainer: "HyperparameterSearchMixin") -> None:
        """Add and remove the callbacks that were added and removed since this trainer was constructed."""
        trial_types = {type(callback) for callback in trainer.callback_handler.callbacks}
        for callback_type in trial_types - {type(callback) for callback in self.callback_handler.callbacks}:
            trainer.remove_callback(callback_type)
        for callback in self.callback_handler.callbacks:
            if type(callback) not in trial_types:
                trainer.add_callback(_unused_copy(callback))

    def _restore_teacher(self) -> None:
        """Reconcile the teacher with this trainer's student again: a trial may have tapped other layers."""
        if self.teacher is not None:
            # Processors of images and audio are passed, too; teachers compare tokenizers only.
            tokenizer = cast(PreTrainedTokenizerBase | None, self.processing_class)
            self.teacher.reconcile(self.model, tokenizer)
            self.teacher.tap_layers(self.objective.teacher_taps if self.objective.needs_teacher else ())


def _unused_copy(callback: TrainerCallback) -> TrainerCallback:
    """A copy of a callback with a state (early stopping counts), so that no trial changes it; others as they are."""
    return copy.deepcopy(callback) if isinstance(callback, ExportableState) else callback


def _checked_objective(compute_objective: Callable | None) -> Callable[[dict[str, float]], float | list[float]]:
    """`compute_objective`, raising when its result cannot be compared."""
    compute = default_compute_objective if compute_objective is None else compute_objective

    def checked(metrics: dict[str, float]) -> float | list[float]:
        result = compute(dict(metrics))
        for value in result if isinstance(result, (list, tuple)) else [result]:
            if value is None:  # NaN is left to Optuna: the trial counts as failed, and the search continues
                raise ValueError(
                    f"A trial must end with a number to compare; got {shown(value)} from the metrics "
                    f"{', '.join(metrics)}. Pass compute_metrics= to the trainer, or compute_objective= here."
                )
        return result

    return checked
