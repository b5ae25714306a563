"""Depth and widths of a student: choosing the teacher's layers, and the sizes that a student may have."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedConfig

from ..internals.messages import shown
from ..models.architectures import ENCODERS, EncoderArchitecture

WIDTH_INITS = ("svd", "slice")
DEFAULT_LAYER_CHOICE = "even"
"""Strategy of `choose_layers` where only `num_layers` is given."""

_HEAD_SIZE = 64


@dataclass(frozen=True)
class Sizes:
    """The widths of an encoder.

    Args:
        hidden_size (`int`): Width of a hidden state.
        intermediate_size (`int`): Units of a feed-forward block.
        num_attention_heads (`int`): Heads of a layer; each is `hidden_size / num_attention_heads` wide.
    """

    hidden_size: int
    intermediate_size: int
    num_attention_heads: int

    @property
    def head_size(self) -> int:
        """Width of an attention head."""
        return self.hidden_size // self.num_attention_heads

    @classmethod
    def of(cls, config: PreTrainedConfig) -> "Sizes":
        """The sizes in a config of one of `ENCODERS`."""
        return cls(config.hidden_size, getattr(config, _encoder(config).intermediate), config.num_attention_heads)

    def apply_to(self, config: PreTrainedConfig) -> None:
        """Write these sizes into a config."""
        embedding_size = getattr(config, "embedding_size", config.hidden_size)
        config.hidden_size, config.num_attention_heads = self.hidden_size, self.num_attention_heads
        setattr(config, _encoder(config).intermediate, self.intermediate_size)
        if hasattr(config, "embedding_size"):  # ELECTRA's embeddings may be narrower than its layers
            config.embedding_size = min(embedding_size, self.hidden_size)

    def changes_from(self, other: "Sizes") -> dict[str, tuple[int, int]]:
        """Name -> (size in `other`, size in `self`), for the sizes that differ."""
        pairs = {name: (getattr(other, name), size) for name, size in vars(self).items()}
        return {name: (old, new) for name, (old, new) in pairs.items() if old != new}


def num_heads(hidden_size: int, *, head_size: int = _HEAD_SIZE, max_heads: int | None = None) -> int:
    """Number of heads that divide `hidden_size` into even widths nearest to `head_size`: 256 gives 4, 312 gives 4, 100
    gives 2. At most `max_heads`."""
    max_heads = hidden_size // 2 if max_heads is None else min(max_heads, hidden_size // 2)
    choices = [heads for heads in range(1, max_heads + 1) if hidden_size % (2 * heads) == 0]
    return min(choices, key=lambda heads: abs(math.log(hidden_size / heads / head_size)))


def student_sizes(
    config: PreTrainedConfig,
    hidden_size: int | None = None,
    intermediate_size: int | None = None,
    num_attention_heads: int | None = None,
    width_init: str = "svd",
) -> Sizes | None:
    """The sizes of a student made of a teacher's weights, None if they are the teacher's own.

    Sizes that are not given follow the hidden size: the feed-forward width keeps its ratio to it, and heads keep their
    width where it divides the hidden size (else the nearest even width that does), so that heads can be kept whole.

    Args:
        config (`PreTrainedConfig`): The teacher's.
        hidden_size, intermediate_size, num_attention_heads (`int`, *optional*): At most the teacher's.
        width_init (`str`): One of `WIDTH_INITS`.

    Returns:
        `Sizes` or None.

    Raises:
        ValueError: A size that is impossible, larger than the teacher's or not known for the architecture; a
            `width_init` that is unknown or would have no effect.
    """
    settings = {
        "hidden_size": hidden_size,
        "intermediate_size": intermediate_size,
        "num_attention_heads": num_attention_heads,
    }
    requested = {name: value for name, value in settings.items() if value is not None}
    if width_init not in WIDTH_INITS:
        raise ValueError(f"width_init must be one of {', '.join(WIDTH_INITS)}; got {shown(width_init)}.")
    sizes = None
    if requested:
        _check_known(config, requested)
        teacher_sizes = Sizes.of(config)
        _check_numbers(requested, teacher_sizes)
        sizes = _completed(teacher_sizes, **requested)
        _check_fit(config, sizes, teacher_sizes)
        sizes = None if sizes == teacher_sizes else sizes
    if sizes is None and width_init != WIDTH_INITS[0]:
        raise ValueError(
            f"width_init={shown(width_init)} sets how weights get narrower, but the student is as wide as the teacher, so "
            f"it would have no effect. Give a hidden_size, intermediate_size or num_attention_heads below the "
            f"teacher's, or leave width_init out."
        )
    return sizes


def choose_layers(num_teacher_layers: int, num_layers: int, strategy: str = DEFAULT_LAYER_CHOICE) -> list[int]:
    """Choose `num_layers` of the teacher's layers.

    - "even": evenly spaced from the first layer to the last, both included. Student layer `i` is teacher layer
      `i * (num_teacher_layers - 1) / (num_layers - 1)`, halves rounded up; a single layer is layer 0. 6 of 12
      gives 0, 2, 4, 7, 9, 11: the layers of DistilBERT (Sanh et al. 2019, in its published code).
    - "lower": the first `num_layers` layers. Lower layers are more general and less specific to the teacher's task;
      Wang et al. 2023, "How to Distill your BERT", found them the better initialization.

    Both begin with layer 0, the only layer that was trained on embeddings as input.

    Args:
        num_teacher_layers (`int`): Layers of the teacher, at least 1.
        num_layers (`int`): Layers to keep, 1 to `num_teacher_layers`.
        strategy (`str`): "even" or "lower".

    Returns:
        `list` of `int`: Indices that count from 0, ascending.

    Raises:
        ValueError: Unknown strategy, or a number of layers that the teacher does not have.
    """
    if strategy not in _STRATEGIES:
        raise ValueError(f"strategy must be one of {', '.join(_STRATEGIES)}; got {shown(strategy)}.")
    if not _is_int(num_layers) or not 1 <= num_layers <= num_teacher_layers:
        raise ValueError(
            f"num_layers must be a whole number from 1 to {num_teacher_layers}, the layers of the teacher; "
            f"got {shown(num_layers)}. A student made of the teacher's layers cannot have more of them."
        )
    return _STRATEGIES[strategy](num_teacher_layers, num_layers)


def check_layers(layers: Iterable[int], num_teacher_layers: int) -> list[int]:
    """Check that the teacher has these layers, in this order.

    Returns:
        `list` of `int`: The layers.

    Raises:
        ValueError: Empty, not whole numbers, out of range, or not strictly ascending.
    """
    layers = list(layers)
    if not layers or not all(_is_int(layer) and 0 <= layer < num_teacher_layers for layer in layers):
        raise ValueError(
            f"layers must be whole numbers from 0 to {num_teacher_layers - 1}, because the teacher has "
            f"{num_teacher_layers} layers counted from 0; got {shown(layers)}."
        )
    if any(later <= earlier for earlier, later in zip(layers, layers[1:], strict=False)):
        raise ValueError(
            f"layers must be ascending, each at most once, because a layer takes the outputs of the layers before it; "
            f"got {shown(layers)}. Did you mean {shown(sorted(set(layers)))}?"
        )
    return layers


def _completed(
    teacher_sizes: Sizes,
    hidden_size: int | None = None,
    intermediate_size: int | None = None,
    num_attention_heads: int | None = None,
) -> Sizes:
    width = teacher_sizes.hidden_size if hidden_size is None else hidden_size
    if intermediate_size is None:
        intermediate_size = max(1, teacher_sizes.intermediate_size * width // teacher_sizes.hidden_size)
    if num_attention_heads is None:
        max_heads, head_size = teacher_sizes.num_attention_heads, teacher_sizes.head_size
        is_same_width = width == teacher_sizes.hidden_size
        num_attention_heads = (
            max_heads if is_same_width else num_heads(width, head_size=head_size, max_heads=max_heads)
        )
    return Sizes(width, intermediate_size, num_attention_heads)


def _encoder(config: PreTrainedConfig) -> EncoderArchitecture:
    return ENCODERS[config.model_type]


def _check_known(config: PreTrainedConfig, requested: Mapping[str, int]) -> None:
    if config.model_type not in ENCODERS:
        raise ValueError(
            f"{_listed(requested)} needs an architecture whose sizes are known: {', '.join(ENCODERS)}; the teacher is "
            f"{shown(config.model_type)}. Choose layers only, or build the student yourself and pass it as a model."
        )


def _check_numbers(requested: Mapping[str, int], teacher_sizes: Sizes) -> None:
    for name, value in requested.items():
        largest = getattr(teacher_sizes, name)
        if not _is_int(value) or not 1 <= value <= largest:
            raise ValueError(
                f"{name} must be a whole number from 1 to {largest}, the teacher's; got {shown(value)}. A student made "
                f"of the teacher's weights can be narrower, not wider; a size such as '4x256' starts from scratch in any "
                f"width."
            )
    if requested.get("hidden_size", 2) % 2:
        raise ValueError(
            f"hidden_size must be even, so that it divides into heads of even width; got {requested['hidden_size']}. "
            f"Use {requested['hidden_size'] + 1} or {max(2, requested['hidden_size'] - 1)}."
        )


def _check_fit(config: PreTrainedConfig, sizes: Sizes, teacher_sizes: Sizes) -> None:
    width, heads = sizes.hidden_size, sizes.num_attention_heads
    if width % heads:
        divisors = [count for count in range(1, teacher_sizes.num_attention_heads + 1) if width % count == 0]
        raise ValueError(
            f"hidden_size={width} does not divide into num_attention_heads={heads}. Numbers of heads that divide it: "
            f"{', '.join(map(str, divisors))}."
        )
    if hasattr(config, "rope_parameters") and sizes.head_size != teacher_sizes.head_size:
        raise ValueError(
            f"hidden_size={width} with num_attention_heads={heads} makes heads {sizes.head_size} wide; the teacher's "
            f"are {teacher_sizes.head_size} with rotary positions, so only whole heads can be kept. Choose "
            f"hidden_size = {teacher_sizes.head_size} x num_attention_heads."
        )
    embedding_size = getattr(config, "embedding_size", teacher_sizes.hidden_size)
    if embedding_size != teacher_sizes.hidden_size and width <= embedding_size:
        raise ValueError(
            f"hidden_size={width} must be above {embedding_size}, the width of the teacher's embeddings "
            f"(embedding_size), which are projected up to its hidden states. Choose a larger hidden_size."
        )


def _listed(options: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={shown(value)}" for name, value in options.items())


def _even(num_teacher_layers: int, num_layers: int) -> list[int]:
    if num_layers == 1:
        return [0]
    steps, span = num_layers - 1, num_teacher_layers - 1
    return [(2 * index * span + steps) // (2 * steps) for index in range(num_layers)]


def _lower(num_teacher_layers: int, num_layers: int) -> list[int]:
    return list(range(num_layers))


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


_STRATEGIES = {"even": _even, "lower": _lower}
