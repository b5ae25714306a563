"""Checks of models, data and settings that run before any training."""

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

from datasets import Dataset
from torch import nn

from ..collators import Collator, as_collator
from ..internals.messages import shown
from ..objectives import Objective
from ..signals.problem_kinds import problem_kind
from ..students import trim_vocabulary
from ..tasks import Task
from ..teachers import OnlineTeacher, Teacher
from ..teachers.capacity import LARGE_GAP, far_larger
from ..training.arguments import DistillationTrainingArguments
from ..training.preparation import check_last_batch
from ..training.projections import dry_run
from .arguments import RecipeArguments
from .assistants import check_sizes
from .context import CacheContents, RunContext, Teachers
from .data import RecipeData
from .stages import Stage, is_method_chosen, stages_of
from .students import new_student, reads_cache, stage_objective, stage_rows


def check_zero_shot(recipe: RecipeArguments, task: Task, missing: Sequence[str]) -> None:
    """Check that a zero-shot teacher is trained and can predict the task.

    Args:
        recipe (`RecipeArguments`): With a hypothesis template.
        task (`Task`): The task.
        missing (`list[str]`): Parameters that the teacher's checkpoint does not contain.

    Raises:
        ValueError: The teacher has no trained head or is to be trained; the task does not sort single texts into classes.
    """
    models = recipe.models
    if missing or recipe.method.train_teacher:
        raise ValueError(
            f"hypothesis_template={shown(models.hypothesis_template)} needs a trained model of natural language "
            f"inference, and {models.teacher} "
            + (f"has no trained head ({', '.join(missing[:3])})" if missing else "is to be trained first")
            + ". Take an NLI model, without train_teacher."
        )
    exclusive = problem_kind(task.problem_type).exclusive_classes
    if not task.one_output_per_example or not exclusive or len(task.text_columns) != 1:
        raise ValueError(
            f"A zero-shot teacher sorts single texts into single classes; the task is {task.name}, {task.problem_type}, "
            f"of {len(task.text_columns)} text columns. Leave hypothesis_template out."
        )


def check_teacher_stop(recipe: RecipeArguments, *, is_trained: bool) -> None:
    """Check that a teacher with an early stop is trained, and for at least as many epochs.

    Raises:
        ValueError: `teacher_stop_epoch` has no effect or is out of range.
    """
    stop, epochs = recipe.method.teacher_stop_epoch, recipe.method.teacher_num_train_epochs
    if stop is None:
        return
    if not is_trained:
        raise ValueError(
            f"teacher_stop_epoch={stop:g} would have no effect: {recipe.models.teacher} has a trained head, and "
            f"train_teacher is off. Set train_teacher to true, or leave it out."
        )
    if not 0 < stop < epochs:
        raise ValueError(
            f"teacher_stop_epoch must lie above 0 and below teacher_num_train_epochs={epochs:g}; got {stop:g}."
        )


def check_data(recipe: RecipeArguments, data: RecipeData) -> None:
    """Check that the task and the rows allow the main metric and the settings.

    Raises:
        ValueError: A setting that they do not allow; the message names it.
    """
    data.evaluator()
    task, report, models, transfer = data.task, recipe.report, recipe.models, recipe.transfer
    single = task.one_output_per_example and problem_kind(task.problem_type).exclusive_classes
    if report.tfidf_control and not (single and task.text_columns):
        raise ValueError(
            f"tfidf_control fits a logistic regression to single classes of whole texts; the task is "
            f"{task.name}, {task.problem_type}. Leave it out."
        )
    if recipe.method.trim_vocabulary and not task.reads_tokens:
        raise ValueError(f"trim_vocabulary=true removes tokens, and a model of {task.name} reads none. Leave it out.")
    if recipe.method.trim_vocabulary and not task.allows_other_tokenizers:
        raise ValueError(
            f"trim_vocabulary=true gives the student a tokenizer of its own, and for {task.name} models are "
            f"compared token by token. Leave it out, and call trim_vocabulary on the finished student."
        )
    if task.generates_text and models.more_teachers:
        raise ValueError(
            f"more_teachers={shown(models.more_teachers)}: a student of {task.name} learns the texts that one teacher "
            f"generates. Leave the others out."
        )
    if not task.generates_text and (transfer.pseudo_labels is not None or transfer.max_word_error is not None):
        raise ValueError(
            f"pseudo_labels and max_word_error ({transfer.pseudo_labels}, {transfer.max_word_error}) are for teachers that "
            f"generate texts, and a model of {task.name} generates none. Leave them out."
        )
    if transfer.pseudo_labels is False and transfer.max_word_error is not None:
        raise ValueError(
            f"max_word_error={transfer.max_word_error} would have no effect where the texts of the data are learned "
            f"(pseudo_labels={transfer.pseudo_labels}). Leave one of them out."
        )
    if (report.control or report.tfidf_control) and len(data.labeled) == 0:
        raise ValueError(
            f"None of the {len(data.transfer)} rows to learn from has a label, so a control has nothing to "
            f"learn from. Set control to false, and tfidf_control, too."
        )


