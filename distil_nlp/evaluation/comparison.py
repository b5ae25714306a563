"""Comparison of teacher, student and control: quality, agreement, size, speed, and intervals of the differences."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from ..internals.messages import nearest, shown
from ..metrics import display
from ..metrics.base import Evaluator
from ..models.weights import num_weights, weights_of
from ..reports.report import LatencyQuantiles, ModelResult, NamedDifference, Report, SpeedUp, environment
from ..reports.verdict import verdict
from .bootstrap import difference_of_means, difference_of_metrics
from .latency import Latency, speed_up

ROLES = ("teacher", "member", "assistant", "student", "control")


@dataclass(eq=False)
class Candidate:
    """One model of a comparison, or anything else that predicts.

    Args:
        role (`str`): "teacher", "member" (one model of an ensemble that is the teacher), "assistant" (between teacher and
            student), "student" or "control" (the student trained without the teacher, or another baseline).
        name (`str`): Shown in the table, unique. The key of its latency.
        answers (`list`, or `np.ndarray` for one seed): For each seed, the input of the evaluator: an array or list with
            one entry for each row of the data. For a classification these are logits of shape (n, labels); for TF-IDF
            with logistic regression, the result of `predict_log_proba`.
        model (`torch.nn.Module`, *optional*): Its parameters and bytes are counted; with several seeds, any of them.
        parameters (`int`, *optional*): Instead of the model's.
        size_bytes (`int`, *optional*): Instead of the model's; of an exported file, for example.
    """

    role: str
    name: str
    answers: list
    model: torch.nn.Module | None = None
    parameters: int | None = None
    size_bytes: int | None = None

    def __post_init__(self):
        if self.role not in ROLES:
            raise ValueError(
                f"The role of {shown(self.name)} must be one of {', '.join(ROLES)}; got {shown(self.role)}"
                f"{nearest(self.role, ROLES)}."
            )
        self.answers = list(self.answers) if isinstance(self.answers, (list, tuple)) else [self.answers]
        if not self.answers:
            raise ValueError(
                f"{shown(self.name)} needs the answers of one seed or more, a list with an item for each; got "
                f"{shown(self.answers)}."
            )
        if isinstance(self.model, torch.nn.Module):
            self.parameters = count_parameters(self.model) if self.parameters is None else self.parameters
            self.size_bytes = saved_size(self.model) if self.size_bytes is None else self.size_bytes


def compare(
    candidates: Sequence[Candidate],
    evaluator: Evaluator,
    *,
    latency: Mapping[str, Latency] | None = None,
    seeds: Sequence[int] | None = None,
    task: str | None = None,
    command: str | None = None,
    **details: Any,
) -> Report:
    """Compare models on the same examples.

    Args:
        candidates (`list[Candidate]`): One teacher, one student or more, any number of the others.
        evaluator (`Evaluator`): Scores the answers: `ClassificationEvaluator` for labels of whole texts.
        latency (`dict[str, Latency]`, *optional*): By name of candidate, from one call of `measure_latency`.
        seeds (`list[int]`, *optional*): Training seeds.
        task (`str`, *optional*): Name of the task.
        command (`str`, *optional*): The command that repeats the comparison.
        details: Further fields of `Report`: `objective`, `data`, `training_curves`, ...

    Returns:
        `Report`. With several seeds a metric is the mean over them, "per_seed" has each, "spread" the standard
        deviation (with n - 1). For agreement, a candidate and a teacher with as many seeds are paired seed by seed;
        if one of the two has a single seed, it is paired with each of the other's. The retention is the main metric over
        the teacher's; where lower is better, the teacher's over the model's.

    Raises:
        ValueError: Not exactly one teacher; a repeated name; answers that do not fit the evaluator; seeds that do not fit
            the teacher's; a latency for an unknown name.
    """
    latency = latency or {}
    teacher = _check(candidates, evaluator, latency)
    statistics = {candidate.name: _statistics(evaluator, candidate) for candidate in candidates}
    models = [
        _result(evaluator, candidate, teacher, statistics[candidate.name], latency.get(candidate.name), latency)
        for candidate in candidates
    ]
    teacher_value = models[list(candidates).index(teacher)].metrics[evaluator.main]
    for model in models:
        model.retention = _retention(evaluator.main, model.metrics[evaluator.main], teacher_value)
    students = [candidate for candidate in candidates if candidate.role == "student"]
    pairs = [(student, other) for student in students for other in candidates if other.role != "student"]
    return _judged(
        Report(
            task=task,
            problem_type=evaluator.problem_type,
            metric=evaluator.main,
            num_examples=evaluator.num_examples,
            models=models,
            differences=[_difference(evaluator, student, other, statistics) for student, other in pairs],
            environment=environment(),
            command=command,
            seeds=list(seeds or []),
            **details,
        ).normalized()
    )


def _judged(report: Report) -> Report:
    report.verdict = verdict(report)
    return report


def _statistics(evaluator: Evaluator, candidate: Candidate) -> list[np.ndarray]:
    try:
        return [evaluator.statistics(answers) for answers in candidate.answers]
    except ValueError as error:
        raise ValueError(f"The answers of {shown(candidate.name)} cannot be scored. {error}") from error


def _result(
    evaluator: Evaluator,
    candidate: Candidate,
    teacher: Candidate,
    statistics: list[np.ndarray],
    own_latency: Latency | None,
    latency: Mapping[str, Latency],
) -> ModelResult:
    scores = [evaluator.scores(of_seed) for of_seed in statistics]
    result = ModelResult(
        role=candidate.role,
        name=candidate.name,
        metrics={name: float(np.mean([seed[name] for seed in scores])) for name in scores[0]},
        per_seed={name: [seed[name] for seed in scores] for name in scores[0]},
        spread=_spread(scores),
        agreement=_agreement(evaluator, candidate, teacher),
        most_frequent=_most_frequent(evaluator, candidate),
        parameters=candidate.parameters,
        size_bytes=candidate.size_bytes,
    )
    if own_latency is not None:
        result.latency_ms = LatencyQuantiles(own_latency.p50_ms, own_latency.p95_ms)
        result.throughput_per_s = own_latency.throughput_per_s
        if teacher.name in latency:
            result.speed_up = SpeedUp(*speed_up(own_latency, latency[teacher.name]))
    return result


def _retention(metric: str, value: float, teacher_value: float) -> float | None:
    # Undefined for a teacher at or below 0, which a correlation can be.
    part, whole = (teacher_value, value) if display(metric).lower_is_better else (value, teacher_value)
    return part / whole if whole > 0 else None


def count_parameters(model: torch.nn.Module) -> int:
    """Number of parameters of a module; tied ones are counted once."""
    return num_weights(model)


def saved_size(model: torch.nn.Module) -> int:
    """Bytes of a module's tensors in a safetensors file (without its header of a few kB); tied ones count once."""
    tensors = {(tensor.data_ptr(), tensor.shape, tensor.stride()): tensor for tensor in weights_of(model).values()}
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())


