"""Teacher, student and control side by side: what was kept, what was won, and whether it is more than luck."""

import math
from dataclasses import asdict, dataclass, field
from functools import partial

import numpy as np
import torch

from .bootstrap import Difference, difference_of_means, difference_of_metrics
from .latency import speed_up
from .metrics import MEANS_OVER_EXAMPLES, checked_labels, decide, labelled_rows, measure, metrics_for, nearest, score
from .report import environment, plain, report_markdown
from .table import text_table

ROLES = ("teacher", "student", "control")


@dataclass(eq=False)
class Contender:
    """One model of a comparison, or anything else that gives logits.

    Args:
        role (`str`): "teacher", "student" or "control" (the student trained without the teacher, or another baseline).
        name (`str`): Shown in the table; its own for each contender. The key of its latency.
        logits (`np.ndarray` or list of them): Shape (n, labels), one array a seed, for the same n examples as every
            other contender. For TF-IDF with logistic regression: `predict_log_proba`.
        model (`torch.nn.Module`, *optional*): Counted and sized; where there are seeds, any of them.
        parameters (`int`, *optional*): Instead of the model's.
        size_bytes (`int`, *optional*): Instead of the model's; an exported file's, say.
    """

    role: str
    name: str
    logits: list
    model: torch.nn.Module | None = None
    parameters: int | None = None
    size_bytes: int | None = None

    def __post_init__(self):
        if self.role not in ROLES:
            raise ValueError(
                f"The role of {self.name!r} must be one of {', '.join(ROLES)}; got {self.role!r}"
                f"{nearest(self.role, ROLES)}"
            )
        seeds = self.logits if isinstance(self.logits, (list, tuple)) else [self.logits]
        self.logits = [np.asarray(logits) for logits in seeds]
        shapes = sorted({logits.shape for logits in self.logits})
        if len(shapes) != 1 or len(shapes[0]) != 2:
            raise ValueError(f"{self.name!r} needs logits of one shape (examples, labels) per seed; got {shapes}.")
        if isinstance(self.model, torch.nn.Module):
            self.parameters = count_parameters(self.model) if self.parameters is None else self.parameters
            self.size_bytes = saved_size(self.model) if self.size_bytes is None else self.size_bytes


@dataclass
class Comparison:
    """The result of `compare`; printing it shows the table. The fields are the keys of report.json.

    Attributes:
        task (`str` or None): What was compared on.
        problem_type (`str`): transformers' word for it.
        metric (`str`): The main metric.
        num_examples (`int`): Labelled examples, those the metrics are over.
        models (list of dict): One for each contender, in the order given.
        differences (list of dict): Student to teacher, student to each control, in the main metric.
        environment (`dict`): Machine kind and versions.
        command (`str` or None): What repeats it.
        seeds (list of int): Training seeds.
    """

    task: str | None
    problem_type: str
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


def compare(contenders, labels, problem_type, *, main_metric=None, latency=None, seeds=None, task=None, command=None):
    """Put models side by side on the same examples.

    Args:
        contenders (list of `Contender`): One teacher, one student or more, any number of controls.
        labels (`np.ndarray`): Of the examples, as `score` takes them. Rows without a label count for agreement only.
        problem_type (`str`): transformers' word for the problem.
        main_metric (`str`, *optional*): The metric to decide by; `metrics_for` has the default.
        latency (`dict[str, Latency]`, *optional*): Name of contender to what `measure_latency` gave, in one call.
        seeds (list of int, *optional*): Training seeds, to be told in the report.
        task (`str`, *optional*): What the examples are, to be told in the report.
        command (`str`, *optional*): What repeats the comparison, to be told in the report.

    Returns:
        `Comparison`. With several seeds a metric is the mean over them, "per_seed" holds each, "spread" the standard
        deviation (with n - 1). For agreement, a contender and a teacher with as many seeds are paired seed by seed;
        where one of the two has a single array, it meets each of the other's.

    Raises:
        ValueError: No teacher or two; a name twice; logits that do not fit the labels or the teacher's; a latency
            for a name that is not there.
    """
    labels, latency = np.asarray(labels), latency or {}
    teacher = _check(contenders, labels, latency)
    _, main = metrics_for(problem_type, teacher.logits[0].shape[1], main_metric)
    models = [
        {
            **_model(problem_type, contender, teacher, labels),
            **_speed(latency.get(contender.name), latency.get(teacher.name)),
        }
        for contender in contenders
    ]
    of_teacher = models[contenders.index(teacher)]["metrics"][main]
    for model in models:
        # Of a teacher at or below 0 (a correlation can be) nothing can be kept.
        model["kept"] = model["metrics"][main] / of_teacher if of_teacher > 0 else None
    pairs = [
        (student, other)
        for student in contenders
        for other in contenders
        if student.role == "student" and other.role != "student"
    ]
    return Comparison(
        task=task,
        problem_type=problem_type,
        metric=main,
        num_examples=int(labelled_rows(problem_type, labels).sum()),
        models=models,
        differences=[_difference(problem_type, main, student, other, labels) for student, other in pairs],
        command=command,
        seeds=list(seeds or []),
    )


