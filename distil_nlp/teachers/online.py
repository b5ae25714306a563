"""A teacher model that runs in every training step, and the loading of teachers."""

import hashlib
from collections.abc import Iterable, Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ..models import NetworkForImageEmbedding
from ..models.architectures import without_inner_padding
from ..models.loading import load_model, load_tokenizer
from ..models.sentence_encoder import SentenceEncoder
from ..models.weights import is_offloaded, weights_of
from ..signals.base import Signals
from ..signals.forward import accepted_columns, frame_logits
from ..signals.taps import FeatureTap, forget_compiled
from ..signals.wrappers import unwrapped
from .base import Teacher
from .reconcile import check_vocabulary, label_names, label_order, ordered

if TYPE_CHECKING:
    from accelerate import Accelerator
    from transformers import PreTrainedTokenizerBase

# Everything the trainer takes as a teacher: a teacher, a model, a Hub id or a folder.
TeacherSource = Teacher | nn.Module | str | PathLike[str]


class OnlineTeacher(Teacher):
    """A model that runs in every training step, in eval mode, without gradient.

    Args:
        model (`torch.nn.Module`): Returns logits (see `distil_nlp.signals.forward.forward_logits`).
        name (`str`, *optional*): Name in reports. Default: the model's `name_or_path`.
        tokenizer (*optional*): The model's tokenizer, to compare with the student's.
    """

    model: nn.Module

    def __init__(
        self, model: nn.Module, *, name: str | None = None, tokenizer: "PreTrainedTokenizerBase | None" = None
    ) -> None:
        self.model = model
        self.name = name or getattr(model, "name_or_path", "") or type(model).__name__
        self.tokenizer = tokenizer
        self._columns = accepted_columns(model)
        self._order: list[int] | None = None
        self._tap = FeatureTap(model, ())

    @property
    def columns(self) -> tuple[str, ...]:  # type: ignore[override]
        return self._columns or ()

    @property
    def takes_any_column(self) -> bool:  # type: ignore[override]
        return self._columns is None

    @property
    def architecture(self) -> nn.Module | None:  # type: ignore[override]
        return self.model

    @property
    def label_names(self) -> list[str] | None:  # type: ignore[override]
        return label_names(self.model)

    def tap_layers(self, names: Iterable[str]) -> None:
        self._tap = FeatureTap(self.model, names)
        if self._tap.names:
            forget_compiled(self.model)

    def reconcile(self, student: nn.Module, tokenizer: "PreTrainedTokenizerBase | None" = None) -> None:
        student_parameters = {id(parameter) for parameter in student.parameters()}
        if any(id(parameter) in student_parameters for parameter in self.model.parameters()):
            raise ValueError(
                f"Teacher ({type(self.model).__name__}) and student share parameters, so training would change the "
                f"teacher. Pass two models: `copy.deepcopy(student)` makes a teacher of the student's current state."
            )
        check_vocabulary(student, self.model, tokenizer, self.tokenizer)
        self._order = label_order(student, self.model)

    def prepare(self, accelerator: "Accelerator") -> None:
        placed = False if is_offloaded(self.model) else None
        self.model = accelerator.prepare_model(self.model, evaluation_mode=True, device_placement=placed)

    def __call__(self, batch: Mapping[str, torch.Tensor]) -> Signals:
        # For every batch, because .train() may have been called on a model that contains the teacher.
        self.model.eval()
        with torch.inference_mode(), self._tap as tap:
            logits = frame_logits(self.model, batch, self._columns)
            features = without_inner_padding(self.model, tap.take(), batch)
            if self._order is not None:
                logits = ordered(logits, self._order, len(self.label_names or ()))
        # Inference tensors cannot enter a graph. A clone made outside is an ordinary tensor; taps clone already.
        return Signals(logits.clone(), features)

    def fingerprint(self) -> str:
        """Return the SHA-256 of names, types, shapes and bytes of all weights, and of the label order."""
        digest = hashlib.sha256(repr(self._order).encode())
        for name, tensor in sorted(weights_of(self.model).items()):
            tensor = tensor.cpu().contiguous()
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.flatten().view(torch.uint8).numpy().data)
        return digest.hexdigest()


