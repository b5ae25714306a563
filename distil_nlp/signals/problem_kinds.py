"""The table of problem kinds: how each is recognized, what its labels look like, what its predictions allow.

Two other tables have a row for each kind, under the same name: its losses and default terms (`KindObjective`, rows in
`objectives/default.py`) and its default evaluator (`metrics/default.py`). A new kind is one row in each of the three.
"""

# torch is imported for annotations only: subpackages that read data import this module without it.
from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ..internals.messages import shown
from .columns import BOXES, FRAMES

if TYPE_CHECKING:
    import torch

DETECTION = "object_detection"
CTC = "ctc"
NEXT_TOKEN = "next_token"
MISSING = -100


@dataclass(frozen=True)
class ProblemKind:
    """One kind of problem: a row of the table.

    Args:
        name (`str`): The value of `config.problem_type` where transformers has one, else a name of this package.
        labels (`str`): What the labels look like, in words, for messages.
        is_labeled (`Callable`): labels -> bool mask of the items that have a label.
        labels_fit (`Callable`): labels -> whether they look like labels of this kind.
        label_limit (`Callable`, *optional*): width of the logits -> the number that every label is below; None where labels
            are not numbers of classes.
        missing_label (`Callable`): num_labels -> the label of an example without one, as plain Python.
        column (`str`, *optional*): A column that only batches of this kind have.
        config_field (`str`, *optional*): A field that is set only in configs of models of this kind.
        implied_by (`Callable`): (config, batch) -> whether they imply this kind. Consulted where no column, no field and no
            `config.problem_type` names a kind.
        of_model (`Callable`): model -> whether models like it are of this kind, whatever their config and labels are.
        align (`Callable`): labels, as a data collator makes them -> the labels of the logits at the same positions.
        exclusive_classes (`bool`): Each prediction is a distribution over classes, one of which is the label.
        several_labels (`bool`): Each class is a yes or no, and an example has any number of them.
        named_classes (`bool`): The logits are over classes, and `config.id2label` has their names.
        float_labels (`bool`): Labels are floats.
        has_temperature (`bool`): Predictions are distributions, which a temperature softens.
        is_defined (`Callable`): logits -> mask of the items, the shape without the last dimension, whose logits contain a
            prediction. Default: all are finite.
        averaging (`str`, *optional*): What an ensemble averages over its members: "softmax", "sigmoid" or "number"; None
            where predictions of two models cannot be averaged.
        not_averaged_because (`str`): The reason, where `averaging` is None, for messages.
    """

    name: str
    labels: str
    is_labeled: Callable[[torch.Tensor], torch.Tensor]
    labels_fit: Callable[[torch.Tensor], bool]
    label_limit: Callable[[int], int] | None = None
    missing_label: Callable[[int], Any] = lambda num_labels: MISSING
    column: str | None = None
    config_field: str | None = None
    implied_by: Callable[[Any, Mapping[str, torch.Tensor]], bool] = lambda config, batch: False
    of_model: Callable[[Any], bool] = lambda model: False
    align: Callable[[torch.Tensor], torch.Tensor] = lambda labels: labels
    exclusive_classes: bool = False
    several_labels: bool = False
    named_classes: bool = True
    float_labels: bool = False
    has_temperature: bool = True
    is_defined: Callable[[torch.Tensor], torch.Tensor] = lambda logits: logits.isfinite().all(-1)
    averaging: Literal["softmax", "sigmoid", "number"] | None = None
    not_averaged_because: str = "no mean is defined for predictions of this kind"

    @property
    def has_number_labels(self) -> bool:
        """Whether the label of an example is a number, not a class."""
        return self.float_labels and not self.several_labels


def _has_class(labels: torch.Tensor) -> torch.Tensor:
    """Mask of the labels that are not -100. For soft labels, (batch, classes), a mask of the rows, (batch,)."""
    return (labels >= 0).all(-1) if labels.is_floating_point() else labels >= 0


def _is_number(labels: torch.Tensor) -> torch.Tensor:
    return ~labels.isnan()


def _are_distributions(logits: torch.Tensor) -> torch.Tensor:
    """Whether a softmax of the logits is defined: no NaN, none at infinity, and not all of them at -infinity."""
    return logits.amax(-1).isfinite()


