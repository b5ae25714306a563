"""Copies weights from a teacher into a student, and reports which were copied."""

import copy
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from transformers import PreTrainedModel

from ..internals.messages import shown
from ..models.architectures import ENCODERS, base_prefix, layer_list, required_layer_count
from .distilbert import bert_names, fold_segment
from .narrow import narrow
from .sizes import WIDTH_INITS, Sizes, check_layers, choose_layers

logger = logging.getLogger(__name__)


@dataclass
class TransferReport:
    """Weights that a student got from its teacher.

    Args:
        layers (`list` of `int`): Layer `i` of the student came from layer `layers[i]` of the teacher.
        copied (`dict`): Student tensor name -> teacher tensor name.
        newly_initialized (`list` of `str`): Student tensors left as they were: no teacher tensor has their name and shape.
        unused (`list` of `str`): Teacher tensors without a counterpart; the layers not chosen are not listed.
        reduced (`dict`): Size -> (the teacher's, the student's), where weights were made narrower.
        width_init (`str`, *optional*): How they were made narrower.
        notes (`list` of `str`): Where the same weights do not mean the same function.
    """

    layers: list[int]
    copied: dict[str, str]
    newly_initialized: list[str]
    unused: list[str]
    reduced: dict[str, tuple[int, int]] = field(default_factory=dict)
    width_init: str | None = None
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [f"{len(self.copied)} tensors copied from the teacher, layers {self.layers}"]
        if self.reduced:
            changes = [f"{name} {old} to {new}" for name, (old, new) in self.reduced.items()]
            lines.append(f"made narrower by {self.width_init}: {', '.join(changes)}")
        lines += [f"newly initialized: {name}" for name in self.newly_initialized]
        lines += [f"not used: {name} of the teacher" for name in self.unused]
        return "; ".join(lines + self.notes)


def transfer_weights(
    student: PreTrainedModel,
    teacher: PreTrainedModel,
    *,
    layers: Iterable[int] | None = None,
    width_init: str | None = None,
) -> TransferReport:
    """Copy every tensor of the teacher that has a counterpart in the student.

    A counterpart has the same name, except for the layer's index, and the same shape; from BERT to DistilBERT names are
    translated. Values are copied, never shared, and take the student's dtype and device. The teacher is only read.

    Args:
        student (`PreTrainedModel`): Changed in place.
        teacher (`PreTrainedModel`): Of the same architecture, or a BERT for a DistilBERT.
        layers (`list` of `int`, *optional*): The teacher's layers in the order of the student's. By default
            `choose_layers` selects them.
        width_init (`str`, *optional*): How the weights get narrower where the student is, "svd" or "slice" (see
            `narrow`). By default a tensor of another shape has no counterpart.

    Returns:
        `TransferReport`: Also logged, as a warning if a student tensor was left newly initialized.

    Raises:
        ValueError: Another architecture, layers that do not fit, or an unknown `width_init`.
    """
    if width_init not in (None, *WIDTH_INITS):
        raise ValueError(f"width_init must be one of {', '.join(WIDTH_INITS)} or None; got {shown(width_init)}.")
    num_layers, num_teacher_layers = required_layer_count(student), required_layer_count(teacher)
    if layers is None:
        layers = choose_layers(num_teacher_layers, num_layers)
    layers = check_layers(layers, num_teacher_layers)
    if len(layers) != num_layers:
        raise ValueError(
            f"layers must name one teacher layer for each of the student's {num_layers}; got {shown(layers)}."
        )
    names = counterparts(student, teacher, layers)
    wide = student if width_init is None else _wide_model(student, teacher)
    report = _copy(wide, teacher, names, layers)
    if _is_translated(wide, teacher):
        with torch.no_grad():
            report.notes = fold_segment(wide, teacher)
    if wide is not student and width_init is not None:
        report.width_init = width_init
        report.reduced = Sizes.of(student.config).changes_from(Sizes.of(teacher.config))
        report.notes += narrow(student, wide, width_init, skip=report.newly_initialized)
    level = logging.WARNING if report.newly_initialized else logging.INFO
    logger.log(level, "%s from %s: %s", type(student).__name__, type(teacher).__name__, report)
    return report


def _wide_model(student: PreTrainedModel, teacher: PreTrainedModel) -> PreTrainedModel:
    """A model with the student's layers and the teacher's widths: layers are chosen first, then they get narrower."""
    if student.config.model_type not in ENCODERS:
        raise ValueError(
            f"The weights of {shown(student.config.model_type)} that get narrower are not known; they are known for "
            f"{', '.join(ENCODERS)}. Leave `width_init` out."
        )
    config, teacher_sizes = copy.deepcopy(student.config), Sizes.of(teacher.config)
    student_sizes = Sizes.of(config)
    wider = [name for name, (old, new) in student_sizes.changes_from(teacher_sizes).items() if new > old]
    if wider:
        raise ValueError(
            f"width_init makes weights narrower, but the student's {wider[0]}={getattr(student_sizes, wider[0])} is "
            f"above the teacher's {getattr(teacher_sizes, wider[0])}. Build a student that is nowhere wider than its "
            f"teacher."
        )
    if student_sizes == teacher_sizes:
        return student
    teacher_sizes.apply_to(config)
    if hasattr(config, "embedding_size"):
        config.embedding_size = teacher.config.embedding_size
    model = type(student)(config)
    model.to(device=teacher.device, dtype=torch.float32)  # type: ignore[call-arg]  # transformers wraps `to` without its `self`
    return model.eval()


def counterparts(student: PreTrainedModel, teacher: PreTrainedModel, layers: list[int]) -> dict[str, str]:
    """Student tensor name -> teacher tensor name, whether or not the teacher has a tensor of that name."""
    if _is_translated(student, teacher):
        return bert_names(student, teacher, layers)
    if student.config.model_type != teacher.config.model_type:
        raise ValueError(
            f"No weights go from {shown(teacher.config.model_type)} to {shown(student.config.model_type)}: copying is by "
            f"name, within one architecture or from 'bert' to 'distilbert'."
        )
    base, teacher_base = base_prefix(student), base_prefix(teacher)
    prefix, teacher_prefix = f"{layer_list(student)}.", f"{layer_list(teacher)}."
    names = {}
    for name in student.state_dict():
        if name.startswith(prefix):
            index, _, rest = name.removeprefix(prefix).partition(".")
            names[name] = f"{teacher_prefix}{layers[int(index)]}.{rest}"
        else:
            names[name] = teacher_base + name.removeprefix(base) if name.startswith(base) else name
    return names


@torch.no_grad()
def _copy(
    student: PreTrainedModel, teacher: PreTrainedModel, names: dict[str, str], layers: list[int]
) -> TransferReport:
    teacher_tensors = teacher.state_dict()
    copied: dict[str, str] = {}
    newly_initialized: list[str] = []
    for name, tensor in student.state_dict().items():
        source = teacher_tensors.get(names.get(name, ""))
        if source is None or source.shape != tensor.shape:
            newly_initialized.append(name)
        else:
            tensor.copy_(source)
            copied[name] = names[name]
    prefix = f"{layer_list(teacher)}."
    chosen = tuple(f"{prefix}{layer}." for layer in layers)
    candidates = [name for name in teacher_tensors if name.startswith(chosen) or not name.startswith(prefix)]
    used = set(copied.values())
    unused = [name for name in candidates if name not in used]
    return TransferReport(layers, copied, newly_initialized, unused)


def _is_translated(student: PreTrainedModel, teacher: PreTrainedModel) -> bool:
    return (teacher.config.model_type, student.config.model_type) == ("bert", "distilbert")
