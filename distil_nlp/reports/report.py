"""The typed report of a comparison: what report.json contains, and the only source of tables, pages, plots and cards."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import math
import platform
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ..internals.messages import printable, shown
from ..internals.secrets import hide_secrets
from ..metrics import display
from ..metrics.display import NOTHING, short_count
from .layout import markdown_rows, text_rows

VERSION = 1  # of the keys of report.json; raised when a key changes its meaning

_PACKAGES = (
    "torch", "transformers", "datasets", "accelerate", "evaluate", "scikit-learn", "numpy", "distil-nlp",
)  # fmt: skip
_OPTIONAL = ("data", "objective", "stages", "recipe", "vocabulary", "training_curves")  # left out where None
_WIDTH = 120  # of the verdict in a terminal
_SHARE = display("share")  # retention and agreement, in percent


@dataclass(frozen=True)
class LatencyQuantiles:
    """Milliseconds for one example: median and 95th percentile."""

    p50: float | None = None
    p95: float | None = None


@dataclass(frozen=True)
class SpeedUp:
    """How many times faster than the teacher a model is, from the median latencies, with a 95 % interval."""

    value: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Difference:
    """The metric of one model minus that of another, with its 95 % interval.

    Attributes:
        of, to (`str`): The two models; in a report, their roles.
        metric (`str`): Its name.
        value (`float`): metric(of) - metric(to), in the metric's own unit: of accuracy, a fraction.
        low, high (`float`): The interval. nan (in a report None) where the metric is undefined.
    """

    of: str
    to: str
    metric: str
    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class NamedDifference(Difference):
    """A difference in a report, with the names of the two models."""

    of_name: str | None = None
    to_name: str | None = None


@dataclass
class ModelResult:
    """The measurements of one model. None: undefined or not measured.

    Attributes:
        role (`str`): "teacher", "member", "assistant", "student" or "control".
        name (`str`): Shown in the table.
        metrics (`dict[str, float]`): By name, the mean over seeds.
        per_seed (`dict[str, list[float]]`): The metrics of each seed.
        spread (`dict[str, float]`): Standard deviation over seeds (n - 1); None with one seed.
        retention (`float`): Main metric over the teacher's; where lower is better, the teacher's over the model's. The
            key in report.json is "kept".
        agreement (`float`): Share of the decisions that are the teacher's.
        most_frequent (`float`): Share of the examples that get the model's most frequent decision.
        parameters (`int`), size_bytes (`int`): Number of parameters; bytes of the saved weights.
        latency_ms (`LatencyQuantiles`), throughput_per_s (`float`): One example at a time; examples per second in
            large batches.
        speed_up (`SpeedUp`): Over the teacher.
    """

    role: str
    name: str
    metrics: dict[str, float | None] = field(default_factory=dict)
    per_seed: dict[str, list[float | None]] | None = None
    spread: dict[str, float | None] | None = None
    retention: float | None = None
    agreement: float | None = None
    most_frequent: float | None = None
    parameters: int | None = None
    size_bytes: int | None = None
    latency_ms: LatencyQuantiles | None = None
    throughput_per_s: float | None = None
    speed_up: SpeedUp | None = None

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ModelResult:
        """A model of report.json; keys that are missing are None or empty."""
        latency, speed_up = values.get("latency_ms"), values.get("speed_up")
        return cls(
            **_known(cls, values)
            | {
                "name": values.get("name") or values["role"],
                "metrics": dict(values.get("metrics") or {}),
                "retention": values.get("kept"),
                "latency_ms": LatencyQuantiles(**latency) if latency else None,
                "speed_up": SpeedUp(**speed_up) if speed_up else None,
            }
        )

    def to_dict(self) -> dict[str, Any]:
        """The model as in report.json."""
        values = dataclasses.asdict(self)
        return {"kept" if name == "retention" else name: value for name, value in values.items()}


@dataclass
class Report:
    """The result of a comparison. Printing it shows the table.

    Attributes:
        task (`str`): What was compared on.
        problem_type (`str`): The problem type, as in transformers.
        metric (`str`): The main metric.
        num_examples (`int`): Labeled examples, those the metrics are over.
        models (`list[ModelResult]`): In the order given to `compare`.
        differences (`list[NamedDifference]`): Student to teacher, members, assistants and controls, in the main metric.
        environment (`dict`): Machine kind and versions, see `environment`.
        command (`str`): The command that repeats the comparison.
        seeds (`list[int]`): Training seeds.
        data (`dict`): Rows of each split, the split compared on, rows learned from.
        objective (`list[dict]`): The terms with weights, settings and papers, as `Objective.describe` returns them.
        stages (`dict[str, dict]`): "steps" and "seconds" of each training by its name.
        recipe (`dict`): The settings given to the recipe.
        vocabulary (`dict[str, int]`): Tokens of teacher and student, where the vocabulary was trimmed.
        pictures (`dict[str, str]`): File names of pictures in the folder of the report, with their captions.
        verdict (`list[str]`): What the figures say in words, see `distil_nlp.reports.verdict`.
        training_curves (`dict[str, list[dict]]`): Log lines of each training by its name: every loss term, learning rate
            and evaluation with its step and epoch.
        version (`int`): Of the keys of report.json.
    """

    task: str | None
    problem_type: str | None
    metric: str
    num_examples: int | None
    models: list[ModelResult]
    differences: list[NamedDifference] = field(default_factory=list)
    environment: dict[str, Any] = field(default_factory=dict)
    command: str | None = None
    seeds: list[int] = field(default_factory=list)
    data: dict[str, Any] | None = None
    objective: list[dict[str, Any]] | None = None
    stages: dict[str, dict[str, Any]] | None = None
    recipe: dict[str, Any] | None = None
    vocabulary: dict[str, int] | None = None
    pictures: dict[str, str] | None = None
    verdict: list[str] = field(default_factory=list)
    training_curves: dict[str, list[dict[str, Any]]] | None = None
    version: int = VERSION

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Report:
        """A report from the values of report.json.

        Args:
            values (`Mapping`): Keys that are missing, as after a run that stopped early, are None or empty. Keys that
                this version does not define are left out.

        Raises:
            ValueError: The report is of a newer version than this package reads, or no report.
        """
        try:
            report = cls._from_dict(values)
            if report.models:
                report.table()  # fails where a value is of another type
            return report
        except (AttributeError, KeyError, TypeError, OverflowError) as error:
            raise ValueError(
                f"The content of a report.json has models, differences and seeds as a run writes them; got {shown(values)} "
                f"({type(error).__name__}: {error}). Repeat the run's command to write it again."
            ) from error

    @classmethod
    def _from_dict(cls, values: Mapping[str, Any]) -> Report:
        version = values.get("version") or VERSION
        if version > VERSION:
            raise ValueError(
                f"This version of distil_nlp reads reports up to version {VERSION}; got version {version}. Its keys may "
                f"mean something else. Install a newer distil_nlp."
            )
        models = [ModelResult.from_dict(model) for model in values.get("models") or []]
        students = [model for model in models if model.role == "student"] or models
        metrics = [name for model in students[:1] for name in model.metrics]
        defaults: dict[str, Any] = {"task": None, "problem_type": None, "num_examples": None}
        return cls(
            **defaults
            | _known(cls, values)
            | {
                "metric": values.get("metric") or next(iter(metrics), "metric"),
                "models": models,
                "differences": [
                    NamedDifference(**_known(NamedDifference, values)) for values in values.get("differences") or []
                ],
                "environment": dict(values.get("environment") or {}),
                "seeds": list(values.get("seeds") or []),
                "verdict": [str(sentence) for sentence in values.get("verdict") or []],
                "version": version,
            }
        )

    @classmethod
    def from_json(cls, text: str) -> Report:
        """A report from the text of report.json."""
        return cls.from_dict(json.loads(text))

    def to_dict(self) -> dict[str, Any]:
        """The values of report.json: JSON-ready, None for what is undefined or was not measured."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        values = {name: value for name, value in values.items() if value is not None or name not in _OPTIONAL}
        values["models"] = [model.to_dict() for model in self.models]
        values["differences"] = [dataclasses.asdict(difference) for difference in self.differences]
        return plain(values)

    def to_json(self) -> str:
        """The text of report.json."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)

    def normalized(self) -> Report:
        """The report as it reads back from report.json: None for NaN and infinities, Python numbers for numpy's."""
        return Report.from_dict(self.to_dict())

    def of_role(self, role: str) -> ModelResult | None:
        """The first model with this role ("teacher", "student", "control"), or None."""
        return next((model for model in self.models if model.role == role), None)

    def table(self) -> str:
        """The comparison for a terminal."""
        return text_table(self)

    def __str__(self) -> str:
        return self.table()


