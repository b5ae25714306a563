"""The report of a sweep: sweep.json for programs, sweep.md to read, sweep.png as a plot."""

import importlib.util
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..internals.files import replacing, write_json, write_text
from ..internals.messages import printable
from ..metrics import display
from ..metrics.display import NOTHING
from ..reports.layout import code_span, markdown_rows, text_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes

logger = logging.getLogger(__name__)

_PANEL = (4.0, 3.2)  # inches
_COLORS = {"student": "tab:green", "teacher": "tab:blue", "control": "tab:orange"}


def write_sweep(folder: str | Path, report: Mapping[str, Any]) -> None:
    """Write sweep.json, sweep.md and, where matplotlib is installed, sweep.png; each file whole or not at all.

    Args:
        folder (`str` or `Path`): The folder of the files.
        report (`dict`): "metric", "trials" (each with "number", "settings", "value", "metrics", "parameters",
            "seconds"), "best" (a number), "control" and "teacher" (with "metrics"; the control may be None), and
            further JSON-ready entries.
    """
    folder = Path(folder)
    drawn = _draw(report, folder / "sweep.png")
    write_text(folder / "sweep.md", _page(report, drawn))
    write_json(folder / "sweep.json", report)


def sweep_table(report: Mapping[str, Any]) -> str:
    """The trials as a table for a terminal, the best first, then control and teacher."""
    return text_rows(*_cells(report), num_words=1)


def settings_line(settings: Mapping[str, Any]) -> str:
    """Settings in one line, such as "temperature 4, kd_ratio 0.35"."""
    return ", ".join(f"{name} {_text(value)}" for name, value in settings.items())


def _page(report: Mapping[str, Any], drawn: bool) -> str:
    best, metric = report["best"], display(report["metric"])
    parts = [
        f"# Sweep: {report['task']}",
        f"{len(report['trials'])} trials, decided by {report['metric']} on {report['num_examples']:,} examples of "
        f"{report['decided_on']}. Best: trial {best}.",
        markdown_rows(*_cells(report), num_words=1),
        f"{metric.short} is {'in percent' if metric.percent else 'a plain number'}"
        f"{', lower is better' if metric.lower_is_better else ''}. *params*: parameters. *s*: seconds of the trial. "
        f"*control*: the student of trial {best} on the labels alone, for as many steps. The figure of the best was "
        f"chosen on these examples, so it flatters; all trials have the seed {report['seed']}.",
    ]
    if drawn:
        parts.append("![Trials](sweep.png)")
    parts += [f"To compare the best with its control:\n\n```\n{printable(report['next_command'])}\n```"]
    parts += [f"Made by {code_span(report['command'])}."]
    return "\n\n".join(parts) + "\n"


def _cells(report: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    names = _names(report)
    metric = report["metric"]
    header = ["trial", *names, display(metric).short, "params", "s"]
    rows = [_row(trial, names, metric) for trial in _ranked(report)]
    others = [(role, report[role]) for role in ("control", "teacher") if report[role] is not None]
    rows += [
        [role, *[NOTHING] * len(names), display(metric).number(model["metrics"][metric]), _count(model), NOTHING]
        for role, model in others
    ]
    return header, rows


def _row(trial: Mapping[str, Any], names: Sequence[str], metric: str) -> list[str]:
    settings = [_text(trial["settings"][name]) if name in trial["settings"] else NOTHING for name in names]
    seconds = f"as {trial['repeats']}" if "repeats" in trial else f"{trial['seconds']:.1f}"
    return [str(trial["number"]), *settings, display(metric).number(trial["value"]), _count(trial), seconds]


def _ranked(report: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The trials, the best first, those without a value last."""
    sign = 1 if display(report["metric"]).lower_is_better else -1
    return sorted(
        report["trials"],
        key=lambda trial: (trial["value"] is None, 0 if trial["value"] is None else sign * trial["value"]),
    )


def _names(report: Mapping[str, Any]) -> list[str]:
    """Names of the settings that were tried, in the order of their first trial."""
    return list(dict.fromkeys(name for trial in report["trials"] for name in trial["settings"]))


def _text(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else printable(value)


def _count(model: Mapping[str, Any]) -> str:
    return f"{model['parameters']:,}" if model.get("parameters") else NOTHING


# ---- The plot ----


def _draw(report: Mapping[str, Any], path: Path) -> bool:
    """Plot the metric over the trials and over every setting. False, with a line in the log, without matplotlib."""
    path.unlink(missing_ok=True)  # a plot of earlier trials would not match the table
    if importlib.util.find_spec("matplotlib") is None:
        logger.info("sweep.png is not drawn: matplotlib is not installed (pip install matplotlib).")
        return False
    from matplotlib.figure import Figure  # not pyplot: a library leaves the user's backend alone

    known = [trial for trial in report["trials"] if trial["value"] is not None]
    names = _names(report)
    width = min(3, 1 + len(names))
    height = -(-(1 + len(names)) // width)
    figure = Figure(figsize=(_PANEL[0] * width, _PANEL[1] * height), layout="constrained")
    panels = [figure.add_subplot(height, width, index) for index in range(1, len(names) + 2)]
    _over_trials(panels[0], report, known)
    for axes, name in zip(panels[1:], names, strict=True):
        _over_setting(axes, report, [trial for trial in known if name in trial["settings"]], name)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize="small")
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150)
    return True


def _over_trials(axes: "Axes", report: Mapping[str, Any], known: Sequence[Mapping[str, Any]]) -> None:
    numbers = [trial["number"] for trial in known]
    heights = [_height(report, trial["value"]) for trial in known]
    pick = min if display(report["metric"]).lower_is_better else max
    axes.scatter(numbers, heights, s=20, color=_COLORS["student"], label="a trial")
    best_so_far = [pick(heights[: index + 1]) for index in range(len(heights))]
    axes.step(numbers, best_so_far, where="post", color=_COLORS["student"], label="best so far")
    for role in ("control", "teacher"):
        if report[role] is not None:
            level = _height(report, report[role]["metrics"][report["metric"]])
            if level is not None:
                axes.axhline(level, linestyle="--", color=_COLORS[role], label=role)
    _label_axes(axes, report, "trial")


def _over_setting(axes: "Axes", report: Mapping[str, Any], known: Sequence[Mapping[str, Any]], name: str) -> None:
    values, space = [trial["settings"][name] for trial in known], report["space"][name]
    if isinstance(space, list):
        values = [space.index(value) for value in values]
        axes.set_xticks(range(len(space)), [_text(value) for value in space])
        axes.set_xlim(-0.5, len(space) - 0.5)
    elif space.get("log"):
        axes.set_xscale("log")
        axes.set_xlim(space["low"] / 1.2, space["high"] * 1.2)
        axes.tick_params(axis="x", which="minor", labelbottom=False)
    heights = [_height(report, trial["value"]) for trial in known]
    axes.scatter(values, heights, s=20, color=_COLORS["student"])
    _label_axes(axes, report, name)


def _label_axes(axes: "Axes", report: Mapping[str, Any], label: str) -> None:
    metric = display(report["metric"])
    axes.set_xlabel(label)
    axes.set_ylabel(f"{metric.short}, %" if metric.percent else metric.short)
    axes.grid(color="0.9")
    axes.set_axisbelow(True)


def _height(report: Mapping[str, Any], value: float | None) -> float | None:
    """The value to plot: in percent if the metric is shown in percent."""
    return 100 * value if value is not None and display(report["metric"]).percent else value
