"""Pairs of layers: which layer of the student learns from which layer of the teacher."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from ..internals.messages import listed, shown
from ..models.architectures import layer_name, layer_names
from ..signals.base import Signals
from .base import Batch, Term, every_example
from .schedules import Scheduled

# A strategy of `layer_pairs`, or pairs (student layer, teacher layer) of numbers and module names.
Layers = str | Sequence[Sequence[int | str]]

STRATEGIES = ("uniform", "skip", "last")
REDUCTIONS = ("mean", "sum")
_SHAPES = {2: "(batch, width)", 4: "(batch, channels, height, width)"}


def layer_pairs(layers: str, num_layers: int, num_teacher_layers: int) -> list[tuple[int, int]]:
    """Pairs of layers from the name of a strategy.

    - "uniform": every student layer, with teacher layers evenly spaced and the last with the last. Student layer `i`
      of `n` learns from the end of the `i`-th of `n` equal blocks of the teacher (Jiao et al. 2020, "TinyBERT", section
      4.1, where the numbers divide; otherwise rounded to the nearest).
    - "skip": the same without the last pair, whose layer the loss on the logits trains already (Sun et al. 2019,
      "Patient Knowledge Distillation").
    - "last": the last layers only (Wang et al. 2020, "MiniLM").

    Args:
        layers (`str`): One of the above.
        num_layers, num_teacher_layers (`int`): Number of layers of student and teacher.

    Returns:
        `list` of `(int, int)`: Student layer, teacher layer, counted from 0.

    Raises:
        ValueError: An unknown strategy; a student deeper than its teacher; no pair remains.
    """
    if layers not in STRATEGIES:
        raise ValueError(f"layers must be one of {', '.join(STRATEGIES)}, or a list of pairs; got {shown(layers)}.")
    if layers == "last":
        return [(num_layers - 1, num_teacher_layers - 1)]
    if num_layers > num_teacher_layers:
        raise ValueError(
            f"layers={shown(layers)} spreads the teacher's {num_teacher_layers} layers over the student's {num_layers}: "
            f"there are not enough. Give pairs (student layer, teacher layer), or layers='last'."
        )
    ends = [(2 * (index + 1) * num_teacher_layers + num_layers) // (2 * num_layers) - 1 for index in range(num_layers)]
    pairs = list(enumerate(ends))
    if layers == "uniform":
        return pairs
    if num_layers == 1:
        raise ValueError(f"layers='skip' leaves out the last layer, and the student has {num_layers}. Use 'last'.")
    return pairs[:-1]


class LayerTerm(Term):
    """A term between pairs of layers.

    Args:
        weight (`float` or `Schedule`): Weight in the objective.
        layers (`str` or `list` of pairs): A strategy of `layer_pairs`, or pairs (student layer, teacher layer). A layer
            is a number counted from 0 (-1 is the last), "embeddings", or a module name as in `model.named_modules()`.
            Numbers count the layers of an encoder, or the stages of a network over images (see
            `models.feature_stages`).

    Attributes:
        pairs (`list`): (student layer, teacher layer) as numbers or names; set by `resolve_layers`.
    """

    needs_logits = False
    softens_logits = False

    def __init__(self, weight: Scheduled, *, layers: Layers):
        super().__init__(weight)
        self.layers = layers
        self.pairs: list[tuple[int | str, ...]] = []
        if not isinstance(layers, str):
            self.pairs = [tuple(pair) for pair in layers]
            if not self.pairs or any(len(pair) != 2 for pair in self.pairs):
                raise ValueError(
                    f"layers must be pairs (student layer, teacher layer), at least one, or one of "
                    f"{', '.join(STRATEGIES)}; got {shown(layers)}."
                )

    def resolve_layers(self, student: nn.Module, teacher: nn.Module | None) -> None:
        if teacher is None:
            raise ValueError(
                f"{type(self).__name__} reads layers of the teacher ({shown(self.layers)}), and there is no model of it: "
                f"an ensemble has no layers, and a cache has them for some architectures only. Use one "
                f"teacher that runs (OnlineTeacher)."
            )
        if isinstance(self.layers, str):
            self.pairs = [*layer_pairs(self.layers, len(layer_names(student)), len(layer_names(teacher)))]
        self.tap_layers(student, teacher)

    def tap_layers(self, student: nn.Module, teacher: nn.Module) -> None:
        """Set the taps from `pairs`; by default to the outputs of the layers."""
        self.student_taps = tuple(layer_name(student, layer) for layer, _ in self.pairs)
        self.teacher_taps = tuple(layer_name(teacher, layer) for _, layer in self.pairs)

    def hidden(self, student: Signals, teacher: Signals) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Outputs of each pair of layers: `[(student, teacher), ...]`."""
        taps = zip(self.student_taps, self.teacher_taps, strict=True)
        return [(student.features[student_tap], teacher.features[teacher_tap]) for student_tap, teacher_tap in taps]

    def setup(self, student: Signals, teacher: Signals, batch: Batch) -> None:
        self.check(self.hidden(student, teacher), batch)

    def check(self, tensors: list[tuple[torch.Tensor, torch.Tensor]], batch: Batch) -> None:
        """Raise a ValueError for tensors, one `(student, teacher)` for each pair, that the term cannot use."""
        for pair, layers in zip(tensors, self.pairs, strict=True):
            for tensor, layer, role in zip(pair, layers, ("student", "teacher"), strict=True):
                self.check_tensor(tensor, batch, f"The term on layer {shown(layer)} of the {role}")

    def check_tensor(self, tensor: torch.Tensor, batch: Batch, name: str) -> None:
        """Raise a ValueError, which begins with `name`, for a tensor that is not one state for each position."""
        check_positions(tensor, batch, name)

    def items(self, batch: Batch) -> torch.Tensor:
        """Every position that is not padding; for images, whose positions all count, every example."""
        return every_example(batch) if of_images(batch) else batch["attention_mask"].bool()

    def settings(self) -> dict[str, Any]:
        return {"layers": [list(pair) for pair in self.pairs]}


