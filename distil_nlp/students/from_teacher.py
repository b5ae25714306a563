"""A student made of some of the teacher's layers."""

import copy
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

import torch
from transformers import PreTrainedConfig, PreTrainedModel

from ..internals.messages import shown
from ..models.architectures import (
    DECODERS,
    ENCODERS,
    layer_list,
    per_layer_settings,
    required_layer_count,
    set_layer_count,
)
from .distilbert import distilbert_class, distilbert_config
from .sizes import Sizes, check_layers, choose_layers, student_sizes
from .transfer import TransferReport, transfer_weights

if TYPE_CHECKING:
    from transformers import BertConfig


def student_from_teacher(
    teacher: PreTrainedModel,
    *,
    num_layers: int | None = None,
    layers: Iterable[int] | None = None,
    architecture: str | None = None,
    hidden_size: int | None = None,
    intermediate_size: int | None = None,
    num_attention_heads: int | None = None,
    width_init: str = "svd",
) -> PreTrainedModel:
    """Build a student from some of the teacher's layers, with its embeddings, pooler and head; optionally narrower.

    The layers of an encoder-decoder (Whisper) are its decoder's; its encoder is copied whole.

    Args:
        teacher (`PreTrainedModel`): Bare or with any head. Only read: weights are copied, not shared.
        num_layers (`int`, *optional*): Number of layers; `choose_layers` selects them. Default: half of the teacher's,
            rounded up, as in DistilBERT.
        layers (`list` of `int`, *optional*): The layers themselves, counted from 0, ascending.
        architecture (`str`, *optional*): "distilbert" builds a DistilBERT from a BERT. Default: the teacher's.
        hidden_size (`int`, *optional*): Width of the hidden states, even, at most the teacher's.
        intermediate_size (`int`, *optional*): Feed-forward width. Default: its ratio to the hidden size is kept.
        num_attention_heads (`int`, *optional*): Default: as many as keep the width of the teacher's heads, or the
            nearest width that divides `hidden_size`.
        width_init (`str`): How weights get narrower, see `narrow`: "svd", the initialization nearest to the teacher, or
            "slice", the first rows and columns.

    Returns:
        `PreTrainedModel`: float32, in train mode, on the teacher's device, every parameter trainable. With all layers,
        the same architecture and width, its outputs equal the teacher's. A `TransferReport` of the copied weights is
        logged.

    Raises:
        TypeError: The teacher is not a transformers model.
        ValueError: Layers that the teacher does not have or that do not fit together; an unknown architecture; a size
            that is impossible or larger than the teacher's; a `width_init` that would have no effect.

    Reference: Sanh et al. 2019, "DistilBERT, a distilled version of BERT"; for encoder-decoders Gandhi et al. 2023,
    "Distil-Whisper: Robust Knowledge Distillation via Large-Scale Pseudo Labeling", section 4.
    """
    check_teacher(teacher)
    layers = chosen_layers(teacher, num_layers, layers)
    sizes = student_sizes(teacher.config, hidden_size, intermediate_size, num_attention_heads, width_init)
    student = _build(teacher, layers, architecture, sizes)
    report = transfer_weights(student, teacher, layers=layers, width_init=width_init if sizes else None)
    _check_layers_fit(report, student, teacher)
    return student.train()


def check_teacher(teacher: Any) -> None:
    """Raise unless the teacher is a transformers model whose weights can be copied.

    Raises:
        TypeError: Not a `PreTrainedModel`.
        ValueError: Its weights are quantized.
    """
    if not isinstance(teacher, PreTrainedModel):
        raise TypeError(
            f"The teacher must be a transformers PreTrainedModel, because the student takes its config and weights; "
            f"got {_type_name(teacher)}. Load a Hub id or folder with `from_pretrained` first, and pass the model "
            f"itself rather than a wrapper around it."
        )
    if getattr(teacher.config, "quantization_config", None) is not None:
        raise ValueError(
            f"The teacher ({type(teacher).__name__}) is quantized; its packed weights cannot be copied into a "
            f"float32 student. Load it once more without `quantization_config` to build the student; the quantized "
            f"model can still be the teacher in training."
        )


