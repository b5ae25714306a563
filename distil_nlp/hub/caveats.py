"""What a reader must not conclude from a report: each missing or weak part of it, said in a sentence."""

from ..metrics import display
from .report_view import of_role, percent


def caveats(report, *, data):
    """Sentences for the card's section on limits.

    Args:
        report (`dict`): What `public_report` returns.
        data (`str`): What the student was trained and measured on, in words.

    Returns:
        `list[str]`: The limits that every student has, then those of this run.
    """
    return [*_of_every_student(report, data), *_of_the_controls(report), *_of_the_evidence(report)]


def _of_every_student(report, data):
    student, teacher = of_role(report, "student"), of_role(report, "teacher") or {}
    said = []
    if student.get("parameters") and teacher.get("parameters"):
        share = percent(student["parameters"] / teacher["parameters"])
        said.append(
            f"Capacity gap: with {share} of the teacher's parameters it cannot follow the teacher everywhere, and an "
            f"average hides where: look at the classes and the inputs that matter to you."
        )
    if student.get("agreement") is not None and student["agreement"] < 1:
        said.append(
            f"It disagrees with the teacher in {percent(1 - student['agreement'])} of its decisions on the evaluation "
            f"examples."
        )
    said.append(
        f"It learned the teacher's answers on {data} only. On other data neither quality nor agreement was measured: "
        f"measure both on your own before you replace the teacher."
    )
    said.append("It inherits the teacher's errors and biases, and adds its own.")
    return said


def _of_the_controls(report):
    controls = [model for model in report["models"] if model["role"] == "control"]
    if not controls:
        return [
            "No control run: the same student was not trained without the teacher, so this card cannot say how much "
            "of the result is owed to distillation."
        ]
    return [sentence for control in controls if (sentence := _of_control(report, control)) is not None]


def _of_control(report, control):
    """What is weak about the gain over one control; None where the gain is clear."""
    name = control["name"]
    difference = _difference_to(report, control)
    if difference is None or difference["low"] is None or difference["high"] is None:
        return f"The gain over the control ({name}) has no interval: whether it is noise is not known."
    metric = display(difference["metric"])
    shown = f"{difference['metric']} {metric.change(difference['value'])}"
    low, high = difference["low"], difference["high"]
    if metric.lower_is_better:
        low, high = -high, -low  # of the gain
    if high < 0:
        return f"The student is worse than the control ({name}: {shown}): in this run the teacher did not help."
    if low <= 0:
        return (
            f"The difference to the control ({name}: {shown}) is within the noise of the evaluation set: "
            f"this run does not show that the teacher helped."
        )
    return None


def _difference_to(report, control):
    student = of_role(report, "student")["name"]
    found = [
        line
        for line in report["differences"]
        if line["of"] == "student"
        and line.get("of_name", student) == student
        and line["to"] == "control"
        and line.get("to_name", control["name"]) == control["name"]
    ]
    on_main_metric = [line for line in found if line["metric"] == report["metric"]]
    return next(iter(on_main_metric or found), None)


def _of_the_evidence(report):
    said = []
    if len(report["seeds"]) == 1:
        said.append(
            f"One seed ({report['seeds'][0]}): the spread between training runs was not measured. Intervals above are "
            f"about the choice of evaluation examples, not about training again."
        )
    elif not report["seeds"]:
        said.append("The seeds were not recorded.")
    if of_role(report, "teacher") is None:
        said.append("The teacher was not measured: what was kept of it is not known.")
    if not report["differences"]:
        said.append("No bootstrap intervals were computed: small differences in the table may be noise.")
    if of_role(report, "student")["latency_ms"].get("p50") is None:
        said.append("Latency was not measured.")
    else:
        said.append("The times were taken on the machine described below; on another, time all rows again.")
    return said
