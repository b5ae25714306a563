"""The teacher is asked once; every epoch, seed and later run reads what it said."""

from pathlib import Path

from ..teachers import CachedTeacher, OnlineTeacher, SeparateInputs, build_cache
from ..teachers.cache.formats import DENSE
from .teachers import teacher_stage

# Settings of a recipe that make its rows what they are, beside the data itself and the tokenizer.
_PREPROCESSING = (
    "task", "max_length", "image_size", "doc_stride", "mask_probability", "num_mask_copies", "num_augmented_copies",
    "augmentation", "augmentation_model", "max_train_samples", "hypothesis_template",
)  # fmt: skip


def cached_teachers(teachers, data, folder, **settings):
    """Teachers as `CachedTeacher`s: a single one in `folder`, several each in a folder of its stage's name in it.

    Args:
        teachers (`list`), data, folder, settings: See `cached_teacher`.
    """
    folders = (
        [Path(folder) / teacher_stage(place) for place in range(len(teachers))] if len(teachers) > 1 else [folder]
    )
    return [cached_teacher(one, data, place, **settings) for one, place in zip(teachers, folders, strict=True)]


def cached_teacher(teacher, data, folder, *, temperatures=(), features=(), device=None):
    """A teacher as a `CachedTeacher`, asked now where that has not happened yet.

    Args:
        teacher (`OnlineTeacher` or `SeparateInputs`): Whom to ask.
        data (`RecipeData`): Tokenized; asked about are all rows to learn from.
        folder (`str` or `Path`): Where the cache is or will be.
        temperatures (`Iterable[float]`): At which the stages soften the teacher; where parts of a distribution are kept,
            there can be one only.
        features (`Iterable[str]`): Modules of the teacher that some stage listens to.
        device (`torch.device`): Where the teacher is asked.

    Raises:
        ValueError, OSError: See `build_cache`.
    """
    for model in teacher.models:
        model.to(device)
    expect = build_cache(
        folder,
        _afresh(teacher),
        data.transfer,
        data.collator,
        storage=kept_form(data.recipe, data.task, list(dict.fromkeys(temperatures))),
        features=features,
        tokenizer=teacher.tokenizer,
        preprocessing={name: getattr(data.recipe, name) for name in _PREPROCESSING},
    )
    return CachedTeacher(folder, expect=expect, architecture=teacher.architecture)


def kept_form(recipe, task, temperatures):
    """In which form logits are kept, as `build_cache` reads it; ValueError where there is none for these temperatures."""
    # Parts of several distributions cannot be averaged.
    kind = recipe.cache_form or ("float32" if recipe.more_teachers else task.cache_format)
    if kind in DENSE:
        return kind
    if len(temperatures) != 1:
        raise ValueError(
            f"A cache keeps parts of a distribution at one temperature, and the stages soften at {temperatures}. Give them "
            f"one temperature, or keep all numbers with cache_form=float16, or leave the cache out."
        )
    number = {"sampled": "num_draws", "top_k": "k"}[kind]
    return {"kind": kind, number: recipe.num_cached_targets, "temperature": temperatures[0]}


def _afresh(teacher):
    """The same teacher, matched with nobody: a cache keeps its labels in its own order."""
    if isinstance(teacher, SeparateInputs):
        return SeparateInputs(_afresh(teacher.teacher), teacher.prefix)
    return OnlineTeacher(teacher.model, name=teacher.name, tokenizer=teacher.tokenizer)
