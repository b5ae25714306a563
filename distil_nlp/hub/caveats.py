"""Limits of the evidence in a report: a sentence for each part that is missing or weak."""

from ..reports.report import Report


def caveats(report: Report, *, data: str) -> list[str]:
    """Sentences for the card's section on limits.

    Args:
        report (`Report`): With a student and redacted names, see `public_report`.
        data (`str`): The data the student was trained and measured on, in words.

    Returns:
        `list[str]`: The limits that every student has, then those of this run.
    """
    return [*_general(report, data), *_controls(report), *_evidence(report)]


def percent(share: float) -> str:
    """0.9871 as "98.7 %"."""
    return f"{100 * share:.1f} %"


def _general(report: Report, data: str) -> list[str]:
    student, teacher = report.of_role("student"), report.of_role("teacher")
    sentences = []
    if student.parameters and teacher is not None and teacher.parameters:
        share = percent(student.parameters / teacher.parameters)
        sentences.append(
            f"Capacity gap: with {share} of the teacher's parameters it cannot follow the teacher everywhere, and an "
            f"average hides where: look at the classes and the inputs that matter to you."
        )
    if student.agreement is not None and student.agreement < 1:
        sentences.append(
            f"It disagrees with the teacher in {percent(1 - student.agreement)} of its decisions on the evaluation "
            f"examples."
        )
    sentences.append(
        f"It learned the teacher's answers on {data} only. On other data neither quality nor agreement was measured: "
        f"measure both on your own before you replace the teacher."
    )
    sentences.append("It inherits the teacher's errors and biases, and adds its own.")
    return sentences


def _controls(report: Report) -> list[str]:
    if report.of_role("control") is None:
        return [
            "No control run: the same student was not trained without the teacher, so how much of the result is due to "
            "distillation is unknown."
        ]
    return []


def _evidence(report: Report) -> list[str]:
    sentences = []
    if len(report.seeds) == 1:
        sentences.append(
            f"One seed ({report.seeds[0]}): the spread between training runs was not measured. Intervals above are "
            f"about the choice of evaluation examples, not about training again."
        )
    elif not report.seeds:
        sentences.append("The seeds were not recorded.")
    if report.of_role("teacher") is None:
        sentences.append("The teacher was not measured: it is not known how much of its quality was kept.")
    if not report.differences:
        sentences.append("No bootstrap intervals were computed: small differences in the table may be noise.")
    latency = report.of_role("student").latency_ms
    if latency is None or latency.p50 is None:
        sentences.append("Latency was not measured.")
    else:
        sentences.append("The times were taken on the machine described below; on another, time all rows again.")
    return sentences
