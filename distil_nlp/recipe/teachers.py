"""Several teachers of a recipe: those beside the first, fine-tuned where they have no trained head."""

from ..hub.redaction import public_name
from ..models.loading import check_folder, load_model
from ..teachers import OnlineTeacher, SeparateInputs, TeacherEnsemble


def teacher_stage(place):
    """The folder of a teacher's fine-tuning and of its cache: `teacher` for the first, `teacher-2` for the next."""
    return "teacher" if place == 0 else f"teacher-{place + 1}"


def as_ensemble(teachers, recipe):
    """What is learned from: the only teacher, or all of them as one, by the weights of the recipe."""
    return TeacherEnsemble(teachers, weights=recipe.teacher_weights) if len(teachers) > 1 else teachers[0]


def own_processors(recipe, task, processor, of_first):
    """Tokenizers, or image processors, of teachers that are not the student's.

    Args:
        recipe (`RecipeArguments`): With the further teachers.
        task (`Task`): Knows how to load them.
        processor, of_first: Of the student; of the first teacher.

    Returns:
        `dict`: Prefix of a teacher's columns to its processor.

    Raises:
        ValueError: A teacher without one.
    """
    found = {} if task.same_input(of_first, processor) else {_prefix(0): of_first}
    for place, source in enumerate(recipe.more_teachers or (), start=1):
        check_folder(source)
        theirs = task.load_processor(source, trust_remote_code=recipe.trust_remote_code)
        if not task.same_input(theirs, processor):
            found[_prefix(place)] = theirs
    return found


def first_teacher(run, model):
    """The first teacher of a run, as the student meets it.

    Args:
        run (`Run`): Which knows what either of them reads.
        model (`nn.Module`): With a trained head.
    """
    teacher = OnlineTeacher(model, name=public_name(run.recipe.teacher), tokenizer=run.teacher_processor)
    return SeparateInputs(teacher, _prefix(0)) if _prefix(0) in run.own_processors else teacher


def further_teachers(run, *, trained):
    """The teachers of a run beside the first.

    Args:
        run (`Run`): Whose first teacher is there, or stands in for itself.
        trained (`bool`): Fine-tune those that have no trained head. Off: such a head is random, which is enough to find
            out what would be refused.

    Returns:
        `list[Teacher]`

    Raises:
        ValueError: One that would have to be fine-tuned with a tokenizer of its own.
    """
    recipe, names, found = run.recipe, [public_name(run.recipe.teacher)], []
    for place, source in enumerate(recipe.more_teachers or (), start=1):
        name, prefix = public_name(source), _prefix(place)
        model = _loaded(run, source, place, trained=trained, own_input=prefix in run.own_processors)
        name = f"{name} ({teacher_stage(place)})" if name in names else name
        names.append(name)
        if prefix in run.own_processors:
            teacher = OnlineTeacher(model, name=name, tokenizer=run.own_processors[prefix])
            found.append(SeparateInputs(teacher, prefix))
        else:
            found.append(OnlineTeacher(model, name=name, tokenizer=run.processor))
    return found


def _loaded(run, source, place, *, trained, own_input):
    finished = run.folder.finished(teacher_stage(place))
    settings = {"dtype": run.training.teacher_dtype, "trust_remote_code": run.recipe.trust_remote_code}
    model, fresh = load_model(run.data.task.auto_class, finished or source, **settings)
    if finished or not (fresh or run.recipe.train_teacher):
        return model
    if own_input:
        why = f"has no trained head ({', '.join(fresh[:3])})" if fresh else "is to be trained (train_teacher=true)"
        raise ValueError(
            f"The teacher {source} {why}, and it reads other input (tokens, sizes) than {run.recipe.teacher}: a recipe "
            f"fine-tunes on one. Fine-tune it in a recipe of its own, and name its folder here."
        )
    model = run.with_new_head(source, place)
    if trained:
        folder = run.fine_tune_teacher(model, source, place)
        model, _ = load_model(run.data.task.auto_class, folder, **settings)
    return model


def _prefix(place):
    return f"teacher_{place + 1}_"
