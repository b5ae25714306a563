"""Assistants: models between teacher and student, each taught by the one before it."""

from dataclasses import dataclass, field, replace

from ..internals.messages import nearest
from ..metrics.display import short_count
from ..teachers.base import num_parameters

# Settings that say which model, by their names in `build_student`.
_MAKING = {
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


@dataclass(frozen=True)
class Assistant:
    """One link of the chain from teacher to student.

    Mirzadeh et al. 2020, Improved Knowledge Distillation via Teacher Assistant. It learns what the student learns: the
    same data, the same stages.

    Args:
        name (`str`): Of its folder and its row: "assistant", "assistant-2".
        student_kwargs (`dict`): Arguments of `build_student`, whose teacher is the first of the chain for every link.
        settings (`dict`): Training arguments of its own.
    """

    name: str
    student_kwargs: dict
    settings: dict = field(default_factory=dict)

    def training(self, training):
        """The training arguments of the recipe with those of this assistant."""
        settings = dict(self.settings)
        if "num_train_epochs" in settings:
            settings.setdefault("max_steps", -1)
        return replace(training, **settings)


def student_kwargs(settings):
    """Arguments of `build_student`, out of the settings of a recipe or of an assistant (a mapping)."""
    given = {theirs: settings[ours] for ours, theirs in _MAKING.items() if settings.get(ours) is not None}
    return {"student": None, **given}


def assistants_of(recipe):
    """The assistants of a recipe, the one next to the teacher first.

    Raises:
        ValueError: Something that describes none.
    """
    given = recipe.assistants
    if given is None:
        return []
    given = given if isinstance(given, list) else [given]
    if not given:
        raise ValueError(f"assistants={given!r} names none. Leave it out, or name one: assistants: [4x256].")
    names = ["assistant", *(f"assistant-{place}" for place in range(2, len(given) + 1))]
    return [_assistant(name, one) for name, one in zip(names, given, strict=True)]


def _assistant(name, given):
    given = {"student": given} if isinstance(given, str) else given
    if not isinstance(given, dict) or not given.keys() & _MAKING.keys():
        raise ValueError(
            f"An assistant is a size such as 4x256, a Hub id or a folder, or a mapping with one or more of "
            f"{', '.join(_MAKING)}; got {given!r}."
        )
    known = (*_MAKING, *_TRAINING)
    for key, value in given.items():
        if key not in known:
            raise ValueError(
                f"The {name} sets {key!r}, which is no setting of an assistant{nearest(key, known)}. It may have "
                f"{', '.join(known)}."
            )
        if key in _TRAINING and (isinstance(value, bool) or not isinstance(value, (int, float))):
            raise ValueError(f"{key} of the {name} must be a number; got {value!r}.")
    if {"max_steps", "num_train_epochs"} <= given.keys():
        raise ValueError(f"The {name} says how long it trains by max_steps and by num_train_epochs. Give one of them.")
    return Assistant(name, student_kwargs(given), {key: given[key] for key in _TRAINING if key in given})


def check_sizes(chain):
    """Refuse a chain that does not lead down: an assistant is to lie between the two it connects.

    Args:
        chain (`list` of `(str, nn.Module)`): Teacher, assistants, student.

    Raises:
        ValueError: A link has more parameters than the one that teaches it, embeddings aside.
    """
    sizes = [(name, num_parameters(model)) for name, model in chain]
    for (upper, larger), (lower, smaller) in zip(sizes, sizes[1:], strict=False):
        if smaller > larger:
            listed = ", ".join(f"{name} {short_count(size)}" for name, size in sizes)
            raise ValueError(
                f"The {lower} has more parameters than the {upper} that teaches it (embeddings aside: {listed}). An "
                f"assistant lies between teacher and student; list the largest first."
            )
