"""What is refused before any training time is spent."""

from ..collators import as_collator
from ..signals.problem_kinds import problem_kind
from ..training.preparation import check_last_batch
from ..training.projections import dry_run


def check_zero_shot(recipe, task, fresh):
    """Refuse a zero-shot teacher that could not be one; ValueError."""
    if fresh or recipe.train_teacher:
        raise ValueError(
            f"hypothesis_template={recipe.hypothesis_template!r} asks a trained model of natural language inference, and "
            f"{recipe.teacher} "
            + (f"has no trained head ({', '.join(fresh[:3])})" if fresh else "is to be trained first")
            + ". Take an NLI model, without train_teacher."
        )
    exclusive = problem_kind(task.problem_type).exclusive_classes
    if not task.one_output_per_example or not exclusive or len(task.text_columns) != 1:
        raise ValueError(
            f"A zero-shot teacher sorts single texts into single classes; the task is {task.name}, {task.problem_type}, "
            f"of {len(task.text_columns)} text columns. Leave hypothesis_template out."
        )


def check_stop(recipe, trains):
    """Refuse an early stop of a teacher that is not trained, or that stops by itself before; ValueError."""
    stop, epochs = recipe.teacher_stop_epoch, recipe.teacher_num_train_epochs
    if stop is None:
        return
    if not trains:
        raise ValueError(
            f"teacher_stop_epoch={stop:g} would have no effect: {recipe.teacher} has a trained head, and train_teacher is "
            f"off. Set train_teacher to true, or leave it out."
        )
    if not 0 < stop < epochs:
        raise ValueError(
            f"teacher_stop_epoch must lie above 0 and below teacher_num_train_epochs={epochs:g}, in whose course it "
            f"stops; got {stop:g}."
        )


def check_link(teacher, student, lessons, collator, training):
    """Have a student meet its teacher, and try every stage on two examples: labels, vocabularies, layers, data.

    Args:
        teacher (`Teacher`): Trained or not.
        student (`nn.Module`): To learn from it.
        lessons (`list` of `(Stage, Objective, Dataset)`): What is to be learned, a new objective each, and from which rows.
        collator (callable): Makes batches of rows.
        training (`TrainingArguments`): Of the recipe.

    Raises:
        ValueError: What the trainer would refuse later.
    """
    teacher.reconcile(student)
    collator = as_collator(collator)
    for stage, objective, rows in lessons:
        if len(rows) == 0:
            raise ValueError(f"The stage {stage.name!r} learns from data={stage.data!r}, and there is no such row.")
        examples = [rows[index] for index in range(min(2, len(rows)))]
        batch = collator(examples)
        dry_run(objective, student, teacher if objective.needs_teacher else None, batch)
        check_last_batch(student, batch, len(rows), stage.training(training, len(rows)))
        training_collator = collator.for_training()
        if training_collator is not collator:  # labels may be mixed there: not every term counts those
            objective.count([training_collator(examples)])
