"""The memory of a sweep: what was tried, what came of it, what to try next. Needs Optuna."""

import math

import optuna

from ..training.hyperparameter_search import TrialRunner

_NAME = "sweep"


class Trials:
    """The trials of a sweep in a file, by Optuna.

    What comes next depends on the finished trials and the seed alone, so a sweep that was cut off goes on as if it had
    not been: the trial that was under way is proposed again.

    Args:
        path (`Path`): The file (sqlite); made when missing.
        space (`Space`): What to try.
        metric (`str`): What decides.
        lower_is_better (`bool`): Of the metric.
        seed (`int`): Of what is tried.
        num_trials (`int`): How many; fewer where there are fewer combinations.

    Raises:
        ValueError: The file holds trials that were decided by another metric.
    """

    def __init__(self, path, space, *, metric, lower_is_better, seed, num_trials):
        optuna.logging.set_verbosity(optuna.logging.ERROR)  # it would tell of every trial, and of Ctrl-C at length
        self.space, self.seed, self.lower_is_better = space, seed, lower_is_better
        self._study = {
            "study_name": _NAME,
            "storage": optuna.storages.RDBStorage(f"sqlite:///{path}"),
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
        for cut_off in study.get_trials(states=[optuna.trial.TrialState.RUNNING]):
            study.tell(cut_off.number, state=optuna.trial.TrialState.FAIL)
        grid = space.grid()
        self._grid = grid if grid is not None and len(grid) <= num_trials else None
        tried = [one["settings"] for one in self.finished]
        missing = [one for one in self._grid or [] if one not in tried]
        self.total = num_trials if self._grid is None else len(tried) + len(missing)

    @property
    def finished(self):
        """What `run_next` was given, a list of dict with "settings" in the order of training."""
        study = optuna.load_study(study_name=_NAME, storage=self._study["storage"])
        trials = study.get_trials(states=[optuna.trial.TrialState.COMPLETE])
        return [trial.user_attrs["result"] for trial in trials]

    def run_next(self, run_trial, args):
        """One more trial.

        Args:
            run_trial (callable): settings -> a JSON-ready dict, of which "value" decides; None counts as worst.
            args (`TrainingArguments`): Of this process.
        """

        def run(trial):
            settings = self.space.suggest(trial)
            result = {"settings": settings, **run_trial(settings)}
            trial.set_user_attr("result", result)
            return result

        TrialRunner(args, run).search(
            self.space.suggest, self._decides, n_trials=1, sampler=self._sampler(), **self._study
        )

    def best(self, results):
        """Place of the best among results of `run_next`; the earliest of equals."""
        return min(range(len(results)), key=lambda place: self._rank(results[place]["value"]))

    def _decides(self, result):
        # Optuna refuses NaN and would try the same again; a student that learned nothing is an answer, too.
        worst = math.inf if self.lower_is_better else -math.inf
        return worst if result["value"] is None else result["value"]

    def _rank(self, value):
        if value is None:
            return math.inf
        return value if self.lower_is_better else -value

    def _sampler(self):
        finished = [one["settings"] for one in self.finished]
        if self._grid is not None:
            return _Given(self.space, next(one for one in self._grid if one not in finished))
        # With constant_liar, trials that were cut off would count, and the next ones depend on them.
        return optuna.samplers.TPESampler(seed=self.seed + 1_000_003 * len(finished), constant_liar=False)


class _Given(optuna.samplers.BaseSampler):
    """Proposes one combination."""

    def __init__(self, space, settings):
        self._words = {name: space.domains[name].word(value) for name, value in settings.items()}

    def infer_relative_search_space(self, study, trial):
        return {}

    def sample_relative(self, study, trial, search_space):
        return {}

    def sample_independent(self, study, trial, param_name, param_distribution):
        return self._words[param_name]
