"""The verdict on a comparison: what its figures say in plain words, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ..metrics import display

if TYPE_CHECKING:
    from .report import ModelResult, NamedDifference, Report

_SAME_ANSWER = 0.98  # share of the examples from which on a model is said to give one answer
_STILL_FALLING = 0.1  # relative decrease of the loss from the third to the last quarter of the training
_MIN_LOGS = 8  # losses, so that a quarter is a mean
_WEAK = 0.5  # of a metric in percent
_APART = 1.2  # ratio of latencies of two models of equal size
_MAX_NEEDED = 100_000  # examples that a user could label


def verdict(report: Report) -> list[str]:
    """Sentences on a report, the most important first: student, teacher and controls, then what could be improved.

    Args:
        report (`Report`): Of a comparison with a student.

    Returns:
        `list[str]`: One sentence or two for each rule that fires. Without a doubt about student, teacher and gain, first
        what the student has gained.
    """
    student, teacher = report.of_role("student"), report.of_role("teacher")
    if student is None or teacher is None:
        return []
    controls = [model for model in report.models if model.role == "control"]
    doubts = [
        *_one_answer(student, teacher),
        *_weak_teacher(report, teacher, controls),
        *(sentence for control in controls for sentence in _gain(report, control)),
    ]
    return [*(doubts or _success(report, student, controls)), *_unfinished(report), *_timing(student, controls)]


# ---- The rules: each yields a sentence where it fires ----


def _one_answer(student: ModelResult, teacher: ModelResult) -> Iterator[str]:
    share, expected = student.most_frequent, teacher.most_frequent
    if share is None or share < _SAME_ANSWER or (expected is not None and expected >= _SAME_ANSWER):
        return
    yield (
        f"The student gives the same answer to {_percent(share)} of the examples"
        + (f", the teacher its most frequent one to {_percent(expected)}" if expected is not None else "")
        + ": it has not learned the task. Train it longer (num_train_epochs) or with a larger learning_rate, or start from "
        "the teacher's layers (num_layers) instead of random weights."
    )


def _unfinished(report: Report) -> Iterator[str]:
    losses = _logged(report, "loss")
    if len(losses) < _MIN_LOGS:
        return
    quarter = len(losses) // 4
    before, last = _mean(losses[-2 * quarter : -quarter]), _mean(losses[-quarter:])
    if before > 0 and (before - last) / before >= _STILL_FALLING and not _evaluations_worsen(report):
        yield (
            f"The student has not finished learning: its loss still fell by {_percent((before - last) / before)} in the "
            f"last quarter of the training. Train it longer (num_train_epochs)."
        )


def _weak_teacher(report: Report, teacher: ModelResult, controls: Sequence[ModelResult]) -> Iterator[str]:
    shown, value = display(report.metric), teacher.metrics.get(report.metric)
    way_out = "Fine-tune it longer (teacher_num_train_epochs), on more labels, or take another teacher."
    if teacher.most_frequent is not None and teacher.most_frequent >= _SAME_ANSWER:
        yield f"The teacher gives the same answer to {_percent(teacher.most_frequent)} of the examples. {way_out}"
    if value is None:
        return
    better = [control for control in controls if _is_better(report, control, teacher)]
    if better:
        figures = f"{shown.number(value)} against {shown.number(better[0].metrics[report.metric])}"
        yield (
            f"The teacher is weaker than the control ({better[0].name}), which had only the labels: {report.metric} "
            f"{figures}. It has little to teach. {way_out}"
        )
    elif shown.percent and not shown.lower_is_better and value < _WEAK:
        yield f"The teacher itself is weak: {report.metric} {shown.number(value)}. {way_out}"


def _gain(report: Report, control: ModelResult) -> Iterator[str]:
    """The weakness of the gain over a control; nothing if the gain is clear."""
    difference = difference_to(report, control)
    if difference is None or difference.value is None or difference.low is None or difference.high is None:
        yield f"The gain over the control ({control.name}) has no interval: it may be noise."
        return
    shown, sign = display(difference.metric), -1 if display(difference.metric).lower_is_better else 1
    low, high = sorted((sign * difference.low, sign * difference.high))
    change = f"{control.name}: {difference.metric} {shown.change(difference.value)}"
    if high < 0:
        yield f"The student is worse than the control ({change}): in this run the teacher did not help."
    elif low > 0:
        return
    elif sign * difference.value <= 0:
        yield f"The control is as good as the student ({change}): in this run the teacher did not help."
    else:
        yield (
            f"The gain over the control ({change}) is within the noise of the evaluation set: this run does not show that "
            f"the teacher helped.{_needed(report, difference)}"
        )


def _needed(report: Report, difference: NamedDifference) -> str:
    """How many examples would tell, from the width of the interval: it shrinks with their square root."""
    assert difference.value is not None and difference.low is not None and difference.high is not None
    half_width = (difference.high - difference.low) / 2
    if not report.num_examples or difference.value == 0:
        return ""
    needed = report.num_examples * (half_width / difference.value) ** 2
    if needed <= report.num_examples or needed > _MAX_NEEDED:
        return " Train with several seeds (seeds), or learn from more text (unlabeled_file)."
    return (
        f" The {report.num_examples:,} examples are too few to tell a difference of this size; about {_rounded(needed):,} "
        f"would."
    )


def _timing(student: ModelResult, controls: Sequence[ModelResult]) -> Iterator[str]:
    for control in controls:
        if control.parameters is None or control.parameters != student.parameters:
            continue
        times = [model.latency_ms.p50 for model in (student, control) if model.latency_ms and model.latency_ms.p50]
        if len(times) == 2 and max(times) >= _APART * min(times):
            yield (
                f"Student and control have the same size, and their times are {_percent(max(times) / min(times) - 1)} "
                f"apart ({times[0]:.1f} and {times[1]:.1f} ms): the machine was busy. Measure again on an idle one."
            )
            return


def _success(report: Report, student: ModelResult, controls: Sequence[ModelResult]) -> list[str]:
    parts = []
    if student.retention is not None:
        parts.append(f"keeps {_percent(student.retention)} of the teacher's {report.metric}")
    if student.speed_up is not None and student.speed_up.value is not None:
        parts.append(f"is {student.speed_up.value:.1f} times as fast")
    clear = [difference for control in controls if (difference := difference_to(report, control)) is not None]
    for difference in clear[:1]:
        change = display(difference.metric).change(difference.value).lstrip("+-")
        parts.append(f"is better than the control by {change}, which is beyond the noise")
    text = ", ".join(parts[:-1]) + (" and " if len(parts) > 1 else "") + "".join(parts[-1:])
    return [f"The student {text}."] if parts else []


# ---- Parts ----


def difference_to(report: Report, control: ModelResult) -> NamedDifference | None:
    """The difference of the student to a control, in the main metric where there is one."""
    student = next(model for model in report.models if model.role == "student").name
    differences = [
        difference
        for difference in report.differences
        if (difference.of, difference.to) == ("student", "control")
        and (difference.of_name or student) == student
        and (difference.to_name or control.name) == control.name
    ]
    in_main_metric = [difference for difference in differences if difference.metric == report.metric]
    return next(iter(in_main_metric or differences), None)


def _evaluations_worsen(report: Report) -> bool:
    """Whether the loss on the validation data was lower before the end: training longer would not help."""
    losses = _logged(report, "eval_loss")
    return len(losses) > 1 and losses[-1] > min(losses)


def _logged(report: Report, name: str) -> list[float]:
    """What the first student logged under a name in its last stage."""
    curve = (report.training_curves or {}).get("student", [])
    return [line[name] for line in curve if line.get(name) is not None]


def _is_better(report: Report, model: ModelResult, other: ModelResult) -> bool:
    value, reference = model.metrics.get(report.metric), other.metrics.get(report.metric)
    if value is None or reference is None:
        return False
    return value < reference if display(report.metric).lower_is_better else value > reference


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _rounded(number: float) -> int:
    """To two digits, upwards."""
    unit = 10 ** max(len(str(int(number))) - 2, 0)
    return int(-(-number // unit) * unit)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
