"""The cache of a recipe: the outputs of a teacher or an assistant, computed once and read by every epoch and seed."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import torch

from ..tasks.base import Task
from ..teachers import CachedTeacher, OnlineTeacher, SeparateInputs, Teacher, build_cache
from ..teachers.cache.formats import DENSE
from .arguments import RecipeArguments
from .context import CacheContents, as_ensemble
from .data import RecipeData
from .run_folder import teacher_name

# Settings that determine the rows of a recipe, in addition to the data itself and the tokenizer.
_PREPROCESSING = (
    "task", "max_length", "image_size", "doc_stride", "mask_probability", "num_mask_copies", "num_augmented_copies",
    "augmentation", "augmentation_model", "max_train_samples", "hypothesis_template",
)  # fmt: skip


class TeacherSource:
    """The teacher or an assistant, as a running model or as a cache of its outputs, for the model trained on it.

    Args:
        role (`str`): "teacher", or the name of an assistant.
        online (`Teacher`): The running model, or the ensemble of `members`.
        members (`list[Teacher]`): The running models.
        folder (`Path`): The folder of the cache. Several teachers have a folder each in it.
        contents (`CacheContents`): What the cache has to contain.
    """

    def __init__(self, role: str, online: Teacher, members: Sequence[Teacher], folder: Path, contents: CacheContents):
        self.role, self.online, self.members = role, online, members
        self.folder, self.contents = folder, contents
        self._cached: Teacher | None = None

    def cached(self, data: RecipeData, device: torch.device) -> Teacher:
        """The teacher that reads the cache, which is built at the first call if it is not complete.

        Args:
            data (`RecipeData`): Prepared; the cache contains the outputs for all rows to learn from.
            device (`torch.device`): Of the models while the cache is built.

        Raises:
            ValueError, OSError: See `build_cache`.
        """
        if self._cached is None:
            teachers = cached_teachers(self.members, data, self.folder, contents=self.contents, device=device)
            self._cached = as_ensemble(teachers, data.recipe)
        return self._cached


def cached_teachers(
    teachers: Sequence[Teacher], data: RecipeData, folder: Path, *, contents: CacheContents, device: torch.device
) -> list[CachedTeacher]:
    """Teachers that read caches, which are built where they are not complete.

    Args:
        teachers (`list` of `OnlineTeacher` or `SeparateInputs`): The running teachers.
        data (`RecipeData`): Prepared.
        folder (`Path`): Of the cache of a single teacher; several have a folder each in it, by their names.
        contents (`CacheContents`): What each cache has to contain.
        device (`torch.device`): Of the models while their caches are built.

    Raises:
        ValueError, OSError: See `build_cache`.
    """
    folders = [Path(folder) / teacher_name(index) for index in range(len(teachers))] if len(teachers) > 1 else [folder]
    return [
        _cached_teacher(teacher, data, path, contents, device) for teacher, path in zip(teachers, folders, strict=True)
    ]


def _cached_teacher(
    teacher: OnlineTeacher | SeparateInputs,
    data: RecipeData,
    folder: Path,
    contents: CacheContents,
    device: torch.device,
) -> CachedTeacher:
    for model in teacher.models:
        model.to(device)
    settings = data.recipe.flat()
    expect = build_cache(
        folder,
        _unmatched_copy(teacher),
        data.transfer,
        data.collator,
        storage=cache_format(data.recipe, data.task, contents.temperatures),
        features=contents.features,
        tokenizer=teacher.tokenizer,
        preprocessing={name: settings[name] for name in _PREPROCESSING},
    )
    return CachedTeacher(folder, expect=expect, architecture=teacher.architecture)


def cache_format(recipe: RecipeArguments, task: Task, temperatures: Iterable[float]) -> str | dict:
    """The format of a cache's logits, as `build_cache` takes it.

    Raises:
        ValueError: A format that stores parts of a distribution, and not exactly one temperature.
    """
    # Parts of several distributions cannot be averaged.
    kind = recipe.caching.cache_form or ("float32" if recipe.models.more_teachers else task.cache_format)
    if kind in DENSE:
        return kind
    temperatures = list(dict.fromkeys(temperatures))
    if len(temperatures) != 1:
        raise ValueError(
            f"A cache of format {kind} stores parts of a distribution at one temperature; the stages soften at "
            f"{temperatures}. Give them one temperature, or store all numbers with cache_form=float16, or set cache to "
            f"false."
        )
    number = {"sampled": "num_draws", "top_k": "k"}[kind]
    return {"kind": kind, number: recipe.caching.num_cached_targets, "temperature": temperatures[0]}


def _unmatched_copy(teacher: OnlineTeacher | SeparateInputs) -> OnlineTeacher | SeparateInputs:
    """The same teacher, not reconciled with any student: a cache stores the labels in the teacher's own order."""
    if isinstance(teacher, SeparateInputs):
        return SeparateInputs(_unmatched_copy(teacher.teacher), teacher.prefix)
    return OnlineTeacher(teacher.model, name=teacher.name, tokenizer=teacher.tokenizer)
