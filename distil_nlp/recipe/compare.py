"""The last stage: everything that was trained, on the same examples, in one table."""

from torch import nn

from ..evaluation import Candidate, compare, measure_latency, predict
from ..evaluation.comparison import count_parameters
from ..models.loading import load_model
from ..reports import write_report
from .baselines import TFIDF, tfidf_log_probabilities
from .context import RunContext
from .run_folder import model_name
from .students import new_student


def compare_models(run: RunContext):
    """Compare teacher, assistants, students and controls of a finished run, and write report.json, report.md and a plot.

    Args:
        run (`RunContext`): Of a run in which every model is trained.

    Returns:
        `(comparison, report)`: a `Comparison`, and what report.json holds.
    """
    evaluator = run.data.evaluator()
    candidates = _teachers(run, evaluator)
    for name in (assistant.name for assistant in run.assistants):
        model, processor = _loaded(run, name)
        candidates.append(Candidate("assistant", name, [_answers(run, model, evaluator, processor)], model))
    for role in ["student", "control"] if run.recipe.report.control else ["student"]:
        loaded = [_loaded(run, model_name(role, seed, run.seeds)) for seed in run.seeds]
        answers = [_answers(run, model, evaluator, processor) for model, processor in loaded]
        candidates.append(Candidate(role, role, answers, loaded[0][0]))
    speeds = _speeds(run, candidates)
    if run.recipe.report.tfidf_control:
        candidates.append(Candidate("control", TFIDF, [_tfidf(run)]))
    comparison = compare(
        candidates,
        evaluator,
        latency=speeds,
        seeds=run.seeds,
        task=run.data.task.name,
        command=run.command,
    )
    report = {**comparison.to_dict(), **_facts(run)}
    if run.recipe.method.trim_vocabulary:
        student = next(one.model for one in candidates if one.role == "student")
        models = {"teacher": run.teachers.reference_model, "student": student}
        report["vocabulary"] = {role: model.get_input_embeddings().num_embeddings for role, model in models.items()}
    report["pictures"] = _pictures(run, candidates)
    write_report(run.folder.path, report)
    return comparison, report


def _pictures(run, candidates):
    raw, answers = run.data.splits[run.data.compared_on], {one.name: one.answers[0] for one in candidates}
    return run.data.task.pictures(run.folder.path, raw, run.data.compared, answers)


def _teachers(run, evaluator):
    """The teacher; of several, what they say together and what each says."""
    if len(run.teachers.members) == 1:
        (model,) = run.teachers.combined.models
        speaker = model
        if run.data.separate_processors:  # it is asked as the student meets it
            run.teachers.combined.reconcile(new_student(run, run.teachers.reference_model))
            speaker = run.teachers.combined
        return [Candidate("teacher", run.teachers.combined.name, [_answers(run, speaker, evaluator)], model)]
    run.teachers.combined.reconcile(new_student(run, run.teachers.reference_model), run.data.processor)
    together = nn.ModuleList(run.teachers.combined.models).to(run.process.device)
    candidates = [
        Candidate("teacher", run.teachers.combined.name, [_answers(run, run.teachers.combined, evaluator)], together)
    ]
    for place, member in enumerate(run.teachers.members):
        answers = _answers(run, run.teachers.combined.member_logits(place), evaluator)
        candidates.append(Candidate("member", member.name, [answers], *member.models))
    return candidates


def _speeds(run, candidates):
    """Latency by name; several teachers are timed as they are asked, one after the other."""
    models = {one.name: one.model for one in candidates}
    of_config = [model for model in models.values() if hasattr(model, "config")]

    def make_batch(batch_size):
        batch = run.data.task.speed_batch(run.data.processor, of_config, batch_size)
        for prefix, theirs in run.data.separate_processors.items():
            own = run.data.task.speed_batch(theirs, of_config, batch_size)
            batch |= {prefix + name: tensor for name, tensor in own.items()}
        return batch

    if run.data.separate_processors or len(run.teachers.members) > 1:
        models[run.teachers.combined.name] = run.teachers.combined
    models = {name: run.data.task.predictor(model, timed=True) for name, model in models.items()}
    return measure_latency(models, make_batch, seconds=run.recipe.report.latency_seconds, device=run.process.device)


def teacher_scores(run):
    """Metrics and parameters of the teacher, or of what several teachers say together."""
    evaluator = run.data.evaluator()
    teacher = _teachers(run, evaluator)[0]
    return _scores(evaluator, teacher.answers[0], teacher.parameters)


def stage_scores(run, stage):
    """Metrics and parameters of what a finished stage made, as the table would show them."""
    evaluator = run.data.evaluator()
    model, processor = _loaded(run, stage)
    return _scores(evaluator, _answers(run, model, evaluator, processor), count_parameters(model))


def _scores(evaluator, answers, parameters):
    return {"metrics": evaluator.scores(evaluator.statistics(answers)), "parameters": parameters}


def _facts(run):
    stages = {stage: run.folder.training_record(stage) for stage in _stages(run)}
    return {
        "data": {
            "compared_on": run.data.compared_on,
            "rows": {name: len(split) for name, split in run.data.prepared.items()},
            "labeled_train_rows": len(run.data.labeled),
            "learned_from": run.data.learned_from,
        },
        "objective": _objective(run, stages),
        "stages": {name: {"steps": facts["steps"], "seconds": facts["seconds"]} for name, facts in stages.items()},
        "recipe": run.overrides,
    }


def _objective(run, facts):
    """The terms of the first student; where it had several stages, each term says of which."""
    if len(run.stages) == 1:
        return facts["student"]["objective"]
    names = [f"student.{stage.name}" for stage in run.stages[:-1]] + ["student"]
    return [
        {"stage": stage.name, **term}
        for stage, name in zip(run.stages, names, strict=True)
        for term in facts[name]["objective"]
    ]


def _stages(run):
    roles = ("teacher", "assistant", "student", "control")
    names = (path.name for role in roles for path in sorted(run.folder.path.glob(f"{role}*")))
    return [name for name in names if run.folder.finished(name)]


def _loaded(run, stage):
    """The model of a stage, and its processor where that is its own."""
    folder, code = run.folder.path / stage, run.recipe.models.trust_remote_code
    model, _ = load_model(run.data.task.auto_class, folder, trust_remote_code=code)
    own = run.recipe.method.trim_vocabulary or run.data.separate_processors
    processor = run.data.task.load_processor(folder, trust_remote_code=code) if own else None
    return model.to(run.process.device), processor


def _answers(run, model, evaluator, processor=None):
    rows, collator = run.data.compared_with(processor)
    device = run.process.device
    speaker = run.data.task.predictor(model)
    return predict(speaker, rows, collator, keep=evaluator.answers, device=device, description="Predicting")


def _tfidf(run):
    texts, labels = run.data.labeled_texts()
    return tfidf_log_probabilities(texts, labels, run.data.texts(run.data.compared_on), run.data.task.num_labels)
