"""What a model says about a batch, and how it is asked."""

import inspect
from collections.abc import Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field

import torch

LABELS = ("labels", "label", "label_ids")
# Columns a task may add to its batches. Bool, of the shape of the items: where the teacher's predictions count.
SOFT_ITEMS = "soft_items"
# Bool, shape (batch, sequence): the only positions whose logits anybody wants, of a model over a vocabulary.
POSITIONS = "positions"
# Floats, shape (batch, most boxes, 4): where the things of `labels` are, center and size, 0 to 1 of the image.
BOXES = "boxes"
# The problem type of a batch that has them; transformers has no word for it.
DETECTION = "object_detection"
# Bool, shape (batch, frames): which frames, one every 10 ms, belong to a clip of which a token or a blank a frame is said.
FRAMES = "frames"
_FRAME_HOP = 0.010  # seconds
# The problem type of a batch that has them; transformers has no word for it.
CTC = "ctc"
# What the loss reads beside the models: Trainer must not drop it.
TASK_COLUMNS = (*LABELS, SOFT_ITEMS, POSITIONS, BOXES, FRAMES)
# Whole numbers, shape (batch, 2): the first and the last position at which an answer may stand. For whoever judges.
CONTEXT_SPAN = "context_span"
# What detectors of transformers call the boxes in their output.
BOXES_SAID = "pred_boxes"
# Padding of logits over positions: no probability at any temperature, and finite at any.
NO_PROBABILITY = -1e30


@dataclass
class Signals:
    """What a model said about a batch.

    Args:
        logits (`torch.Tensor`): Shape (batch, classes) or (batch, sequence, classes). Of a model that marks spans:
            (batch, 2, sequence), where a span begins and where it ends, padding so low that it has no probability.
            Of a detector: (batch, queries, classes + 4), the class logits of each query and then its box.
        features (`dict[str, torch.Tensor]`): Outputs of tapped modules by module name.
        sparse (`SparseTargets`, *optional*): Instead of logits, where a distribution over a vocabulary was kept in parts.
        frame_stride (`float`, *optional*): From an answer to the next, in frames of the batch, see `frame_stride`.
    """

    logits: torch.Tensor | None
    features: dict = field(default_factory=dict)
    sparse: object = None
    frame_stride: float | None = None

    def at(self, temperature):
        """Logits whose softmax at this temperature is what was said. Several speakers give others at each."""
        return self.logits

    def best(self):
        """The class of the largest probability, item by item: shape of the logits without their last dimension."""
        return self.logits.argmax(-1) if self.sparse is None else self.sparse.best()

    @property
    def num_classes(self):
        """Classes the items are distributed over."""
        return self.logits.shape[-1] if self.sparse is None else self.sparse.vocabulary


def frame_stride(model):
    """From an answer of a model of sound to the next, in frames of 10 ms; None where the model does not say.

    What it says about a clip is read off by this number alone: by how long the batch and its answers are, it would depend
    on what the clip is padded to.
    """
    model = getattr(model, "module", model)  # DistributedDataParallel
    front_end, config = getattr(model, "front_end", None), getattr(model, "config", None)
    if front_end is not None:
        frame_stride, rate = front_end.hop_length, front_end.sampling_rate
    else:  # transformers' own models of sound hear 16 kHz, which none of them says
        frame_stride, rate = getattr(config, "inputs_to_logits_ratio", None), getattr(config, "sampling_rate", 16000)
    if frame_stride is None:
        return None
    if getattr(config, "add_adapter", False):  # of Wav2Vec2 and its kin: it makes fewer of the answers
        frame_stride *= config.adapter_stride**config.num_adapter_layers
    return frame_stride / round(_FRAME_HOP * rate)


def align_to_frames(tensor, count, frame_stride):
    """What was said of clips, for each of their frames: an answer counts for all the frames that begin in its time.

    Args:
        tensor (`torch.Tensor`): Shape (batch, answers, ...).
        count (`int`): Of frames.
        frame_stride (`float` or None): See `frame_stride`; None where an answer is a frame.

    Returns:
        `torch.Tensor` of shape (batch, count, ...).

    Raises:
        ValueError: Another number of answers, and nobody knows how far apart they are; far too few for that.
    """
    if _is_a_frame(frame_stride, tensor.shape[1], count):
        return tensor
    places = _places(torch.arange(count, device=tensor.device), frame_stride)
    # A model that looks further than a frame may have no answer for the very last of them.
    return tensor[:, places.clamp(max=tensor.shape[1] - 1)]


