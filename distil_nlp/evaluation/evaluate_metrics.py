"""The metrics as `evaluate.Metric` classes, for those who combine them with others. They need no network."""

import datasets
import evaluate
import numpy as np

from ..internals.messages import nearest
from ..metrics.classification import MISSING_LABEL, metric_value


class _Metric(evaluate.Metric):
    """An `evaluate.Metric` that is imported, where `evaluate.load("accuracy")` would ask the network for it."""

    measures = {}  # key of the result -> name known to `measure`
    numbers = "int64"
    usage = ""

    def __init__(self, config_name=None, **kwargs):
        # In memory, unless several processes must meet: no lock files in the user's cache.
        kwargs.setdefault("keep_in_memory", kwargs.get("num_process", 1) == 1)
        super().__init__(config_name, **kwargs)

    def _info(self):
        value = datasets.Value(self.numbers)
        value = datasets.Sequence(value) if self.config_name == "multilabel" else value
        return evaluate.MetricInfo(
            description=type(self).__doc__,
            citation="",
            inputs_description=self.usage,
            features=datasets.Features({"predictions": value, "references": value}),
        )

    def _compute(self, predictions, references, **settings):
        predictions, references = np.asarray(predictions), np.asarray(references)
        if self.numbers == "int64" and min(predictions.min(), references.min()) < 0:
            raise ValueError(
                f"{type(self).__name__} takes classes from 0; got {min(predictions.min(), references.min())}. "
                f"Leave out rows without a label ({MISSING_LABEL}), as `score` does."
            )
        measures = self._measures(predictions, references, **settings)
        return {key: metric_value(name, predictions, references) for key, name in measures.items()}

    def _measures(self, predictions, references):
        return self.measures


class Accuracy(_Metric):
    """Share of examples that are right; with `Accuracy("multilabel")`, right in every label. Key "accuracy"."""

    measures = {"accuracy": "accuracy"}


class F1(_Metric):
    """Harmonic mean of precision and recall. Key "f1".

    `average` is "binary" (of class 1), "macro" or "micro". Without it: "binary" when every class given is 0 or 1,
    otherwise "macro"; "micro" for `F1("multilabel")`. Name it where some of more than two classes may be absent.
    """

    usage = "\n        average (`str`, *optional*): binary, macro or micro.\n"

    def _measures(self, predictions, references, average=None):
        names = {"binary": "f1", "macro": "f1_macro", "micro": "f1_micro"}
        if average is None and self.config_name == "multilabel":
            average = "micro"
        elif average is None:
            average = "binary" if max(predictions.max(), references.max()) < 2 else "macro"
        if average not in names:
            raise ValueError(f"average must be one of {', '.join(names)}; got {average!r}{nearest(average, names)}.")
        return {"f1": names[average]}


class MatthewsCorrelation(_Metric):
    """Correlation of predicted and true classes, -1 to 1. Key "matthews_correlation".

    0 when all predictions are one class, by convention (scikit-learn's and GLUE's).
    """

    measures = {"matthews_correlation": "matthews_correlation"}


class PearsonSpearman(_Metric):
    """Correlation of numbers and of their ranks, -1 to 1. Keys "pearson" and "spearmanr".

    nan, with a warning, when either side is constant: the correlation is not 0 then, it does not exist.
    """

    measures = {"pearson": "pearson", "spearmanr": "spearmanr"}
    numbers = "float64"


class Agreement(_Metric):
    """Share of examples where student (predictions) and teacher (references) pick the same class. Key "agreement"."""

    measures = {"agreement": "accuracy"}