# ---- As text ----


def text_table(report: Report) -> str:
    """The comparison for a terminal: the verdict, a row for each model, a line for each difference.

    Returns:
        `str`, without a final line break.
    """
    verdict = [textwrap.fill(printable(sentence), _WIDTH) for sentence in report.verdict]
    lines = [*verdict, *([""] if verdict else []), text_rows(*table_cells(report))]
    lines += [""] if report.differences else []
    return "\n".join([*lines, *map(printable, difference_lines(report))])


def markdown_table(report: Report) -> str:
    """The rows of `text_table` as a Markdown table."""
    return markdown_rows(*table_cells(report))


def table_cells(report: Report) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the table as strings, the main metric first; `legend` explains them.

    Returns:
        `(header, rows)`: a list of strings, and a list of such lists. A value that does not exist is "-".
    """
    names = [report.metric, *(name for name in report.models[0].metrics if name != report.metric)]
    header = ["role", "model", *(display(name).short for name in names), "kept", "agreement"]
    header += ["params", "MB", "ms p50/p95", "speed-up", "per s"]
    return header, [_row(model, names) for model in report.models]


def _row(model: ModelResult, names: list[str]) -> list[str]:
    spread, latency = model.spread or {}, model.latency_ms
    return [
        model.role,
        model.name,
        *(display(name).number(model.metrics.get(name), spread.get(name)) for name in names),
        _SHARE.number(model.retention),
        _SHARE.number(model.agreement),
        NOTHING if model.parameters is None else short_count(model.parameters),
        _number(None if model.size_bytes is None else model.size_bytes / 1e6, ".1f"),
        NOTHING if latency is None else "/".join(_number(value, ".1f") for value in (latency.p50, latency.p95)),
        _number(None if model.speed_up is None else model.speed_up.value, ".1f", "x"),
        _number(model.throughput_per_s, ",.0f"),
    ]


def legend(report: Report) -> list[str]:
    """Two sentences: the units of the metrics, and how the column "kept" (retention) is computed."""
    units = "Metrics, kept and agreement in percent"
    plain = [name for name in report.models[0].metrics if not display(name).percent]
    if plain:
        units += f"; {', '.join(map(_described, plain))}"
    metric = report.metric
    retention = f"the {metric} over the teacher's"
    if display(metric).lower_is_better:
        retention = f"the teacher's {metric} over the model's"
    return [f"{units}.", f"*kept*: {retention}."]


def _described(name: str) -> str:
    return f"{display(name).short} is a plain number" + (", lower is better" if display(name).lower_is_better else "")


def difference_lines(report: Report) -> list[str]:
    """A line for each difference, in the metric's unit, with its interval."""
    return [_difference_line(difference) for difference in report.differences]


