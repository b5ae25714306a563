"""Load the teachers of a recipe and fine-tune those without a trained head."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from torch import nn
from transformers import set_seed

from ..hub.redaction import public_name
from ..models.loading import load_model, load_trained_model
from ..teachers import OnlineTeacher, SeparateInputs, Teacher, ZeroShotClassifier
from ..training.arguments import NO_BLEND
from .callbacks import StopAtEpoch
from .checks import check_data, check_teacher_stop, check_zero_shot
from .context import CacheContents, RunContext, Teachers, as_ensemble
from .data import separate_prefix
from .run_folder import teacher_name
from .training import save_model, train_model

Check = Callable[[RunContext, Teachers], dict[str, CacheContents]]


def prepare_teachers(context: RunContext, *, check: Check) -> None:
    """Load the teachers, and set `context.teachers` and `context.cache_contents`.

    Errors of all later parts of the run are raised here, before a teacher is fine-tuned.

    Args:
        context (`RunContext`): With data.
        check (callable): Raises a ValueError where a student cannot be trained; returns what the caches have to contain.
            Called before the first teacher is fine-tuned, with its untrained head, and again with the trained one.

    Raises:
        ValueError: Models, data and settings that do not fit each other.
        OSError: A model that cannot be loaded.
    """
    context.announce("teacher")
    data, models = context.data, context.recipe.models
    finished = context.folder.finished("teacher")
    data.load_processors(finished or models.teacher)
    model, missing = _load(context, models.teacher, finished)
    if models.hypothesis_template is not None:
        check_zero_shot(context.recipe, data.task, missing)
        check_teacher_stop(context.recipe, is_trained=False)
        reference_model = _with_new_head(context, models.teacher)
        model = ZeroShotClassifier(
            model, data.processor, data.task.label_names, template=models.hypothesis_template
        ).eval()
    else:
        trained_here = bool(finished or missing or context.recipe.method.train_teacher)
        check_teacher_stop(context.recipe, is_trained=trained_here)
        if trained_here and not finished:
            untrained = _with_new_head(context, models.teacher)
            _check_and_write_recipe(context, untrained, untrained, check)
            model, _ = _load(context, models.teacher, _fine_tune(context, untrained, models.teacher, 0))
        data.adopt_labels(model, trained_here=trained_here)
        reference_model = model
    _check_and_write_recipe(context, model, reference_model, check)
    members = [_first_teacher(context, model), *_further_teachers(context, train=True)]
    context.teachers = Teachers(members, as_ensemble(members, context.recipe), reference_model)


def write_pseudo_labels(context: RunContext) -> None:
    """Replace the texts of the training rows by the teacher's, for tasks whose models generate text."""
    if context.data.task.generates_text:
        with context.process.main_process_first():
            context.data.pseudo_label(
                context.teachers.combined, context.folder.path / "pseudo_labels", context.process.device
            )


def _check_and_write_recipe(context: RunContext, model: nn.Module, reference_model: nn.Module, check: Check) -> None:
    """Run every check with these teachers, then write recipe.yaml."""
    with context.process.main_process_first():
        context.data.prepare()
    check_data(context.recipe, context.data)
    members = [_first_teacher(context, model), *_further_teachers(context, train=False)]
    context.cache_contents = check(context, Teachers(members, as_ensemble(members, context.recipe), reference_model))
    if context.process.is_main_process:
        context.write_recipe()


def _first_teacher(context: RunContext, model: nn.Module) -> Teacher:
    data = context.data
    teacher = OnlineTeacher(model, name=public_name(context.recipe.models.teacher), tokenizer=data.teacher_processor)
    prefix = separate_prefix(0)
    return SeparateInputs(teacher, prefix) if prefix in data.separate_processors else teacher


def _further_teachers(context: RunContext, *, train: bool) -> list[Teacher]:
    """The teachers after the first.

    Args:
        context (`RunContext`): With prepared data.
        train (`bool`): Fine-tune those that have no trained head. Otherwise they get a random head, which is enough for
            the checks.

    Raises:
        ValueError: A teacher that would have to be fine-tuned with another tokenizer than the first teacher's.
    """
    data, models = context.data, context.recipe.models
    names, teachers = [public_name(models.teacher)], []
    for index, source in enumerate(models.more_teachers or (), start=1):
        name, prefix = public_name(source), separate_prefix(index)
        separate = prefix in data.separate_processors
        model = _further_model(context, source, index, train=train, separate=separate)
        name = f"{name} ({teacher_name(index)})" if name in names else name
        names.append(name)
        if separate:
            teacher = OnlineTeacher(model, name=name, tokenizer=data.separate_processors[prefix])
            teachers.append(SeparateInputs(teacher, prefix))
        else:
            teachers.append(OnlineTeacher(model, name=name, tokenizer=data.processor))
    return teachers


def _further_model(context: RunContext, source: str, index: int, *, train: bool, separate: bool) -> nn.Module:
    finished = context.folder.finished(teacher_name(index))
    model, missing = _load(context, source, finished)
    if finished or not (missing or context.recipe.method.train_teacher):
        return model
    if separate:
        why = f"has no trained head ({', '.join(missing[:3])})" if missing else "is to be trained (train_teacher=true)"
        raise ValueError(
            f"The teacher {source} {why}, and it reads other input (tokens, sizes) than {context.recipe.models.teacher}: "
            f"a recipe fine-tunes on one kind of input. Fine-tune it in its own recipe, and give the folder of the result "
            f"here."
        )
    model = _with_new_head(context, source, index)
    if train:
        model, _ = _load(context, source, _fine_tune(context, model, source, index))
    return model


def _load(context: RunContext, source: str, finished: Path | None) -> tuple[nn.Module, Sequence[str]]:
    """A teacher and the names of the weights of its head that it lacks; from `finished` if it was fine-tuned here."""
    auto_class, code = context.data.task.auto_class, context.recipe.models.trust_remote_code
    dtype = context.training.teacher_dtype
    if finished:
        return load_trained_model(auto_class, finished, dtype=dtype, trust_remote_code=code), []
    return load_model(auto_class, source, dtype=dtype, trust_remote_code=code)


def _with_new_head(context: RunContext, source: str, index: int = 0) -> nn.Module:
    """The model of a teacher with a random head for the labels of the data."""
    set_seed(context.training.seed + index)
    model, _ = load_model(
        context.data.task.auto_class,
        source,
        ignore_mismatched_sizes=True,
        trust_remote_code=context.recipe.models.trust_remote_code,
        **context.data.task.config_labels(),
    )
    return model


def _fine_tune(context: RunContext, model: nn.Module, source: str, index: int) -> Path:
    """Train a teacher on the labels, each teacher with another seed; return the folder of the result."""
    data, method, name = context.data, context.recipe.method, teacher_name(index)
    context.announce(f"{name}: fine-tuning {source} on {len(data.labeled):,} labeled examples")
    training = replace(
        context.training,
        seed=context.training.seed + index,
        learning_rate=method.teacher_learning_rate,
        num_train_epochs=method.teacher_num_train_epochs,
        max_steps=-1,
        **NO_BLEND,
    )
    processor = data.teacher_processor if index == 0 else data.processor
    return train_model(
        context,
        name,
        model,
        data.labeled,
        training,
        processor=processor,
        save=save_model,
        callbacks=[] if method.teacher_stop_epoch is None else [StopAtEpoch(method.teacher_stop_epoch)],
    )
