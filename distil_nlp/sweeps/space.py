"""The search space of a sweep: settings with choices or ranges, and their combinations."""

import itertools
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..internals.messages import listed, nearest, shown

if TYPE_CHECKING:
    import optuna

# The settings that can be swept, and the type of their values.
KINDS = {
    "preset": str,
    "student": str,
    "num_layers": int,
    "layers": list,
    "hidden_size": int,
    "temperature": float,
    "kd_ratio": float,
    "learning_rate": float,
    "weight_decay": float,
    "warmup_steps": float,
    "num_train_epochs": float,
    "per_device_train_batch_size": int,
    "lr_scheduler_type": str,
}
_STUDENT = ("preset", "student", "num_layers", "layers", "hidden_size")  # every combination is tried beforehand
_BLEND = ("temperature", "kd_ratio")  # only the preset logits takes them
_EXAMPLES = {
    "preset": "[logits, pkd]",
    "student": "[2x128, 4x256]",
    "lr_scheduler_type": "[linear, cosine]",
    list: "[[0, 5], [5, 11]]",
    int: "[2, 4, 8]",
    float: "[0.1, 0.5, 1]",
}
_RANGE = ("low", "high", "log", "step")


class Choices:
    """A setting with a list of values."""

    def __init__(self, name: str, values: list):
        self.name, self.values = name, values
        # Optuna stores strings and numbers only; layers=[0, 5] is stored as "[0, 5]".
        self._stored = [str(value) if isinstance(value, list) else value for value in values]

    def suggest(self, trial: "optuna.Trial") -> Any:
        """The value that Optuna suggests."""
        return self.values[self._stored.index(trial.suggest_categorical(self.name, self._stored))]

    def to_optuna(self, value: Any) -> str | float | bool:
        """A choice as Optuna stores it."""
        return self._stored[self.values.index(value)]


class Range:
    """A setting with a lowest and a highest value: uniform or log-uniform, continuous or in steps."""

    def __init__(self, name: str, low: float, high: float, *, log: bool = False, step: float | None = None):
        self.name, self.log, self.step = name, log, step
        self.low, self.high = float(low), float(high)
        self.values = [self.low, self.high]

    def suggest(self, trial: "optuna.Trial") -> float:
        """The value that Optuna suggests."""
        return trial.suggest_float(self.name, self.low, self.high, log=self.log, step=self.step)


class Space:
    """All settings of a sweep.

    Args:
        sweep (`dict`): Name to a list of choices, or to {"low", "high"} with "log" or "step".

    Raises:
        ValueError: A name that cannot be swept (the nearest is suggested), values of another type, a malformed range,
            settings that have no effect in any trial.
    """

    def __init__(self, sweep: Mapping[str, Any]):
        # The preset first: it decides which other settings have an effect.
        self.domains = {name: _domain(name, sweep[name]) for name in sorted(sweep, key=lambda name: name != "preset")}
        presets = self.domains["preset"].values if "preset" in self.domains else ["logits"]
        blend = [name for name in _BLEND if name in self.domains]
        if blend and "logits" not in presets:
            raise ValueError(
                f"The sweep of {' and '.join(blend)} would have no effect: only the preset logits takes them, and it is "
                f"not among {listed(presets)}. Add it, or leave them out."
            )

    @property
    def names(self) -> list[str]:
        """The names of the settings."""
        return list(self.domains)

    def suggest(self, trial: "optuna.Trial") -> dict[str, Any]:
        """Settings for an Optuna trial: its suggestion for every name that has an effect."""
        settings = {}
        for name, domain in self.domains.items():
            if self._has_effect(name, settings):
                settings[name] = domain.suggest(trial)
        return settings

    def grid(self) -> list[dict[str, Any]] | None:
        """Every combination once, in the order of the lists; None if a setting has a range."""
        if any(isinstance(domain, Range) for domain in self.domains.values()):
            return None
        return self._combinations(self.names)

    def samples(self) -> list[dict[str, Any]]:
        """Combinations that contain every student, and every other value at least once: enough to find what fails."""
        students = self._combinations([name for name in self.names if name in _STUDENT])
        first = {name: domain.values[0] for name, domain in self.domains.items() if name not in _STUDENT}
        samples = [{**student, **self._effective(first, student)} for student in students]
        for name in first:
            for value in self.domains[name].values[1:]:
                base = next(settings for settings in samples if name in settings)
                samples.append({**base, name: value})
        return samples

    def _combinations(self, names: list[str]) -> list[dict[str, Any]]:
        combinations = []
        for values in itertools.product(*(self.domains[name].values for name in names)):
            settings = dict(zip(names, values, strict=True))
            settings = self._effective(settings, settings)
            if settings not in combinations:
                combinations.append(settings)
        return combinations

    def _effective(self, settings: dict[str, Any], chosen: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in settings.items() if self._has_effect(name, chosen)}

    @staticmethod
    def _has_effect(name: str, chosen: dict[str, Any]) -> bool:
        return name not in _BLEND or chosen.get("preset", "logits") == "logits"


