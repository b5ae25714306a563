"""A teacher that runs beside the student."""

import hashlib

import torch
from torch import nn

from ..models import NetworkForImageEmbedding
from ..models.loading import load_model, load_tokenizer
from ..models.sentence_encoder import SentenceEncoder
from ..signals.base import Signals
from ..signals.forward import accepted_columns, frame_logits
from ..signals.taps import FeatureTap
from .base import Teacher
from .labels import label_names, label_order, ordered
from .vocabulary import check_vocabulary


class OnlineTeacher(Teacher):
    """A model that is asked at every step, in eval mode, without gradient.

    Args:
        model (`torch.nn.Module`): Returns logits (see `distil_nlp.signals.forward.forward_logits`).
        name (`str`, *optional*): For reports; the model's `name_or_path` otherwise.
        tokenizer (*optional*): Its tokenizer, to be compared with the student's.
    """

    def __init__(self, model, *, name=None, tokenizer=None):
        self.model = model
        self.name = name or getattr(model, "name_or_path", "") or type(model).__name__
        self.tokenizer = tokenizer
        self._columns = accepted_columns(model)
        self._order = None
        self._tap = FeatureTap(model, ())

    @property
    def columns(self):
        return self._columns or ()

    @property
    def architecture(self):
        return self.model

    @property
    def label_names(self):
        return label_names(self.model)

    def tap_layers(self, names):
        self._tap = FeatureTap(self.model, names)

    def reconcile(self, student, tokenizer=None):
        if any(ours is theirs for ours in self.model.parameters() for theirs in student.parameters()):
            raise ValueError(
                f"Teacher ({type(self.model).__name__}) and student share parameters, so training would move the "
                f"teacher. Give the trainer two models: `copy.deepcopy(student)` makes a teacher of its present state."
            )
        check_vocabulary(student, self.model, tokenizer, self.tokenizer)
        self._order = label_order(student, self.model)

    def prepare(self, accelerator):
        self.model = accelerator.prepare_model(self.model, evaluation_mode=True)

    def __call__(self, batch):
        # Asked every time: somebody may have called .train() on a model the teacher is a part of.
        self.model.eval()
        with torch.inference_mode(), self._tap as tap:
            logits = frame_logits(self.model, batch, self._columns)
            features = tap.take()
            if self._order is not None:
                logits = ordered(logits, self._order, len(self.label_names))
        # Inference tensors cannot enter a graph; a clone made out here is an ordinary tensor, as taps make them already.
        return Signals(logits.clone(), features)

    def fingerprint(self):
        """SHA-256 over names, types, shapes and bytes of all weights, the order of the labels included."""
        digest = hashlib.sha256(repr(self._order).encode())
        for name, tensor in sorted(self.model.state_dict().items()):
            tensor = tensor.detach().cpu().contiguous()
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.flatten().view(torch.uint8).numpy())
        return digest.hexdigest()


def load_teacher(name_or_path, *, like, dtype="float32", trust_remote_code=False):
    """Load a teacher with the kind of head `like` has.

    Args:
        name_or_path (`str` or `Path`): Hub id or folder.
        like (`transformers.PreTrainedModel` or `str`): The student, or the name of an auto class.
        dtype (`str`): "float32", "bfloat16" or "float16".

    Raises:
        ValueError: The checkpoint has no head for the task: its random answers would be taught.
    """
    auto_class = like if isinstance(like, str) else auto_class_for(like)
    model, fresh = load_model(auto_class, name_or_path, dtype=dtype, trust_remote_code=trust_remote_code)
    if fresh:
        raise ValueError(
            f"The teacher {name_or_path} has no trained head for {auto_class} ({len(fresh)} weights are not in its "
            f"checkpoint: {', '.join(fresh[:4])}), so it would teach noise. Fine-tune it on the task first: "
            f"a recipe does it with `--train_teacher true`."
        )
    return OnlineTeacher(model, name=str(name_or_path), tokenizer=load_tokenizer(name_or_path))


def as_teacher(teacher, *, student, dtype="float32", trust_remote_code=False):
    """A `Teacher` from whatever the user has: one already, a model, a Hub id or a folder.

    Args:
        teacher: `Teacher`, `nn.Module`, `str` or `Path`.
        student (`nn.Module`): Decides which head a Hub id or folder is loaded with.
        dtype (`str`): Precision a Hub id or folder is loaded in.

    Raises:
        TypeError: Something else came.
    """
    if isinstance(teacher, Teacher):
        teacher.load(student=student, dtype=dtype, trust_remote_code=trust_remote_code)
        return teacher
    if isinstance(teacher, nn.Module):
        return OnlineTeacher(teacher)
    if isinstance(teacher, str) or hasattr(teacher, "__fspath__"):
        return load_teacher(teacher, like=student, dtype=dtype, trust_remote_code=trust_remote_code)
    raise TypeError(
        f"A teacher is a model, a Hub id, a folder or a Teacher; got {type(teacher).__name__}. "
        f"Wrap something that answers batches in a subclass of distil_nlp.teachers.Teacher."
    )


def auto_class_for(model):
    """The name of the auto class that has a model of this class, such as "AutoModelForTokenClassification".

    Of a sentence encoder, which has none, `SentenceEncoder` itself; of an image embedder "AutoModel".

    Raises:
        ValueError: No auto class has it (a plain `nn.Module`, say).
    """
    if isinstance(model, SentenceEncoder):
        return SentenceEncoder
    if isinstance(model, NetworkForImageEmbedding):
        return "AutoModel"
    from transformers.models.auto import modeling_auto

    # AutoModelForPreTraining has a model of nearly every architecture: another kind of head for each.
    names = [n for n in vars(modeling_auto) if n.startswith("AutoModelFor") and n != "AutoModelForPreTraining"]
    for name in names:
        mapping = getattr(getattr(modeling_auto, name), "_model_mapping", None)
        if mapping is not None and any(_has(entry, type(model)) for entry in mapping._model_mapping.values()):
            return name
    raise ValueError(
        f"{type(model).__name__} belongs to no auto class of transformers, so a teacher given by name cannot be loaded "
        f"with the same head. Load the teacher yourself and pass the model."
    )


def _has(entry, cls):
    return cls.__name__ == entry if isinstance(entry, str) else cls.__name__ in entry
