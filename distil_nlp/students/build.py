"""Builds a student from any of the ways to specify one: layers of the teacher, a size, a name, a Hub id, a model."""

import logging
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import transformers
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel

from ..internals.messages import shown
from ..models import NetworkForImageEmbedding, network_for, parse_network_name, parse_whisper_name, whisper_for
from ..models.detectors import make_detector, parse_detector_name
from ..models.loading import load_model
from ..models.sentence_encoder import SentenceEncoder
from .from_config import is_size_name, student_from_config
from .from_teacher import check_teacher, chosen_layers, student_from_teacher
from .sizes import WIDTH_INITS, Sizes, student_sizes

logger = logging.getLogger(__name__)


def build_student(
    student: str | Path | nn.Module | None,
    teacher: PreTrainedModel | None,
    *,
    embeddings: str = "random",
    image_size: int | tuple[int, int] | None = None,
    trust_remote_code: bool = False,
    **teacher_options: Any,
) -> nn.Module:
    """Build a student.

    | `student` | gives |
    |---|---|
    | `None` | `student_from_teacher` with `teacher_options` |
    | "4x256" | `student_from_config` with `embeddings` |
    | "resnet8", "streamcnn64" | a network with the teacher's kind of input, task and labels |
    | "deformable_detr-64x2" | a detector with the teacher's labels |
    | "whisper-2x64" | an encoder-decoder with the teacher's features and vocabulary |
    | an `nn.Module` | the module itself |
    | a Hub id or a folder | that model, with the teacher's head type and labels |

    Args:
        student (`None`, `str`, `Path` or `nn.Module`): See above.
        teacher (`PreTrainedModel`): May be None where `student` is a module.
        embeddings (`str`): See `student_from_config`.
        image_size (`int` or `(int, int)`, *optional*): Image size of a network by name. Default: the teacher's.
        trust_remote_code (`bool`): Run code that comes with a Hub student. Off unless the user turns it on.
        teacher_options: `num_layers`, `layers`, `architecture`, sizes, `width_init`: see `student_from_teacher`.

    Returns:
        `nn.Module`: In train mode; a module passed as `student` is returned unchanged.

    Raises:
        TypeError, ValueError: Another `student`; an option that it would ignore; the errors of the functions above.
    """
    source = cast(PreTrainedModel, teacher)  # checked by every function below that reads it
    config_options = {"embeddings": None if embeddings == "random" else embeddings}
    if student is None:
        _check_no_effect(config_options, "A student made of the teacher's layers has the teacher's own embeddings")
        return student_from_teacher(source, **teacher_options)
    if teacher_options.get("width_init") == WIDTH_INITS[0]:  # the default
        del teacher_options["width_init"]
    if is_size_name(student):
        _check_no_effect(teacher_options, f"student={shown(student)} is a size to start from scratch")
        return student_from_config(student, source, embeddings=embeddings)
    options = {**teacher_options, **config_options}
    for parse, noun, build in _NAMED:
        if isinstance(student, str) and parse(student) is not None:
            _check_no_effect(options, f"student={shown(student)} is a {noun} to start from scratch")
            check_teacher(source)
            return build(student, source, image_size)
    _check_no_effect(options, f"student={_named(student)} is already a model")
    if isinstance(student, nn.Module):
        return student
    if not isinstance(student, str) and not hasattr(student, "__fspath__"):
        raise TypeError(
            f"student must be None (made of the teacher's layers), a size such as '4x256', a Hub id, a folder or an "
            f"nn.Module that returns logits; got {_named(student)}."
        )
    return _load(student, source, trust_remote_code)