def _are_queries(logits: torch.Tensor) -> torch.Tensor:
    """Whether class logits and boxes of a detector's queries are defined; a class may be excluded (-infinity)."""
    return (logits[..., :-4] < float("inf")).all(-1) & logits[..., -4:].isfinite().all(-1)


def _are_soft(labels: torch.Tensor) -> bool:
    """Whether labels are class probabilities, floats of shape (batch, classes) with row sums of 1, missing rows aside."""
    if not labels.is_floating_point() or labels.dim() != 2:
        return False
    present = labels[(labels >= 0).all(-1)]
    return bool(((present.sum(-1) - 1).abs() < 1e-3).all())


def _are_mixed(labels: torch.Tensor) -> bool:
    """Whether labels are soft and some probability lies between 0 and 1."""
    return _are_soft(labels) and bool(((labels > 0) & (labels < 1)).any())


def _are_rows(labels: torch.Tensor | None) -> bool:
    return labels is not None and labels.is_floating_point() and labels.dim() == 2


# In the order of registration. Lookup goes from the last to the first, so that a registered kind takes precedence over the
# built-in kinds, and the first row is what remains.
PROBLEM_KINDS: dict[str, ProblemKind] = {}


def register_problem_kind(kind: ProblemKind) -> None:
    """Add a row to the table.

    Args:
        kind (`ProblemKind`): Looked up before all kinds that are registered already.

    Raises:
        ValueError: There is a kind of this name.
    """
    if kind.name in PROBLEM_KINDS:
        raise ValueError(
            f"There is a problem kind {shown(kind.name)} already. Register the new one under another name."
        )
    PROBLEM_KINDS[kind.name] = kind


def problem_kind(name: str) -> ProblemKind:
    """The kind of this name; a ValueError lists the registered ones."""
    if name not in PROBLEM_KINDS:
        raise ValueError(f"problem_type must be one of {', '.join(PROBLEM_KINDS)}; got {shown(name)}.")
    return PROBLEM_KINDS[name]


def problem_kind_of(config: Any, batch: Mapping[str, torch.Tensor] | None = None) -> ProblemKind:
    """The problem kind of a model and a batch.

    A column or config field that belongs to one kind decides first, then `config.problem_type`, then what number of labels
    and type of labels imply, as in transformers.

    Args:
        config (`PreTrainedConfig` or `None`): The model's config.
        batch (`Mapping[str, torch.Tensor]`, *optional*): With labels, if there are any.

    Raises:
        ValueError: `config.problem_type` is not a registered kind.
    """
    batch = batch or {}
    kinds = list(reversed(PROBLEM_KINDS.values()))
    for kind in kinds:
        if kind.column is not None and kind.column in batch:
            return kind
        if kind.config_field is not None and getattr(config, kind.config_field, None):
            return kind
    name = getattr(config, "problem_type", None)
    if name:
        return problem_kind(name)
    return next(kind for kind in kinds if kind.implied_by(config, batch))


def problem_kind_of_model(model: Any, batch: Mapping[str, torch.Tensor] | None = None) -> ProblemKind:
    """The problem kind of a model, wrapped or not, and a batch; arguments and errors as for `problem_kind_of`."""
    from .wrappers import config_of  # it imports torch

    kinds = (kind for kind in reversed(PROBLEM_KINDS.values()) if kind.of_model(model))
    return next(kinds, None) or problem_kind_of(config_of(model), batch)


def _predicts_next_tokens(model: Any) -> bool:
    """Whether a model over a vocabulary reads a text from left to right, without an encoder."""
    from .wrappers import config_of, unwrapped  # it imports torch

    inner: Any = unwrapped(model)
    if getattr(config_of(model), "is_encoder_decoder", False) or not hasattr(inner, "can_generate"):
        return False
    return inner.can_generate() and inner.get_output_embeddings() is not None


def _next_tokens(labels: torch.Tensor) -> torch.Tensor:
    """The label of each position's next position; missing at the last."""
    shifted = labels.roll(-1, -1)
    shifted[..., -1] = MISSING
    return shifted


