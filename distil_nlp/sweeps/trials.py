"""The trials of a sweep in a file: finished ones, and the settings of the next. Needs Optuna."""

import math
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import optuna
from sqlalchemy.exc import SQLAlchemyError
from transformers import TrainingArguments

from ..training.hyperparameter_search import TrialRunner
from .space import Space

_NAME = "sweep"


class Trials:
    """The trials of a sweep in a file, by Optuna.

    The next settings depend on the finished trials and the seed alone, so an interrupted sweep continues as if it had not
    been interrupted: the unfinished trial is proposed again.

    Args:
        path (`Path`): The file (sqlite); created if it does not exist.
        space (`Space`): The search space.
        metric (`str`): Decides between trials.
        lower_is_better (`bool`): Of the metric.
        seed (`int`): Of the proposed settings.
        num_trials (`int`): How many; fewer where there are fewer combinations.

    Raises:
        ValueError: The file contains trials that were decided by another metric.
        OSError: The file is damaged, or cannot be written.
    """

    def __init__(self, path: Path, space: Space, *, metric: str, lower_is_better: bool, seed: int, num_trials: int):
        optuna.logging.set_verbosity(optuna.logging.ERROR)  # it would log every trial, and Ctrl-C at length
        self.path, self.space, self.seed, self.lower_is_better = path, space, seed, lower_is_better
        with _explained(path):
            self._open(metric, num_trials)

    def _open(self, metric: str, num_trials: int) -> None:
        path, space, lower_is_better = self.path, self.space, self.lower_is_better
        self._study = {
            "study_name": _NAME,
            "storage": _open_storage(path),
            "direction": "minimize" if lower_is_better else "maximize",
            "load_if_exists": True,
        }
        study = optuna.create_study(**self._study)
        before = study.user_attrs.get("metric", metric)
        if before != metric:
            raise ValueError(
                f"The trials in {path} were decided by {before}, and now it is {metric}: the two cannot be mixed. Leave "
                f"main_metric as it was, or choose another --output_dir."
            )
        study.set_user_attr("metric", metric)
        for unfinished in study.get_trials(states=[optuna.trial.TrialState.RUNNING]):
            study.tell(unfinished.number, state=optuna.trial.TrialState.FAIL)
        grid = space.grid()
        self._grid = grid if grid is not None and len(grid) <= num_trials else None
        finished = [result["settings"] for result in self.finished]
        missing = [settings for settings in self._grid or [] if settings not in finished]
        self.total = num_trials if self._grid is None else len(finished) + len(missing)

    @property
    def finished(self) -> list[dict[str, Any]]:
        """The results of the finished trials, with their "settings", in the order of training."""
        with _explained(self.path):
            study = optuna.load_study(study_name=_NAME, storage=self._study["storage"])
            trials = study.get_trials(states=[optuna.trial.TrialState.COMPLETE])
        return [trial.user_attrs["result"] for trial in trials]

    def run_next(self, run_trial: Callable[[dict[str, Any]], dict[str, Any]], args: TrainingArguments) -> None:
        """Run one more trial.

        Args:
            run_trial (callable): settings -> a JSON-ready dict, in which "value" decides; None counts as worst.
            args (`TrainingArguments`): Of this process.
        """

        def run(trial: optuna.Trial) -> dict[str, Any]:
            settings = self.space.suggest(trial)
            result = {"settings": settings, **run_trial(settings)}
            trial.set_user_attr("result", result)
            return result

        with _explained(self.path):
            TrialRunner(args, run).search(
                self.space.suggest, self._objective_value, n_trials=1, sampler=self._sampler(), **self._study
            )

    def best(self, results: Sequence[Mapping[str, Any]]) -> int:
        """Index of the best of several results; of equal ones, the first."""
        return min(range(len(results)), key=lambda index: self._rank(results[index]["value"]))

    def _objective_value(self, result: Mapping[str, Any]) -> float:
        # Optuna refuses NaN and would propose the same again; a student that learned nothing is a result, too.
        worst = math.inf if self.lower_is_better else -math.inf
        return worst if result["value"] is None else result["value"]

    def _rank(self, value: float | None) -> float:
        if value is None:
            return math.inf
        return value if self.lower_is_better else -value

    def _sampler(self) -> optuna.samplers.BaseSampler:
        finished = [result["settings"] for result in self.finished]
        if self._grid is not None:
            return _FixedSettings(self.space, next(settings for settings in self._grid if settings not in finished))
        # With constant_liar, interrupted trials would count, and the next settings would depend on them.
        return optuna.samplers.TPESampler(seed=self.seed + 1_000_003 * len(finished), constant_liar=False)


def _open_storage(path: Path) -> optuna.storages.RDBStorage:
    # Connected by the path itself: a URL would give "?", "%" and braces in the name of a folder a meaning.
    connect = partial(sqlite3.connect, path, timeout=60.0, check_same_thread=False)
    return optuna.storages.RDBStorage("sqlite:///study.db", engine_kwargs={"creator": connect})


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Raise the errors of Optuna's storage as an OSError that names the file and the way out."""
    try:
        yield
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError, AssertionError) as error:
        if isinstance(error, AssertionError) and "Should not reach" not in str(
            error
        ):  # of the storage: a failed write
            raise
        cause = error.__cause__ or error
        reason = str(getattr(cause, "orig", None) or cause).splitlines()[0]
        raise OSError(
            f"{path}, the file of the sweep's trials, cannot be read or written: {reason}. Free disk space if the disk is "
            f"full. If the file is damaged, restore a copy, or choose another --output_dir to start again; best.yaml and "
            f"sweep.json of finished trials stay as they are."
        ) from error


class _FixedSettings(optuna.samplers.BaseSampler):
    """Proposes one combination."""

    def __init__(self, space: Space, settings: Mapping[str, Any]):
        self._values = {name: space.domains[name].to_optuna(value) for name, value in settings.items()}

    def infer_relative_search_space(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> dict[str, Any]:
        """Nothing is proposed jointly."""
        return {}

    def sample_relative(
        self, study: optuna.Study, trial: optuna.trial.FrozenTrial, search_space: dict[str, Any]
    ) -> dict[str, Any]:
        """Nothing is proposed jointly."""
        return {}

    def sample_independent(
        self,
        study: optuna.Study,
        trial: optuna.trial.FrozenTrial,
        param_name: str,
        param_distribution: optuna.distributions.BaseDistribution,
    ) -> Any:
        """The value of the combination."""
        return self._values[param_name]