def student_start(
    student: str | Path | None,
    teacher: PreTrainedModel,
    *,
    num_layers: int | None = None,
    layers: Iterable[int] | None = None,
    architecture: str | None = None,
    embeddings: str = "random",
    **sizes: Any,
) -> str:
    """Describe the initial weights of a student for a reader: "layers 0, 3, 5 of the teacher"."""
    if student is None:
        layer_numbers = chosen_layers(teacher, num_layers, layers)
        noun = "layer" if len(layer_numbers) == 1 else "layers"
        text = f"{noun} {', '.join(map(str, layer_numbers))} of the teacher"
        smaller = student_sizes(teacher.config, **sizes)
        if smaller is not None:
            changes = smaller.changes_from(Sizes.of(teacher.config))
            listed = ", ".join(f"{name} {old} to {new}" for name, (old, new) in changes.items())
            text += f", made narrower by {sizes.get('width_init', WIDTH_INITS[0])} ({listed})"
        return text + (f", as a {architecture}" if architecture else "")
    if is_size_name(student):
        reduced = ", word embeddings by a PCA of the teacher's" if embeddings == "pca" else ""
        return f"random weights ({student}){reduced}"
    is_from_scratch = isinstance(student, str) and any(parse(student) is not None for parse, _, _ in _NAMED)
    return f"random weights ({student})" if is_from_scratch else str(student)


def _network(name: str, teacher: PreTrainedModel, image_size: int | tuple[int, int] | None) -> PreTrainedModel:
    settings = {} if image_size is None else {"image_size": image_size}
    return network_for(name, teacher, **settings).train()


def _detector(name: str, teacher: PreTrainedModel, image_size: Any) -> PreTrainedModel:
    return make_detector(name, id2label=cast(dict[int, str], teacher.config.id2label))


def _whisper(name: str, teacher: PreTrainedModel, image_size: Any) -> PreTrainedModel:
    return whisper_for(name, teacher)


# Students by name: parser of the name, noun for messages, builder.
_NAMED = (
    (parse_network_name, "network", _network),
    (parse_detector_name, "detector", _detector),
    (parse_whisper_name, "model", _whisper),
)


def _load(name_or_path: str | Path, teacher: PreTrainedModel, trust_remote_code: bool) -> PreTrainedModel:
    check_teacher(teacher)
    config = teacher.config
    _check_label_order(name_or_path, config, trust_remote_code)
    model, newly_initialized = load_model(
        _auto_class(teacher),
        name_or_path,
        trust_remote_code=trust_remote_code,
        id2label=config.id2label,
        label2id=config.label2id,
        problem_type=config.problem_type,
        ignore_mismatched_sizes=True,  # a head for other labels cannot be used; it is initialized again and logged
    )
    if newly_initialized:
        logger.warning("Student %s: newly initialized: %s", name_or_path, ", ".join(newly_initialized))
    return model.train()


def _check_label_order(name_or_path: str | Path, config: PreTrainedConfig, trust_remote_code: bool) -> None:
    """Raise if the student has the teacher's labels in another order: its head would have the wrong names."""
    try:
        id2label = transformers.AutoConfig.from_pretrained(name_or_path, trust_remote_code=trust_remote_code).id2label
    except (OSError, ValueError):
        return  # load_model raises a clearer error
    if (
        id2label
        and id2label != config.id2label
        and sorted(id2label.values()) == sorted((config.id2label or {}).values())
    ):
        raise ValueError(
            f"The student {shown(str(name_or_path))} has the teacher's labels in another order: {shown(id2label)}; the "
            f"teacher's are {shown(config.id2label)}. Its head would start with the wrong label names. Reorder the rows "
            f"of its head and its `id2label`, save it, and give that folder."
        )


def _auto_class(teacher: PreTrainedModel) -> str | type[SentenceEncoder]:
    """The auto class of the teacher's head: `BertForTokenClassification` gives `AutoModelForTokenClassification`."""
    if isinstance(teacher, SentenceEncoder):
        return SentenceEncoder
    if isinstance(teacher, NetworkForImageEmbedding):
        return "AutoModel"
    head = re.search(r"For[A-Z]\w*$", type(teacher).__name__)
    name = "AutoModel" + (head.group() if head else "")
    if not hasattr(transformers, name) or (head is None and teacher.base_model is not teacher):
        raise ValueError(
            f"No auto class belongs to the teacher's class {type(teacher).__name__}, so the student's head is "
            f"unknown. Load the student yourself and pass the model."
        )
    return name


def _check_no_effect(options: Mapping[str, Any], reason: str) -> None:
    """Raise if an option is set that would have no effect."""
    listed = ", ".join(f"{name}={shown(value)}" for name, value in options.items() if value is not None)
    if listed:
        raise ValueError(f"{reason}, so {listed} would have no effect. Leave one of the two out.")


def _named(student: Any) -> str:
    return shown(student) if isinstance(student, str) else type(student).__name__
