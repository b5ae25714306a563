"""Which layer of the student listens to which layer of the teacher."""

from ..models.architectures import layer_name, layer_names
from .base import Term, every_example

STRATEGIES = ("uniform", "skip", "last")
_SHAPES = {2: "(batch, width)", 4: "(batch, channels, height, width)"}


def layer_pairs(layers, num_layers, num_teacher_layers):
    """Pairs of layers from a strategy's name.

    - "uniform": every student layer, with teacher layers evenly spaced and the last with the last. Student layer `i`
      of `n` listens to the end of the `i`-th of `n` equal blocks of the teacher (Jiao et al. 2020, "TinyBERT", section
      4.1, where the numbers divide; otherwise rounded to the nearest).
    - "skip": the same without the last pair, where the logits already say what the layer should (Sun et al. 2019,
      "Patient Knowledge Distillation").
    - "last": the last layers only (Wang et al. 2020, "MiniLM").

    Args:
        layers (`str`): One of the above.
        num_layers, num_teacher_layers (`int`): Of student and teacher.

    Returns:
        `list` of `(int, int)`: Student layer, teacher layer, counted from 0.

    Raises:
        ValueError: An unknown strategy; a student deeper than its teacher; nothing left to pair.
    """
    if layers not in STRATEGIES:
        raise ValueError(f"layers must be one of {', '.join(STRATEGIES)}, or a list of pairs; got {layers!r}.")
    if layers == "last":
        return [(num_layers - 1, num_teacher_layers - 1)]
    if num_layers > num_teacher_layers:
        raise ValueError(
            f"layers={layers!r} spreads the teacher's {num_teacher_layers} layers over the student's {num_layers}: "
            f"there are not enough. Give pairs (student layer, teacher layer), or layers='last'."
        )
    ends = [(2 * (place + 1) * num_teacher_layers + num_layers) // (2 * num_layers) - 1 for place in range(num_layers)]
    pairs = list(enumerate(ends))
    if layers == "uniform":
        return pairs
    if num_layers == 1:
        raise ValueError(f"layers='skip' leaves out the last layer, and the student has {num_layers}. Use 'last'.")
    return pairs[:-1]


class LayerTerm(Term):
    """A term between pairs of layers.

    Args:
        weight (`float`): Weight in the objective.
        layers (`str` or `list` of pairs): A strategy of `layer_pairs`, or pairs (student layer, teacher layer). A layer
            is a number counted from 0 (-1 is the last), "embeddings", or a module name as in `model.named_modules()`.
            What is counted are an encoder's layers, or the stages of a network over images (see `stages.stages`).

    Attributes:
        pairs (`list`): (student layer, teacher layer) as numbers or names; known once `locate` was called.
    """

    needs_logits = False
    softens_logits = False

    def __init__(self, weight, *, layers):
        super().__init__(weight)
        self.layers, self.pairs = layers, []
        if not isinstance(layers, str):
            self.pairs = [tuple(pair) for pair in layers]
            if not self.pairs or any(len(pair) != 2 for pair in self.pairs):
                raise ValueError(
                    f"layers must be pairs (student layer, teacher layer), at least one, or one of "
                    f"{', '.join(STRATEGIES)}; got {layers!r}."
                )

    def resolve_layers(self, student, teacher):
        if teacher is None:
            raise ValueError(
                f"{type(self).__name__} listens to layers of the teacher ({self.layers!r}), and no model of one is there: "
                f"an ensemble has no layers of its own, and a cache does not know those of every model. Use one "
                f"teacher that runs (OnlineTeacher)."
            )
        if isinstance(self.layers, str):
            self.pairs = layer_pairs(self.layers, *(len(layer_names(model)) for model in (student, teacher)))
        self.tap_layers(student, teacher)

    def tap_layers(self, student, teacher):
        """Settle the taps from `pairs`: here, what the layers themselves return."""
        self.student_taps = tuple(layer_name(student, layer) for layer, _ in self.pairs)
        self.teacher_taps = tuple(layer_name(teacher, layer) for _, layer in self.pairs)

    def hidden(self, student, teacher):
        """What the layers of each pair returned: `[(student's, teacher's), ...]`."""
        names = zip(self.student_taps, self.teacher_taps, strict=True)
        return [(student.features[ours], teacher.features[theirs]) for ours, theirs in names]

    def setup(self, student, teacher, batch):
        self.check(self.hidden(student, teacher), batch)

    def check(self, tensors, batch):
        """Refuse tensors (one `(student's, teacher's)` for each pair) that the term cannot use."""
        for pair, layers in zip(tensors, self.pairs, strict=True):
            for tensor, layer, who in zip(pair, layers, ("student", "teacher"), strict=True):
                self.check_tensor(tensor, batch, f"The term on layer {layer!r} of the {who}")

    def check_tensor(self, tensor, batch, what):
        """Refuse one of them, which an error calls `what`; here, unless it is states of the batch's positions."""
        check_positions(tensor, batch, what)

    def items(self, batch):
        """Every position that is no padding; of images, whose positions all count, every example."""
        return every_example(batch) if of_images(batch) else batch["attention_mask"].bool()

    def settings(self):
        return {"layers": [list(pair) for pair in self.pairs]}


def of_images(batch):
    """Whether the batch is of images: no position is padding, and their number is known when the model has spoken."""
    return "pixel_values" in batch and "attention_mask" not in batch


def check_positions(tensor, batch, what):
    """Refuse a tensor that is not one state for each position."""
    mask = batch.get("attention_mask")
    if mask is None and not of_images(batch):
        raise ValueError(
            f"{what} leaves padding out, and the batch has no attention_mask (columns: {', '.join(batch)}). Let the "
            f"tokenizer return it."
        )
    of_batch = tensor.shape[:1] == every_example(batch).shape if mask is None else tensor.shape[:2] == mask.shape
    if tensor.dim() != 3 or tensor.numel() == 0 or not of_batch:
        each = "" if mask is None else f" with one position for each of attention_mask {tuple(mask.shape)}"
        raise ValueError(
            f"{what} needs a tensor of shape (batch, sequence, width){each}; the module returned "
            f"{tuple(tensor.shape)}. Tap a transformer layer; for feature maps there is FeatureMaps."
        )


def check_examples(tensor, batch, what, *, dims):
    """Refuse a tensor that has not one of these numbers of dimensions, or not one row for each example."""
    examples = len(every_example(batch))
    if tensor.dim() not in dims or tensor.numel() == 0 or len(tensor) != examples:
        raise ValueError(
            f"{what} needs a tensor of shape {' or '.join(_SHAPES[dim] for dim in dims)} for a batch of {examples}; the "
            f"module returned {tuple(tensor.shape)}. Tap a stage of a convolutional network; for states of tokens there is "
            f"HiddenStates."
        )
