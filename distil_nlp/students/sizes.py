"""Widths: which there are, which a student may have, and how a config gets them."""

import math
from dataclasses import dataclass

from ..models.architectures import ENCODERS

WIDTH_INITS = ("svd", "slice")
_HEAD_SIZE = 64
DEFAULT_LAYER_CHOICE = "even"
"""What `num_layers` alone means, see `choose_layers`."""


@dataclass(frozen=True)
class Sizes:
    """The widths of an encoder.

    Args:
        hidden_size (`int`): Numbers in a hidden state.
        intermediate_size (`int`): Units of a feed-forward block.
        num_attention_heads (`int`): Heads of a layer; each is `hidden_size / num_attention_heads` wide.
    """

    hidden_size: int
    intermediate_size: int
    num_attention_heads: int

    @property
    def head_size(self):
        return self.hidden_size // self.num_attention_heads

    @classmethod
    def of(cls, config):
        """The sizes in a config of one of `ENCODERS`."""
        return cls(config.hidden_size, getattr(config, _encoder(config).intermediate), config.num_attention_heads)

    def write(self, config):
        """Give a config these sizes."""
        own_embeddings = getattr(config, "embedding_size", config.hidden_size)
        config.hidden_size, config.num_attention_heads = self.hidden_size, self.num_attention_heads
        setattr(config, _encoder(config).intermediate, self.intermediate_size)
        if hasattr(config, "embedding_size"):  # ELECTRA's embeddings may be narrower than its layers
            config.embedding_size = min(own_embeddings, self.hidden_size)

    def changes_from(self, other):
        """Name -> (other's, ours), of the sizes that differ."""
        return {name: (theirs, ours) for name, ours in vars(self).items() if (theirs := getattr(other, name)) != ours}


def num_heads(hidden_size, *, head_size=_HEAD_SIZE, most=None):
    """How many heads divide `hidden_size` into even widths nearest to `head_size`: 256 gives 4, 312 gives 4, 100 gives
    2. At most `most` of them."""
    most = hidden_size // 2 if most is None else min(most, hidden_size // 2)
    choices = [heads for heads in range(1, most + 1) if hidden_size % (2 * heads) == 0]
    return min(choices, key=lambda heads: abs(math.log(hidden_size / heads / head_size)))


def student_sizes(config, hidden_size=None, intermediate_size=None, num_attention_heads=None, width_init="svd"):
    """The sizes of a student made of a teacher's weights, None where they are the teacher's own.

    What is left out follows the hidden size: the feed-forward width keeps its ratio to it, and heads keep their
    width where it divides the hidden size (else the nearest even one that does), so that heads can be kept whole.

    Args:
        config (`PretrainedConfig`): The teacher's.
        hidden_size, intermediate_size, num_attention_heads (`int`, *optional*): At most the teacher's.
        width_init (`str`): One of `WIDTH_INITS`.

    Returns:
        `Sizes` or None.

    Raises:
        ValueError: A size that cannot be, is larger than the teacher's or not known for the architecture; a
            `width_init` that is unknown or would have no effect.
    """
    asked = {
        "hidden_size": hidden_size,
        "intermediate_size": intermediate_size,
        "num_attention_heads": num_attention_heads,
    }
    asked = {name: value for name, value in asked.items() if value is not None}
    if width_init not in WIDTH_INITS:
        raise ValueError(f"width_init must be one of {', '.join(WIDTH_INITS)}; got {width_init!r}.")
    sizes = None
    if asked:
        _check_known(config, asked)
        teacher = Sizes.of(config)
        _check_numbers(asked, teacher)
        sizes = _completed(teacher, **asked)
        _check_fit(config, sizes, teacher)
        sizes = None if sizes == teacher else sizes
    if sizes is None and width_init != WIDTH_INITS[0]:
        raise ValueError(
            f"width_init={width_init!r} says how weights get narrower, but the student is as wide as the teacher, so "
            f"it would have no effect. Give a hidden_size, intermediate_size or num_attention_heads below the "
            f"teacher's, or leave width_init out."
        )
    return sizes


