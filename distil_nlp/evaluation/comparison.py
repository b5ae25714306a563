"""Teacher, student and control side by side: what was kept, what was won, and whether it is more than luck."""

from dataclasses import asdict, dataclass, field
from functools import partial

import numpy as np
import torch

from ..internals.messages import nearest
from ..metrics import display
from ..reports.markdown import environment, plain, report_markdown
from ..reports.tables import text_table
from .bootstrap import difference_of_means, difference_of_metrics
from .latency import speed_up

ROLES = ("teacher", "member", "assistant", "student", "control")


@dataclass(eq=False)
class Candidate:
    """One model of a comparison, or anything else that answers.

    Args:
        role (`str`): "teacher", "member" (one of several teachers that "teacher" is all of), "assistant" (it stands between
            the teacher and the student), "student" or "control" (the student trained without the teacher, or another
            baseline).
        name (`str`): Shown in the table; its own for each candidate. The key of its latency.
        answers (list, or `np.ndarray` for one seed): For each seed, what the evaluator takes: an array or list with
            one entry for each row of the data. For a classification that is logits of shape (n, labels); TF-IDF with
            logistic regression gives them by `predict_log_proba`.
        model (`torch.nn.Module`, *optional*): Counted and sized; where there are seeds, any of them.
        parameters (`int`, *optional*): Instead of the model's.
        size_bytes (`int`, *optional*): Instead of the model's; an exported file's, say.
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
                f"The role of {self.name!r} must be one of {', '.join(ROLES)}; got {self.role!r}"
                f"{nearest(self.role, ROLES)}."
            )
        self.answers = list(self.answers) if isinstance(self.answers, (list, tuple)) else [self.answers]
        if not self.answers:
            raise ValueError(f"{self.name!r} needs the answers of one seed or more, each an item of a list; got none.")
        if isinstance(self.model, torch.nn.Module):
            self.parameters = count_parameters(self.model) if self.parameters is None else self.parameters
            self.size_bytes = saved_size(self.model) if self.size_bytes is None else self.size_bytes


@dataclass
class Comparison:
    """The result of `compare`; printing it shows the table. The fields are the keys of report.json.

    Attributes:
        task (`str` or None): What was compared on.
        problem_type (`str` or None): transformers' word for it.
        metric (`str`): The main metric.
        num_examples (`int`): Labeled examples, those the metrics are over.
        models (list of dict): One for each candidate, in the order given.
        differences (list of dict): Student to teacher, to each member, assistant and control, in the main metric.
        environment (`dict`): Machine kind and versions.
        command (`str` or None): What repeats it.
        seeds (list of int): Training seeds.
    """

    task: str | None
    problem_type: str | None
    metric: str
    num_examples: int
    models: list
    differences: list
    environment: dict = field(default_factory=environment)
    command: str | None = None
    seeds: list = field(default_factory=list)

    def to_dict(self):
        """The comparison as report.json holds it: plain values, None for what is undefined or was not measured."""
        return plain(asdict(self))

    def table(self):
        """The comparison for a terminal."""
        return text_table(self.to_dict())

    def markdown(self):
        """The comparison as a Markdown page."""
        return report_markdown(self.to_dict())

    def __str__(self):
        return self.table()


def compare(candidates, evaluator, *, latency=None, seeds=None, task=None, command=None):
    """Put models side by side on the same examples.

    Args:
        candidates (list of `Candidate`): One teacher, one student or more, any number of the others.
        evaluator (`Evaluator`): Judges the answers: `ClassificationEvaluator` for labels of whole texts.
        latency (`dict[str, Latency]`, *optional*): Name of candidate to what `measure_latency` gave, in one call.
        seeds (list of int, *optional*): Training seeds, to be told in the report.
        task (`str`, *optional*): What the examples are, to be told in the report.
        command (`str`, *optional*): What repeats the comparison, to be told in the report.

    Returns:
        `Comparison`. With several seeds a metric is the mean over them, "per_seed" holds each, "spread" the standard
        deviation (with n - 1). For agreement, a candidate and a teacher with as many seeds are paired seed by seed;
        where one of the two has a single one, it meets each of the other's. "kept" is the main metric over the
        teacher's; where lower is better, the teacher's over the model's.

    Raises:
        ValueError: No teacher or two; a name twice; answers that do not fit the evaluator; seeds that do not fit the
            teacher's; a latency for a name that is not there.
    """
    latency = latency or {}
    teacher = _check(candidates, evaluator, latency)
    facts = {one.name: _facts(evaluator, one) for one in candidates}
    models = [
        {
            **_model(evaluator, candidate, teacher, facts[candidate.name]),
            **_speed(latency.get(candidate.name), latency.get(teacher.name)),
        }
        for candidate in candidates
    ]
    of_teacher = models[candidates.index(teacher)]["metrics"][evaluator.main]
    for model in models:
        model["kept"] = _kept(evaluator.main, model["metrics"][evaluator.main], of_teacher)
    pairs = [
        (student, other)
        for student in candidates
        for other in candidates
        if student.role == "student" and other.role != "student"
    ]
    return Comparison(
        task=task,
        problem_type=evaluator.problem_type,
        metric=evaluator.main,
        num_examples=evaluator.num_examples,
        models=models,
        differences=[_difference(evaluator, student, other, facts) for student, other in pairs],
        command=command,
        seeds=list(seeds or []),
    )


def _facts(evaluator, candidate):
    try:
        return [evaluator.statistics(answers) for answers in candidate.answers]
    except ValueError as error:
        raise ValueError(f"The answers of {candidate.name!r} cannot be judged. {error}") from error


def _model(evaluator, candidate, teacher, facts):
    scores = [evaluator.scores(of_seed) for of_seed in facts]
    return {
        "role": candidate.role,
        "name": candidate.name,
        "metrics": _mean(scores),
        "per_seed": {name: [seed[name] for seed in scores] for name in scores[0]},
        "spread": _spread(scores),
        "kept": None,
        "agreement": _agreement(evaluator, candidate, teacher),
        "parameters": candidate.parameters,
        "size_bytes": candidate.size_bytes,
    }


def _kept(metric, own, of_teacher):
    # Of a teacher at or below 0 (a correlation can be) nothing can be kept.
    part, whole = (of_teacher, own) if display(metric).lower_is_better else (own, of_teacher)
    return part / whole if whole > 0 else None


def count_parameters(model):
    """Parameters of a module; tied ones once."""
    return sum(parameter.numel() for parameter in model.parameters())


def saved_size(model):
    """Bytes of a module's tensors in a safetensors file (its header of a few kB excepted); tied ones once."""
    tensors = {(one.data_ptr(), one.shape, one.stride()): one for one in model.state_dict().values()}
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())