def _difference_line(difference: NamedDifference) -> str:
    sides = ((difference.of, difference.of_name), (difference.to, difference.to_name))
    first, second = (f"{role} ({name})" if name else role for role, name in sides)
    shown = display(difference.metric)
    interval = f"95 % interval {shown.signed(difference.low)} to {shown.signed(difference.high)}"
    direction = "lower is better; " if shown.lower_is_better else ""
    return f"{first} - {second}: {shown.short} {shown.change(difference.value)} ({direction}{interval})"


def _number(value: float | None, style: str, unit: str = "") -> str:
    if value is None or math.isnan(value):
        return NOTHING
    return format(value, style) + unit


# ---- Values ----


def _known(cls: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values that are fields of a dataclass."""
    names = [field.name for field in dataclasses.fields(cls)]
    return {name: values[name] for name in names if name in values}


def plain(value: Any) -> Any:
    """`value` in types of JSON: NaN and infinities become None, numpy numbers and arrays Python's, keys strings;
    secrets are hidden."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    value = str(value) if isinstance(value, Path) else value
    return hide_secrets(value) if isinstance(value, str) else value


def environment() -> dict[str, Any]:
    """What measurements depend on: machine kind, threads, versions. No host names, users or paths.

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


def _cpu_name() -> str:
    # platform.processor() is empty or "x86_64" on Linux, which does not identify the processor.
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(errors="replace").splitlines() if cpuinfo.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name") and ":" in line]
    return names[0] if names else platform.processor() or platform.machine()
