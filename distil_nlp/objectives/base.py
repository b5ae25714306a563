"""A term compares; an objective weighs and adds."""

import copy

import torch
from torch import nn

from ..losses import mean_over_items
from .schedules import Schedule


class Term(nn.Module):
    """One comparison of student and teacher, or of student and labels.

    A subclass says which items count (`items`), gives one value for each (`values`) and names the modules it
    listens to. It is a module so that a projection it owns is found, trained and saved; it has no other state.
    An item is whatever the term averages over: a sequence, a token, or, for a term that compares the examples
    of a batch with each other, the micro-batch itself (a mask of one item).

    Args:
        weight (`float` or `Schedule`): Weight in the objective, 0 or greater.

    Attributes:
        schedules (`dict[str, Schedule]`): Those of its settings that move during training, by name: "weight",
            "temperature". The attribute of that name (`term.weight`) is the present value.
        name (`str`): Its name in logs (`loss/<name>`).
        paper (`str`): Where it comes from, for the model card.
        needs_teacher (`bool`): False for a term that looks at student and labels alone.
        needs_logits (`bool`): Of a term that needs a teacher: False where a distribution kept in parts (`Signals.sparse`)
            will do, or where it reads no logits.
        softens_logits (`bool`): False where its `temperature`, if it has one, is of something else.
        student_taps, teacher_taps (`tuple[str]`): Module names whose outputs it reads from `Signals.features`.
        head (`str` or None): The student's module whose logits it reads, None for what the model answers.
        needs_fit (`bool`): It wants to see all training data before the first step (`survey`).
    """

    name = "term"
    paper = ""
    needs_teacher = True
    needs_logits = True
    softens_logits = True
    student_taps = ()
    teacher_taps = ()
    head = None
    needs_fit = False

    def __init__(self, weight):
        super().__init__()
        self.schedules = {}
        self.weight = self.follow("weight", weight, self._weight)

    def _weight(self, value, name):
        return not_negative(value, f"The {name} of {type(self).__name__}")

    def follow(self, name, value, check):
        """The first value of a setting that may be a `Schedule` or a mapping that spells one out.

        Args:
            name (`str`): Of the attribute that follows it.
            value (`float`, `Schedule` or `dict`): As it was given.
            check (callable): `(value, name) -> float`, raises where a value cannot be; asked about both ends.
        """
        schedule = Schedule.of(value)
        if schedule is None:
            return check(value, name)
        self.schedules[name] = Schedule(check(schedule.start, name), check(schedule.end, name), schedule.schedule)
        return self.schedules[name].at(0.0)

    def at_progress(self, progress):
        """Move the settings that have a schedule to their values at this part of the training, 0 to 1."""
        for name, schedule in self.schedules.items():
            setattr(self, name, schedule.at(progress))

    def read_from(self, head):
        """Read the logits of one of the student's heads, by its module name; None for what the model answers."""
        self.head = head
        self.student_taps = () if head is None else (head,)

    def logits_of(self, student):
        """The student's logits: of its head where the term reads one, of the model otherwise."""
        return student.logits if self.head is None else student.features[self.head]

    def check_head(self, student):
        """Refuse a head whose output is not of the shape of the model's logits."""
        came = tuple(self.logits_of(student).shape)
        if came != tuple(student.logits.shape):
            raise ValueError(
                f"{type(self).__name__} reads logits from head={self.head!r}, which should be of the shape of the model's, "
                f"{tuple(student.logits.shape)}; the module returned {came}. Name the module that ends the head."
            )

    def items(self, batch):
        """Mask of the items that count, from the batch alone: it is needed before the forward pass."""
        raise NotImplementedError

    def normalizer(self, batch):
        """What the values of a batch are divided by, in sum over the step: the number of items that count."""
        return self.items(batch).sum()

    def values(self, student, teacher, batch):
        """One value per item, not reduced, of the same shape as `items(batch)`."""
        raise NotImplementedError

    def metrics(self, student, teacher, batch):
        """Things worth logging that carry no gradient: name -> one value per item."""
        return {}

    def resolve_layers(self, student, teacher):
        """Look at the two models, before any forward pass, and settle the taps; no part of them is kept.

        Args:
            student, teacher (`nn.Module`): The teacher is None where nothing runs (a cache) or none was given.
        """

    def setup(self, student, teacher, batch):
        """Look at one dry forward pass: infer shapes, make projections, refuse what cannot work."""

    def fit_statistics(self, batches, ask):
        """Look at all training data, once, after `build`. Called where `needs_fit` is True.

        What is kept of it is a buffer, so that it goes to the device and lies beside the student in checkpoints.

        Args:
            batches (`Iterable[Mapping[str, torch.Tensor]]`): The columns, as training sees them, in the order of the data.
            ask (callable): Gives the teacher's `Signals` about a batch.
        """

    def settings(self):
        """What a model card should say of this term, JSON-ready."""
        return {}


