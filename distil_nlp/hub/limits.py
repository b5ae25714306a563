"""What a reader must not conclude from a report: each missing or weak part of it, said in a sentence."""

from .tables import of_role, percent


def limits(report, *, data):
    """Sentences for the card's section on limits.

    Args:
        report (`dict`): See `model_card`.
        data (`str`): What the student was trained and measured on, in words.

    Returns:
        `list[str]`: At least the limits that every student has; then those of this run.
    """
    return [*_of_every_student(report, data), *_of_the_control(report), *_of_the_evidence(report)]


def _of_every_student(report, data):
    student, teacher = of_role(report, "student"), of_role(report, "teacher") or {}
    said = []
    if student.get("parameters") and teacher.get("parameters"):
        share = percent(student["parameters"] / teacher["parameters"])
        said.append(
            f"Capacity gap: with {share} of the teacher's parameters it cannot follow the teacher everywhere, and an "
            f"average hides where: look at the classes and the inputs that matter to you."
        )
    if student.get("agreement") is not None:
        said.append(
            f"It disagrees with the teacher on {percent(1 - student['agreement'])} of the evaluation examples, "
            f"also where the average is as good."
        )
    said.append(
        f"It learnt the teacher's answers on {data} only. On other data neither quality nor agreement was measured: "
        f"measure both on your own before you replace the teacher."
    )
    said.append("It inherits the teacher's errors and biases, and adds its own.")
    return said


def _of_the_control(report):
    control = of_role(report, "control")
    if control is None:
        return [
            "No control run: the same student was not trained without the teacher, so this card cannot say how much "
            "of the result is owed to distillation."
        ]
    difference = _difference(report, "student", "control", control)
    if difference is None:
        return ["No interval on the difference to the control was computed: whether the gain is noise is not known."]
    if difference["low"] <= 0 <= difference["high"]:
        return [
            f"The difference to the control ({difference['metric']} {difference['value']:+.4f}) is within the noise "
            f"of the evaluation set: this run does not show that the teacher helped."
        ]
    if difference["high"] < 0:
        loss = f"{difference['metric']} {difference['value']:+.4f}"
        return [f"The student is worse than the control ({loss}): in this run the teacher did harm."]
    return []


def _difference(report, of, to, model):
    names = {to, model.get("name")}
    found = [line for line in report.get("differences") or [] if line["of"] == of and line["to"] in names]
    on_main_metric = [line for line in found if line["metric"] == report.get("metric")]
    return next(iter(on_main_metric or found), None)


def _of_the_evidence(report):
    said = []
    seeds = report.get("seeds") or []
    if len(seeds) == 1:
        said.append(
            f"One seed ({seeds[0]}): the spread between training runs was not measured. Intervals above are about the "
            f"choice of evaluation examples, not about training again."
        )
    elif not seeds:
        said.append("The seeds were not recorded.")
    if of_role(report, "teacher") is None:
        said.append("The teacher was not measured: what was kept of it is not known.")
    if not report.get("differences"):
        said.append("No bootstrap intervals were computed: small differences in the table may be noise.")
    if not (of_role(report, "student").get("latency_ms") or {}).get("p50"):
        said.append("Latency was not measured.")
    else:
        said.append("The times were taken on the machine described below; on another, time all rows again.")
    return said
