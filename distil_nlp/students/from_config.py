"""A student of the teacher's family in another size."""

import re

import torch

from ..models.architectures import ENCODERS, per_layer_settings
from .from_teacher import check_teacher, own_config
from .narrow import principal_directions
from .sizes import Sizes, num_heads

_SPEC = re.compile(r"(\d+)x(\d+)")
_EMBEDDINGS = ("random", "pca")


def student_from_config(spec, teacher, *, embeddings="random"):
    """Make a small model of the teacher's class, vocabulary and labels, with weights from scratch.

    The feed-forward width is 4 times the hidden size and attention heads are 64 wide, or as near to 64 as divides
    the hidden size: the sizes of the BERT miniatures (Turc et al. 2019, "Well-Read Students Learn Better"), so that
    "4x256" means the same whoever teaches. Dropouts and everything else stay as the teacher has them; a per-layer
    setting such as ModernBERT's `layer_types` is the teacher's, from its first layer on. Random weights come from
    torch's global generator: seed it.

    Args:
        spec (`str`): Layers x hidden size, such as "4x256". The hidden size is even.
        teacher (`PreTrainedModel`): One of the architectures in `ENCODERS`. Only read.
        embeddings (`str`): "random", or "pca" for the teacher's word embeddings reduced to the student's width
            (see `pca_embeddings`): the student then knows from the start which words are alike.

    Returns:
        `PreTrainedModel`: float32, in train mode, on the teacher's device.

    Raises:
        TypeError: The teacher is not a transformers model.
        ValueError: A spec that is not a size, an architecture we do not know, "pca" into a wider student.
    """
    check_teacher(teacher)
    num_layers, hidden_size = parse_size_name(spec)
    if embeddings not in _EMBEDDINGS:
        raise ValueError(f"embeddings must be one of {', '.join(_EMBEDDINGS)}; got {embeddings!r}.")
    student = type(teacher)(_resized(teacher, num_layers, hidden_size))
    if embeddings == "pca":
        _start_from_pca(student, teacher, spec)
    return student.to(device=teacher.device, dtype=torch.float32).train()


def is_size_name(value):
    """True for "4x256" and its like; a folder of that name is written "./4x256"."""
    return isinstance(value, str) and _SPEC.fullmatch(value) is not None


def parse_size_name(spec):
    """Read a size: "4x256" gives `(4, 256)`.

    Raises:
        ValueError: Not layers x hidden size, both at least 1 and the second even.
    """
    num_layers, hidden_size = map(int, _SPEC.fullmatch(spec).groups()) if is_size_name(spec) else (0, 0)
    if num_layers < 1 or hidden_size < 2 or hidden_size % 2:
        raise ValueError(
            f"A size is layers x hidden size, such as '4x256', with an even hidden size (rotary positions turn pairs "
            f"of numbers); got {spec!r}."
        )
    return num_layers, hidden_size


def _resized(teacher, num_layers, hidden_size):
    config = own_config(teacher)
    if config.model_type not in ENCODERS:
        raise ValueError(
            f"'{num_layers}x{hidden_size}' needs an architecture whose sizes we know: {', '.join(ENCODERS)}; the "
            f"teacher is {config.model_type!r}. Build the student from its own config and pass it as a model."
        )
    settings = per_layer_settings(config)
    config.num_hidden_layers = num_layers
    Sizes(hidden_size, 4 * hidden_size, num_heads(hidden_size)).write(config)
    for name, values in settings.items():
        setattr(config, name, [values[layer % len(values)] for layer in range(num_layers)])
    return config


def _start_from_pca(student, teacher, spec):
    ours, theirs = student.get_input_embeddings().weight, teacher.get_input_embeddings().weight
    if ours.shape[1] > theirs.shape[1]:
        raise ValueError(
            f"embeddings='pca' reduces the teacher's word embeddings, {theirs.shape[1]} wide, to the student's, "
            f"{ours.shape[1]} wide ('{spec}'); a PCA cannot widen. Use a hidden size of at most {theirs.shape[1]}, "
            f"or embeddings='random'."
        )
    with torch.no_grad():
        ours.copy_(pca_embeddings(theirs, ours.shape[1], std=student.config.initializer_range))


@torch.no_grad()
def pca_embeddings(embeddings, num_components, *, std):
    """The principal components of an embedding matrix, as word embeddings for a narrower model.

    Centered first: the mean vector is the same for every word and tells none apart. Not whitened: a direction in
    which words differ much stays one in which they differ much. Scaled as a whole to `std`; the LayerNorm after the
    embeddings would undo any other scale but for the position embeddings added before it, which start at the same
    `std`. Each component's sign is fixed (its largest entry is positive), so the same teacher gives the same student.

    Args:
        embeddings (`torch.Tensor`): Shape (vocabulary, width). Any dtype; the work is done in float64.
        num_components (`int`): New width, at most the old one.
        std (`float`): Standard deviation of the result over all its entries.

    Returns:
        `torch.Tensor` of shape (vocabulary, num_components), float32.

    Reference: Mukherjee & Awadallah 2020, "XtremeDistil", which starts its students from reduced teacher embeddings.
    """
    centered = embeddings.double() - embeddings.double().mean(dim=0)
    components = centered @ principal_directions(centered.T @ centered, num_components)
    return (components * (std / components.std())).float()
