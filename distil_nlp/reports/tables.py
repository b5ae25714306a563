"""A report as something to read: the table of the models and the lines about their differences."""

import math

from ..metrics import display
from ..metrics.display import NOTHING, short_count

_SHARE = display("share")  # kept, agreement: in percent


def text_table(report):
    """The comparison for a terminal: a row a model, then a line a difference.

    Args:
        report (`dict`): What `Comparison.to_dict` returns, or a report.json read back.

    Returns:
        `str`, without a final line break.
    """
    lines = [text_rows(*table_cells(report)), *([""] if report["differences"] else [])]
    return "\n".join([*lines, *difference_lines(report)])


def markdown_table(report):
    """The rows of `text_table` as a Markdown table."""
    return markdown_rows(*table_cells(report))


def text_rows(header, rows, *, num_words=2):
    """Rows of strings under a header, in columns; the first `num_words` to the left, numbers to the right."""
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column < num_words else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in [header, ["-" * width for width in widths], *rows]
    )


def markdown_rows(header, rows, *, num_words=2):
    """The same as a Markdown table."""
    ruler = [*["---"] * num_words, *["---:"] * (len(header) - num_words)]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in [header, ruler, *rows]
    )


def table_cells(report):
    """Header and rows of the table as strings, the main metric first; `legend` says what they mean.

    Returns:
        `(header, rows)`: a list of strings, and a list of such lists. What does not exist is "-".
    """
    models, main = report["models"], report["metric"]
    names = [main, *(name for name in models[0]["metrics"] if name != main)]
    header = ["role", "model", *(display(name).short for name in names), "kept", "agreement"]
    header += ["params", "MB", "ms p50/p95", "speed-up", "per s"]
    return header, [_row(model, names) for model in models]


def _row(model, names):
    latency, speed = model.get("latency_ms") or {}, model.get("speed_up") or {}
    spread = model.get("spread") or {}
    size = model.get("size_bytes")
    milliseconds = [_number(latency.get(key), ".1f") for key in ("p50", "p95")]
    return [
        model["role"],
        model["name"],
        *(display(name).number(model["metrics"].get(name), spread.get(name)) for name in names),
        _SHARE.number(model.get("kept")),
        _SHARE.number(model.get("agreement")),
        NOTHING if model.get("parameters") is None else short_count(model["parameters"]),
        _number(None if size is None else size / 1e6, ".1f"),
        "/".join(milliseconds) if latency else NOTHING,
        _number(speed.get("value"), ".1f", "x"),
        _number(model.get("throughput_per_s"), ",.0f"),
    ]


def legend(report):
    """What the numbers of the metrics and of *kept* are, a list of two sentences."""
    units = "Metrics, kept and agreement in percent"
    plain = [name for name in report["models"][0]["metrics"] if not display(name).percent]
    if plain:
        units += f"; {', '.join(map(_described, plain))}"
    metric = report["metric"]
    kept = f"the {metric} over the teacher's"
    if display(metric).lower_is_better:
        kept = f"the teacher's {metric} over the model's"
    return [f"{units}.", f"*kept*: {kept}."]


def _described(name):
    return f"{display(name).short} is a plain number" + (", lower is better" if display(name).lower_is_better else "")


def difference_lines(report):
    """One line a difference, in the metric's unit, with its interval."""
    return [_difference_line(difference) for difference in report["differences"]]


def _difference_line(difference):
    who = [
        f"{difference[side]} ({difference[f'{side}_name']})" if difference.get(f"{side}_name") else difference[side]
        for side in ("of", "to")
    ]
    shown = display(difference["metric"])
    interval = f"95 % interval {shown.signed(difference['low'])} to {shown.signed(difference['high'])}"
    direction = "lower is better; " if shown.lower_is_better else ""
    return f"{who[0]} - {who[1]}: {shown.short} {shown.change(difference['value'])} ({direction}{interval})"


def _number(value, style, unit=""):
    if value is None or math.isnan(value):
        return NOTHING
    return format(value, style) + unit
