"""What a comparison leaves behind: report.json for programs, report.md for people, report.png for a look."""

import importlib.metadata
import importlib.util
import logging
import math
import platform
from pathlib import Path

import torch

from ..internals.files import replacing, write_json, write_text
from ..metrics import display
from .tables import difference_lines, legend, markdown_table

logger = logging.getLogger(__name__)

_PACKAGES = (
    "torch", "transformers", "datasets", "accelerate", "evaluate", "scikit-learn", "numpy", "distil-nlp",
)  # fmt: skip
_LEGEND = (
    "± is the standard deviation over seeds. *agreement*: share of the decisions that are the teacher's. *params*: "
    "parameters. *MB*: the weights when saved, in millions of bytes. *ms*: one example at a time, median and 95th "
    "percentile. *speed-up*: over the teacher, from the medians. *per s*: examples a second in large batches. All "
    "models were timed in turn on the same batches, without tokenization."
)
_INTERVALS = (
    "Intervals: paired bootstrap over the evaluation examples. An interval that holds 0 says that another evaluation "
    "set of this size could reverse the order. It says nothing about other training seeds."
)


def write_report(folder, report):
    """Write report.json, report.md and, where matplotlib is installed, report.png; each file whole or not at all.

    Args:
        folder (`str` or `Path`): Where; made when missing.
        report (`dict`): What `Comparison.to_dict` returns, more keys welcome. NaN is written as null.

    Returns:
        `Path`: of report.json.
    """
    folder, report = Path(folder), plain(report)
    # report.json last: where it stands, the other two stand as well.
    drawn = _draw(report, folder / "report.png")
    write_text(folder / "report.md", report_markdown(report, plot="report.png" if drawn else None))
    write_json(folder / "report.json", report)
    return folder / "report.json"


def report_markdown(report, plot=None):
    """The report as a Markdown page: table, differences, where and how it was measured.

    Args:
        report (`dict`): As for `write_report`.
        plot (`str`, *optional*): Address of a picture to show.
    """
    report = plain(report)
    parts = [f"# Comparison: {report['task']}" if report.get("task") else "# Comparison"]
    counted = f" on {report['num_examples']:,} examples" if report.get("num_examples") else ""
    parts.append(f"Main metric: {report['metric']}{counted}.")
    parts += [markdown_table(report), " ".join([*legend(report), _LEGEND])]
    if plot:
        parts.append(f"![Quality against latency]({plot})")
    parts += [f"![{shows}]({picture})\n\n{shows}." for picture, shows in (report.get("pictures") or {}).items()]
    if report["differences"]:
        parts += ["## Differences", "\n".join(f"- {line}" for line in difference_lines(report)), _INTERVALS]
    parts += ["## How it was measured", _measured(report)]
    return "\n\n".join(parts) + "\n"


def _measured(report):
    lines = []
    if report.get("command"):
        lines.append(f"- command: `{report['command']}`")
    if report.get("seeds"):
        lines.append(f"- seeds: {', '.join(map(str, report['seeds']))}")
    for name, value in (report.get("environment") or {}).items():
        if isinstance(value, dict):
            value = ", ".join(f"{key} {version}" for key, version in value.items())
        lines.append(f"- {name}: {'none' if value is None else value}")
    return "\n".join(lines)


def environment():
    """What numbers depend on: machine kind, threads, versions. No host names, users or paths.

    Returns:
        `dict`: "cpu", "gpu" (None without one), "threads" (torch's), "system", "python", "packages".
    """
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "cpu": _cpu_name(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "threads": torch.get_num_threads(),
        "system": platform.system(),
        "python": platform.python_version(),
        "packages": versions,
    }


def _cpu_name():
    # platform.processor() is empty or "x86_64" on Linux, which says nothing about speed.
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(errors="replace").splitlines() if cpuinfo.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name") and ":" in line]
    return names[0] if names else platform.processor() or platform.machine()


def plain(value):
    """`value` as JSON can hold it: NaN and infinities become None, numpy numbers and arrays Python's, keys strings."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value


def _draw(report, path):
    """Quality against latency. False, with a line in the log, when there is nothing to draw with or to draw."""
    path.unlink(missing_ok=True)  # a picture of an earlier report would lie beside this one
    timed = [model for model in report["models"] if model.get("latency_ms") and _quality(report, model) is not None]
    untimed = [model for model in report["models"] if model not in timed and _quality(report, model) is not None]
    if not timed:
        logger.info("report.png is not drawn: no model of the report was timed.")
        return False
    if importlib.util.find_spec("matplotlib") is None:
        logger.info("report.png is not drawn: matplotlib is not installed (pip install matplotlib).")
        return False
    from matplotlib.figure import Figure  # not pyplot: a library leaves the user's backend alone

    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    ylabel = f"{report['metric']}, %" if display(report["metric"]).percent else report["metric"]
    axes = figure.add_subplot(xlabel="latency at batch 1, ms (median)", ylabel=ylabel)
    colors = {
        "teacher": "tab:blue", "member": "tab:cyan", "assistant": "tab:purple", "student": "tab:green",
        "control": "tab:orange",
    }  # fmt: skip
    for model in timed:
        color, label = colors[model["role"]], f"{model['role']}: {model['name']}"
        axes.scatter(model["latency_ms"]["p50"], _quality(report, model), s=60, color=color, label=label)
    for model in untimed:
        label = f"{model['role']}: {model['name']} (not timed)"
        axes.axhline(_quality(report, model), linestyle="--", color=colors[model["role"]], label=label)
    axes.set_xlim(left=0)
    axes.grid(color="0.9")
    axes.set_axisbelow(True)
    figure.legend(loc="outside lower center", fontsize="small")
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150)
    return True


def _quality(report, model):
    value = model["metrics"].get(report["metric"])
    return 100 * value if value is not None and display(report["metric"]).percent else value
