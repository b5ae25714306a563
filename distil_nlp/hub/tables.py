"""The numbers of a report as Markdown. A number that was not measured is a dash, never a zero."""

import math
from numbers import Real

from .names import public_name

DASH = "–"
_ORDER = ("teacher", "student", "control")


def of_role(report, role):
    """The first model of the report with this role ("teacher", "student", "control"), or None."""
    return next((model for model in report.get("models", []) if model.get("role") == role), None)


def percent(share):
    """0.9871 as "98.7 %"."""
    return f"{100 * share:.1f} %"


def comparison_table(report):
    """Teacher, student, controls: one row each; a column that nobody filled is left out."""
    models = sorted(report["models"], key=lambda model: _ORDER.index(model["role"]) if model["role"] in _ORDER else 3)
    columns = {metric: [_number(_metrics(model).get(metric)) for model in models] for metric in _metric_names(report)}
    columns["kept"] = [_shown(model.get("kept"), percent) for model in models]
    columns["agreement"] = [_shown(model.get("agreement"), percent) for model in models]
    columns["parameters"] = [_shown(model.get("parameters"), _counted) for model in models]
    columns["size"] = [_shown(model.get("size_bytes"), _sized) for model in models]
    columns["latency p50 / p95"] = [_latency(model.get("latency_ms")) for model in models]
    columns["throughput"] = [_shown(model.get("throughput_per_s"), _rate) for model in models]
    columns = {name: cells for name, cells in columns.items() if any(cell != DASH for cell in cells)}
    lines = [f"| | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for row, model in enumerate(models):
        lines.append(f"| {_row_name(model)} | {' | '.join(cells[row] for cells in columns.values())} |")
    return "\n".join(lines)


def differences_list(report):
    """One line a difference: "student minus control, accuracy: +0.041 (95 % interval +0.020 to +0.062)"."""
    return "\n".join(
        f"- {public_name(difference['of'])} minus {public_name(difference['to'])}, {difference['metric']}: "
        f"{difference['value']:+.4f} (95 % bootstrap interval {difference['low']:+.4f} to {difference['high']:+.4f})"
        for difference in report.get("differences") or []
    )


def _metrics(model):
    return model.get("metrics") or {}


def _metric_names(report):
    """The main metric first, then the others as they come."""
    names = dict.fromkeys([report.get("metric")]) if report.get("metric") else {}
    for model in report["models"]:
        names.update(dict.fromkeys(_metrics(model)))
    return list(names)


def _row_name(model):
    role, name = model["role"], public_name(model.get("name") or "")
    shown = f"**{role}**" if role == "student" else role
    return shown if name in ("", role) else f"{shown} ({name.replace('|', '/')})"


def _shown(value, form):
    return form(value) if isinstance(value, Real) and math.isfinite(value) else DASH


def _number(value):
    return _shown(value, lambda number: f"{number:.4f}")


def _counted(value):
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.1f} {unit}"
    return str(int(value))


def _sized(value):
    return f"{value / 1e6:,.1f} MB"


def _rate(value):
    return f"{value:,.0f} /s"


def _latency(latency):
    p50, p95 = ((latency or {}).get(key) for key in ("p50", "p95"))
    if p50 is None:
        return DASH
    return f"{p50:.1f} / {p95:.1f} ms" if p95 is not None else f"{p50:.1f} ms"