def load_teacher(
    name_or_path: str | PathLike[str],
    *,
    student: nn.Module | str | None,
    dtype: str = "float32",
    trust_remote_code: bool = False,
) -> OnlineTeacher:
    """Load a teacher with the same kind of head as the student.

    Args:
        name_or_path (`str` or `Path`): Hub id or folder.
        student (`transformers.PreTrainedModel` or `str`): The student, or the name of an auto class.
        dtype (`str`): "float32", "bfloat16" or "float16".
        trust_remote_code (`bool`): Whether to run code from the checkpoint.

    Raises:
        ValueError: The checkpoint has no head for the task.
    """
    auto_class = student if isinstance(student, str) else auto_class_for(student)
    model, missing = load_model(auto_class, name_or_path, dtype=dtype, trust_remote_code=trust_remote_code)
    if missing:
        raise ValueError(
            f"The teacher {name_or_path} has no trained head for {auto_class} ({len(missing)} weights are not in its "
            f"checkpoint: {', '.join(missing[:4])}), so its predictions would be random. Fine-tune it on the task first: "
            f"a recipe does this with `--train_teacher true`."
        )
    return OnlineTeacher(model, name=str(name_or_path), tokenizer=load_tokenizer(name_or_path))


def as_teacher(
    teacher: TeacherSource, *, student: nn.Module | None, dtype: str = "float32", trust_remote_code: bool = False
) -> Teacher:
    """Make a `Teacher` of a teacher, a model, a Hub id or a folder.

    Args:
        teacher: `Teacher`, `nn.Module`, `str` or `Path`.
        student (`nn.Module`): Determines the head that a Hub id or folder is loaded with.
        dtype (`str`): Precision that a Hub id or folder is loaded in.
        trust_remote_code (`bool`): Whether to run code from a Hub id or folder.

    Raises:
        TypeError: `teacher` is of another type.
    """
    if isinstance(teacher, Teacher):
        teacher.load(student=student, dtype=dtype, trust_remote_code=trust_remote_code)
        return teacher
    if isinstance(teacher, nn.Module):
        return OnlineTeacher(teacher)
    if (isinstance(teacher, str) and teacher) or hasattr(teacher, "__fspath__"):
        return load_teacher(teacher, student=student, dtype=dtype, trust_remote_code=trust_remote_code)
    raise TypeError(
        f"A teacher is a model, a Hub id, a folder or a Teacher; got {type(teacher).__name__}. {_way_out(teacher)}"
    )


def _way_out(teacher: Any) -> str:
    """How something that is no teacher could become one."""
    parts = list(teacher) if isinstance(teacher, (list, tuple)) else []
    if parts and all(isinstance(part, (Teacher, nn.Module, str)) for part in parts):
        return "Pass several teachers as `TeacherEnsemble([...])`."
    if isinstance(getattr(teacher, "model", None), nn.Module):
        return "Pass the model in it (its attribute `model`)."
    if hasattr(teacher, "batch_decode") or hasattr(teacher, "image_mean"):
        return "It prepares inputs: pass it as processing_class, and the model as teacher."
    if isinstance(teacher, (dict, type)) or hasattr(teacher, "model_type"):
        return "Make the model first, such as by `from_pretrained` or `load_state_dict`."
    return (
        "Whatever else computes outputs becomes a teacher in a subclass of distil_nlp.teachers.Teacher, with "
        "`def __call__(self, batch): return Signals(logits)`, a tensor with a row for each of the batch."
    )


def auto_class_for(model: nn.Module | None) -> str | type[SentenceEncoder]:
    """Name of the auto class that maps to a model's class, such as "AutoModelForTokenClassification".

    A sentence encoder has none and gives the class `SentenceEncoder`; an image embedder gives "AutoModel".

    Raises:
        ValueError: No auto class maps to the class, such as a plain `nn.Module`.
    """
    inner = model if model is None else unwrapped(model)
    if isinstance(inner, SentenceEncoder):
        return SentenceEncoder
    if isinstance(inner, NetworkForImageEmbedding):
        return "AutoModel"
    from transformers.models.auto import modeling_auto

    # Excluded because it maps nearly every architecture, each to a different kind of head.
    names = [n for n in vars(modeling_auto) if n.startswith("AutoModelFor") and n != "AutoModelForPreTraining"]
    for name in names:
        mapping = getattr(getattr(modeling_auto, name), "_model_mapping", None)
        if mapping is not None and any(_has(entry, type(inner)) for entry in mapping._model_mapping.values()):
            return name
    raise ValueError(
        f"{type(model).__name__} belongs to no auto class of transformers, so a teacher passed by name cannot be loaded "
        f"with the same head. Load the teacher and pass the model."
    )


def _has(entry: str | tuple[str, ...], cls: type) -> bool:
    return cls.__name__ == entry if isinstance(entry, str) else cls.__name__ in entry