register_problem_kind(
    ProblemKind(
        "single_label_classification",
        labels="whole numbers, one per item, -100 where missing; or rows of class probabilities that sum to 1",
        is_labeled=_has_class,
        labels_fit=lambda labels: not labels.is_floating_point() or _are_soft(labels),
        label_limit=lambda num_classes: num_classes,
        implied_by=lambda config, batch: True,
        exclusive_classes=True,
        is_defined=_are_distributions,
        averaging="softmax",
    )
)
register_problem_kind(
    ProblemKind(
        "multi_label_classification",
        labels="floats of shape (batch, labels), 0 or 1, a row of -100 where missing",
        is_labeled=lambda labels: (labels >= 0).all(-1),
        labels_fit=lambda labels: _are_rows(labels) and not _are_mixed(labels),
        label_limit=lambda num_classes: 2,
        missing_label=lambda num_labels: [float(MISSING)] * num_labels,
        implied_by=lambda config, batch: _are_rows(batch.get("labels")),
        several_labels=True,
        float_labels=True,
        is_defined=lambda logits: ~logits.isnan().any(-1),
        averaging="sigmoid",
    )
)
register_problem_kind(
    ProblemKind(
        "regression",
        labels="floats, one per item, NaN where missing",
        is_labeled=_is_number,
        labels_fit=lambda labels: labels.is_floating_point() and (labels.dim() == 1 or labels.shape[-1] == 1),
        missing_label=lambda num_labels: float("nan"),
        implied_by=lambda config, batch: getattr(config, "num_labels", None) == 1,
        float_labels=True,
        has_temperature=False,
        averaging="number",
    )
)
_NO_COMMON_AXES = "the vectors of two models have no axes in common, so their mean has no meaning"
# An embedding of each image; the label is the identity of the person or thing in it.
register_problem_kind(
    ProblemKind(
        "identity",
        labels="whole numbers, one per image, -100 where missing",
        is_labeled=lambda labels: labels >= 0,
        labels_fit=lambda labels: not labels.is_floating_point(),
        config_field="embedding_width",
        named_classes=False,
        has_temperature=False,
        not_averaged_because=_NO_COMMON_AXES,
    )
)
# An embedding of each text; texts come in pairs, and the label is the similarity of a pair. A field of its own, because
# transformers refuses a config whose `problem_type` is "embedding".
register_problem_kind(
    ProblemKind(
        "embedding",
        labels="floats, one per pair of texts, NaN where missing",
        is_labeled=_is_number,
        labels_fit=lambda labels: labels.is_floating_point() and labels.dim() == 1,
        missing_label=lambda num_labels: float("nan"),
        config_field="sentence_embedding",
        named_classes=False,
        float_labels=True,
        has_temperature=False,
        not_averaged_because=_NO_COMMON_AXES,
    )
)
# A distribution over tokens and the blank for each frame; the labels are the tokens of the whole clip.
register_problem_kind(
    ProblemKind(
        CTC,
        labels="whole numbers of shape (batch, most tokens), -100 after the last, with a column 'frames'",
        is_labeled=lambda labels: (labels >= 0).any(1),
        labels_fit=lambda labels: not labels.is_floating_point() and labels.dim() == 2,
        label_limit=lambda num_classes: num_classes,
        column=FRAMES,
        is_defined=_are_distributions,
        averaging="softmax",
    )
)
# A class and a box for each query of a detector; the labels are the classes of the boxes in an image.
register_problem_kind(
    ProblemKind(
        DETECTION,
        labels="whole numbers of shape (batch, most boxes), -100 where there is no box, with a column 'boxes'",
        is_labeled=lambda labels: labels >= 0,
        labels_fit=lambda labels: not labels.is_floating_point() and labels.dim() == 2,
        column=BOXES,
        is_defined=_are_queries,
        not_averaged_because="the queries of two detectors find different objects, so their mean has no meaning",
    )
)
# A distribution over the vocabulary at each position, for the token after it (GPT-2 and other causal language models).
register_problem_kind(
    ProblemKind(
        NEXT_TOKEN,
        labels="whole numbers of shape (batch, sequence), each token at its own position, -100 where missing",
        is_labeled=lambda labels: labels >= 0,
        labels_fit=lambda labels: not labels.is_floating_point() and labels.dim() == 2,
        of_model=_predicts_next_tokens,
        label_limit=lambda num_classes: num_classes,
        align=_next_tokens,
        exclusive_classes=True,
        named_classes=False,
        averaging="softmax",
    )
)
