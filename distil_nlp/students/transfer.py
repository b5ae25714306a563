"""Copy weights from a teacher into a student, and say what was copied and what was not."""

import copy
import logging
from dataclasses import dataclass, field

import torch

from ..models.architectures import ENCODERS, base_prefix, layer_count, layer_list
from .distilbert import bert_names, fold_segment
from .narrow import narrow
from .sizes import WIDTH_INITS, Sizes, check_layers, choose_layers

logger = logging.getLogger(__name__)


@dataclass
class TransferReport:
    """What a student got from its teacher.

    Args:
        layers (`list` of `int`): Layer `i` of the student came from layer `layers[i]` of the teacher.
        copied (`dict`): Student tensor name -> teacher tensor name.
        fresh (`list` of `str`): Student tensors left as they were: nothing in the teacher has their name and shape.
        unused (`list` of `str`): Teacher tensors without a counterpart; the layers not chosen are not listed.
        reduced (`dict`): Size -> (the teacher's, the student's), where weights were made narrower on the way.
        width_init (`str`, *optional*): How they were.
        notes (`list` of `str`): Where the same weights do not mean the same function.
    """

    layers: list
    copied: dict
    fresh: list
    unused: list
    reduced: dict = field(default_factory=dict)
    width_init: str | None = None
    notes: list = field(default_factory=list)

    def __str__(self):
        lines = [f"{len(self.copied)} tensors copied from the teacher, layers {self.layers}"]
        if self.reduced:
            changes = [f"{name} {theirs} to {ours}" for name, (theirs, ours) in self.reduced.items()]
            lines.append(f"made narrower by {self.width_init}: {', '.join(changes)}")
        lines += [f"starts at random: {name}" for name in self.fresh]
        lines += [f"not used: {name} of the teacher" for name in self.unused]
        return "; ".join(lines + self.notes)


def transfer_weights(student, teacher, *, layers=None, width_init=None):
    """Copy every tensor of the teacher that has a counterpart in the student.

    A counterpart has the same name, the layer's place aside, and the same shape; from BERT to DistilBERT names are
    translated. Values are copied, never shared, and take the student's dtype and device. The teacher is only read.

    Args:
        student (`PreTrainedModel`): Changed in place.
        teacher (`PreTrainedModel`): Of the same architecture, or a BERT for a DistilBERT.
        layers (`list` of `int`, *optional*): The teacher's layers in the order of the student's. By default
            `choose_layers` picks them.
        width_init (`str`, *optional*): How the weights get narrower where the student is, "svd" or "slice" (see
            `narrow`). By default a tensor of another shape has no counterpart.

    Returns:
        `TransferReport`: Also logged, as a warning where a student tensor was left at random.

    Raises:
        ValueError: Another architecture, layers that do not fit, or an unknown `width_init`.
    """
    if width_init not in (None, *WIDTH_INITS):
        raise ValueError(f"width_init must be one of {', '.join(WIDTH_INITS)} or None; got {width_init!r}.")
    num_layers, num_teacher_layers = layer_count(student.config), layer_count(teacher.config)
    if layers is None:
        layers = choose_layers(num_teacher_layers, num_layers)
    layers = check_layers(layers, num_teacher_layers)
    if len(layers) != num_layers:
        raise ValueError(f"layers must name one teacher layer for each of the student's {num_layers}; got {layers}.")
    names = counterparts(student, teacher, layers)
    wide = student if width_init is None else _as_wide_as(teacher, student)
    report = _copy(wide, teacher, names, layers)
    if _is_translated(wide, teacher):
        with torch.no_grad():
            report.notes = fold_segment(wide, teacher)
    if wide is not student:
        report.width_init = width_init
        report.reduced = Sizes.of(student.config).changes_from(Sizes.of(teacher.config))
        report.notes += narrow(student, wide, width_init, skip=report.fresh)
    level = logging.WARNING if report.fresh else logging.INFO
    logger.log(level, "%s from %s: %s", type(student).__name__, type(teacher).__name__, report)
    return report


def _as_wide_as(teacher, student):
    """A model with the student's layers and the teacher's widths: layers are chosen first, then they get narrower."""
    if student.config.model_type not in ENCODERS:
        raise ValueError(
            f"Which of the weights of {student.config.model_type!r} get narrower is not known; it is for "
            f"{', '.join(ENCODERS)}. Leave `width_init` out."
        )
    config, sizes = copy.deepcopy(student.config), Sizes.of(teacher.config)
    larger = [name for name, (theirs, ours) in Sizes.of(config).changes_from(sizes).items() if ours > theirs]
    if larger:
        raise ValueError(
            f"width_init makes weights narrower, but the student's {larger[0]}={getattr(Sizes.of(config), larger[0])} is "
            f"above the teacher's {getattr(sizes, larger[0])}. Build a student that is nowhere wider than its teacher."
        )
    if Sizes.of(config) == sizes:
        return student
    sizes.write(config)
    if hasattr(config, "embedding_size"):
        config.embedding_size = teacher.config.embedding_size
    return type(student)(config).to(device=teacher.device, dtype=torch.float32).eval()


def counterparts(student, teacher, layers):
    """Student tensor name -> teacher tensor name, before anyone has looked whether both exist."""
    if _is_translated(student, teacher):
        return bert_names(student, teacher, layers)
    if student.config.model_type != teacher.config.model_type:
        raise ValueError(
            f"No weights go from {teacher.config.model_type!r} to {student.config.model_type!r}: copying is by name, "
            f"within one architecture or from 'bert' to 'distilbert'."
        )
    ours, theirs = base_prefix(student), base_prefix(teacher)
    prefix, teacher_prefix = f"{layer_list(student)}.", f"{layer_list(teacher)}."
    names = {}
    for name in student.state_dict():
        if name.startswith(prefix):
            place, _, rest = name.removeprefix(prefix).partition(".")
            names[name] = f"{teacher_prefix}{layers[int(place)]}.{rest}"
        else:
            names[name] = theirs + name.removeprefix(ours) if name.startswith(ours) else name
    return names


@torch.no_grad()
def _copy(student, teacher, names, layers):
    theirs, copied, fresh = teacher.state_dict(), {}, []
    for name, tensor in student.state_dict().items():
        source = theirs.get(names.get(name))
        if source is None or source.shape != tensor.shape:
            fresh.append(name)
        else:
            tensor.copy_(source)
            copied[name] = names[name]
    prefix = f"{layer_list(teacher)}."
    kept = tuple(f"{prefix}{layer}." for layer in layers)
    offered = [name for name in theirs if name.startswith(kept) or not name.startswith(prefix)]
    used = set(copied.values())
    unused = [name for name in offered if name not in used]
    return TransferReport(layers, copied, fresh, unused)


def _is_translated(student, teacher):
    return (teacher.config.model_type, student.config.model_type) == ("bert", "distilbert")
