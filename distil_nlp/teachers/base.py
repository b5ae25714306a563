"""Base class of all teachers."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ..models.weights import num_weights
from ..signals.base import Signals

if TYPE_CHECKING:
    from accelerate import Accelerator
    from transformers import PreTrainedTokenizerBase


class Teacher:
    """Computes Signals for a batch.

    A teacher is not an `nn.Module`, so that its weights cannot enter the student's checkpoint or the optimizer, and
    `student.train()` cannot put it into train mode.

    Attributes:
        name (`str`): Name in reports and cards.
        columns (`tuple[str]`): Columns of a batch that the teacher reads, including those the student does not take.
        takes_any_column (`bool`): It may read other columns as well, of which only its own code knows.
        label_names (`list[str]` or None): Names of its classes in order, before `reconcile`; None without classes.
        model (`nn.Module` or None): The model to time and count; None without a running model, or with several.
        architecture (`nn.Module` or None): Its modules, for terms that look up layers; weights may be missing.
        is_precomputed (`bool`): True for stored outputs, which do not fit examples that are augmented later.
    """

    name: str = "teacher"
    columns: tuple[str, ...] = ()
    takes_any_column: bool = False
    label_names: list[str] | None = None
    model: nn.Module | None = None
    architecture: nn.Module | None = None
    is_precomputed: bool = False

    @property
    def num_parameters(self) -> int | None:
        """Number of parameters without embeddings; None if unknown."""
        return None if self.architecture is None else num_parameters(self.architecture)

    @property
    def models(self) -> tuple[nn.Module, ...]:
        """All modules that run for a batch; an empty tuple if some outputs are read from disk."""
        return () if self.model is None else (self.model,)

    def load(self, **settings: Any) -> None:
        """Load models that were passed by name only, with the arguments of `as_teacher`."""

    def __call__(self, batch: Mapping[str, torch.Tensor]) -> Signals:
        """Compute Signals for a batch of tensors, without gradient."""
        raise NotImplementedError

    def fingerprint(self) -> str:
        """Return a string that changes whenever the teacher's outputs could."""
        raise NotImplementedError

    def tap_layers(self, names: Iterable[str]) -> None:
        """From the next batch on, include the outputs of these modules in `Signals.features`."""
        if names:
            raise ValueError(
                f"The objective needs outputs of {', '.join(names)}, and {type(self).__name__} has no features. "
                f"Use a teacher that runs (OnlineTeacher)."
            )

    def reconcile(self, student: nn.Module, tokenizer: "PreTrainedTokenizerBase | None" = None) -> None:
        """Reconcile labels and vocabulary with the student's before the first batch; ValueError if they do not fit."""

    def prepare(self, accelerator: "Accelerator") -> None:
        """Move the teacher's models to the accelerator's device."""


def num_parameters(model: nn.Module) -> int:
    """Number of parameters of a model without embeddings; tied parameters count once.

    Embeddings are excluded because they grow with the vocabulary and would hide the difference between two models with
    the same vocabulary.
    """
    embeddings = {
        id(parameter): parameter.numel()
        for module in model.modules()
        if isinstance(module, nn.Embedding)
        for parameter in module.parameters()
    }
    return num_weights(model) - sum(embeddings.values())
