"""Several teachers that speak with one voice: their probabilities are averaged."""

import hashlib
import json

import torch

from ..losses.ensemble import mean_number, mean_sigmoid, mean_softmax
from ..losses.precision import upcast
from ..signals.base import Signals
from ..signals.problem_kinds import PROBLEM_KINDS, problem_kind, problem_kind_of
from .base import Teacher
from .labels import known_labels, label_names, listed
from .online import as_teacher
from .student_proxy import StudentProxy

# By `ProblemKind.averaging`.
_MEANS = {
    "softmax": mean_softmax,
    "sigmoid": mean_sigmoid,
    "number": lambda logits, weights, temperature: mean_number(logits, weights),
}


class TeacherEnsemble(Teacher):
    """Several teachers, and the weighted mean of their probabilities at the temperature a term asks for.

    Any mix of models that run and of caches. A teacher with another tokenizer than the student goes in as `SeparateInputs`.

    Labels are reconciled by name, and a teacher may know only some of the student's. Each label then gets the mean over
    the teachers that know it, and the probabilities of a text are brought to the sum 1 again. That has a limit: a teacher
    cannot say "none of mine". Of a text whose class it does not know it gives all its probability to classes it knows, and
    the mean has some of that. It is best where the labels of the teachers overlap much, or where such texts are few.

    Args:
        teachers (`list`): Whatever the trainer takes as a teacher: models, Hub ids, folders, `Teacher`s.
        weights (`list[float]`, *optional*): One above 0 for each teacher; only their ratios matter. Default: equal.
        problem_type (`str`, *optional*): What is averaged: softmaxes, sigmoids (multi_label_classification), numbers
            (regression). Default: what the student's config says.

    Raises:
        ValueError: No teachers; weights that are none. Later, in `match`: a label that no teacher knows, whatever a
            single teacher is refused for; an embedding, because the vectors of two models share no axes.
    """

    def __init__(self, teachers, *, weights=None, problem_type=None):
        self.members = list(teachers)
        if not self.members:
            raise ValueError(f"An ensemble has one teacher or more; got {teachers!r}.")
        self.weights = normalized(weights, len(self.members))
        self._given_kind = None if problem_type is None else _averaged_kind(problem_type)
        self._kind = self._given_kind or problem_kind("single_label_classification")
        self._known = [None] * len(self.members)  # by member: the places of the student's labels it answers; None: all
        self._shares = torch.tensor(self.weights, dtype=torch.float64).unsqueeze(-1)

    @property
    def name(self):
        return " + ".join(getattr(member, "name", str(member)) for member in self.members)

    @property
    def columns(self):
        return tuple(dict.fromkeys(column for member in self.members for column in member.columns))

    @property
    def is_precomputed(self):
        return any(getattr(member, "is_precomputed", False) for member in self.members)

    @property
    def models(self):
        models = [member.models for member in self.members]
        return sum(models, ()) if all(models) else ()

    @property
    def num_parameters(self):
        """Of the largest member that is known."""
        return max((one.num_parameters for one in self.members if one.num_parameters is not None), default=None)

    def load(self, **settings):
        self.members = [as_teacher(member, **settings) for member in self.members]

    def reconcile(self, student, tokenizer=None):
        self.load(student=student)
        self._kind = self._given_kind or problem_kind_of(getattr(student, "config", None))
        if self._kind.averaging is None:
            raise ValueError(
                f"An ensemble averages probabilities or numbers, and the student's problem is {self._kind.name!r}: "
                f"{self._kind.not_averaged_because}. Use one teacher."
            )
        ours = label_names(student)
        self._known = [known_labels(ours, member.label_names) for member in self.members]
        for member, known in zip(self.members, self._known, strict=True):
            if known is not None and len(known) < 2:
                raise ValueError(
                    f"{member.name}, a teacher of the ensemble, knows {len(known)} of the student's labels (its own: "
                    f"{listed(member.label_names)}; the student's: {listed(ours)}); two are the least to choose between. "
                    f"Rename them in `config.id2label` if they mean the same, or leave this teacher out."
                )
        self._shares = self._shares_of(ours)
        for member, known in zip(self.members, self._known, strict=True):
            seen = student if known is None else StudentProxy(student, label_names=[ours[place] for place in known])
            try:
                member.reconcile(seen, tokenizer)
            except ValueError as error:
                raise ValueError(f"{member.name}, a teacher of the ensemble: {error}") from error

    def _shares_of(self, ours):
        """Weights of the teachers for each label: shape (teachers, labels), or (teachers, 1) where all know all."""
        weights = torch.tensor(self.weights, dtype=torch.float64).unsqueeze(-1)
        if all(known is None for known in self._known):
            return weights
        table = torch.zeros(len(self.members), len(ours), dtype=torch.float64)
        for row, known, weight in zip(table, self._known, weights, strict=True):
            row[slice(None) if known is None else known] = weight
        silent = [name for name, total in zip(ours, table.sum(0).tolist(), strict=True) if total == 0]
        if silent:
            knowing = "; ".join(f"{one.name}: {listed(one.label_names)}" for one in self.members)
            raise ValueError(
                f"No teacher of the ensemble knows the label{'s' if len(silent) > 1 else ''} {listed(silent)} of the "
                f"student ({knowing}). Rename them in `config.id2label` if they mean the same, or add a teacher that "
                f"knows them."
            )
        return table / table.sum(0)

    def prepare(self, accelerator):
        for member in self.members:
            member.prepare(accelerator)

    def tap_layers(self, names):
        if names:
            raise ValueError(
                f"The objective listens to {', '.join(names)}, and an ensemble ({self.name}) has no layers of its own. "
                f"Use one teacher for terms between layers, or terms on predictions only."
            )

    def __call__(self, batch):
        kind, labels = problem_kind_of(None, batch), batch.get("labels")
        if kind.averaging is None:
            raise ValueError(
                f"An ensemble averages probabilities or numbers, and the problem of the batch is {kind.name!r} (teachers: "
                f"{self.name}): {kind.not_averaged_because}. Use one teacher."
            )
        if self._kind.exclusive_classes and kind.several_labels and not self._kind.labels_fit(labels):
            raise ValueError(
                f"The labels of the batch are floats of shape {tuple(labels.shape)}, several answers an item, and the "
                f"ensemble averages softmaxes, of which one class is right. Set "
                f"problem_type='multi_label_classification' in the student's config, or give it to the TeacherEnsemble."
            )
        return EnsembleSignals([member(batch) for member in self.members], self._mean)

    def member_logits(self, place):
        """A function that answers as one member does, in the student's labels.

        Args:
            place (`int`): Of the member, after `match`.

        Returns:
            callable: batch -> logits; a label that the member does not know gets the least its type can say. It has
            `columns`, the member's.
        """

        def answer(batch):
            logits, known = upcast(self.members[place](batch).logits), self._known[place]
            placed = logits if known is None else self._placed(logits, known)
            return placed.clamp(min=torch.finfo(placed.dtype).min)

        answer.columns = self.members[place].columns
        return answer

    def _mean(self, said, temperature):
        """The members' mean at a temperature, as logits."""
        answers = [one.at(temperature) for one in said]
        if any(logits is None for logits in answers):
            names = [one.name for one, logits in zip(self.members, answers, strict=True) if logits is None]
            raise ValueError(
                f"An ensemble averages whole distributions, and {', '.join(names)} gives parts of them. Make a cache of "
                f"dense logits, or use it as the only teacher."
            )
        answers = [
            upcast(logits) if known is None else self._placed(upcast(logits), known)
            for logits, known in zip(answers, self._known, strict=True)
        ]
        if len({logits.shape for logits in answers}) > 1:
            shapes = "; ".join(f"{one.name}: {tuple(a.shape)}" for one, a in zip(self.members, answers, strict=True))
            raise ValueError(f"The teachers of an ensemble must answer with logits of one shape; got {shapes}.")
        return _MEANS[self._kind.averaging](torch.stack(answers), self._shares, temperature=temperature)

    def _placed(self, logits, known):
        """Logits of some labels in the places of all; -inf, no probability at all, at the others."""
        places = logits.new_full((*logits.shape[:-1], self._shares.shape[-1]), float("-inf"))
        places[..., known] = logits
        return places

    def fingerprint(self):
        """SHA-256 over the members' fingerprints, their weights, and what is averaged over which labels."""
        parts = [[member.fingerprint() for member in self.members], self.weights, self._kind.name, self._known]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