class Objective(nn.Module):
    """A weighted sum of terms.

    loss = sum over terms of weight x sum(values x mask) / count, with the count taken over the whole optimizer
    step, all micro-batches and all processes.

    Args:
        terms (`Iterable[Term]`): At least one with a weight above 0. Names are made unique (`hidden`, `hidden_2`).

    Raises:
        ValueError: No term has a weight above 0, or none has at one end of their schedules.
    """

    def __init__(self, terms):
        super().__init__()
        self.terms = nn.ModuleList(terms)
        for end, when in enumerate(("", " at the end of the training")):
            weights = {term.name: _ends(term, "weight")[end] for term in self.terms}
            if not any(weight > 0 for weight in weights.values()):
                raise ValueError(
                    f"An objective needs a term with a weight above 0{when}; got {weights or 'no terms'}."
                )
        seen = {}
        self.names = []
        for term in self.terms:
            seen[term.name] = seen.get(term.name, 0) + 1
            self.names.append(term.name if seen[term.name] == 1 else f"{term.name}_{seen[term.name]}")

    @property
    def needs_teacher(self):
        """Whether any term does."""
        return any(term.needs_teacher for term in self.terms)

    @property
    def temperatures(self):
        """Those at which its terms soften the teacher, each once; of one that moves, both its ends."""
        softening = [term for term in self.terms if term.softens_logits and hasattr(term, "temperature")]
        found = [_ends(term, "temperature") for term in softening]
        return list(dict.fromkeys(temperature for ends in found for temperature in ends))

    @property
    def needs_labels(self):
        """Whether any term looks at student and labels alone."""
        return not all(term.needs_teacher for term in self.terms)

    @property
    def student_taps(self):
        """Module names of the student that the terms listen to."""
        return tuple(dict.fromkeys(name for term in self.terms for name in term.student_taps))

    @property
    def teacher_taps(self):
        """Module names of the teacher that the terms listen to."""
        return tuple(dict.fromkeys(name for term in self.terms for name in term.teacher_taps))

    def without_teacher(self):
        """The terms that need no teacher, their weights scaled to a sum of 1, or None where there are none.

        A weight that moves stands at its greatest, so that evaluations of one training can be compared.
        """
        terms = [term for term in self.terms if not term.needs_teacher]
        weights = [max(_ends(term, "weight")) for term in terms]
        kept = [_standing(term, weight / sum(weights)) for term, weight in zip(terms, weights, strict=True) if weight]
        return Objective(kept) if kept else None

    def at_end(self):
        """The same terms, sharing their projections, with what moves at its last value; itself where nothing does.

        Evaluations of one training can be compared by it.
        """
        return Objective([_standing(term) for term in self.terms]) if self.scheduled_values else self

    def at_progress(self, progress):
        """Tell every term how far the training is, 0 (first step) to 1 (last step): schedules follow."""
        for term in self.terms:
            term.at_progress(progress)

    @property
    def scheduled_values(self):
        """Present values of what has a schedule, for the log: `weight/<term>`, `temperature/<term>`."""
        return {
            f"{setting}/{name}": getattr(term, setting)
            for name, term in zip(self.names, self.terms, strict=True)
            for setting in term.schedules
        }

    def resolve_layers(self, student, teacher):
        """Show both models to every term, so that each knows which modules to listen to."""
        for term in self.terms:
            term.resolve_layers(student, teacher)

    def setup(self, student, teacher, batch):
        """Hand one dry forward pass to every term, then run the objective on it once so that misfits show now."""
        for term in self.terms:
            _refuse_parts(term, teacher)
            term.setup(student, teacher, batch)
        with torch.no_grad():
            self(student, teacher, batch, self.count([batch]))

    @property
    def needs_fit(self):
        """Whether any term wants to see all training data."""
        return any(term.needs_fit for term in self.terms)

    def fit_statistics(self, batches, ask):
        """Show all training data to the terms that want to see it.

        Args:
            batches (callable): No arguments; gives all batches anew.
            ask (callable): See `Term.fit_statistics`.
        """
        for term in self.terms:
            if term.needs_fit:
                term.fit_statistics(batches(), ask)

    def count(self, batches):
        """Items of each term in a list of batches: a tensor of shape (terms,), in the order of `terms`."""
        return torch.stack([sum(term.normalizer(batch) for batch in batches) for term in self.terms])

    def forward(self, student, teacher, batch, counts):
        """The loss of one micro-batch.

        Args:
            student, teacher (`Signals`): What they said. Without a teacher (None), terms that need one are left out.
            batch (`Mapping[str, torch.Tensor]`): The columns.
            counts (`torch.Tensor`): From `count`, over the whole optimizer step.

        Returns:
            `(loss, parts)`: a scalar, and detached scalars by name for the log, each this micro-batch's share.
        """
        loss, parts = 0.0, {}
        for name, term, count in zip(self.names, self.terms, counts, strict=True):
            if teacher is None and term.needs_teacher:
                continue
            mask = term.items(batch)
            part = mean_over_items(term.values(student, teacher, batch), mask, count)
            loss = loss + term.weight * part
            parts[f"loss/{name}"] = part.detach()
            with torch.no_grad():
                for observed, values in term.metrics(student, teacher, batch).items():
                    parts[observed] = mean_over_items(values, mask, count)
        return loss, parts

    def describe(self):
        """The terms with weights, settings and papers, JSON-ready, for the report and the model card.

        A setting with a schedule is told by it: {"start": ..., "end": ..., "schedule": ...}.
        """
        return [
            {
                "name": name,
                "weight": term.weight,
                "paper": term.paper,
                **term.settings(),
                **{setting: schedule.to_dict() for setting, schedule in term.schedules.items()},
            }
            for name, term in zip(self.names, self.terms, strict=True)
        ]


