"""A run of a recipe: its parts in order. Finished models are not trained again, an interrupted training resumes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import datasets
from transformers.utils import logging as transformers_logging

from ..internals.launcher import stop_with_launcher
from ..internals.memory import keep_freed_memory
from ..reports import Report
from ..training.arguments import DistillationTrainingArguments
from .arguments import RecipeArguments
from .assistants import assistants_of
from .cache import TeacherSource
from .checks import check_training
from .compare import compare_models
from .context import RunContext
from .data import RecipeData
from .publish import publish
from .run_folder import RunFolder
from .stages import stages_of
from .students import train_assistants, train_control, train_student
from .teachers import Check, prepare_teachers, write_pseudo_labels


def run_recipe(context: RunContext) -> Report | None:
    """Run a recipe: data, teachers, assistants, students, controls, comparison, model card.

    Args:
        context (`RunContext`): From `new_context`.

    Returns:
        `Report`, or None in processes other than the first.

    Raises:
        FolderInUseError: Another run writes to the output folder.
    """
    with context.folder.claimed():
        return _run(context)


def _run(context: RunContext) -> Report | None:
    teacher = prepare(context)
    source = train_assistants(context, teacher)
    for seed in context.seeds:
        train_student(context, source, seed)
    if context.recipe.report.control:
        for seed in context.seeds:
            train_control(context, seed)
    context.process.wait_for_everyone()
    if not context.process.is_main_process:
        return None
    context.announce("compare")
    report = compare_models(context)
    publish(context, report)
    return report


def new_context(
    recipe: RecipeArguments,
    training: DistillationTrainingArguments,
    overrides: Mapping[str, Any],
    *,
    command: str,
) -> RunContext:
    """The context of a run before its data are loaded.

    It sets the progress bars and the memory allocator of the process, which ends with its launcher from now on.

    Args:
        recipe (`RecipeArguments`), training (`DistillationTrainingArguments`), overrides (`dict`): From `parse`.
        command (`str`): The command line that repeats the run, for the report.

    Raises:
        ValueError: Stages or assistants that are malformed or contradict other settings.
    """
    stop_with_launcher()
    if training.device.type == "cpu":
        keep_freed_memory()
    transformers_logging.disable_progress_bar()  # one bar for each file that is read would hide the others
    if training.disable_tqdm:
        datasets.disable_progress_bars()
    return RunContext(
        recipe=recipe,
        training=training,
        overrides=dict(overrides),
        command=command,
        folder=RunFolder(training.output_dir),
        stages=stages_of(recipe, training),
        assistants=assistants_of(recipe),
    )


def prepare(context: RunContext, *, check: Check = check_training) -> TeacherSource:
    """Load the data and the teachers, which everything else needs, and run every check before a teacher is fine-tuned.

    Call it, and everything after it, within `context.folder.claimed()`.

    Args:
        context (`RunContext`): From `new_context`.
        check (callable): See `prepare_teachers`.

    Returns:
        `TeacherSource`: The teacher of the first assistant or of the student.

    Raises:
        ValueError: The folder contains another run; models, data and settings that do not fit each other.
        OSError: A file or a model that cannot be loaded.
    """
    context.check_folder()
    load_data(context)
    prepare_teachers(context, check=check)
    write_pseudo_labels(context)
    teachers, shared_cache = context.teachers, context.recipe.caching.teacher_cache
    cache_folder = Path(shared_cache or context.folder.path / "teacher_cache")
    contents = context.cache_contents["teacher"]
    return TeacherSource("teacher", teachers.combined, teachers.members, cache_folder, contents)


def load_data(context: RunContext) -> None:
    """Load the splits and the files of the stages, and set `context.data`."""
    context.announce("data")
    with context.process.main_process_first():
        files = [stage.data for stage in context.stages if stage.data]
        context.data = RecipeData(context.recipe, files=files)