def _check(candidates, evaluator, latency):
    """The teacher, once everything fits."""
    teachers = [candidate for candidate in candidates if candidate.role == "teacher"]
    names = [candidate.name for candidate in candidates]
    if len(teachers) != 1:
        roles = ", ".join(candidate.role for candidate in candidates) or "nobody"
        raise ValueError(f"A comparison has one teacher, the measure of what was kept; got {len(teachers)} ({roles}).")
    if len(set(names)) != len(names):
        raise ValueError(f"Each candidate needs a name of its own, it is the key of its latency; got {names}.")
    unknown = [name for name in latency if name not in names]
    if unknown:
        raise ValueError(f"There is a latency for {unknown[0]!r}, who is not compared{nearest(unknown[0], names)}.")
    teacher = teachers[0]
    for one in candidates:
        counts = sorted({len(answers) for answers in one.answers})
        if counts != [evaluator.num_rows]:
            raise ValueError(
                f"{one.name!r} should have {evaluator.num_rows} answers per seed, one for each row of the data; got "
                f"{', '.join(map(str, counts))}. Predict the same rows with every model; a list has an item per seed."
            )
        if 1 not in (len(teacher.answers), len(one.answers)) and len(teacher.answers) != len(one.answers):
            raise ValueError(
                f"The teacher has {len(teacher.answers)} seeds and {one.name!r} has {len(one.answers)}, so it is not "
                f"clear which belongs to which. Give one item for all seeds, or one for each."
            )
    return teacher


def _mean(scores):
    return {name: float(np.mean([seed[name] for seed in scores])) for name in scores[0]}


def _spread(scores):
    if len(scores) < 2:
        return None
    return {name: float(np.std([seed[name] for seed in scores], ddof=1)) for name in scores[0]}


def _agreement(evaluator, candidate, teacher):
    num_pairs = max(len(candidate.answers), len(teacher.answers))
    sides = [side.answers * (num_pairs // len(side.answers)) for side in (candidate, teacher)]
    shares = [evaluator.agreement(ours, theirs) for ours, theirs in zip(*sides, strict=True)]
    return None if None in shares else float(np.mean(shares))


def _speed(own, of_teacher):
    if own is None:
        return {"latency_ms": None, "throughput_per_s": None, "speed_up": None}
    ratio = dict(zip(("value", "low", "high"), speed_up(own, of_teacher), strict=True)) if of_teacher else None
    return {
        "latency_ms": {"p50": own.p50_ms, "p95": own.p95_ms},
        "throughput_per_s": own.throughput_per_s,
        "speed_up": ratio,
    }


def _difference(evaluator, student, other, facts):
    metric, sides = evaluator.main, [facts[side.name] for side in (student, other)]
    names = {"of": student.role, "to": other.role, "metric": metric}
    if evaluator.per_example(metric, sides[0][0]) is None:
        found = difference_of_metrics(*sides, partial(evaluator.compute, metric), **names)
    else:
        found = difference_of_means(
            *([evaluator.per_example(metric, of_seed) for of_seed in side] for side in sides), **names
        )
    return {**asdict(found), "of_name": student.name, "to_name": other.name}
