"""An objective written as plain data: what a YAML file can say."""

import inspect

from ..internals.messages import nearest
from .attention import Attention, Relations
from .base import Objective
from .boxes import BoxLabels, QueryLabels, QuerySoftTargets
from .class_targets import ClassCorrelation, DecoupledSoftTargets, NormalizedSoftTargets, StandardizedSoftTargets
from .ctc import CtcLabels, CtcSoftTargets, CtcTranscript
from .default import predictions
from .embeddings import EmbeddingMatching
from .hard_labels import HardLabels
from .hidden import HiddenStates, PatientStates
from .maps import AttentionMaps, ChannelMaps, FeatureMaps, PearsonMaps
from .margins import MarginLabels
from .relational import BatchCorrelation, RelationalAngle, RelationalDistance, SimilarityPreserving, SimilarityTargets
from .soft import LogitMatching, SoftTargets, TeacherLabels

# A term goes by the name it has in the log. "predictions" is the soft term of whatever problem there is.
TERMS = {
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


def objective_from(spec, *, problem_type="single_label_classification"):
    """Make an objective of a list of terms as YAML holds them.

    ```yaml
    - hard: {weight: 0.3}
    - soft: {weight: 0.7, temperature: 4}
    - hidden: {layers: [[0, 1], [1, 3]]}
    ```

    Args:
        spec (`list` of `dict`): Each with one key, a term's name in the log ("hard", "soft", "relations", ...) or
            "predictions", which is soft targets, or the teacher's number or embedding. Its value holds the
            arguments of the term; `weight` is 1 where it is not given.
        problem_type (`str`): transformers' word for the problem, for the terms that ask.

    Returns:
        `Objective`

    Raises:
        ValueError: No list of terms, a name that is no term, an argument the term does not take, or whatever the term
            itself refuses.
    """
    if (
        not isinstance(spec, (list, tuple))
        or not spec
        or not all(isinstance(one, dict) and len(one) == 1 for one in spec)
    ):
        raise ValueError(
            f"An objective is a list of terms, each a name with its settings, such as [{{'soft': {{'weight': 1, "
            f"'temperature': 2}}}}]; got {spec!r}."
        )
    return Objective([_term(*next(iter(one.items())), problem_type) for one in spec])


def _term(name, settings, problem_type):
    settings = {"weight": 1.0, **(settings or {})}
    if name not in TERMS:
        raise ValueError(f"There is no term {name!r}{nearest(name, TERMS)}. Terms are {', '.join(TERMS)}.")
    taken = list(inspect.signature(TERMS[name]).parameters)
    for setting in settings:
        if setting not in taken:
            raise ValueError(
                f"The term {name!r} takes no {setting!r}{nearest(setting, taken)}. It takes "
                f"{', '.join(one for one in taken if one != 'problem_type')}."
            )
    if "problem_type" in taken:
        settings.setdefault("problem_type", problem_type)
    try:
        return TERMS[name](**settings)
    except TypeError as error:  # an argument that has no default, a value of another kind
        raise ValueError(f"The term {name!r} cannot be made with {settings}: {error}.") from error