def _check(candidates: Sequence[Candidate], evaluator: Evaluator, latency: Mapping[str, Latency]) -> Candidate:
    """Check that all candidates can be compared, and return the teacher."""
    teachers = [candidate for candidate in candidates if candidate.role == "teacher"]
    names = [candidate.name for candidate in candidates]
    if len(teachers) != 1:
        roles = ", ".join(candidate.role for candidate in candidates) or "no candidates"
        raise ValueError(
            f"A comparison needs exactly one teacher, which retention refers to; got {len(teachers)} ({roles})."
        )
    if len(set(names)) != len(names):
        raise ValueError(
            f"Each candidate needs a unique name, because latencies are given by name; got {shown(names)}."
        )
    unknown = [name for name in latency if name not in names]
    if unknown:
        raise ValueError(
            f"Got a latency for {shown(unknown[0])}, which is not a candidate{nearest(unknown[0], names)}."
        )
    teacher = teachers[0]
    for candidate in candidates:
        counts = sorted({len(answers) for answers in candidate.answers})
        if counts != [evaluator.num_rows]:
            raise ValueError(
                f"{shown(candidate.name)} should have {evaluator.num_rows} answers per seed, one for each row of the "
                f"data; got {', '.join(map(str, counts))}. Predict the same rows with every model; a list has an item "
                f"per seed."
            )
        if 1 not in (len(teacher.answers), len(candidate.answers)) and len(teacher.answers) != len(candidate.answers):
            raise ValueError(
                f"The teacher has {len(teacher.answers)} seeds and {shown(candidate.name)} has {len(candidate.answers)}, "
                f"so they cannot be paired. Give one item for all seeds, or one for each."
            )
    return teacher


def _spread(scores: list[dict[str, float]]) -> dict[str, float] | None:
    if len(scores) < 2:
        return None
    return {name: float(np.std([seed[name] for seed in scores], ddof=1)) for name in scores[0]}


def _agreement(evaluator: Evaluator, candidate: Candidate, teacher: Candidate) -> float | None:
    num_pairs = max(len(candidate.answers), len(teacher.answers))
    sides = [side.answers * (num_pairs // len(side.answers)) for side in (candidate, teacher)]
    shares = [
        evaluator.agreement(own_answers, teacher_answers) for own_answers, teacher_answers in zip(*sides, strict=True)
    ]
    return None if None in shares else float(np.mean(shares))


def _most_frequent(evaluator: Evaluator, candidate: Candidate) -> float | None:
    shares = [evaluator.most_frequent(answers) for answers in candidate.answers]
    return None if None in shares else float(np.mean(shares))


def _difference(
    evaluator: Evaluator, student: Candidate, other: Candidate, statistics: Mapping[str, list[np.ndarray]]
) -> NamedDifference:
    metric, sides = evaluator.main, [statistics[side.name] for side in (student, other)]
    names = {"of": student.role, "to": other.role, "metric": metric}
    if evaluator.per_example(metric, sides[0][0]) is None:
        difference = difference_of_metrics(*sides, partial(evaluator.compute, metric), **names)
    else:
        difference = difference_of_means(
            *([evaluator.per_example(metric, of_seed) for of_seed in side] for side in sides), **names
        )
    return NamedDifference(**dataclasses.asdict(difference), of_name=student.name, to_name=other.name)
