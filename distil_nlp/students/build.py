"""One front door: whatever names a student becomes a model."""

import logging
import re

import transformers
from torch import nn

from ..models import NetworkForImageEmbedding, network_for, parse_network_name, parse_whisper_name, whisper_for
from ..models.detectors import make_detector, parse_detector_name
from ..models.loading import load_model
from ..models.sentence_encoder import SentenceEncoder
from .from_config import is_size_name, student_from_config
from .from_teacher import check_teacher, chosen_layers, student_from_teacher
from .sizes import WIDTH_INITS, Sizes, student_sizes

logger = logging.getLogger(__name__)


def build_student(student, teacher, *, embeddings="random", image_size=None, trust_remote_code=False, **of_teacher):
    """Make a student out of any of the ways to name one.

    | `student` | gives |
    |---|---|
    | `None` | `student_from_teacher` with `of_teacher` |
    | "4x256" | `student_from_config` with `embeddings` |
    | "resnet8", "streamcnn64" | a network for what the teacher sees or hears, with its labels |
    | "deformable_detr-64x2" | a detector with the teacher's labels |
    | "whisper-2x64" | an encoder-decoder that hears and writes as the teacher does |
    | an `nn.Module` | itself |
    | a Hub id or a folder | that model, with the teacher's head type and labels |

    Args:
        student (`None`, `str`, `Path` or `nn.Module`): See above.
        teacher (`PreTrainedModel`): May be None where `student` is a module.
        embeddings (`str`): See `student_from_config`.
        image_size (`int` or `(int, int)`, *optional*): What a network by name is made for, where it is not the teacher's;
            students of other kinds keep what they have.
        trust_remote_code (`bool`): Run code that comes with a Hub student. Off unless the user turns it on.
        of_teacher: `num_layers`, `layers`, `architecture`, sizes, `width_init`: see `student_from_teacher`.

    Returns:
        `nn.Module`: In train mode; a module of the user's is returned as it is.

    Raises:
        TypeError: A student that is none of these.
        ValueError: An option that this kind of student would ignore, and whatever the functions above refuse.
    """
    of_config = {"embeddings": None if embeddings == "random" else embeddings}
    if student is None:
        _refuse(of_config, "A student made of the teacher's layers has the teacher's own embeddings")
        return student_from_teacher(teacher, **of_teacher)
    if of_teacher.get("width_init") == WIDTH_INITS[0]:  # where nobody asked
        del of_teacher["width_init"]
    if is_size_name(student):
        _refuse(of_teacher, f"student={student!r} is a size to start from scratch")
        return student_from_config(student, teacher, embeddings=embeddings)
    if parse_network_name(student) is not None:
        _refuse({**of_teacher, **of_config}, f"student={student!r} is a network to start from scratch")
        check_teacher(teacher)
        own = {} if image_size is None else {"image_size": image_size}
        return network_for(student, teacher, **own).train()
    if parse_detector_name(student) is not None:
        _refuse({**of_teacher, **of_config}, f"student={student!r} is a detector to start from scratch")
        check_teacher(teacher)
        return make_detector(student, id2label=teacher.config.id2label)
    if parse_whisper_name(student) is not None:
        _refuse({**of_teacher, **of_config}, f"student={student!r} is a model to start from scratch")
        check_teacher(teacher)
        return whisper_for(student, teacher)
    _refuse({**of_teacher, **of_config}, f"student={_named(student)} is already a model")
    if isinstance(student, nn.Module):
        return student
    if not isinstance(student, str) and not hasattr(student, "__fspath__"):
        raise TypeError(
            f"student must be None (made of the teacher's layers), a size such as '4x256', a Hub id, a folder or an "
            f"nn.Module that returns logits; got {_named(student)}."
        )
    return _load(student, teacher, trust_remote_code)


def student_start(student, teacher, *, num_layers=None, layers=None, architecture=None, embeddings="random", **sizes):
    """Where the first weights of such a student come from, in words for a reader: "layers 0, 3, 5 of the teacher"."""
    if student is None:
        kept = chosen_layers(teacher, num_layers, layers)
        noun = "layer" if len(kept) == 1 else "layers"
        words = f"{noun} {', '.join(map(str, kept))} of the teacher"
        smaller = student_sizes(teacher.config, **sizes)
        if smaller is not None:
            changes = smaller.changes_from(Sizes.of(teacher.config))
            listed = ", ".join(f"{name} {theirs} to {ours}" for name, (theirs, ours) in changes.items())
            words += f", made narrower by {sizes.get('width_init', WIDTH_INITS[0])} ({listed})"
        return words + (f", as a {architecture}" if architecture else "")
    if is_size_name(student):
        reduced = ", word embeddings by a PCA of the teacher's" if embeddings == "pca" else ""
        return f"random weights ({student}){reduced}"
    from_scratch = any(
        read(student) is not None for read in (parse_network_name, parse_detector_name, parse_whisper_name)
    )
    return f"random weights ({student})" if from_scratch else str(student)


def _load(name_or_path, teacher, trust_remote_code):
    check_teacher(teacher)
    config = teacher.config
    _check_label_order(name_or_path, config, trust_remote_code)
    model, fresh = load_model(
        _auto_class(teacher),
        name_or_path,
        trust_remote_code=trust_remote_code,
        id2label=config.id2label,
        label2id=config.label2id,
        problem_type=config.problem_type,
        ignore_mismatched_sizes=True,  # a head for other labels is no use; it starts at random and is listed
    )
    if fresh:
        logger.warning("Student %s: starts at random: %s", name_or_path, ", ".join(fresh))
    return model.train()


def _check_label_order(name_or_path, config, trust_remote_code):
    """The same labels in another order would put the teacher's names on the student's own answers."""
    try:
        own = transformers.AutoConfig.from_pretrained(name_or_path, trust_remote_code=trust_remote_code).id2label
    except (OSError, ValueError):
        return  # load_model has the better message
    if own and own != config.id2label and sorted(own.values()) == sorted(config.id2label.values()):
        raise ValueError(
            f"The student {str(name_or_path)!r} has the teacher's labels in another order: {own}; the teacher's are "
            f"{config.id2label}. Its head would start with the wrong names on its answers. Reorder the rows of its "
            f"head and its `id2label`, save it, and give that folder."
        )


def _auto_class(teacher):
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


def _refuse(options, why):
    given = {name: value for name, value in options.items() if value is not None}
    if given:
        listed = ", ".join(f"{name}={value!r}" for name, value in given.items())
        raise ValueError(f"{why}, so {listed} would have no effect. Leave one of the two out.")


def _named(student):
    return repr(student) if isinstance(student, str) else type(student).__name__
