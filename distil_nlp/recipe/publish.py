"""The end of a run: model card, summary, push to the Hub."""

from ..hub import model_card, push_to_hub, write_card
from ..internals.files import read_json
from ..internals.messages import printable
from ..models import import_line
from ..reports import Report
from ..students import student_start
from .assistants import student_kwargs
from .context import RunContext


def publish(context: RunContext, report: Report) -> None:
    """Write the student's model card, print the comparison, and push the student to the Hub if the recipe sets that.

    Args:
        context (`RunContext`): Of a finished run.
        report (`Report`): From `compare_models`.
    """
    recipe, task, training = context.recipe, context.data.task, context.training
    student = context.folder.path / "student"
    repo_id = training.hub_model_id or context.folder.path.resolve().name
    card = model_card(
        report,
        model_name=repo_id,
        teacher=" + ".join([recipe.models.teacher, *(recipe.models.more_teachers or ())]),
        dataset=recipe.data.dataset_name or recipe.data.train_file,
        dataset_config=recipe.data.dataset_config_name,
        dataset_split=context.data.compared_on,
        arguments=training,
        pipeline_tag=task.pipeline_tag,
        loading_code=task.loading_code(repo_id),
        example=task.example,
        base_model=str(recipe.models.student or recipe.models.teacher),
        student_start=_student_start(context, report),
        imports=import_line(read_json(student / "config.json")),
    )
    write_card(student, card)
    print(f"\n{report}\n\nReport: {printable(context.folder.path / 'report.md')}\nLoad and use the student:")
    print(f"  {printable(task.usage_example(student))}")
    if training.push_to_hub:
        address = push_to_hub(
            student,
            repo_id,
            private=training.hub_private_repo or None,
            token=training.hub_token,
            revision=training.hub_revision,
        )
        print("Pushed:", address)


def _student_start(context: RunContext, report: Report) -> str:
    """The first weights of the student, in a sentence for the card."""
    start = student_start(teacher=context.teachers.reference_model, **student_kwargs(vars(context.recipe.models)))
    if sizes := report.vocabulary:
        start += f"; after training its vocabulary was cut to {sizes['student']:,} of {sizes['teacher']:,} tokens"
    return start
