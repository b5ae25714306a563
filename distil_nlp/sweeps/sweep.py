"""A sweep: the data and the teachers of a recipe once, then student after student with other settings, then the best."""

import gc
import logging
import os
import shlex
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from tqdm.auto import tqdm
from transformers import PrinterCallback

from ..internals.files import write_text
from ..internals.messages import listed, printable
from ..internals.secrets import hide_secrets
from ..metrics import display
from ..objectives.layers import LayerTerm
from ..recipe.arguments import SweepArguments
from ..recipe.cache import TeacherSource, cache_format
from ..recipe.checks import check_data, check_training, use_preset_for_large_gap
from ..recipe.compare import stage_scores, teacher_scores
from ..recipe.context import CacheContents, RunContext, Teachers
from ..recipe.parsing import parse_settings, without_alternatives
from ..recipe.run import prepare
from ..recipe.run_folder import RunFolder
from ..recipe.stages import stages_of
from ..recipe.students import stage_objective, student_parts, train_control, train_student
from ..reports.report import environment, plain
from ..signals.finite import DivergenceError
from ..teachers.cache.formats import DENSE
from ..training.arguments import NO_BLEND
from ..training.trainer import DistillationTrainer
from .report import settings_line, sweep_table, write_sweep
from .space import Space

if TYPE_CHECKING:
    from .trials import Trials

logger = logging.getLogger(__name__)

_SWEEP_SETTINGS = [setting.name for setting in fields(SweepArguments)]
SPLIT = "validation"  # decides; never the test set


def run_sweep(context: RunContext, arguments: SweepArguments) -> dict[str, Any]:
    """Train the students of a sweep, and write the table, the report and the recipe of the best.

    Args:
        context (`RunContext`): From `new_context`.
        arguments (`SweepArguments`): The search space and the number of trials.

    Returns:
        `dict`: The content of sweep.json.

    Raises:
        ImportError: Optuna is not installed.
        ValueError: Settings with which a student cannot be trained; raised before anything is trained.
    """
    sweep = Sweep(context, arguments)
    with context.folder.claimed():
        source = prepare(context, check=sweep.check)
        trials = sweep.open_trials()
        context.announce(f"sweep: {trials.total} trials of {', '.join(sweep.space.names)}, decided on {SPLIT}")
        sweep.run_trials(trials, source)
        return sweep.finish(trials, source)


