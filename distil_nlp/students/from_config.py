"""A student of the teacher's architecture in another size, with weights from scratch."""

import re
from typing import Any, TypeGuard, cast

import torch
from transformers import PreTrainedConfig, PreTrainedModel

from ..internals.memory import require_memory
from ..internals.messages import shown
from ..models.architectures import ENCODERS, per_layer_settings
from ..models.sources import MAX_LAYERS
from .from_teacher import check_teacher, copy_config
from .narrow import principal_directions
from .sizes import Sizes, num_heads

_SIZE_NAME = re.compile(r"(\d+)x(\d+)")
_EMBEDDINGS = ("random", "pca")


def student_from_config(size: str, teacher: PreTrainedModel, *, embeddings: str = "random") -> PreTrainedModel:
    """Build a small model with the teacher's class, vocabulary and labels, and with weights from scratch.

    The feed-forward width is 4 times the hidden size and attention heads are 64 wide, or as near to 64 as divides
    the hidden size: the sizes of the BERT miniatures (Turc et al. 2019, "Well-Read Students Learn Better"), so that
    "4x256" means the same for every teacher. Dropouts and all other settings are the teacher's; a per-layer setting such
    as ModernBERT's `layer_types` is taken from its first layer on. Random weights come from torch's global generator:
    seed it.

    Args:
        size (`str`): Layers x hidden size, such as "4x256". The hidden size is even.
        teacher (`PreTrainedModel`): One of the architectures in `ENCODERS`. Only read.
        embeddings (`str`): "random", or "pca" for the teacher's word embeddings reduced to the student's width
            (see `pca_embeddings`): similar words then have similar embeddings from the start.

    Returns:
        `PreTrainedModel`: float32, in train mode, on the teacher's device.

    Raises:
        TypeError: The teacher is not a transformers model.
        ValueError: `size` is not a size, the architecture is not in `ENCODERS`, or "pca" would have to widen.
    """
    check_teacher(teacher)
    num_layers, hidden_size = parse_size_name(size)
    if embeddings not in _EMBEDDINGS:
        raise ValueError(f"embeddings must be one of {', '.join(_EMBEDDINGS)}; got {shown(embeddings)}.")
    student = type(teacher)(_resized_config(teacher, num_layers, hidden_size))
    if embeddings == "pca":
        _start_from_pca(student, teacher, size)
    student.to(device=teacher.device, dtype=torch.float32)  # type: ignore[call-arg]  # transformers wraps `to` without its `self`
    return student.train()


def _check_size(config: PreTrainedConfig, num_layers: int, hidden_size: int) -> None:
    """Raise ValueError for a size whose weights do not fit into memory, before it is built."""
    if num_layers > MAX_LAYERS:
        raise ValueError(f"A student has at most {MAX_LAYERS:,} layers; got '{num_layers}x{hidden_size}'.")
    num_stored = 1 if config.model_type == "albert" else num_layers  # ALBERT's layers share their weights
    embeddings = config.vocab_size * min(getattr(config, "embedding_size", hidden_size), hidden_size)
    num_bytes = 4 * (12 * num_stored * hidden_size**2 + embeddings)
    require_memory(num_bytes, f"A student of the size '{num_layers}x{hidden_size}'", "Choose a smaller size.")


def is_size_name(value: Any) -> TypeGuard[str]:
    """Whether a value has the form of a size such as "4x256"; a folder of that name is written "./4x256"."""
    return isinstance(value, str) and _SIZE_NAME.fullmatch(value) is not None


def parse_size_name(name: str) -> tuple[int, int]:
    """Parse a size: "4x256" gives `(4, 256)`.

    Raises:
        ValueError: Not layers x hidden size, both at least 1 and the second even.
    """
    match = _SIZE_NAME.fullmatch(name) if isinstance(name, str) else None
    num_layers, hidden_size = map(int, match.groups()) if match else (0, 0)
    if num_layers < 1 or hidden_size < 2 or hidden_size % 2:
        raise ValueError(
            f"A size is layers x hidden size, such as '4x256', with an even hidden size (rotary positions turn pairs "
            f"of numbers); got {shown(name)}."
        )
    return num_layers, hidden_size


@torch.no_grad()
def pca_embeddings(embeddings: torch.Tensor, num_components: int, *, std: float) -> torch.Tensor:
    """The principal components of an embedding matrix, as word embeddings for a narrower model.

    Centered first, because the mean vector does not distinguish words. Not whitened: directions of large variance keep
    it. Scaled as a whole to `std`; the LayerNorm after the embeddings would undo any other scale, except relative to the
    position embeddings added before it, which start at the same `std`. Each component's sign is fixed (its largest entry
    is positive), so the same teacher gives the same student.

    Args:
        embeddings (`torch.Tensor`): Shape (vocabulary, width). Any dtype; computed in float64.
        num_components (`int`): New width, at most the old width.
        std (`float`): Standard deviation of the result over all its entries.

    Returns:
        `torch.Tensor` of shape (vocabulary, num_components), float32.

    Reference: Mukherjee & Awadallah 2020, "XtremeDistil", which starts its students from reduced teacher embeddings.
    """
    centered = embeddings.double() - embeddings.double().mean(dim=0)
    components = centered @ principal_directions(centered.T @ centered, num_components)
    return (components * (std / components.std())).float()


def _resized_config(teacher: PreTrainedModel, num_layers: int, hidden_size: int) -> PreTrainedConfig:
    config = copy_config(teacher)
    if config.model_type not in ENCODERS:
        raise ValueError(
            f"'{num_layers}x{hidden_size}' needs an architecture whose sizes are known: {', '.join(ENCODERS)}; the "
            f"teacher is {shown(config.model_type)}. Build the student from its own config and pass it as a model."
        )
    _check_size(config, num_layers, hidden_size)
    settings = per_layer_settings(config)
    config.num_hidden_layers = num_layers
    Sizes(hidden_size, 4 * hidden_size, num_heads(hidden_size)).apply_to(config)
    for name, values in settings.items():
        setattr(config, name, [values[layer % len(values)] for layer in range(num_layers)])
    return config


def _start_from_pca(student: PreTrainedModel, teacher: PreTrainedModel, size: str) -> None:
    student_weight = cast(torch.Tensor, student.get_input_embeddings().weight)
    teacher_weight = cast(torch.Tensor, teacher.get_input_embeddings().weight)
    student_width, teacher_width = student_weight.shape[1], teacher_weight.shape[1]
    if student_width > teacher_width:
        raise ValueError(
            f"embeddings='pca' reduces the teacher's word embeddings, {teacher_width} wide, to the student's, "
            f"{student_width} wide ('{size}'); a PCA cannot widen. Use a hidden size of at most {teacher_width}, or "
            f"embeddings='random'."
        )
    with torch.no_grad():
        student_weight.copy_(pca_embeddings(teacher_weight, student_width, std=student.config.initializer_range))
