"""The metrics as `evaluate.Metric` classes, to combine with others. They need no network."""

from typing import Any

import datasets
import evaluate
import numpy as np

from ..internals.messages import nearest, shown
from ..metrics.classification import MISSING_LABEL, metric_value


class _Metric(evaluate.Metric):
    """An `evaluate.Metric` that is imported; `evaluate.load("accuracy")` would download it."""

    measures: dict[str, str] = {}  # key of the result -> name of the metric, see `metric_value`
    numbers = "int64"
    usage = ""

    def __init__(self, config_name: str | None = None, **kwargs: Any):
        # In memory, unless several processes must meet: no lock files in the user's cache.
        kwargs.setdefault("keep_in_memory", kwargs.get("num_process", 1) == 1)
        super().__init__(config_name, **kwargs)

    def _info(self) -> evaluate.MetricInfo:
        value = datasets.Value(self.numbers)
        value = datasets.Sequence(value) if self.config_name == "multilabel" else value
        return evaluate.MetricInfo(
            description=type(self).__doc__,
            citation="",
            inputs_description=self.usage,
            features=datasets.Features({"predictions": value, "references": value}),
        )

    def _compute(self, predictions: Any, references: Any, **settings: Any) -> dict[str, float]:
        predictions, references = np.asarray(predictions), np.asarray(references)
        if self.numbers == "int64" and min(predictions.min(), references.min()) < 0:
            raise ValueError(
                f"{type(self).__name__} takes classes from 0; got {min(predictions.min(), references.min())}. "
                f"Remove rows without a label ({MISSING_LABEL}), as `score` does."
            )
        measures = self._measures(predictions, references, **settings)
        return {key: metric_value(name, predictions, references) for key, name in measures.items()}

    def _measures(self, predictions: np.ndarray, references: np.ndarray) -> dict[str, str]:
        return self.measures


class Accuracy(_Metric):
    """Share of correct examples; with `Accuracy("multilabel")`, correct in every label. Key "accuracy"."""

    measures = {"accuracy": "accuracy"}


class F1(_Metric):
    """Harmonic mean of precision and recall. Key "f1".

    `average` is "binary" (of class 1), "macro" or "micro". Default: "binary" if every class is 0 or 1, otherwise
    "macro"; "micro" for `F1("multilabel")`. Set it if some of more than two classes may be absent.
    """

    usage = "\n        average (`str`, *optional*): binary, macro or micro.\n"

    def _measures(self, predictions: np.ndarray, references: np.ndarray, average: str | None = None) -> dict[str, str]:
        names = {"binary": "f1", "macro": "f1_macro", "micro": "f1_micro"}
        if average is None and self.config_name == "multilabel":
            average = "micro"
        elif average is None:
            average = "binary" if max(predictions.max(), references.max()) < 2 else "macro"
        if average not in names:
            raise ValueError(
                f"average must be one of {', '.join(names)}; got {shown(average)}{nearest(average, names)}."
            )
        return {"f1": names[average]}


class MatthewsCorrelation(_Metric):
    """Correlation of predicted and true classes, -1 to 1. Key "matthews_correlation".

    0 when all predictions are one class, by convention (scikit-learn's and GLUE's).
    """

    measures = {"matthews_correlation": "matthews_correlation"}


class PearsonSpearman(_Metric):
    """Correlation of numbers and of their ranks, -1 to 1. Keys "pearson" and "spearmanr".

    nan, with a warning, if either side is constant: the correlation is undefined then, not 0.
    """

    measures = {"pearson": "pearson", "spearmanr": "spearmanr"}
    numbers = "float64"


class Agreement(_Metric):
    """Share of examples where student (predictions) and teacher (references) pick the same class. Key "agreement"."""

    measures = {"agreement": "accuracy"}
