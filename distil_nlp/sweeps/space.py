"""What a sweep may try: names, choices, ranges, and which of them belong together."""

import itertools

from ..internals.messages import nearest

# Settings somebody has a reason to try, and what kind of value each has.
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
_STUDENT = ("preset", "student", "num_layers", "layers", "hidden_size")  # choices that are tried on each other
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

    def __init__(self, name, values):
        self.name, self.values = name, values
        # Optuna keeps words and numbers only; layers=[0, 5] goes by the word "[0, 5]".
        self._words = [str(value) if isinstance(value, list) else value for value in values]

    def suggest(self, trial):
        return self.values[self._words.index(trial.suggest_categorical(self.name, self._words))]

    def word(self, value):
        """What Optuna calls one of the values."""
        return self._words[self.values.index(value)]


class Range:
    """A setting with a lowest and a highest value, even or in powers, continuous or in steps."""

    def __init__(self, name, low, high, *, log=False, step=None):
        self.name, self.log, self.step = name, log, step
        self.low, self.high = float(low), float(high)
        self.values = [self.low, self.high]

    def suggest(self, trial):
        return trial.suggest_float(self.name, self.low, self.high, log=self.log, step=self.step)


class Space:
    """All settings of a sweep.

    Args:
        given (`dict`): Name to a list of choices, or to {"low", "high"} with "log" or "step".

    Raises:
        ValueError: A name that cannot be swept (the nearest is suggested), values of another kind, a range that is
            none, settings that no trial would use.
    """

    def __init__(self, given):
        # The preset first, for it decides what else there is to choose.
        self.domains = {name: _domain(name, given[name]) for name in sorted(given, key=lambda name: name != "preset")}
        presets = self.domains["preset"].values if "preset" in self.domains else ["logits"]
        idle = [name for name in _BLEND if name in self.domains]
        if idle and "logits" not in presets:
            raise ValueError(
                f"The sweep of {' and '.join(idle)} would have no effect: only the preset logits takes them, and it is "
                f"not among {', '.join(presets)}. Add it, or leave them out."
            )

    @property
    def names(self):
        return list(self.domains)

    def suggest(self, trial):
        """Settings for an Optuna trial: what it suggests for every name that has an effect."""
        chosen = {}
        for name, domain in self.domains.items():
            if self._has_effect(name, chosen):
                chosen[name] = domain.suggest(trial)
        return chosen

    def grid(self):
        """Every combination once, in the order they are written; None where a range has too many."""
        if any(isinstance(domain, Range) for domain in self.domains.values()):
            return None
        return self._combinations(self.names)

    def samples(self):
        """Combinations of which each shows something new: all that make a student, then each further value once."""
        students = self._combinations([name for name in self.names if name in _STUDENT])
        first = {name: domain.values[0] for name, domain in self.domains.items() if name not in _STUDENT}
        found = [{**one, **self._effective(first, one)} for one in students]
        for name in first:
            for value in self.domains[name].values[1:]:
                host = next(one for one in found if name in one)
                found.append({**host, name: value})
        return found

    def _combinations(self, names):
        found = []
        for values in itertools.product(*(self.domains[name].values for name in names)):
            chosen = dict(zip(names, values, strict=True))
            chosen = self._effective(chosen, chosen)
            if chosen not in found:
                found.append(chosen)
        return found

    def _effective(self, settings, chosen):
        return {name: value for name, value in settings.items() if self._has_effect(name, chosen)}

    @staticmethod
    def _has_effect(name, chosen):
        return name not in _BLEND or chosen.get("preset", "logits") == "logits"


def _domain(name, given):
    if name not in KINDS:
        raise ValueError(
            f"sweep: {name!r} is nothing a sweep can try{nearest(name, KINDS)}. It can try {', '.join(KINDS)}."
        )
    if isinstance(given, dict):
        return _range(name, given)
    if not isinstance(given, list) or not given:
        raise ValueError(
            f"sweep: {name} should be a list of choices, such as {_example(name)}"
            + (", or a range, {low: ..., high: ...}" if KINDS[name] is float else "")
            + f"; got {given!r}."
        )
    values = [_value(name, one) for one in given]
    if any(one in values[:place] for place, one in enumerate(values)):
        raise ValueError(f"sweep: {name} has a choice twice: {given!r}. The same settings give the same student.")
    return Choices(name, values)


def _range(name, given):
    if KINDS[name] is not float:
        raise ValueError(
            f"sweep: {name} takes a list of choices, such as {_example(name)}, because each is tried before the first "
            f"trial; got the range {given!r}."
        )
    unknown = [key for key in given if key not in _RANGE]
    if unknown or not {"low", "high"} <= set(given):
        raise ValueError(f"sweep: a range has low and high, and may have log or step; {name} got {given!r}.")
    low, high = _value(name, given["low"]), _value(name, given["high"])
    log, step = given.get("log", False), given.get("step")
    if not isinstance(log, bool):
        raise ValueError(f"sweep: log of {name} is true or false; got {log!r}.")
    if not low < high:
        raise ValueError(f"sweep: low of {name} should be below high; got low={low!r} and high={high!r}.")
    if log and (step is not None or low <= 0):
        raise ValueError(
            f"sweep: a range of powers (log: true) starts above 0 and has no step; {name} got low={low!r} and "
            f"step={step!r}."
        )
    if step is not None and not 0 < _value(name, step) <= high - low:
        raise ValueError(
            f"sweep: step of {name} should be above 0 and at most high - low, {high - low!r}; got {step!r}."
        )
    return Range(name, low, high, log=log, step=step)


def _value(name, value):
    kind = KINDS[name]
    if kind is list:
        fits = isinstance(value, list) and value and all(type(one) is int for one in value)
    else:
        fits = type(value) in ((int, float) if kind is float else (kind,))
    if not fits:
        wanted = {str: "a word", int: "a whole number", float: "a number", list: "a list of layers"}[kind]
        raise ValueError(f"sweep: a value of {name} is {wanted}, such as {_example(name)} has; got {value!r}.")
    return value


def _example(name):
    return _EXAMPLES.get(name) or _EXAMPLES[KINDS[name]]
