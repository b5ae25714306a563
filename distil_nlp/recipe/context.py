"""The state that the functions of one run share."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from accelerate import PartialState
from torch import nn

from ..internals.messages import printable, shown
from ..internals.secrets import hide_secrets
from ..teachers import Teacher, TeacherEnsemble
from ..training.arguments import DistillationTrainingArguments
from ..training.trainer import DistillationTrainer
from .arguments import RecipeArguments
from .assistants import Assistant
from .data import RecipeData
from .inputs import Inputs, inputs_of, remember, rows_as_inputs
from .run_folder import RunFolder
from .stages import Stage

# What `datasets` takes for a split in the name of a file or folder.
_SPLIT = re.compile(
    r"(?:^|[-._ 0-9/])(?:train(?:ing)?|val(?:id(?:ation)?)?|dev|test(?:ing)?|eval(?:uation)?)(?:[-._ 0-9/]|$)"
)


@dataclass(frozen=True)
class CacheContents:
    """What a cache has to contain for the stages that read it.

    Args:
        features (`list[str]`): Modules of the teacher that some stage reads.
        temperatures (`list[float]`): At which the stages soften the teacher; where parts of a distribution are stored,
            only one is possible.
    """

    features: list[str] = field(default_factory=list)
    temperatures: list[float] = field(default_factory=list)


@dataclass
class Teachers:
    """The teachers of a run.

    Args:
        members (`list[Teacher]`): Each teacher, the first one first.
        combined (`Teacher`): The only member, or the ensemble of all.
        reference_model (`nn.Module`): The model that gives a student its class, layers and labels: the first teacher, or
            for a zero-shot teacher its model with a head for the task.
    """

    members: Sequence[Teacher]
    combined: Teacher
    reference_model: nn.Module


def as_ensemble(teachers: Sequence[Teacher], recipe: RecipeArguments) -> Teacher:
    """The only teacher, or the ensemble of several with the weights of the recipe."""
    return TeacherEnsemble(teachers, weights=recipe.models.teacher_weights) if len(teachers) > 1 else teachers[0]


@dataclass
class RunContext:
    """The settings and the state of one run.

    Args:
        recipe (`RecipeArguments`), training (`DistillationTrainingArguments`): The parsed settings.
        overrides (`dict`): The settings that differ from their defaults; enough to repeat the run.
        command (`str`): The command line that repeats the run, for the report.
        folder (`RunFolder`): The output folder.
        stages (`list[Stage]`): The stages of every student's training.
        assistants (`list[Assistant]`): The models between teacher and student, the largest first.
        quiet (`bool`): Do not print which part of the run begins.
        configure_trainer (callable, *optional*): Called with every trainer before it trains.
        process (`PartialState`): This process among those of the run.
        data (`RecipeData`): Set by `load_data`.
        teachers (`Teachers`): Set by `prepare_teachers`.
        cache_contents (`dict[str, CacheContents]`): Role ("teacher", or the name of an assistant) to what its cache has to
            contain. Set by `prepare_teachers`.
    """

    recipe: RecipeArguments
    training: DistillationTrainingArguments
    overrides: dict[str, Any]
    command: str
    folder: RunFolder
    stages: list[Stage]
    assistants: list[Assistant]
    quiet: bool = False
    configure_trainer: Callable[[DistillationTrainer], object] | None = None
    process: PartialState = field(default_factory=PartialState)
    data: RecipeData = None
    teachers: Teachers = None
    cache_contents: dict[str, CacheContents] = field(default_factory=dict)

    @property
    def seeds(self) -> list[int]:
        """The seeds of the students and of their controls."""
        return [self.training.seed + offset for offset in range(self.recipe.report.seeds)]

    def check_folder(self) -> None:
        """Check that the output folder is free, or that its run had the same settings, data and models; see `RunFolder`."""
        self._check_place()
        remember(self.folder.recorded_inputs() or {})
        self.folder.check(self.overrides, self._inputs())

    def _check_place(self) -> None:
        """Raise ValueError where the files of the run would be read as a split of the data when it is continued."""
        data, cache = self.recipe.data.dataset_name, self.recipe.caching.teacher_cache
        if not data or not Path(data).is_dir():
            return
        root = Path(data).resolve()
        for name, given in (("output_dir", self.folder.path), ("teacher_cache", cache)):
            folder = Path(given or "/").resolve()
            if folder.is_relative_to(root) and _SPLIT.search(folder.relative_to(root).as_posix()):
                raise ValueError(
                    f"{name}={shown(str(given))} lies in the folder of the data set ({data}) and has the name of a split, "
                    f"so the files of the run would be read as data. Choose a folder outside of it."
                )

    def write_recipe(self) -> None:
        """Write settings and inputs into the output folder, after all checks; ValueError where an input has changed."""
        self.folder.write_recipe(
            self.overrides, self._inputs() | (rows_as_inputs(self.data.digests) if self.data else {})
        )

    def _inputs(self) -> Inputs:
        return inputs_of(self.recipe, exclude=self.folder.path)

    def announce(self, message: str) -> None:
        """Print which part of the run begins, in the first process."""
        if self.process.is_main_process and not self.quiet:
            print(printable(f"== {hide_secrets(message)}"), flush=True)
