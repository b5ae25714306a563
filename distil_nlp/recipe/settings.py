"""What can be set in a recipe: every setting with its type, default and help, as a page of text or a JSON schema."""

import dataclasses
import textwrap
from collections.abc import Iterable
from enum import Enum
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from transformers import TrainingArguments

from ..internals.messages import nearest, shown
from ..training.arguments import DistillationTrainingArguments
from .arguments import STRUCTURED, RecipeArguments, SweepArguments
from .yaml_loader import TYPE_NAMES

_WIDTH = 110
_OF_TRANSFORMERS = "training: transformers.TrainingArguments"
_JSON_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string", dict: "object", NoneType: "null"}


@dataclasses.dataclass(frozen=True)
class Setting:
    """A flag of the command line and key of a YAML file.

    Args:
        name (`str`): Its name.
        hint: The annotation of its field.
        default: Its default; a value of `Enum` is given by its text.
        help (`str`): What it does.
        group (`str`): Its subject.
    """

    name: str
    hint: Any
    default: Any
    help: str
    group: str

    @property
    def options(self) -> tuple[Any, ...]:
        """The types of its values, without None."""
        options = get_args(self.hint) if get_origin(self.hint) in (Union, UnionType) else (self.hint,)
        return tuple(option for option in options if option is not NoneType)

    @property
    def choices(self) -> list[Any]:
        """The only values it takes; empty if there are others."""
        for option in self.options:
            if get_origin(option) is Literal:
                return list(get_args(option))
            if isinstance(option, type) and issubclass(option, Enum):
                return [member.value for member in option]
        return []


def settings_of(classes: Iterable[type]) -> list[Setting]:
    """The settings in these dataclasses, in their order."""
    settings = []
    for cls in classes:
        hints, inherited = get_type_hints(cls), {field.name for field in dataclasses.fields(TrainingArguments)}
        own = getattr(cls, "_argument_group_name", "training: what distillation adds")
        for field in dataclasses.fields(cls):
            if field.init:
                is_inherited = issubclass(cls, TrainingArguments) and field.name in inherited
                group = _OF_TRANSFORMERS if is_inherited else own
                help = field.metadata.get("help", "")
                settings.append(Setting(field.name, hints[field.name], _default(field), help, group))
    return settings


def all_settings() -> list[Setting]:
    """The settings of runs and sweeps."""
    return settings_of((*RecipeArguments.subjects(), SweepArguments, DistillationTrainingArguments))


def page(word: str | None = None) -> str:
    """Settings with choices and defaults, by group, for a terminal.

    Args:
        word (`str`, *optional*): Show the settings that have it in their name; in their help, if none has.

    Raises:
        ValueError: No setting has the word; the nearest name is suggested.
    """
    settings = all_settings()
    if word is not None:
        word = word.lstrip("-").replace("-", "_").replace(" ", "_").lower()
        chosen = [setting for setting in settings if word in setting.name] or [
            setting for setting in settings if word.replace("_", " ") in setting.help.lower().replace("_", " ")
        ]
        if not chosen:
            names = [setting.name for setting in settings]
            raise ValueError(f"No setting has {shown(word)} in its name or help{nearest(word, names)}.")
        settings = chosen
    groups = list(dict.fromkeys(setting.group for setting in settings))
    # The long list of transformers comes last.
    groups.sort(key=lambda group: group == _OF_TRANSFORMERS)
    lines = ["A flag --NAME VALUE, in YAML NAME: VALUE. Of those that are true or false, --no_NAME is --NAME false."]
    for group in groups:
        lines += ["", group]
        for setting in settings:
            if setting.group == group:
                lines += _described(setting)
    return "\n".join(lines)


def schema() -> dict[str, Any]:
    """A JSON schema of a recipe in YAML, by which editors complete and check it."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A recipe of distil_nlp",
        "type": "object",
        "additionalProperties": False,
        "properties": {setting.name: _property(setting) for setting in all_settings()},
    }


def _described(setting: Setting) -> list[str]:
    kinds = dict.fromkeys(_kind(option) for option in setting.options)
    values = "|".join(map(str, setting.choices)) or " or ".join(kinds)
    default = "" if setting.default is None else f" (default: {plain_value(setting.default)})"
    # Help texts of transformers contain line breaks and %% for argparse.
    help = " ".join(setting.help.replace("%%", "%").split())
    paragraph = textwrap.wrap(help, _WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 6)
    return [*textwrap.wrap(f"--{setting.name} {values}{default}", _WIDTH, initial_indent="  "), *paragraph]


def _kind(option: Any) -> str:
    return TYPE_NAMES.get(get_origin(option) or option, "a text").removeprefix("a ")


def _property(setting: Setting) -> dict[str, Any]:
    entry: dict[str, Any] = {"description": " ".join(setting.help.replace("%%", "%").split())}
    if setting.default is not None and (default := plain_value(setting.default)) != "":
        entry["default"] = default
    if setting.name in STRUCTURED:
        return entry
    if setting.choices:
        entry["enum"] = [*setting.choices, None]
        return entry
    types = {_JSON_TYPES.get(get_origin(option) or option, "string") for option in setting.options}
    if any((get_origin(option) or option) is list for option in setting.options):
        types |= {"array", "string"}  # one value is a list of one
    entry["type"] = sorted({*types, "null"})
    return entry


def _default(field: dataclasses.Field) -> Any:
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def plain_value(value: Any) -> Any:
    """A value as YAML can store it."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    return value.value if isinstance(value, Enum) else value