def _completed(teacher, hidden_size=None, intermediate_size=None, num_attention_heads=None):
    width = teacher.hidden_size if hidden_size is None else hidden_size
    if intermediate_size is None:
        intermediate_size = max(1, teacher.intermediate_size * width // teacher.hidden_size)
    if num_attention_heads is None:
        same = width == teacher.hidden_size
        most, head_size = teacher.num_attention_heads, teacher.head_size
        num_attention_heads = most if same else num_heads(width, head_size=head_size, most=most)
    return Sizes(width, intermediate_size, num_attention_heads)


def _encoder(config):
    return ENCODERS[config.model_type]


def _check_known(config, asked):
    if config.model_type not in ENCODERS:
        raise ValueError(
            f"{_listed(asked)} needs an architecture whose sizes we know: {', '.join(ENCODERS)}; the teacher is "
            f"{config.model_type!r}. Choose layers only, or build the student yourself and pass it as a model."
        )


def _check_numbers(asked, teacher):
    for name, value in asked.items():
        most = getattr(teacher, name)
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
            raise ValueError(
                f"{name} must be a whole number from 1 to {most}, the teacher's; got {value!r}. A student made of the "
                f"teacher's weights can be narrower, not wider; a size such as '4x256' starts from scratch in any."
            )
    if asked.get("hidden_size", 2) % 2:
        raise ValueError(
            f"hidden_size must be even, so that it divides into heads of even width; got {asked['hidden_size']}. "
            f"Take {asked['hidden_size'] + 1} or {max(2, asked['hidden_size'] - 1)}."
        )


def _check_fit(config, sizes, teacher):
    width, heads = sizes.hidden_size, sizes.num_attention_heads
    if width % heads:
        fitting = [count for count in range(1, teacher.num_attention_heads + 1) if width % count == 0]
        raise ValueError(
            f"hidden_size={width} does not divide into num_attention_heads={heads}. Numbers of heads that divide it: "
            f"{', '.join(map(str, fitting))}."
        )
    if hasattr(config, "rope_parameters") and sizes.head_size != teacher.head_size:
        raise ValueError(
            f"hidden_size={width} with num_attention_heads={heads} makes heads {sizes.head_size} wide; the teacher's "
            f"are {teacher.head_size} and turn with position (rotary), so only whole heads can be kept. Choose "
            f"hidden_size = {teacher.head_size} x num_attention_heads."
        )
    narrow = getattr(config, "embedding_size", teacher.hidden_size)
    if narrow != teacher.hidden_size and width <= narrow:
        raise ValueError(
            f"hidden_size={width} must be above {narrow}, the width of the teacher's embeddings (embedding_size), "
            f"which go up from there to its hidden states. Choose a larger hidden_size."
        )


def _listed(options):
    return ", ".join(f"{name}={value!r}" for name, value in options.items())


def choose_layers(num_teacher_layers, num_layers, strategy=DEFAULT_LAYER_CHOICE):
    """Choose `num_layers` of the teacher's layers.

    - "even": evenly spaced from the first layer to the last, both included. Place `i` gets layer
      `i * (num_teacher_layers - 1) / (num_layers - 1)`, halves rounded up; one layer alone is layer 0. 6 of 12
      gives 0, 2, 4, 7, 9, 11: the layers DistilBERT was made of (Sanh et al. 2019, in its published code).
    - "lower": the first `num_layers` layers. Lower layers are more general and carry less of the teacher's own
      way to the answer; Wang et al. 2023, "How to Distill your BERT", found them the better start.

    Both begin with layer 0, which is the only one that has seen embeddings.

    Args:
        num_teacher_layers (`int`): Layers of the teacher, at least 1.
        num_layers (`int`): Layers to keep, 1 to `num_teacher_layers`.
        strategy (`str`): "even" or "lower".

    Returns:
        `list` of `int`: Indices that count from 0, ascending.

    Raises:
        ValueError: Unknown strategy, or a number of layers the teacher does not have.
    """
    if strategy not in _STRATEGIES:
        raise ValueError(f"strategy must be one of {', '.join(_STRATEGIES)}; got {strategy!r}.")
    if not _is_int(num_layers) or not 1 <= num_layers <= num_teacher_layers:
        raise ValueError(
            f"num_layers must be a whole number from 1 to {num_teacher_layers}, the layers of the teacher; "
            f"got {num_layers!r}. A student made of the teacher's layers cannot have more of them."
        )
    return _STRATEGIES[strategy](num_teacher_layers, num_layers)


def check_layers(layers, num_teacher_layers):
    """Refuse a list of layers that the teacher cannot give in this order.

    Returns:
        `list` of `int`: The layers.

    Raises:
        ValueError: Empty, not whole numbers, out of range, or not strictly ascending.
    """
    layers = list(layers)
    if not layers or not all(_is_int(layer) and 0 <= layer < num_teacher_layers for layer in layers):
        raise ValueError(
            f"layers must hold whole numbers from 0 to {num_teacher_layers - 1}, because the teacher has "
            f"{num_teacher_layers} layers counted from 0; got {layers}."
        )
    if any(later <= earlier for earlier, later in zip(layers, layers[1:], strict=False)):
        raise ValueError(
            f"layers must be ascending, each at most once, because a layer expects what the layers before it make; "
            f"got {layers}. Did you mean {sorted(set(layers))}?"
        )
    return layers


def _even(num_teacher_layers, num_layers):
    if num_layers == 1:
        return [0]
    steps, span = num_layers - 1, num_teacher_layers - 1
    return [(2 * place * span + steps) // (2 * steps) for place in range(num_layers)]


def _lower(num_teacher_layers, num_layers):
    return list(range(num_layers))


def _is_int(value):
    return isinstance(value, int) and not isinstance(value, bool)


_STRATEGIES = {"even": _even, "lower": _lower}
