"""The comparison at the end of a run: every trained model on the same examples, in one report."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import nn
from transformers import PreTrainedModel

from ..evaluation import Candidate, Latency, compare, measure_latency, predict
from ..evaluation.comparison import count_parameters
from ..metrics.base import Evaluator
from ..models.loading import load_trained_model
from ..reports import Report, write_report
from .baselines import TFIDF, tfidf_log_probabilities
from .context import RunContext
from .run_folder import model_name
from .students import new_student


def compare_models(run: RunContext) -> Report:
    """Compare teacher, assistants, students and controls of a finished run, and write report.json, report.md and a plot.

    Args:
        run (`RunContext`): Of a run in which every model is trained.
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
    latency = _latency(run, candidates)
    if run.recipe.report.tfidf_control:
        candidates.append(Candidate("control", TFIDF, [_tfidf(run)]))
    report = compare(
        candidates,
        evaluator,
        latency=latency,
        seeds=run.seeds,
        task=run.data.task.name,
        command=run.command,
        recipe=run.overrides,
        data=_data(run),
        vocabulary=_vocabulary(run, candidates),
        pictures=_pictures(run, candidates),
        **_trainings(run),
    )
    write_report(run.folder.path, report)
    return report


def teacher_scores(run: RunContext) -> dict[str, Any]:
    """Metrics and parameters of the teacher, or of an ensemble of several teachers."""
    evaluator = run.data.evaluator()
    teacher = _teachers(run, evaluator)[0]
    return _scores(evaluator, teacher.answers[0], teacher.parameters)


def stage_scores(run: RunContext, stage: str) -> dict[str, Any]:
    """Metrics and parameters of the model of a finished stage, as in the table."""
    evaluator = run.data.evaluator()
    model, processor = _loaded(run, stage)
    return _scores(evaluator, _answers(run, model, evaluator, processor), count_parameters(model))


def _scores(evaluator: Evaluator, answers: Any, parameters: int | None) -> dict[str, Any]:
    return {"metrics": evaluator.scores(evaluator.statistics(answers)), "parameters": parameters}


# ---- Predictions and latency ----


def _teachers(run: RunContext, evaluator: Evaluator) -> list[Candidate]:
    """The teacher; for several teachers, their ensemble and each member."""
    combined, members = run.teachers.combined, run.teachers.members
    if len(members) == 1:
        (model,) = combined.models
        predictor = model
        if run.data.separate_processors:  # with its own inputs, as in training
            combined.reconcile(new_student(run, run.teachers.reference_model))
            predictor = combined
        return [Candidate("teacher", combined.name, [_answers(run, predictor, evaluator)], model)]
    combined.reconcile(new_student(run, run.teachers.reference_model), run.data.processor)
    models = nn.ModuleList(combined.models).to(run.process.device)
    candidates = [Candidate("teacher", combined.name, [_answers(run, combined, evaluator)], models)]
    for index, member in enumerate(members):
        answers = _answers(run, combined.member_logits(index), evaluator)
        candidates.append(Candidate("member", member.name, [answers], *member.models))
    return candidates


def _loaded(run: RunContext, stage: str) -> tuple[PreTrainedModel, Any]:
    """The model of a stage, and its processor if that is not the run's."""
    folder, code = run.folder.path / stage, run.recipe.models.trust_remote_code
    model = load_trained_model(run.data.task.auto_class, folder, trust_remote_code=code)
    has_own = run.recipe.method.trim_vocabulary or run.data.separate_processors
    processor = run.data.task.load_processor(folder, trust_remote_code=code) if has_own else None
    return model.to(run.process.device), processor


def _answers(run: RunContext, model: Any, evaluator: Evaluator, processor: Any = None) -> list:
    rows, collator = run.data.compared_with(processor)
    predictor = run.data.task.predictor(model)
    return predict(predictor, rows, collator, keep=evaluator.answers, device=run.process.device)


def _tfidf(run: RunContext) -> np.ndarray:
    texts, labels = run.data.labeled_texts()
    return tfidf_log_probabilities(texts, labels, run.data.texts(run.data.compared_on), run.data.task.num_labels)


def _latency(run: RunContext, candidates: list[Candidate]) -> dict[str, Latency]:
    """Latency by name; an ensemble is timed as a whole, its members one after the other."""
    models: dict[str, Any] = {candidate.name: candidate.model for candidate in candidates}
    with_config = [model for model in models.values() if hasattr(model, "config")]

    def make_batch(batch_size: int) -> dict[str, Any]:
        batch = run.data.task.speed_batch(run.data.processor, with_config, batch_size)
        for prefix, processor in run.data.separate_processors.items():
            separate = run.data.task.speed_batch(processor, with_config, batch_size)
            batch |= {prefix + name: tensor for name, tensor in separate.items()}
        return batch

    if run.data.separate_processors or len(run.teachers.members) > 1:
        models[run.teachers.combined.name] = run.teachers.combined
    models = {name: run.data.task.predictor(model, timed=True) for name, model in models.items()}
    return measure_latency(models, make_batch, seconds=run.recipe.report.latency_seconds, device=run.process.device)


# ---- Further parts of the report ----


def _data(run: RunContext) -> dict[str, Any]:
    return {
        "compared_on": run.data.compared_on,
        "rows": {name: len(split) for name, split in run.data.prepared.items()},
        "labeled_train_rows": len(run.data.labeled),
        "learned_from": run.data.learned_from,
    }


def _vocabulary(run: RunContext, candidates: list[Candidate]) -> dict[str, int] | None:
    """Tokens of teacher and student, if the vocabulary was trimmed."""
    if not run.recipe.method.trim_vocabulary:
        return None
    student = next(candidate.model for candidate in candidates if candidate.role == "student")
    models = {"teacher": run.teachers.reference_model, "student": student}
    return {role: model.get_input_embeddings().num_embeddings for role, model in models.items()}


def _pictures(run: RunContext, candidates: list[Candidate]) -> dict[str, str] | None:
    raw = run.data.splits[run.data.compared_on]
    answers = {candidate.name: candidate.answers[0] for candidate in candidates}
    return run.data.task.pictures(run.folder.path, raw, run.data.compared, answers)


def _trainings(run: RunContext) -> dict[str, Any]:
    """Objective, steps, seconds and training curves of the finished trainings."""
    roles = ("teacher", "assistant", "student", "control")
    names = (path.name for role in roles for path in sorted(run.folder.path.glob(f"{role}*")))
    records = {name: run.folder.training_record(name) for name in names if run.folder.finished(name)}
    return {
        "objective": _objective(run, records),
        "stages": {name: {"steps": record["steps"], "seconds": record["seconds"]} for name, record in records.items()},
        "training_curves": {
            name: record["log_history"] for name, record in records.items() if "log_history" in record
        },
    }


def _objective(run: RunContext, records: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The terms of the first student; with several stages, each term has the name of its stage."""
    if len(run.stages) == 1:
        return records["student"]["objective"]
    names = [f"student.{stage.name}" for stage in run.stages[:-1]] + ["student"]
    return [
        {"stage": stage.name, **term}
        for stage, name in zip(run.stages, names, strict=True)
        for term in records[name]["objective"]
    ]