def output_frame_mask(frames, count, frame_stride):
    """Which answers are about a clip: those that count for a frame of it. The other way round than `align_to_frames`.

    Args:
        frames (`torch.BoolTensor`): Shape (batch, frames), those of the clip first.
        count (`int`): Of answers.
        frame_stride (`float` or None): As for `align_to_frames`.

    Returns:
        `torch.BoolTensor` of shape (batch, count).
    """
    if _is_a_frame(frame_stride, count, frames.shape[1]):
        return frames
    return torch.arange(count, device=frames.device) < num_answers(frames, frame_stride).unsqueeze(1)


def num_answers(frames, frame_stride):
    """How many answers are about each clip, shape (batch,); see `output_frame_mask`."""
    frames = frames.sum(1)
    return frames if frame_stride is None else _places(frames - 1, frame_stride) + 1


def _places(frames, frame_stride):
    """The answer that each frame is in; -1 for frame -1."""
    return ((frames + 0.5) / frame_stride).floor().long()


def _is_a_frame(frame_stride, answers, frames):
    # What a model looks at beyond a frame costs it an answer or two at the end of a clip, no more.
    too_few = answers != frames if frame_stride is None else answers * frame_stride < frames - 2 * frame_stride - 4
    if too_few:
        said = (
            "nothing says how far apart its answers are"
            if frame_stride is None
            else f"an answer should be about {frame_stride:g} of them"
        )
        raise ValueError(
            f"A model gave {answers} answers to clips of {frames} frames of 10 ms, and {said}, so it cannot be told which "
            f"is about which frame. Set its `config.inputs_to_logits_ratio` to the samples from one answer to the next, "
            f"and `config.sampling_rate` where that is not 16000."
        )
    return frame_stride is None or (frame_stride == 1 and answers == frames)


