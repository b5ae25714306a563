"""Which of the teacher's layers a student keeps."""

DEFAULT_LAYER_CHOICE = "even"
"""What `num_layers` alone means, see `choose_layers`."""


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