def total(values: Sequence[torch.Tensor]) -> torch.Tensor:
    """Sum of tensors of one shape, one for each pair of layers."""
    return sum(values[1:], start=values[0])


def reduced(values: Sequence[torch.Tensor], layer_reduction: str) -> torch.Tensor:
    """Mean or sum of tensors of one shape, one for each pair of layers."""
    return total(values) / (len(values) if layer_reduction == "mean" else 1)


def check_reduction(layer_reduction: str) -> str:
    """`layer_reduction`, or a ValueError if it is none of `REDUCTIONS`."""
    if layer_reduction not in REDUCTIONS:
        raise ValueError(f"layer_reduction must be one of {', '.join(REDUCTIONS)}; got {shown(layer_reduction)}.")
    return layer_reduction


def of_images(batch: Batch) -> bool:
    """Whether the batch contains images: no position is padding, and the number of positions depends on the model."""
    return "pixel_values" in batch and "attention_mask" not in batch


def check_positions(tensor: torch.Tensor, batch: Batch, name: str) -> None:
    """Raise a ValueError, which begins with `name`, for a tensor that is not one state for each position."""
    mask = batch.get("attention_mask")
    if mask is None and not of_images(batch):
        raise ValueError(
            f"{name} leaves padding out, and the batch has no attention_mask (columns: {listed(batch)}). Let the "
            f"tokenizer return it."
        )
    fits_batch = tensor.shape[:1] == every_example(batch).shape if mask is None else tensor.shape[:2] == mask.shape
    if tensor.dim() != 3 or tensor.numel() == 0 or not fits_batch:
        positions = "" if mask is None else f" with one position for each of attention_mask {tuple(mask.shape)}"
        raise ValueError(
            f"{name} needs a tensor of shape (batch, sequence, width){positions}; the module returned "
            f"{tuple(tensor.shape)}. Tap a transformer layer; for feature maps there is FeatureMaps."
        )


def check_examples(tensor: torch.Tensor, batch: Batch, name: str, *, dims: Sequence[int]) -> None:
    """Raise a ValueError, which begins with `name`, for a tensor without one row per example or with other dimensions.

    Args:
        tensor (`torch.Tensor`): Output of a layer.
        batch (`Mapping[str, torch.Tensor]`): The columns.
        name (`str`): The term and the layer.
        dims (sequence of `int`): The numbers of dimensions that are allowed, 2 or 4.
    """
    examples = len(every_example(batch))
    if tensor.dim() not in dims or tensor.numel() == 0 or len(tensor) != examples:
        raise ValueError(
            f"{name} needs a tensor of shape {' or '.join(_SHAPES[dim] for dim in dims)} for a batch of {examples}; the "
            f"module returned {tuple(tensor.shape)}. Tap a stage of a convolutional network; for states of tokens there is "
            f"HiddenStates."
        )
