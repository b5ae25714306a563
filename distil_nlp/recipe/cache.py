"""The teacher is asked once; every epoch, seed and later run reads what it said."""

from ..teachers import CachedTeacher, build_cache

# Settings of a recipe that make its rows what they are, beside the data itself and the tokenizer.
_PREPROCESSING = (
    "task", "max_length", "doc_stride", "mask_probability", "num_mask_copies", "num_augmented_copies",
    "augmentation_model", "max_train_samples", "hypothesis_template",
)  # fmt: skip


def cached_teacher(teacher, data, folder, *, form=None, features=(), tokenizer=None, device=None):
    """A teacher as a `CachedTeacher`, asked now where that has not happened yet.

    Args:
        teacher (`OnlineTeacher`): Whom to ask.
        data (`RecipeData`): Tokenised; asked about are all rows to learn from.
        folder (`str` or `Path`): Where the cache is or will be.
        form (`str`, *optional*): In which form logits are kept, see `build_cache`.
        features (`Iterable[str]`): Modules of the teacher that some stage listens to.
        tokenizer: Of the rows.
        device (`torch.device`): Where the teacher is asked.

    Raises:
        ValueError, OSError: See `build_cache`.
    """
    teacher.model.to(device)
    expect = build_cache(
        folder,
        teacher,
        data.transfer,
        data.collator,
        kept=form or data.task.kept,
        features=features,
        tokenizer=tokenizer,
        preprocessing={name: getattr(data.recipe, name) for name in _PREPROCESSING},
    )
    return CachedTeacher(folder, expect=expect)
