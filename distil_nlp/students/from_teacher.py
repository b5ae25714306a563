"""A student made of some of the teacher's layers."""

import copy

import torch
from transformers import PreTrainedModel

from ..models.architectures import DECODERS, ENCODERS, layer_count, layer_list, per_layer_settings, set_layer_count
from .distilbert import distilbert_class, distilbert_config
from .sizes import check_layers, choose_layers, student_sizes
from .transfer import transfer_weights


def student_from_teacher(
    teacher,
    *,
    num_layers=None,
    layers=None,
    architecture=None,
    hidden_size=None,
    intermediate_size=None,
    num_attention_heads=None,
    width_init="svd",
):
    """Make a student out of some of the teacher's layers, with its embeddings, pooler and head; narrower if asked.

    Of an encoder-decoder (Whisper) the layers are the decoder's, and the encoder is kept whole.

    Args:
        teacher (`PreTrainedModel`): Bare or with any head. Only read: weights are copied, not shared.
        num_layers (`int`, *optional*): How many layers; `choose_layers` says which. By default half of the
            teacher's, rounded up, as in DistilBERT.
        layers (`list` of `int`, *optional*): Exactly which layers, counted from 0, ascending.
        architecture (`str`, *optional*): "distilbert" makes a DistilBERT out of a BERT. By default, the teacher's.
        hidden_size (`int`, *optional*): Width of the hidden states, even, at most the teacher's.
        intermediate_size (`int`, *optional*): Feed-forward width. By default its ratio to the hidden size is kept.
        num_attention_heads (`int`, *optional*): By default as many as keep the width of the teacher's heads, or the
            nearest width that divides `hidden_size`.
        width_init (`str`): How weights get narrower, see `narrow`: "svd", the start nearest to the teacher, or
            "slice", the first rows and columns.

    Returns:
        `PreTrainedModel`: float32, in train mode, on the teacher's device, every parameter trainable. With all
        layers of the same architecture and width it answers exactly as the teacher does. What was copied is logged as a
        `TransferReport`.

    Raises:
        TypeError: The teacher is not a transformers model.
        ValueError: Layers the teacher does not have or that do not fit together; an unknown architecture; a size that
            cannot be or is larger than the teacher's; a `width_init` that would have no effect.

    Reference: Sanh et al. 2019, "DistilBERT, a distilled version of BERT"; for encoder-decoders Gandhi et al. 2023,
    "Distil-Whisper: Robust Knowledge Distillation via Large-Scale Pseudo Labeling", section 4.
    """
    check_teacher(teacher)
    layers = chosen_layers(teacher, num_layers, layers)
    sizes = student_sizes(teacher.config, hidden_size, intermediate_size, num_attention_heads, width_init)
    student = _make(teacher, layers, architecture, sizes)
    report = transfer_weights(student, teacher, layers=layers, width_init=width_init if sizes else None)
    _check_layers_fit(report, student, teacher)
    return student.train()


def check_teacher(teacher):
    """Refuse what is not a transformers model with a list of layers in full precision or half of it.

    Raises:
        TypeError: Not a `PreTrainedModel`.
        ValueError: Its weights are quantized.
    """
    if not isinstance(teacher, PreTrainedModel):
        raise TypeError(
            f"The teacher must be a transformers PreTrainedModel, because the student takes its config and weights; "
            f"got {_described(teacher)}. Load a Hub id or folder with `from_pretrained` first, and pass the model "
            f"itself rather than a wrapper around it."
        )
    if getattr(teacher.config, "quantization_config", None) is not None:
        raise ValueError(
            f"The teacher ({type(teacher).__name__}) is quantized; its packed weights cannot be copied into a "
            f"float32 student. Load it once more without `quantization_config` to make the student; the quantized "
            f"one can still teach."
        )


def own_config(teacher):
    """A float32 copy of the teacher's config that no longer names the teacher's checkpoint."""
    config = copy.deepcopy(teacher.config)
    config.dtype, config._name_or_path = torch.float32, ""
    return config


def chosen_layers(teacher, num_layers=None, layers=None):
    """The teacher's layers that `student_from_teacher` would keep, counted from 0."""
    num_teacher_layers = layer_count(teacher.config)
    if layers is None:
        return choose_layers(num_teacher_layers, (num_teacher_layers + 1) // 2 if num_layers is None else num_layers)
    if num_layers is not None:
        raise ValueError(
            f"num_layers={num_layers} and layers={list(layers)} both say which layers to keep. Give one of them."
        )
    return check_layers(layers, num_teacher_layers)


def _make(teacher, layers, architecture, sizes):
    own = teacher.config.model_type
    if architecture in (None, own):
        layer_list(teacher)  # says what is wrong before the config is touched
        config = own_config(teacher)
        settings = per_layer_settings(config)
        set_layer_count(config, len(layers))
        for name, values in settings.items():
            setattr(config, name, [values[layer] for layer in layers])
        kind = type(teacher)
    elif (own, architecture) == ("bert", "distilbert"):
        kind, config = distilbert_class(teacher), distilbert_config(teacher.config, len(layers))
        config.dtype = torch.float32
    else:
        known = ", ".join([*ENCODERS, *DECODERS])
        raise ValueError(
            f"Cannot make {architecture!r} out of a {own!r} teacher: weights are copied within one architecture "
            f"({known}), or from 'bert' to 'distilbert'. Leave `architecture` out for a {own!r} student."
        )
    if sizes is not None:
        sizes.write(config)
    student = kind(config).to(device=teacher.device, dtype=torch.float32)
    if teacher.can_generate():
        student.generation_config = copy.deepcopy(teacher.generation_config)
    return student


def _check_layers_fit(report, student, teacher):
    """A layer that lost a tensor, or got one at random, would be a wrong student that trains without a word."""
    theirs, ours = f"{layer_list(teacher)}.", f"{layer_list(student)}."
    left = [name for name in report.unused if name.startswith(theirs)]
    right = [name for name in report.fresh if name.startswith(ours)]
    if not left and not right:
        return
    lost = f"no place for {', '.join(left[:3])} of the teacher" if left else ""
    missing = f"nothing for {', '.join(right[:3])} of the student" if right else ""
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


def _described(value):
    return "None" if value is None else f"{type(value).__module__}.{type(value).__qualname__}"