class EnsembleSignals(Signals):
    """What an ensemble said: the mean is taken at the temperature somebody asks for, once for each.

    Args:
        said (`list[Signals]`): Of the members.
        mean (`Callable`): (said, temperature) -> logits.
    """

    def __init__(self, said, mean):
        self._said, self._mean, self._logits = said, mean, {}
        self.features, self.sparse = {}, None

    @property
    def logits(self):
        """The mean at temperature 1: the probabilities themselves."""
        return self.at(1.0)

    def at(self, temperature):
        temperature = float(temperature)
        if temperature not in self._logits:
            self._logits[temperature] = self._mean(self._said, temperature)
        return self._logits[temperature]


def _averaged_kind(problem_type):
    """The problem kind of this name, if predictions of its models can be averaged; else a ValueError."""
    averaged = {kind.name: kind for kind in PROBLEM_KINDS.values() if kind.averaging is not None}
    kind = averaged.get(problem_type)
    if kind is None:
        raise ValueError(f"problem_type of an ensemble must be one of {', '.join(averaged)}; got {problem_type!r}.")
    return kind


def normalized(weights, num_teachers):
    """Weights with the sum 1, `list[float]`; equal ones where None is given. A ValueError says what is wrong with them."""
    if weights is None:
        return [1 / num_teachers] * num_teachers
    weights = list(weights)
    if len(weights) != num_teachers:
        raise ValueError(
            f"There should be one weight for each teacher; got {len(weights)} for {num_teachers} ({weights})."
        )
    if not all(0 < weight < float("inf") for weight in weights):
        raise ValueError(
            f"Weights of teachers must be above 0; got {weights}. Leave out a teacher that should not count."
        )
    return [weight / sum(weights) for weight in weights]