def _domain(name: str, entry: Any) -> Choices | Range:
    if name not in KINDS:
        raise ValueError(
            f"sweep: {shown(name)} cannot be swept{nearest(name, KINDS)}. A sweep takes {', '.join(KINDS)}."
        )
    if isinstance(entry, dict):
        return _range(name, entry)
    if not isinstance(entry, list) or not entry:
        raise ValueError(
            f"sweep: {name} should be a list of choices, such as {_example(name)}"
            + (", or a range, {low: ..., high: ...}" if KINDS[name] is float else "")
            + f"; got {shown(entry)}."
        )
    values = [_value(name, value) for value in entry]
    if any(value in values[:index] for index, value in enumerate(values)):
        raise ValueError(f"sweep: {name} has a choice twice: {shown(entry)}. The same settings give the same student.")
    return Choices(name, values)


def _range(name: str, entry: Mapping[str, Any]) -> Range:
    if KINDS[name] is not float:
        raise ValueError(
            f"sweep: {name} takes a list of choices, such as {_example(name)}, because each is checked before the "
            f"first trial; got the range {shown(entry)}."
        )
    unknown = [key for key in entry if key not in _RANGE]
    if unknown or not {"low", "high"} <= set(entry):
        raise ValueError(f"sweep: a range has low and high, and may have log or step; {name} got {shown(entry)}.")
    low, high = _value(name, entry["low"]), _value(name, entry["high"])
    log, step = entry.get("log", False), entry.get("step")
    if not isinstance(log, bool):
        raise ValueError(f"sweep: log of {name} is true or false; got {shown(log)}.")
    if not low < high:
        raise ValueError(f"sweep: low of {name} should be below high; got low={shown(low)} and high={shown(high)}.")
    if log and (step is not None or low <= 0):
        raise ValueError(
            f"sweep: a logarithmic range (log: true) starts above 0 and has no step; {name} got low={shown(low)} and "
            f"step={shown(step)}."
        )
    if step is not None and not 0 < _value(name, step) <= high - low:
        raise ValueError(
            f"sweep: step of {name} should be above 0 and at most high - low, {shown(high - low)}; got {shown(step)}."
        )
    return Range(name, low, high, log=log, step=step)


def _value(name: str, value: Any) -> Any:
    kind = KINDS[name]
    if kind is list:
        fits = isinstance(value, list) and value and all(type(layer) is int for layer in value)
    else:
        fits = type(value) in ((int, float) if kind is float else (kind,))
        fits = fits and not (isinstance(value, float) and not math.isfinite(value))
    if not fits:
        expected = {str: "a word", int: "a whole number", float: "a number", list: "a list of layers"}[kind]
        raise ValueError(f"sweep: a value of {name} is {expected}, as in {_example(name)}; got {shown(value)}.")
    return value


def _example(name: str) -> str:
    return _EXAMPLES.get(name) or _EXAMPLES[KINDS[name]]