def _refuse_parts(term, teacher):
    """Only forward KL and cross-entropy are linear in the teacher's probabilities, so right on average of drawn ones."""
    if teacher is not None and teacher.sparse is not None and term.needs_teacher and term.needs_logits:
        raise ValueError(
            f"{type(term).__name__} reads all of the teacher's logits, and this teacher kept its distribution over "
            f"{teacher.sparse.vocabulary} classes in parts ({teacher.sparse.ids.shape[-1]} an item at most). Of sampled or "
            f"top-k targets only forward KL and cross-entropy can be learned. Use SoftTargets, or a teacher that runs."
        )


def _ends(term, setting):
    """The first and the last value of a setting."""
    scheduled_values = term.schedules.get(setting)
    return (
        (getattr(term, setting),) * 2 if scheduled_values is None else (scheduled_values.start, scheduled_values.end)
    )


def _standing(term, weight=None):
    """A copy, sharing modules, whose settings no longer move: they are at their last values."""
    still = copy.copy(term)
    still.at_progress(1.0)
    still.schedules = {}
    still.weight = still.weight if weight is None else weight
    return still


def every_example(batch):
    """A mask of the examples of a batch, all of which count: bool, shape (batch,)."""
    first = next(iter(batch.values()))
    return torch.ones(first.shape[0], dtype=torch.bool, device=first.device)


def positive(value, name):
    """`value` as a float; a ValueError names the setting if it is not above 0."""
    if not value > 0:
        raise ValueError(f"{name} must be greater than 0; got {value!r}.")
    return float(value)


def not_negative(value, name):
    """`value` as a float; a ValueError names the setting if it is below 0."""
    if not value >= 0:
        raise ValueError(f"{name} must be 0 or greater; got {value!r}.")
    return float(value)


def fraction(value, name):
    """`value` as a float; a ValueError names the setting if it is not in 0 to 1."""
    if not 0 <= value <= 1:
        raise ValueError(f"{name} must lie in 0 to 1; got {value!r}.")
    return float(value)


def kd_weight(value):
    """`kd_ratio` as a float; a ValueError unless it lies in 0 to 1."""
    if not 0 <= value <= 1:
        raise ValueError(
            f"kd_ratio must lie in 0 to 1; got {value!r}. It is the share of the soft targets; the hard labels weigh "
            f"1 - kd_ratio, which would be {1 - value:g}."
        )
    return float(value)