def copy_config(teacher: PreTrainedModel) -> PreTrainedConfig:
    """A float32 copy of the teacher's config without the name of the teacher's checkpoint."""
    config = copy.deepcopy(teacher.config)
    config.dtype, config._name_or_path = torch.float32, ""
    return config


def chosen_layers(
    teacher: PreTrainedModel, num_layers: int | None = None, layers: Iterable[int] | None = None
) -> list[int]:
    """The teacher's layers that `student_from_teacher` would copy, counted from 0."""
    num_teacher_layers = required_layer_count(teacher)
    if layers is None:
        return choose_layers(num_teacher_layers, (num_teacher_layers + 1) // 2 if num_layers is None else num_layers)
    if num_layers is not None:
        raise ValueError(f"num_layers={num_layers} and layers={list(layers)} exclude each other. Give one of them.")
    return check_layers(layers, num_teacher_layers)


def _build(
    teacher: PreTrainedModel, layers: list[int], architecture: str | None, sizes: Sizes | None
) -> PreTrainedModel:
    """The student with random weights."""
    model_type = teacher.config.model_type
    student_class: type[PreTrainedModel]
    config: PreTrainedConfig
    if architecture in (None, model_type):
        layer_list(teacher)  # raises for an unknown architecture before the config is changed
        config = copy_config(teacher)
        settings = per_layer_settings(config)
        set_layer_count(config, len(layers))
        for name, values in settings.items():
            setattr(config, name, [values[layer] for layer in layers])
        student_class = type(teacher)
    elif (model_type, architecture) == ("bert", "distilbert"):
        student_class = distilbert_class(teacher)
        config = distilbert_config(cast("BertConfig", teacher.config), len(layers))
        config.dtype = torch.float32
    else:
        known = ", ".join([*ENCODERS, *DECODERS])
        raise ValueError(
            f"Cannot build {shown(architecture)} out of a {shown(model_type)} teacher: weights are copied within one "
            f"architecture ({known}), or from 'bert' to 'distilbert'. Leave `architecture` out for a {shown(model_type)} "
            f"student."
        )
    if sizes is not None:
        sizes.apply_to(config)
    student = student_class(config)
    student.to(device=teacher.device, dtype=torch.float32)  # type: ignore[call-arg]  # transformers wraps `to` without its `self`
    if teacher.can_generate():
        student.generation_config = copy.deepcopy(teacher.generation_config)
    return student


def _check_layers_fit(report: TransferReport, student: PreTrainedModel, teacher: PreTrainedModel) -> None:
    """Raise if a layer lost a tensor or has a random one: such a student would train without a warning."""
    teacher_prefix, student_prefix = f"{layer_list(teacher)}.", f"{layer_list(student)}."
    unused = [name for name in report.unused if name.startswith(teacher_prefix)]
    random = [name for name in report.newly_initialized if name.startswith(student_prefix)]
    if not unused and not random:
        return
    lost = f"no place for {', '.join(unused[:3])} of the teacher" if unused else ""
    missing = f"nothing for {', '.join(random[:3])} of the student" if random else ""
    way_out = (
        f"Some architectures build their first layer differently (ModernBERT's has no attn_norm): begin with layer 0, "
        f"as in layers={[0, *report.layers[1:]]}."
        if report.layers[0] != 0
        else "Build the student yourself and pass it as a model."
    )
    raise ValueError(
        f"The layers {report.layers} of {type(teacher).__name__} do not fit a {type(student).__name__} of "
        f"{len(report.layers)}: {' and '.join(filter(None, [lost, missing]))}. {way_out}"
    )


def _type_name(value: Any) -> str:
    return "None" if value is None else f"{type(value).__module__}.{type(value).__qualname__}"
