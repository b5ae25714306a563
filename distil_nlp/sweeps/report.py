"""What a sweep leaves behind: sweep.json for programs, sweep.md for people, sweep.png for a look."""

import importlib.util
import logging
from pathlib import Path

from ..internals.files import replacing, write_json, write_text
from ..metrics import display
from ..metrics.display import NOTHING
from ..reports.tables import markdown_rows, text_rows

logger = logging.getLogger(__name__)

_PANEL = (4.0, 3.2)  # inches
_COLORS = {"student": "tab:green", "teacher": "tab:blue", "control": "tab:orange"}


def write_sweep(folder, report):
    """Write sweep.json, sweep.md and, where matplotlib is installed, sweep.png; each file whole or not at all.

    Args:
        folder (`str` or `Path`): Where.
        report (`dict`): "metric", "trials" (each with "number", "settings", "value", "metrics", "parameters",
            "seconds"), "best" (a number), "control" and "teacher" (with "metrics"; the control may be None), and
            whatever else is worth keeping, JSON-ready.
    """
    folder = Path(folder)
    drawn = _draw(report, folder / "sweep.png")
    write_text(folder / "sweep.md", _page(report, drawn))
    write_json(folder / "sweep.json", report)


def sweep_table(report):
    """The trials for a terminal, the best first, then control and teacher."""
    return text_rows(*_cells(report), num_words=1)


def settings_line(settings):
    """ "temperature 4, kd_ratio 0.35" """
    return ", ".join(f"{name} {_said(value)}" for name, value in settings.items())


def _page(report, drawn):
    best, shown = report["best"], display(report["metric"])
    parts = [
        f"# Sweep: {report['task']}",
        f"{len(report['trials'])} trials, decided by {report['metric']} on {report['num_examples']:,} examples of "
        f"{report['decided_on']}. Best: trial {best}.",
        markdown_rows(*_cells(report), num_words=1),
        f"{shown.short} is {'in percent' if shown.percent else 'a plain number'}"
        f"{', lower is better' if shown.lower_is_better else ''}. *params*: parameters. *s*: seconds of the trial. "
        f"*control*: the student of trial {best} on the labels alone, for as many steps. The figure of the best was "
        f"chosen on these examples, so it flatters; all trials have the seed {report['seed']}.",
    ]
    if drawn:
        parts.append("![Trials](sweep.png)")
    parts += [f"What the best is worth, beside its control:\n\n```\n{report['next_command']}\n```"]
    parts += [f"Made by `{report['command']}`."]
    return "\n\n".join(parts) + "\n"


def _cells(report):
    names = _names(report)
    metric = report["metric"]
    header = ["trial", *names, display(metric).short, "params", "s"]
    rows = [_row(one, names, metric) for one in _ranked(report)]
    others = [(role, report[role]) for role in ("control", "teacher") if report[role] is not None]
    rows += [
        [role, *[NOTHING] * len(names), display(metric).number(one["metrics"][metric]), _count(one), NOTHING]
        for role, one in others
    ]
    return header, rows


def _row(one, names, metric):
    settings = [_said(one["settings"][name]) if name in one["settings"] else NOTHING for name in names]
    seconds = f"as {one['repeats']}" if "repeats" in one else f"{one['seconds']:.1f}"
    return [str(one["number"]), *settings, display(metric).number(one["value"]), _count(one), seconds]


def _ranked(report):
    sign = 1 if display(report["metric"]).lower_is_better else -1
    return sorted(
        report["trials"], key=lambda one: (one["value"] is None, 0 if one["value"] is None else sign * one["value"])
    )


def _names(report):
    """Of the settings that were tried, in the order they were first."""
    return list(dict.fromkeys(name for one in report["trials"] for name in one["settings"]))


def _said(value):
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _count(one):
    return f"{one['parameters']:,}" if one.get("parameters") else NOTHING


# ---- The picture ----


def _draw(report, path):
    """The metric over the trials and over every setting. False, with a line in the log, where nothing draws."""
    path.unlink(missing_ok=True)  # a picture of earlier trials would lie beside this table
    if importlib.util.find_spec("matplotlib") is None:
        logger.info("sweep.png is not drawn: matplotlib is not installed (pip install matplotlib).")
        return False
    from matplotlib.figure import Figure  # not pyplot: a library leaves the user's backend alone

    known = [one for one in report["trials"] if one["value"] is not None]
    names = _names(report)
    width = min(3, 1 + len(names))
    height = -(-(1 + len(names)) // width)
    figure = Figure(figsize=(_PANEL[0] * width, _PANEL[1] * height), layout="constrained")
    panels = [figure.add_subplot(height, width, place) for place in range(1, len(names) + 2)]
    _over_trials(panels[0], report, known)
    for axes, name in zip(panels[1:], names, strict=True):
        _over_setting(axes, report, [one for one in known if name in one["settings"]], name)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize="small")
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150)
    return True


def _over_trials(axes, report, known):
    numbers = [one["number"] for one in known]
    heights = [_height(report, one["value"]) for one in known]
    pick = min if display(report["metric"]).lower_is_better else max
    axes.scatter(numbers, heights, s=20, color=_COLORS["student"], label="a trial")
    best_so_far = [pick(heights[: place + 1]) for place in range(len(heights))]
    axes.step(numbers, best_so_far, where="post", color=_COLORS["student"], label="best so far")
    for role in ("control", "teacher"):
        if report[role] is not None:
            level = _height(report, report[role]["metrics"][report["metric"]])
            if level is not None:
                axes.axhline(level, linestyle="--", color=_COLORS[role], label=role)
    _finish(axes, report, "trial")


def _over_setting(axes, report, known, name):
    values, space = [one["settings"][name] for one in known], report["space"][name]
    if isinstance(space, list):
        values = [space.index(value) for value in values]
        axes.set_xticks(range(len(space)), [_said(value) for value in space])
        axes.set_xlim(-0.5, len(space) - 0.5)
    elif space.get("log"):
        axes.set_xscale("log")
        axes.set_xlim(space["low"] / 1.2, space["high"] * 1.2)
        axes.tick_params(axis="x", which="minor", labelbottom=False)
    heights = [_height(report, one["value"]) for one in known]
    axes.scatter(values, heights, s=20, color=_COLORS["student"])
    _finish(axes, report, name)


def _finish(axes, report, label):
    shown = display(report["metric"])
    axes.set_xlabel(label)
    axes.set_ylabel(f"{shown.short}, %" if shown.percent else shown.short)
    axes.grid(color="0.9")
    axes.set_axisbelow(True)


def _height(report, value):
    return 100 * value if value is not None and display(report["metric"]).percent else value
