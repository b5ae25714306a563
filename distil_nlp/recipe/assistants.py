"""Assistants: models between teacher and student, each taught by the previous model of the chain."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from torch import nn

from ..internals.messages import nearest, shown
from ..metrics.display import short_count
from ..teachers.base import num_parameters
from ..training.arguments import INTERVALS as TRAINING_INTERVALS
from ..training.arguments import DistillationTrainingArguments
from .arguments import RecipeArguments
from .intervals import INTERVALS

# Settings that describe a student or an assistant, and the arguments of `build_student` that they set.
_MODEL = {
    **{
        name: name
        for name in (
            "student", "num_layers", "layers", "architecture", "hidden_size", "intermediate_size",
            "num_attention_heads", "width_init",
        )
    },
    "student_embeddings": "embeddings",
}  # fmt: skip
_TRAINING = ("learning_rate", "max_steps", "num_train_epochs")
_INTERVALS = {name: interval for name, interval in {**INTERVALS, **TRAINING_INTERVALS}.items() if name != "layers"}


@dataclass(frozen=True)
class Assistant:
    """A model between teacher and student. It is trained on the student's data in the student's stages.

    Mirzadeh et al. 2020, Improved Knowledge Distillation via Teacher Assistant.

    Args:
        name (`str`): Of its folder and of its row in the report: "assistant", "assistant-2".
        student_kwargs (`dict`): Arguments of `build_student`, where `teacher` is the teacher of the recipe.
        settings (`dict`): Its own training arguments.
    """

    name: str
    student_kwargs: dict[str, Any]
    settings: dict[str, Any] = field(default_factory=dict)

    def training(self, training: DistillationTrainingArguments) -> DistillationTrainingArguments:
        """The training arguments of this assistant, from those of the recipe."""
        settings = dict(self.settings)
        if "num_train_epochs" in settings:
            settings.setdefault("max_steps", -1)
        return replace(training, **settings)


def student_kwargs(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of `build_student` from the settings of a recipe's models or of an assistant."""
    kwargs = {keyword: settings[name] for name, keyword in _MODEL.items() if settings.get(name) is not None}
    return {"student": None, **kwargs}


def assistants_of(recipe: RecipeArguments) -> list[Assistant]:
    """The assistants of a recipe, the teacher's student first.

    Raises:
        ValueError: An entry that does not describe an assistant.
    """
    entries = recipe.method.assistants
    if entries is None:
        return []
    entries = entries if isinstance(entries, list) else [entries]
    if not entries:
        raise ValueError(
            f"assistants={shown(entries)} lists no assistant. Leave it out, or list one: assistants: [4x256]."
        )
    names = ["assistant", *(f"assistant-{number}" for number in range(2, len(entries) + 1))]
    return [_assistant(name, entry) for name, entry in zip(names, entries, strict=True)]


def _assistant(name: str, entry: str | Mapping[str, Any]) -> Assistant:
    entry = {"student": entry} if isinstance(entry, str) else entry
    if not isinstance(entry, dict) or not entry.keys() & _MODEL.keys():
        raise ValueError(
            f"An assistant is a size such as 4x256, a Hub id or a folder, or a mapping with one or more of "
            f"{', '.join(_MODEL)}; got {shown(entry)}."
        )
    known = (*_MODEL, *_TRAINING)
    for key, value in entry.items():
        if key not in known:
            raise ValueError(
                f"The {name} sets {shown(key)}, which is not a setting of an assistant{nearest(key, known)}. It may have "
                f"{', '.join(known)}."
            )
        if key in _INTERVALS and value is not None:
            _INTERVALS[key].check(value, f"{key} of the {name}")
    if {"max_steps", "num_train_epochs"} <= entry.keys():
        raise ValueError(
            f"The {name} sets the length of its training by max_steps={entry['max_steps']} and by "
            f"num_train_epochs={entry['num_train_epochs']}. Give one of them."
        )
    return Assistant(name, student_kwargs(entry), {key: entry[key] for key in _TRAINING if key in entry})


def check_sizes(chain: Sequence[tuple[str, nn.Module]]) -> None:
    """Check that no model of the chain is larger than its teacher.

    Args:
        chain (`list` of `(str, nn.Module)`): Names and models: teacher, assistants, student.

    Raises:
        ValueError: A model has more parameters than the model that teaches it, embeddings aside.
    """
    sizes = [(name, num_parameters(model)) for name, model in chain]
    for (upper, larger), (lower, smaller) in zip(sizes, sizes[1:], strict=False):
        if smaller > larger:
            listed = ", ".join(f"{name} {short_count(size)}" for name, size in sizes)
            raise ValueError(
                f"The {lower} has more parameters than the {upper} that teaches it (embeddings aside: {listed}). An "
                f"assistant lies between teacher and student; list the largest first."
            )