def _model(problem_type, contender, teacher, labels):
    scores = [score(problem_type, logits, labels) for logits in contender.logits]
    return {
        "role": contender.role,
        "name": contender.name,
        "metrics": _mean(scores),
        "per_seed": {name: [seed[name] for seed in scores] for name in scores[0]},
        "spread": _spread(scores),
        "kept": None,
        "agreement": _agreement(problem_type, contender, teacher),
        "parameters": contender.parameters,
        "size_bytes": contender.size_bytes,
    }


def count_parameters(model):
    """Parameters of a module; tied ones once."""
    return sum(parameter.numel() for parameter in model.parameters())


def saved_size(model):
    """Bytes of a module's tensors in a safetensors file (its header of a few kB excepted); tied ones once."""
    tensors = {(one.data_ptr(), one.shape, one.stride()): one for one in model.state_dict().values()}
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())


def _check(contenders, labels, latency):
    """The teacher, once everything fits."""
    teachers = [contender for contender in contenders if contender.role == "teacher"]
    names = [contender.name for contender in contenders]
    if len(teachers) != 1:
        roles = ", ".join(contender.role for contender in contenders) or "nobody"
        raise ValueError(f"A comparison has one teacher, the measure of what was kept; got {len(teachers)} ({roles}).")
    if len(set(names)) != len(names):
        raise ValueError(f"Each contender needs a name of its own, it is the key of its latency; got {names}.")
    unknown = [name for name in latency if name not in names]
    if unknown:
        raise ValueError(f"There is a latency for {unknown[0]!r}, who is not compared{nearest(unknown[0], names)}")
    teacher = teachers[0]
    for one in contenders:
        wanted = (len(labels), teacher.logits[0].shape[1])
        if one.logits[0].shape != wanted:
            raise ValueError(
                f"The logits of {one.name!r} should have shape {wanted}, a row for each label and the teacher's "
                f"columns; got {one.logits[0].shape}. Predict the same examples, with the same classes, everywhere."
            )
        if 1 not in (len(teacher.logits), len(one.logits)) and len(teacher.logits) != len(one.logits):
            raise ValueError(
                f"The teacher has {len(teacher.logits)} seeds and {one.name!r} has {len(one.logits)}, so it is not "
                f"clear which belongs to which. Give one array for all seeds, or one for each."
            )
    return teacher


def _mean(scores):
    return {name: float(np.mean([seed[name] for seed in scores])) for name in scores[0]}


def _spread(scores):
    if len(scores) < 2:
        return None
    return {name: float(np.std([seed[name] for seed in scores], ddof=1)) for name in scores[0]}


def _agreement(problem_type, contender, teacher):
    """Share of examples with the teacher's decision (multi-label: the same set of labels); None for regression."""
    if problem_type == "regression":
        return None
    num_pairs = max(len(contender.logits), len(teacher.logits))
    sides = [side.logits * (num_pairs // len(side.logits)) for side in (contender, teacher)]
    shares = []
    for ours, theirs in zip(*sides, strict=True):
        if np.isnan(ours).any() or np.isnan(theirs).any():
            return float("nan")
        shares.append(measure("accuracy", decide(problem_type, ours), decide(problem_type, theirs)))
    return float(np.mean(shares))


def _speed(own, of_teacher):
    if own is None:
        return {"latency_ms": None, "throughput_per_s": None, "speed_up": None}
    ratio = dict(zip(("value", "low", "high"), speed_up(own, of_teacher), strict=True)) if of_teacher else None
    return {
        "latency_ms": {"p50": own.p50_ms, "p95": own.p95_ms},
        "throughput_per_s": own.throughput_per_s,
        "speed_up": ratio,
    }


def _difference(problem_type, metric, student, other, labels):
    rows = labelled_rows(problem_type, labels)
    labels = checked_labels(problem_type, labels[rows], student.logits[0].shape[1])
    names = {"of": student.role, "to": other.role, "metric": metric}
    if any(np.isnan(logits[rows]).any() for side in (student, other) for logits in side.logits):
        found = Difference(**names, value=math.nan, low=math.nan, high=math.nan)
    else:
        ours, theirs = ([decide(problem_type, logits[rows]) for logits in side.logits] for side in (student, other))
        if metric in MEANS_OVER_EXAMPLES:
            found = difference_of_means(
                [_right(one, labels) for one in ours], [_right(one, labels) for one in theirs], **names
            )
        else:
            found = difference_of_metrics(ours, theirs, labels, partial(measure, metric), **names)
    return {**asdict(found), "of_name": student.name, "to_name": other.name}


def _right(predictions, references):
    equal = predictions == references
    return equal.all(axis=1) if equal.ndim == 2 else equal