def check_training(context: RunContext, teachers: Teachers) -> dict[str, CacheContents]:
    """Build the student and the assistants, and try every stage of each on two examples.

    Where the recipe does not choose a method and the teacher is far larger, `context.stages` becomes the task's preset
    for that.

    Args:
        context (`RunContext`): With prepared data.
        teachers (`Teachers`): Trained, or with random heads.

    Returns:
        `dict[str, CacheContents]`: Role of each model that teaches to what its cache has to contain.

    Raises:
        ValueError: A model that cannot be built, or any error that the trainer would raise.
    """
    student = new_student(context, teachers.reference_model)
    use_preset_for_large_gap(context, teachers, lambda: student)
    assistants = [
        (assistant.name, new_student(context, teachers.reference_model, assistant.student_kwargs))
        for assistant in context.assistants
    ]
    chain = [("teacher", teachers.members[0].models[0]), *assistants, ("student", student)]
    if assistants:
        check_sizes(chain)
    contents = {}
    for (role, upper), (_, lower) in pairwise(chain):
        plan = []
        for stage in context.stages:
            objective = stage_objective(context, stage)
            plan.append((stage, objective, stage_rows(context, stage, objective)))
        teacher = teachers.combined if role == "teacher" else OnlineTeacher(upper)
        _try_stages(teacher, lower, plan, context.data.collator, context.training)
        contents[role] = _cache_contents(objective for stage, objective, _ in plan if reads_cache(context, stage))
    if context.recipe.method.trim_vocabulary:
        trimmed = trim_vocabulary(student, context.data.processor, context.data.token_ids())
        context.announce(f"vocabulary: {trimmed}, after training")
    return contents


def use_preset_for_large_gap(
    context: RunContext, teachers: Teachers, build_student: Callable[[], nn.Module] | None = None
) -> None:
    """Set the task's preset for a large gap if the teacher is far larger and the recipe does not choose a method.

    Args:
        context (`RunContext`): With prepared data; its `stages` change.
        teachers (`Teachers`): Trained, or with random heads.
        build_student (callable, *optional*): The student; called where its size decides. Default: a new one.
    """
    preset = context.data.task.preset_for_large_gap
    chosen = is_method_chosen(context.recipe, context.training)
    if preset in (None, context.stages[0].name) or chosen or not len(context.data.labeled):
        return
    student = new_student(context, teachers.reference_model) if build_student is None else build_student()
    if far_larger(teachers.combined, student):
        context.stages = stages_of(context.recipe, context.training, default=preset)
        context.announce(f"preset: {preset}; the teacher has {LARGE_GAP} times the student's parameters or more")


def _try_stages(
    teacher: Teacher,
    student: nn.Module,
    plan: Iterable[tuple[Stage, Objective, Dataset]],
    collator: Collator,
    training: DistillationTrainingArguments,
) -> None:
    """Reconcile a student with its teacher, and try every stage on two examples, to check labels, vocabulary and layers."""
    teacher.reconcile(student)
    collator = as_collator(collator)
    for stage, objective, rows in plan:
        if len(rows) == 0:
            raise ValueError(
                f"The stage {shown(stage.name)} learns from data={shown(stage.data)}, and there is no such row."
            )
        examples = [rows[index] for index in range(min(2, len(rows)))]
        batch = collator(examples)
        dry_run(objective, student, teacher if objective.needs_teacher else None, batch)
        check_last_batch(student, batch, len(rows), stage.training(training, len(rows)))
        training_collator = collator.for_training()
        if training_collator is not collator:  # it may mix labels, which not every term can count
            objective.count([training_collator(examples)])


def _cache_contents(objectives: Iterable[Objective]) -> CacheContents:
    objectives = list(objectives)
    features = dict.fromkeys(name for objective in objectives for name in objective.teacher_taps)
    return CacheContents(list(features), [number for objective in objectives for number in objective.temperatures])
