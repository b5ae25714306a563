"""The files of a report: report.json for programs, report.md for people, report.png with quality against latency."""

import importlib.util
import logging
from functools import lru_cache
from pathlib import Path
from typing import Any

import jinja2

from ..internals.files import replacing, write_text
from ..internals.messages import printable, quoted
from ..internals.secrets import hide_secrets
from ..metrics import display
from .layout import code_span, escape_markdown
from .report import ModelResult, Report, difference_lines, legend, markdown_table

logger = logging.getLogger(__name__)

_TEMPLATES = Path(__file__).parent / "templates"
_COLORS = {
    "teacher": "tab:blue", "member": "tab:cyan", "assistant": "tab:purple", "student": "tab:green",
    "control": "tab:orange",
}  # fmt: skip


def write_report(folder: str | Path, report: Report) -> Path:
    """Write report.json, report.md and, if matplotlib is installed, report.png; each file whole or not at all.

    Args:
        folder (`str` or `Path`): Created if it is missing.
        report (`Report`): NaN is written as null.

    Returns:
        `Path`: of report.json.
    """
    folder = Path(folder)
    # report.json last: if it exists, the other two exist as well.
    drawn = _draw(report, folder / "report.png")
    write_text(folder / "report.md", report_markdown(report, plot="report.png" if drawn else None))
    write_text(folder / "report.json", report.to_json() + "\n")
    return folder / "report.json"


def report_markdown(report: Report, plot: str | None = None) -> str:
    """The report as a Markdown page: table, differences, where and how it was measured.

    Args:
        report (`Report`): The result of a comparison.
        plot (`str`, *optional*): Address of a plot to show.
    """
    return render(
        _TEMPLATES / "report.md.jinja",
        report=report,
        table=markdown_table(report),
        legend=" ".join(legend(report)),
        differences=difference_lines(report),
        plot=plot,
    )


def render(template: Path, **values: Any) -> str:
    """The text of a Jinja2 template with these values. Lines with only a tag leave no line in the text."""
    return _compiled(template).render(**values)


@lru_cache
def _compiled(template: Path) -> jinja2.Template:
    environment = jinja2.Environment(
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, undefined=jinja2.StrictUndefined
    )
    # Filters for what users name: files, folders, columns, labels.
    environment.filters |= {
        "repr": repr, "quoted": quoted, "markdown": escape_markdown, "code": code_span, "printable": printable,
        "hide_secrets": hide_secrets,
    }  # fmt: skip
    return environment.from_string(template.read_text(encoding="utf-8"))


def _draw(report: Report, path: Path) -> bool:
    """Plot quality against latency. Logs the reason and returns False if no model was timed or matplotlib is missing."""
    path.unlink(missing_ok=True)  # otherwise a plot of an earlier report would stay in the folder
    measured = [model for model in report.models if _quality(report, model) is not None]
    timed = [model for model in measured if model.latency_ms]
    if not timed:
        logger.info("report.png is not drawn: no model of the report was timed.")
        return False
    if importlib.util.find_spec("matplotlib") is None:
        logger.info("report.png is not drawn: matplotlib is not installed (pip install matplotlib).")
        return False
    from matplotlib.figure import Figure  # not pyplot: a library leaves the user's backend alone

    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    ylabel = f"{report.metric}, %" if display(report.metric).percent else report.metric
    axes = figure.add_subplot(xlabel="latency at batch 1, ms (median)", ylabel=ylabel)
    for model in timed:
        color, label = _COLORS[model.role], f"{model.role}: {model.name}"
        latency, quality = model.latency_ms, _quality(report, model)
        assert latency is not None and latency.p50 is not None and quality is not None
        axes.scatter(latency.p50, quality, s=60, color=color, label=label)
    for model in measured:
        if model not in timed:
            label = f"{model.role}: {model.name} (not timed)"
            quality = _quality(report, model)
            assert quality is not None
            axes.axhline(quality, linestyle="--", color=_COLORS[model.role], label=label)
    axes.set_xlim(left=0)
    axes.grid(color="0.9")
    axes.set_axisbelow(True)
    figure.legend(loc="outside lower center", fontsize="small")
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150)
    return True


def _quality(report: Report, model: ModelResult) -> float | None:
    value = model.metrics.get(report.metric)
    return 100 * value if value is not None and display(report.metric).percent else value
