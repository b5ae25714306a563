"""Objectives from plain data, as a YAML file contains them."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..internals.messages import nearest, shown
from .attention import Attention, Relations
from .base import Term
from .boxes import BoxLabels, QueryLabels, QuerySoftTargets
from .class_targets import ClassCorrelation, DecoupledSoftTargets, NormalizedSoftTargets, StandardizedSoftTargets
from .ctc import CtcLabels, CtcSoftTargets, CtcTranscript
from .default import predictions
from .hard_labels import HardLabels
from .hidden import HiddenStates, PatientStates
from .maps import AttentionMaps, ChannelMaps, FeatureMaps, PearsonMaps
from .margins import MarginLabels
from .objective import Objective
from .relational import BatchCorrelation, RelationalAngle, RelationalDistance, SimilarityPreserving, SimilarityTargets
from .soft import EmbeddingMatching, LogitMatching, SoftTargets, TeacherLabels

# Terms by their names in the log. "predictions" is the default term on the teacher's predictions of each problem kind.
TERMS: dict[str, Callable[..., Term]] = {
    "predictions": predictions,
    **{
        term.name: term
        for term in (
            HardLabels,
            CtcLabels,
            CtcSoftTargets,
            CtcTranscript,
            SoftTargets,
            TeacherLabels,
            LogitMatching,
            HiddenStates,
            PatientStates,
            Attention,
            Relations,
            FeatureMaps,
            AttentionMaps,
            ChannelMaps,
            PearsonMaps,
            RelationalDistance,
            RelationalAngle,
            SimilarityPreserving,
            SimilarityTargets,
            EmbeddingMatching,
            MarginLabels,
            BatchCorrelation,
            ClassCorrelation,
            StandardizedSoftTargets,
            DecoupledSoftTargets,
            NormalizedSoftTargets,
            QueryLabels,
            BoxLabels,
            QuerySoftTargets,
        )
    },
}


def register_term(term: type[Term]) -> type[Term]:
    """Make a term known to `objective_from` and to the `stages` of recipes, by its `name`. Use as a class decorator.

    Raises:
        TypeError: No subclass of `Term`.
        ValueError: It has no name, or another term has it.
    """
    if not (isinstance(term, type) and issubclass(term, Term)):
        raise TypeError(f"A term is a subclass of distil_nlp.Term; got {shown(term)}.")
    if term.name == Term.name:
        raise ValueError(f"{term.__name__} has no name. Set one, as it is in logs and recipes: name = 'my_term'.")
    known = TERMS.get(term.name)
    if known is not None and getattr(known, "__qualname__", None) != term.__qualname__:
        raise ValueError(f"There is a term {shown(term.name)} already ({known}). Give {term.__name__} another name.")
    TERMS[term.name] = term
    return term


def objective_from(
    spec: Sequence[Mapping[str, Mapping[str, Any] | None]], *, problem_type: str = "single_label_classification"
) -> Objective:
    """An objective from a list of terms as YAML contains them.

    ```yaml
    - hard: {weight: 0.3}
    - soft: {weight: 0.7, temperature: 4}
    - hidden: {layers: [[0, 1], [1, 3]]}
    ```

    Args:
        spec (`list` of `dict`): Each with one key, a term's name in the log ("hard", "soft", "relations", ...) or
            "predictions": soft targets, or the match of the teacher's number or embedding. Its value contains the
            arguments of the term; the default of `weight` is 1.
        problem_type (`str`): Name of the problem kind, for the terms that depend on it.

    Returns:
        `Objective`

    Raises:
        ValueError: Not a list of terms, an unknown term, an unknown argument, or an argument that the term refuses.
    """
    if (
        not isinstance(spec, (list, tuple))
        or not spec
        or not all(isinstance(entry, dict) and len(entry) == 1 for entry in spec)
    ):
        raise ValueError(
            f"An objective is a list of terms, each a name with its settings, such as [{{'soft': {{'weight': 1, "
            f"'temperature': 2}}}}]; got {shown(spec)}."
        )
    return Objective([_term(name, settings, problem_type) for entry in spec for name, settings in entry.items()])


def _term(name: str, settings: Mapping[str, Any] | None, problem_type: str) -> Term:
    settings = {"weight": 1.0, **(settings or {})}
    if name not in TERMS:
        raise ValueError(f"There is no term {shown(name)}{nearest(name, TERMS)}. Terms are {', '.join(TERMS)}.")
    parameters = list(inspect.signature(TERMS[name]).parameters)
    for setting in settings:
        if setting not in parameters:
            raise ValueError(
                f"The term {shown(name)} takes no {shown(setting)}{nearest(setting, parameters)}. It takes "
                f"{', '.join(name for name in parameters if name != 'problem_type')}."
            )
    if "problem_type" in parameters:
        settings.setdefault("problem_type", problem_type)
    try:
        return TERMS[name](**settings)
    except TypeError as error:  # a missing argument, a value of another type
        raise ValueError(f"The term {shown(name)} cannot be made with {settings}: {error}.") from error