def accepted_columns(model):
    """The names of the columns a model's forward takes, labels excepted.

    Labels stay out because the loss is ours: with them a head computes its own, divided its own way.

    Returns:
        `tuple[str]`, or None where the forward names none and takes whatever comes (`**kwargs`).
    """
    parameters = inspect.signature(model.forward).parameters.values()
    named = [p.name for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    takes_anything = any(p.kind is p.VAR_KEYWORD for p in parameters)
    if not named and takes_anything:
        return None
    return tuple(name for name in named if name not in LABELS)


def marks_spans(model):
    """Whether a model says where an answer begins and ends: its logits are over positions, not over classes."""
    return model is not None and "start_positions" in (accepted_columns(model) or ())


def are_soft(labels):
    """Whether labels are rows of class probabilities, floats of shape (batch, classes), missing rows aside."""
    if not labels.is_floating_point() or labels.dim() != 2:
        return False
    known = labels[(labels >= 0).all(-1)]
    return bool(((known.sum(-1) - 1).abs() < 1e-3).all())


def problem_type_of(config, batch=None):
    """The problem type of a model: its config's word, else what a batch and width imply, as transformers does.

    Args:
        config (`PreTrainedConfig` or `None`): The model's.
        batch (`Mapping[str, torch.Tensor]`, *optional*): With labels, if there are any.
    """
    batch = batch or {}
    if BOXES in batch:
        return DETECTION
    if FRAMES in batch:
        return CTC
    if getattr(config, "sentence_embedding", None):  # transformers would refuse the word itself in a config
        return "embedding"
    if getattr(config, "embedding_width", None):  # of an image, and whose it is
        return "identity"
    named = getattr(config, "problem_type", None)
    if named:
        return named
    if getattr(config, "num_labels", None) == 1:
        return "regression"
    labels = batch.get("labels")
    if labels is not None and labels.is_floating_point() and labels.dim() == 2:
        return "multi_label_classification"
    return "single_label_classification"


def forward_logits(model, batch, columns):
    """Run `model` on the columns it takes and return its logits.

    A column that is not named is not passed, even where `**kwargs` would swallow it.

    Args:
        model (`torch.nn.Module`): Returns logits, a mapping with "logits", an object with `.logits`, or a tuple
            that begins with them.
        batch (`Mapping[str, torch.Tensor]`): All columns of the batch.
        columns (`tuple[str]` or `None`): From `accepted_columns`; kept by the caller, who asks many times.

    Raises:
        TypeError: The model returned nothing that can be read as logits.
    """
    names = [name for name in batch if name not in LABELS] if columns is None else columns
    inputs = {name: batch[name] for name in names if name in batch}
    with _only(model, batch[POSITIONS]) if POSITIONS in batch else nullcontext():
        output = model(**inputs)
    if getattr(output, "start_logits", None) is not None:
        return _span_logits(output, batch)
    if _part(output, BOXES_SAID) is not None:
        return torch.cat([_part(output, "logits"), _part(output, BOXES_SAID)], dim=-1)
    if isinstance(output, Mapping):
        output = output.get("logits")
    elif isinstance(output, (tuple, list)):
        output = output[0]
    else:
        output = getattr(output, "logits", output)
    if not isinstance(output, torch.Tensor):
        raise TypeError(
            f"{type(model).__name__} returned no logits ({type(output).__name__} came). Return a tensor, a tuple that "
            f"begins with it, or an output with `.logits`; a bare encoder needs a head (AutoModelFor...)."
        )
    return output


def frame_logits(model, batch, columns):
    """As `forward_logits`; where the batch has frames, an answer for each of them, whatever the model's frame stride."""
    logits = forward_logits(model, batch, columns)
    return align_to_frames(logits, batch[FRAMES].shape[1], frame_stride(model)) if FRAMES in batch else logits


def _part(output, name):
    return output.get(name) if isinstance(output, Mapping) else getattr(output, name, None)


def split_boxes(logits):
    """The two halves of what `forward_logits` returns of a detector.

    Args:
        logits (`torch.Tensor`): Shape (batch, queries, classes + 4).

    Returns:
        Class logits of shape (batch, queries, classes), "no object" last where there is such a class, and boxes of shape
        (batch, queries, 4), center and size.
    """
    return logits[..., :-4], logits[..., -4:]


def to_gather(model, logits, labels):
    """Logits as Trainer can gather them from batches and processes: it joins along the first dimension, by examples,
    and pads the second.

    Args:
        model (`torch.nn.Module`): Whose logits they are.
        logits (`torch.Tensor`): From `forward_logits`.
        labels (`torch.Tensor` or None): One row an example.

    Returns:
        `torch.Tensor`, as it came; of shape (examples, texts, width) where an example is several texts, which stand side
        by side in the batch; a tuple of starts and ends, each (batch, sequence), of a model that marks spans.
    """
    if marks_spans(model):
        return tuple(logits.unbind(1))
    several = labels is not None and labels.dim() == 1 and logits.dim() == 2 and len(logits) > len(labels) > 0
    return logits.view(len(labels), -1, logits.shape[-1]) if several else logits


def _span_logits(output, batch):
    """A question's answer begins at one position and ends at another: two distributions over the text."""
    logits = torch.stack([output.start_logits, output.end_logits], dim=1)
    mask = batch.get("attention_mask")
    if mask is None:
        return logits
    # Padding is no answer: left in, it would take part in the softmax, and longer padding would change the loss.
    return logits.masked_fill(mask.unsqueeze(1) == 0, max(NO_PROBABILITY, torch.finfo(logits.dtype).min))


@contextmanager
def _only(model, positions):
    """Inside, the model's last map, over its vocabulary, sees the chosen positions alone: logits (chosen, vocabulary).

    It is the dearest part of a small model over 30,000 words, and masked language modeling reads one position in seven.
    """
    unwrapped = getattr(model, "module", model)  # DistributedDataParallel
    head = getattr(unwrapped, "get_output_embeddings", lambda: None)()
    if head is None:
        raise ValueError(
            f"The batch asks for {int(positions.sum())} positions only, and {type(unwrapped).__name__} has no output "
            f"embeddings whose input could be cut down to them. Use a model with a masked-language head."
        )
    handle = head.register_forward_pre_hook(lambda module, inputs: (inputs[0][positions], *inputs[1:]))
    try:
        yield
    finally:
        handle.remove()
