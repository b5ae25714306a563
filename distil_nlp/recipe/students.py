"""Train the assistants, the students and their controls."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from datasets import Dataset
from torch import nn
from transformers import set_seed

from ..models.loading import load_trained_model
from ..objectives import Objective
from ..students import build_student, freeze_encoder, share_encoder, trim_vocabulary
from ..teachers import OnlineTeacher
from ..training.arguments import NO_BLEND, DistillationTrainingArguments
from .assistants import Assistant, student_kwargs
from .cache import TeacherSource
from .context import RunContext
from .data import ROW_KINDS, Processor
from .run_folder import model_name
from .stages import Stage
from .training import save_model, train_model


def new_student(
    context: RunContext, reference_model: nn.Module, options: Mapping[str, Any] | None = None
) -> nn.Module:
    """A student before training; the same weights for the same random state.

    Args:
        context (`RunContext`): With data.
        reference_model (`nn.Module`): See `Teachers`.
        options (`dict`, *optional*): Arguments of `build_student` for an assistant. Default: the recipe's student.
    """
    models = context.recipe.models
    student = build_student(
        teacher=reference_model,
        image_size=context.recipe.preprocessing.student_image_size,
        trust_remote_code=models.trust_remote_code,
        **(student_kwargs(vars(models)) if options is None else options),
    )
    for name, value in context.data.task.config_labels().items():
        setattr(student.config, name, value)
    if context.recipe.method.freeze_encoder:
        freeze_encoder(student, reference_model)
    return student


def stage_objective(context: RunContext, stage: Stage) -> Objective:
    """A new objective of a stage for the data of the run."""
    has_labels = len(context.data.labeled) > 0
    return stage.objective(context.data.task.problem_type, context.training, has_labels=has_labels)


def stage_rows(context: RunContext, stage: Stage, objective: Objective) -> Dataset:
    """The prepared rows of a stage. Default: all, and the labeled ones for an objective without a teacher."""
    return context.data.rows(stage.data or ("all" if objective.needs_teacher else "labeled"))


def reads_cache(context: RunContext, stage: Stage) -> bool:
    """Whether a stage can read the cache, which contains the rows of the recipe but not those of a file of a stage."""
    return context.recipe.caching.cache and stage.data in (None, *ROW_KINDS)


def train_assistants(context: RunContext, source: TeacherSource) -> TeacherSource:
    """Train the assistants, each on the previous model of the chain; all seeds of the student share them.

    Args:
        context (`RunContext`): With data and teachers.
        source (`TeacherSource`): The teacher.

    Returns:
        `TeacherSource`: The teacher of the student: the last assistant, or `source` without assistants.
    """
    for assistant in context.assistants:
        source = _train_assistant(context, assistant, source)
    return source


def _train_assistant(context: RunContext, assistant: Assistant, source: TeacherSource) -> TeacherSource:
    name = assistant.name
    build = partial(new_student, context, context.teachers.reference_model, assistant.student_kwargs)
    _train_stages(context, name, source, assistant.training(context.training), build=build, save=save_model)
    model = _load(context, context.folder.path / name, dtype=context.training.teacher_dtype)
    online = OnlineTeacher(model, name=name, tokenizer=context.data.processor)
    contents = context.cache_contents[name]
    return TeacherSource(name, online, [online], context.folder.path / f"{name}_cache", contents)


def train_student(context: RunContext, source: TeacherSource, seed: int) -> None:
    """Train the student of one seed, if it is not finished.

    Args:
        context (`RunContext`): With data and teachers.
        source (`TeacherSource`): The teacher, or the last assistant.
        seed (`int`): Of its first weights and of training.
    """
    name = model_name("student", seed, context.seeds)
    build = partial(new_student, context, context.teachers.reference_model)
    training = replace(context.training, seed=seed)
    _train_stages(context, name, source, training, build=build, save=partial(_save_student, context))


def train_control(context: RunContext, seed: int) -> None:
    """Train the student of one seed without the teacher, if that is not finished.

    It learns from the labels for as many steps as the student, so that fewer examples do not mean less training.
    """
    name = model_name("control", seed, context.seeds)
    if context.folder.finished(name):
        return
    labeled = context.data.labeled
    steps = sum(context.folder.training_record(part)["steps"] for part in student_parts(context, seed))
    set_seed(seed)
    context.announce(f"{name}: the same student without the teacher, {len(labeled):,} examples, seed {seed}")
    training = replace(context.training, seed=seed, max_steps=steps, **NO_BLEND)
    model = new_student(context, context.teachers.reference_model)
    train_model(context, name, model, labeled, training, save=partial(_save_student, context))


def student_parts(context: RunContext, seed: int) -> list[str]:
    """Names of the models that the stages of a student write, in order; the last one is the student."""
    name = model_name("student", seed, context.seeds)
    return [*(f"{name}.{stage.name}" for stage in context.stages[:-1]), name]


def _train_stages(
    context: RunContext,
    name: str,
    source: TeacherSource,
    training: DistillationTrainingArguments,
    *,
    build: Callable[[], nn.Module],
    save: Callable[[nn.Module, Path, Processor], None],
) -> None:
    """Train a model in all stages; `build` creates it before the first stage, `save` writes the result of the last."""
    model = None
    if context.folder.finished(name):
        return
    for stage in context.stages:
        is_last = stage is context.stages[-1]
        part = name if is_last else f"{name}.{stage.name}"
        if finished := context.folder.finished(part):
            model = _load(context, finished)
            continue
        set_seed(training.seed)
        model = build() if model is None else model
        objective = stage_objective(context, stage)
        rows, teacher = stage_rows(context, stage, objective), None
        origin = source.role if objective.needs_teacher else "labels"
        context.announce(f"{part}: learning from the {origin}, {len(rows):,} examples, seed {training.seed}")
        stage_training = stage.training(training, len(context.data.transfer))
        if objective.needs_teacher:
            cached = reads_cache(context, stage)
            teacher = source.cached(context.data, context.process.device) if cached else source.online
        if context.recipe.method.freeze_encoder and teacher is context.teachers.combined:
            share_encoder(model, context.teachers.reference_model)
        train_model(
            context,
            part,
            model,
            rows,
            stage_training,
            teacher=teacher,
            objective=objective,
            save=save if is_last else save_model,
        )


def _load(context: RunContext, folder: Path, **settings: Any) -> nn.Module:
    code = context.recipe.models.trust_remote_code
    return load_trained_model(context.data.task.auto_class, folder, trust_remote_code=code, **settings).train()


def _save_student(context: RunContext, model: nn.Module, folder: Path, processor: Processor) -> None:
    """Write a finished student; with `trim_vocabulary`, without the tokens that its training data does not contain."""
    if context.recipe.method.trim_vocabulary:
        trimmed = trim_vocabulary(model, processor, context.data.token_ids())
        model, processor = trimmed.model, trimmed.tokenizer
    save_model(model, folder, processor)
