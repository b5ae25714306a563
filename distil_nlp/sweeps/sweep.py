"""A sweep: the stages of a recipe once, then student after student with other settings, then the best of them."""

import gc
import shlex
import shutil
import time
from contextlib import contextmanager
from dataclasses import fields, replace

import yaml
from tqdm.auto import tqdm
from transformers import PrinterCallback

from ..internals.files import write_text
from ..metrics import display
from ..objectives.layers import LayerTerm
from ..recipe.arguments import SweepArguments
from ..recipe.cache import kept_form
from ..recipe.compare import stage_scores, teacher_scores
from ..recipe.parsing import parse_settings, without_alternatives
from ..recipe.run import Run
from ..reports.markdown import environment, plain
from ..teachers.cache.formats import DENSE
from ..training.arguments import NO_BLEND
from .report import settings_line, sweep_table, write_sweep
from .space import Space

_WISHES = [one.name for one in fields(SweepArguments)]
SPLIT = "validation"  # decides, and never the test set


class Sweep(Run):
    """All trials of a sweep. Data, teacher and what the teacher said are shared; a finished trial is not run again.

    Args:
        recipe, training, wishes, given: From `parse(argv, SweepArguments)`.
        command (`str`): What repeats it, for the report.
    """

    def __init__(self, recipe, training, wishes, given, *, command):
        super().__init__(recipe, training, given, command=command)
        if self.state.num_processes > 1:
            raise ValueError(
                f"A sweep runs in one process; got {self.state.num_processes}. Start it with `distil-nlp sweep`, and "
                f"the best.yaml that comes of it with accelerate."
            )
        if self.assistants:
            raise ValueError(
                f"A sweep has no assistants (got {', '.join(one.name for one in self.assistants)}): they learn as the "
                f"student does, so every trial would need its own. Distil the assistant first, and sweep with it as the "
                f"teacher."
            )
        self.wishes, self.space = wishes, Space(wishes.sweep)
        self.probes_teacher, self.tapped_layers = True, None

    def __call__(self):
        self.begin()
        trials = self._trials()
        self._say(f"sweep: {trials.total} trials of {', '.join(self.space.names)}, decided on {SPLIT}")
        self._try_all(trials)
        return self._finish_sweep(trials)

    def recipe_of(self, settings, folder):
        """The recipe of a trial as plain data: this one with the trial's settings, which put aside what they replace."""
        ours = {name: value for name, value in self.given.items() if name not in _WISHES}
        chosen = set(settings) - set(NO_BLEND)
        if settings.get("preset") == "logits":  # takes what the recipe says of temperature and kd_ratio
            chosen.remove("preset")
        ours = without_alternatives(ours, chosen)
        return {**ours, **settings, "output_dir": str(folder)}

    @property
    def keeps_logits(self):
        """Whether the teacher is asked once though nobody said so: where what is kept is all it said."""
        return (self.recipe.cache_form or self.data.task.cache_format) in DENSE

    # ---- Before the first trial ----

    def _check_student(self, teacher, stand_in):
        """Every student that the sweep may build is built, and every value tried on two examples, once."""
        self.data.compared_on = SPLIT
        self.data.check()
        if self.tapped_layers is not None:  # before the teacher was fine-tuned
            return
        found, temperatures = [], []  # modules of the teacher, and how it is softened: what the one cache has to serve
        for settings in self.space.samples():
            try:
                trial = Trial(self, settings, "check")
                trial._check_student(teacher, stand_in)
            except ValueError as error:
                raise ValueError(f"A trial with {settings_line(settings)} cannot be: {error}") from error
            found += trial.tapped_layers["teacher"]
            temperatures += trial.temperatures
        self.tapped_layers = {"teacher": list(dict.fromkeys(found))}
        self.temperatures = list(dict.fromkeys(temperatures))
        if self.recipe.cache:
            kept_form(self.recipe, self.data.task, self.temperatures)

    def _trials(self):
        from .trials import Trials  # imports Optuna

        metric = self.data.evaluator().main
        return Trials(
            self.folder.path / "study.db",
            self.space,
            metric=metric,
            lower_is_better=display(metric).lower_is_better,
            seed=self.training.seed,
            num_trials=self.wishes.num_trials,
        )

    # ---- Trials ----

    def _try_all(self, trials):
        results = trials.finished
        bar = {"desc": "Sweep", "unit": "trial", "disable": self.training.disable_tqdm}
        with _imports_set_aside(), tqdm(total=trials.total, initial=len(results), **bar) as progress:
            while len(results) < trials.total:
                trials.run_next(lambda settings: self._try(settings, trials.finished), self.training)
                results = trials.finished
                place = trials.best(results)
                self._clear(place + 1)
                tqdm.write(f"trial {len(results)}: {self._in_words(results[-1])}")
                progress.set_postfix_str(f"best: trial {place + 1}")
                progress.update()

    def _try(self, settings, before):
        for place, earlier in enumerate(before):
            if earlier["settings"] == settings:
                return {**earlier, "seconds": 0.0, "repeats": earlier.get("repeats", place + 1)}
        return Trial(self, settings, self._folder_of(len(before) + 1))()

    def _folder_of(self, number):
        return self.folder.path / "trials" / str(number)

    def _clear(self, best):
        """The best student so far stays, and what somebody has run on to a report; the others would fill the disk."""
        for folder in (self.folder.path / "trials").glob("*"):
            if folder != self._folder_of(best) and not (folder / "report.json").is_file():
                shutil.rmtree(folder)

    def _in_words(self, result):
        metric = self.data.evaluator().main
        figure = display(metric).number(result["value"])
        return f"{display(metric).short} {figure}, {settings_line(result['settings'])}"

    # ---- The end ----

    def _finish_sweep(self, trials):
        results = trials.finished
        place = trials.best(results)
        self._clear(place + 1)
        self._say(f"best: trial {place + 1}, {self._in_words(results[place])}")
        winner = Trial(self, results[place]["settings"], self._folder_of(place + 1))
        control = winner.with_control()
        for fine_tuned in self.folder.path.glob("teacher*"):
            if self.folder.finished(fine_tuned.name):
                self._share(fine_tuned.name, winner)
        if winner.reads_the_same_cache():
            self._share("teacher_cache", winner)
        else:
            winner.given.pop("teacher_cache", None)
        best = self.folder.path / "best.yaml"
        header = f"# Trial {place + 1}, the best of {len(results)} on {SPLIT}: {self._in_words(results[place])}.\n"
        write_text(best, header + yaml.safe_dump(winner.given, sort_keys=False))
        found = {
            "best": place + 1,
            "control": control,
            "teacher": {"name": self.teacher.name, **teacher_scores(winner)},
        }
        report = plain(self._report(results, found, f"distil-nlp run {shlex.quote(str(best))}"))
        write_sweep(self.folder.path, report)
        print(f"\n{sweep_table(report)}\n\nReport: {self.folder.path / 'sweep.md'}")
        print(f"The figure of the best was chosen on {SPLIT}, so it flatters. What it is worth, beside its control:")
        print(f"  {report['next_command']}")
        return report

    def _share(self, name, winner):
        """Let the run of the winner find what was paid for here."""
        there = winner.folder.path / name
        if (self.folder.path / name).is_dir() and not there.exists():
            try:
                there.symlink_to(f"../../{name}", target_is_directory=True)
            except OSError:  # a file system without links
                shutil.copytree(self.folder.path / name, there)

    def _report(self, results, found, next_command):
        evaluator = self.data.evaluator()
        return {
            "task": self.data.task.name,
            "metric": evaluator.main,
            "decided_on": SPLIT,
            "num_examples": evaluator.num_examples,
            "space": self.wishes.sweep,
            "seed": self.training.seed,
            "trials": [{"number": number, **result} for number, result in enumerate(results, 1)],
            **found,
            "environment": environment(),
            "command": self.command,
            "next_command": next_command,
        }