class Sweep:
    """The trials of a sweep. They share data, teachers and cache; a finished trial is not trained again.

    Args:
        context (`RunContext`): Of the recipe; a trial has a context of its own, with its settings and its folder.
        arguments (`SweepArguments`): The search space and the number of trials.

    Raises:
        ValueError: Several processes; assistants; a malformed search space.
    """

    def __init__(self, context: RunContext, arguments: SweepArguments):
        if context.process.num_processes > 1:
            raise ValueError(
                f"A sweep runs in one process; got {context.process.num_processes}. Start it with `distil-nlp sweep`, and "
                f"the best.yaml that it writes with accelerate."
            )
        if context.assistants:
            raise ValueError(
                f"A sweep has no assistants (got {listed(assistant.name for assistant in context.assistants)}): they "
                f"are trained like the student, so every trial would need its own. Distill the assistant first, and "
                f"sweep with it as the teacher."
            )
        self.context, self.arguments, self.space = context, arguments, Space(arguments.sweep)
        self._probe_teacher = True  # in the first training with a teacher only

    # ---- Before the first trial ----

    def check(self, context: RunContext, teachers: Teachers) -> dict[str, CacheContents]:
        """Build every student that the sweep may train, and try every value on two examples.

        Args:
            context (`RunContext`): Of the sweep, with prepared data.
            teachers (`Teachers`): Trained, or with random heads.

        Returns:
            `dict[str, CacheContents]`: What the cache has to contain for all trials.

        Raises:
            ValueError: A setting with which a student cannot be trained.
        """
        context.data.compared_on = SPLIT
        check_data(context.recipe, context.data)
        if context.cache_contents:  # everything was tried before the teacher was fine-tuned
            return context.cache_contents
        features, temperatures = [], []
        for settings in self.space.samples():
            try:
                contents = check_training(self.trial_context(settings, "check", teachers), teachers)["teacher"]
            except ValueError as error:
                raise ValueError(f"A trial with {settings_line(settings)} cannot be trained: {error}") from error
            features += contents.features
            temperatures += contents.temperatures
        contents = CacheContents(list(dict.fromkeys(features)), list(dict.fromkeys(temperatures)))
        if context.recipe.caching.cache:
            cache_format(context.recipe, context.data.task, contents.temperatures)
        return {"teacher": contents}

    def open_trials(self) -> "Trials":
        """The finished trials in the folder, and what to try next."""
        from .trials import Trials  # imports Optuna

        metric = self.context.data.evaluator().main
        trials = Trials(
            self.context.folder.path / "study.db",
            self.space,
            metric=metric,
            lower_is_better=display(metric).lower_is_better,
            seed=self.context.training.seed,
            num_trials=self.arguments.num_trials,
        )
        self._check_folders(range(len(trials.finished) + 1, trials.total + 1))
        return trials

    def _check_folders(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            folder = RunFolder(self._folder_of(number))
            if folder.path.exists() and not folder.has_recipe and not folder.is_empty:
                raise ValueError(
                    f"{folder.path} is not a trial of this sweep, and trial {number} is written there. Move it elsewhere."
                )

    # ---- Trials ----

    def trial_context(self, settings: Mapping[str, Any], folder: str | Path, teachers: Teachers) -> RunContext:
        """The context of a trial: settings, stages and folder as a run of it would have them, data and teachers shared."""
        recipe, training, overrides = parse_settings(self._recipe_of(settings, folder))
        trial = replace(
            self.context,
            recipe=recipe,
            training=replace(training, disable_tqdm=True),
            overrides=overrides,
            folder=RunFolder(training.output_dir),
            stages=stages_of(recipe, training),
            quiet=True,
            configure_trainer=self._configure_trainer,
        )
        use_preset_for_large_gap(trial, teachers)
        terms = [term for stage in trial.stages for term in stage_objective(trial, stage).terms]
        reads_layers = any(isinstance(term, LayerTerm) for term in terms)
        # All logits are cached for the trials where the recipe does not. Layers take space: they are cached on request.
        form = self.context.recipe.caching.cache_form or self.context.data.task.cache_format
        is_cacheable = form in DENSE and not reads_layers and not recipe.draws_in_every_epoch
        if is_cacheable and not recipe.caching.cache:
            trial.recipe = replace(recipe, caching=replace(recipe.caching, cache=True))
            trial.overrides = {**overrides, "cache": True}
        return trial

    def _recipe_of(self, settings: Mapping[str, Any], folder: str | Path) -> dict[str, Any]:
        """The recipe of a trial as plain data: that of the sweep with the trial's settings in the place of others."""
        recipe = {name: value for name, value in self.context.overrides.items() if name not in _SWEEP_SETTINGS}
        chosen = set(settings) - set(NO_BLEND)
        if settings.get("preset") == "logits":  # it takes temperature and kd_ratio of the recipe
            chosen.remove("preset")
        return {**without_alternatives(recipe, chosen), **settings, "output_dir": str(folder)}

    def _configure_trainer(self, trainer: DistillationTrainer) -> None:
        """No printed log, and a probe of the teacher in the first training only."""
        trainer.remove_callback(PrinterCallback)
        trainer.probes_teacher = self._probe_teacher
        if trainer.teacher is not None:
            self._probe_teacher = False

    def run_trials(self, trials: "Trials", source: TeacherSource) -> None:
        """Train the students of all trials that are not finished, and keep the best.

        Args:
            trials (`Trials`): From `open_trials`.
            source (`TeacherSource`): The teacher.
        """
        results = trials.finished
        bar = {"desc": "Sweep", "unit": "trial", "disable": self.context.training.disable_tqdm}
        with _imports_not_collected(), tqdm(total=trials.total, initial=len(results), **bar) as progress:
            while len(results) < trials.total:
                trials.run_next(
                    lambda settings: self._run_trial(settings, trials.finished, source), self.context.training
                )
                results = trials.finished
                best = trials.best(results)
                self._clear(best + 1, len(results))
                tqdm.write(f"trial {len(results)}: {self._result_line(results[-1])}")
                progress.set_postfix_str(f"best: trial {best + 1}")
                progress.update()

    def _run_trial(
        self, settings: dict[str, Any], earlier: Sequence[dict[str, Any]], source: TeacherSource
    ) -> dict[str, Any]:
        """Train the student of a trial, or repeat the result of an earlier trial with the same settings."""
        for index, result in enumerate(earlier):
            if result["settings"] == settings:
                return {**result, "seconds": 0.0, "repeats": result.get("repeats", index + 1)}
        trial = self.trial_context(settings, self._folder_of(len(earlier) + 1), self.context.teachers)
        began = time.perf_counter()
        try:
            with trial.folder.claimed():
                _write_trial_recipe(trial)
                train_student(trial, source, trial.seeds[0])
            scores = stage_scores(trial, "student")
        except DivergenceError as error:  # the worst result, and no reason to lose the other trials
            logger.warning("The trial with %s has no result. %s", settings_line(settings), error)
            return {"value": None, "metrics": {}, "diverged": str(error), "seconds": time.perf_counter() - began}
        records = [trial.folder.training_record(name) for name in student_parts(trial, trial.seeds[0])]
        return plain(
            {
                "value": scores["metrics"][trial.data.evaluator().main],
                **scores,
                "steps": sum(record["steps"] for record in records),
                "training_seconds": sum(record["seconds"] for record in records),
                "seconds": time.perf_counter() - began,
            }
        )

    def _folder_of(self, number: int) -> Path:
        return self.context.folder.path / "trials" / str(number)

    def _clear(self, best: int, num_trials: int) -> None:
        """Delete the students of the trials except the best and finished runs: all students would fill the disk."""
        for number in range(1, num_trials + 1):
            trial = RunFolder(self._folder_of(number))
            if number != best and not trial.has_report:
                trial.discard()

    def _result_line(self, result: Mapping[str, Any]) -> str:
        metric = self.context.data.evaluator().main
        figure = display(metric).number(result["value"])
        return f"{display(metric).short} {figure}, {settings_line(result['settings'])}"

    # ---- The end ----

    def finish(self, trials: "Trials", source: TeacherSource) -> dict[str, Any]:
        """Train the control of the best student, write best.yaml, the table and the report.

        Args:
            trials (`Trials`): All finished.
            source (`TeacherSource`): The teacher.

        Returns:
            `dict`: The content of sweep.json.
        """
        context, results = self.context, trials.finished
        index = trials.best(results)
        if "diverged" in results[index]:
            raise DivergenceError(
                f"None of {len(results)} trials has a result. Of the first: {results[0]['diverged']}"
            )
        self._clear(index + 1, len(results))
        context.announce(f"best: trial {index + 1}, {self._result_line(results[index])}")
        best = self.trial_context(results[index]["settings"], self._folder_of(index + 1), context.teachers)
        control = self._train_control(best, source)
        for teacher in context.folder.path.glob("teacher*"):
            if context.folder.finished(teacher.name):
                self._share(teacher.name, best)
        if _reads_same_cache(best, context.cache_contents):
            self._share("teacher_cache", best)
        else:
            best.overrides.pop("teacher_cache", None)
        file = context.folder.path / "best.yaml"
        line = self._result_line(results[index])
        header = f"# Trial {index + 1}, the best of {len(results)} on {SPLIT}: {line}.\n"
        write_text(file, header + yaml.safe_dump(hide_secrets(best.overrides), sort_keys=False))
        teacher = {"name": context.teachers.combined.name, **teacher_scores(best)}
        report = {
            **self._summary(results),
            "best": index + 1,
            "control": control,
            "teacher": teacher,
            "environment": environment(),
            "command": context.command,
            "next_command": f"distil-nlp run {shlex.quote(str(file))}",
        }
        report = plain(report)
        write_sweep(context.folder.path, report)
        print(f"\n{sweep_table(report)}\n\nReport: {printable(context.folder.path / 'sweep.md')}")
        print(f"The figure of the best was chosen on {SPLIT}, so it flatters. To compare it with its control:")
        print(f"  {printable(report['next_command'])}")
        return report

    def _train_control(self, best: RunContext, source: TeacherSource) -> dict[str, Any] | None:
        """Train the best student, if its folder is gone, and its control; the scores of the control."""
        with best.folder.claimed():
            _write_trial_recipe(best)
            train_student(best, source, best.seeds[0])
            if not best.recipe.report.control:
                return None
            self.context.announce("control: the same student without the teacher")
            train_control(best, best.seeds[0])
        return {**stage_scores(best, "control"), "steps": best.folder.training_record("control")["steps"]}

    def _share(self, name: str, best: RunContext) -> None:
        """Link a folder of the sweep into the folder of the best trial, so that its run does not repeat the work."""
        link = best.folder.path / name
        if (self.context.folder.path / name).is_dir() and not link.exists():
            try:
                target = os.path.relpath((self.context.folder.path / name).resolve(), best.folder.path.resolve())
                link.symlink_to(target, target_is_directory=True)  # "../../name" where `trials` is no link
            except OSError:  # a file system without links
                shutil.copytree(self.context.folder.path / name, link)

    def _summary(self, results: Sequence[dict[str, Any]]) -> dict[str, Any]:
        evaluator = self.context.data.evaluator()
        return {
            "task": self.context.data.task.name,
            "metric": evaluator.main,
            "decided_on": SPLIT,
            "num_examples": evaluator.num_examples,
            "space": self.arguments.sweep,
            "seed": self.context.training.seed,
            "trials": [{"number": number, **result} for number, result in enumerate(results, 1)],
        }


def _write_trial_recipe(trial: RunContext) -> None:
    """Write the trial's recipe.yaml; delete the trial first if an interrupted sweep left it with other settings.

    Raises:
        ValueError: The folder contains other files than those of an unfinished trial.
    """
    try:
        trial.check_folder()
    except ValueError:
        if trial.folder.has_report:
            raise
        trial.folder.delete()
        trial.check_folder()
    trial.write_recipe()


def _reads_same_cache(trial: RunContext, cache_contents: Mapping[str, CacheContents]) -> bool:
    """Whether a run of the trial's recipe would cache exactly the outputs that the sweep has cached."""
    contents = check_training(trial, trial.teachers)["teacher"]
    return trial.recipe.caching.cache and contents.features == cache_contents["teacher"].features


@contextmanager
def _imports_not_collected() -> Iterator[None]:
    """Exclude the objects of imported modules from garbage collection, which every training starts: a second less.

    Nothing changes if the process has frozen objects itself: `gc.unfreeze` would release those as well.
    """
    if gc.get_freeze_count() > 0:
        yield
        return
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
