"""Reading a report for a card: with its gaps filled by None, and with names that may be shown."""

from .redaction import public_name


def public_report(report):
    """A report whose every key that a card reads exists, and whose names say nothing about this machine.

    Args:
        report (`dict`): report.json; the report of a run that stopped early may lack most of it.

    Returns:
        `dict`: A copy. What was not measured is None or empty.

    Raises:
        ValueError: The report has no student.
    """
    models = [_public_model(model) for model in report.get("models") or []]
    student = of_role({"models": models}, "student")
    if student is None:
        roles = ", ".join(model["role"] for model in models) or "no model at all"
        raise ValueError(
            f"A card describes a student, and the report has none (it has {roles}). "
            f"Build the report with an entry whose role is 'student'."
        )
    return {
        **report,
        "models": models,
        "metric": report.get("metric") or next(iter(student["metrics"]), "metric"),
        "differences": [_public_difference(one) for one in report.get("differences") or []],
        "environment": report.get("environment") or {},
        "seeds": report.get("seeds") or [],
    }


def of_role(report, role):
    """The first model of the report with this role ("teacher", "student", "control"), or None."""
    return next((model for model in report["models"] if model["role"] == role), None)


def percent(share):
    """0.9871 as "98.7 %"."""
    return f"{100 * share:.1f} %"


def _public_model(model):
    name = public_name(model.get("name") or model["role"])
    return {**model, "name": name, "metrics": model.get("metrics") or {}, "latency_ms": model.get("latency_ms") or {}}


def _public_difference(difference):
    names = {key: public_name(difference[key]) for key in ("of_name", "to_name") if difference.get(key)}
    return {**difference, **names}