@contextmanager
def _imports_set_aside():
    """Every training collects garbage, and looks at all that was imported: a second a trial for nothing."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


class Trial(Run):
    """A run of a recipe up to its student, with the sweep's data and teacher, in silence.

    Args:
        sweep (`Sweep`): Whose trial it is.
        settings (`dict`): What it tries.
        folder (`Path`): Where its stages go.
    """

    def __init__(self, sweep, settings, folder):
        recipe, training, given = parse_settings(sweep.recipe_of(settings, folder))
        super().__init__(recipe, training, given, command=sweep.command)
        self.training = replace(self.training, disable_tqdm=True)
        self.sweep = sweep
        self.data, self.reference_model = sweep.data, sweep.reference_model
        self.processor, self.own_processors = sweep.processor, sweep.own_processors
        terms = [term for stage in self.stages for term in self._objective(stage).terms]
        in_layers = any(isinstance(term, LayerTerm) for term in terms)
        if sweep.keeps_logits and not in_layers and not recipe.cache:  # layers take room: that is for the user to say
            self.recipe, self.given = replace(recipe, cache=True), {**given, "cache": True}

    @property
    def teacher(self):
        return self.sweep.teacher

    @property
    def teachers(self):
        return self.sweep.teachers

    @property
    def current_teacher(self):
        return self.sweep.current_teacher

    def cached(self):
        return self.sweep.cached()

    def __call__(self):
        began = time.perf_counter()
        self._claim()
        self._train_student(self.seeds[0])
        names = [f"student.{stage.name}" for stage in self.stages[:-1]] + ["student"]
        result = stage_scores(self, "student")
        return plain(
            {
                "value": result["metrics"][self.data.evaluator().main],
                **result,
                "steps": sum(self.folder.facts(name)["steps"] for name in names),
                "training_seconds": sum(self.folder.facts(name)["seconds"] for name in names),
                "seconds": time.perf_counter() - began,
            }
        )

    def with_control(self):
        """Have the student, where it is not there any more, and the control beside it; what the control scores."""
        self._claim()
        self._train_student(self.seeds[0])
        if not self.recipe.control:
            return None
        self.sweep._say("control: the same student without the teacher")
        self._train_control(self.seeds[0])
        return {**stage_scores(self, "control"), "steps": self.folder.facts("control")["steps"]}

    def reads_the_same_cache(self):
        """Whether a run of its recipe would keep what the sweep kept, no more and no less."""
        self._check_student(self.reference_model, self.teacher)
        return self.recipe.cache and self.tapped_layers == self.sweep.tapped_layers

    def _claim(self):
        try:
            self.folder.check(self.given)
        except ValueError:  # an earlier sweep was cut off while it was here, with other settings
            shutil.rmtree(self.folder.path)
        self.folder.claim(self.given)

    def _trainer(self, *given):
        trainer = super()._trainer(*given)
        trainer.remove_callback(PrinterCallback)
        trainer.probes_teacher = self.sweep.probes_teacher
        if trainer.teacher is not None:
            self.sweep.probes_teacher = False
        return trainer

    def _say(self, what):
        pass
