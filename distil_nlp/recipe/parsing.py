"""Parse a recipe: YAML files give the defaults, flags override them, and an unknown name is an error."""

import dataclasses
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from transformers import HfArgumentParser

from ..internals import recipe_files
from ..internals.messages import nearest, printable, shown
from ..training.arguments import NO_BLEND, DistillationTrainingArguments
from .arguments import STRUCTURED, RecipeArguments, SweepArguments
from .plugins import check_named_by_the_user, load_plugins
from .settings import plain_value, settings_of
from .yaml_loader import checked_value, read_yaml_file

_SUBJECTS = tuple(RecipeArguments.subjects())
_SWEEP_SETTINGS = [setting.name for setting in dataclasses.fields(SweepArguments)]
_SECRET = ("hub_token",)
_MAX_LENGTH = 500  # characters of a message of argparse, which contains values whole
_PATHS = {
    "teacher", "more_teachers", "student", "augmentation_model", "dataset_name", "train_file", "validation_file",
    "test_file", "unlabeled_file", "teacher_cache", "output_dir",
}  # fmt: skip

# Settings that exclude each other: a flag of one group removes what a file sets for the other.
_ALTERNATIVES = (
    (
        {"dataset_name", "dataset_config_name"},
        {"train_file", "validation_file", "test_file"},
    ),
    (
        {"student", "student_embeddings"},
        {
            "num_layers",
            "layers",
            "architecture",
            "hidden_size",
            "intermediate_size",
            "num_attention_heads",
            "width_init",
        },
    ),
    ({"num_layers"}, {"layers"}),
    ({"preset"}, {"stages"}),
    ({"preset", "stages"}, set(NO_BLEND)),
)


class _Parser(HfArgumentParser):
    """Raises errors, where argparse prints the list of all settings and ends the process."""

    def error(self, message: str) -> NoReturn:
        if message.endswith("expected one argument"):
            message += " (a value that begins with - is written --name=-value)"
        message = printable(message) if len(message) <= _MAX_LENGTH else f"{printable(message[:_MAX_LENGTH])}..."
        raise ValueError(f"{message.rstrip('.')}. `distil-nlp settings` lists all.")


def parse(argv: Sequence[str], *more: type, output: str = "runs/{}") -> tuple:
    """Read `[recipe.yaml ...] [--name value ...]`; later files override earlier ones, flags override files.

    Args:
        argv (`list[str]`): Command line, without the program's name. A word that is no file may be the name of a recipe
            of the package, such as sst2.
        more (dataclasses): Further groups of settings, in addition to those of the recipe and of training.
        output (`str`): Default of output_dir; {} is the name of the last file.

    Returns:
        `(recipe, training, *more, overrides)`: `RecipeArguments`, `DistillationTrainingArguments`, an instance of each
        class in `more`, and a flat dictionary of the settings that differ from their defaults, enough to repeat the run.

    Raises:
        FileNotFoundError: A YAML file does not exist.
        ValueError: An unknown name (the nearest known one is suggested) or a value that is not allowed.
    """
    words, flags = _split(argv)
    files = [recipe_files.resolve(word) for word in words]
    classes = (*_SUBJECTS, DistillationTrainingArguments, *more)
    known = {setting.name: setting.hint for setting in settings_of(classes)}
    stem = Path(files[-1]).stem if files else "distillation"
    from_files = {"output_dir": output.format(stem)}
    for file in files:
        from_files.update(read_yaml(file, known))
    flag_names = {word[2:].split("=")[0] for word in flags if word.startswith("--")}
    check_named_by_the_user(from_files, flag_names)
    return _parse(classes, without_alternatives(from_files, flag_names), flags)


def parse_settings(settings: Mapping[str, Any]) -> tuple[RecipeArguments, DistillationTrainingArguments, dict]:
    """Parse a dictionary of plain values as `parse` does a file: (recipe, training, overrides)."""
    return _parse((*_SUBJECTS, DistillationTrainingArguments), settings, [])


def _parse(classes: Sequence[type], settings: Mapping[str, Any], flags: Sequence[str]) -> tuple:
    parser = _Parser(classes, allow_abbrev=False, add_help=False)
    settings = {name: _expanded(value) if name in _PATHS else value for name, value in settings.items()}
    flags = _expanded_flags(flags)
    defaults = {setting.name: setting.default for setting in settings_of(classes)}
    parser.set_defaults(**settings)
    namespace, rest = parser.parse_known_args(flags)
    if rest:
        unknown = next((word for word in rest if word.startswith("-")), rest[0])
        raise ValueError(
            f"{printable(unknown)} is not a setting{nearest(unknown.lstrip('-'), defaults, '--')}. `distil-nlp settings` "
            f"lists all."
        )
    try:
        parsed = parser.parse_args_into_dataclasses(args=flags, look_for_args_file=False)
    except (TypeError, AttributeError) as error:  # transformers reads the content of its nested settings here
        nested = [name for name, value in vars(namespace).items() if isinstance(value, (dict, list))]
        raise ValueError(
            f"A nested setting ({', '.join(nested)}) has a key or value of another type than expected: {error}. Compare it "
            f"with the documentation of transformers.TrainingArguments."
        ) from error
    recipe, others = RecipeArguments(*parsed[: len(_SUBJECTS)]), parsed[len(_SUBJECTS) :]
    load_plugins(recipe.method.plugin or [])
    values = vars(namespace)
    _check_text(values)
    overrides = {name: values[name] for name in defaults if values[name] != defaults[name] and name not in _SECRET}
    return recipe, *others, {name: plain_value(value) for name, value in overrides.items()}


def read_yaml(path: str | Path, known: Mapping[str, Any]) -> dict[str, Any]:
    """The settings in a YAML file.

    Args:
        path (`str` or `Path`): The file.
        known (`dict`): The names of all settings, with the annotation of each.

    Raises:
        FileNotFoundError, ValueError: See `parse`.
    """
    settings = read_yaml_file(Path(path)) or {}
    if not isinstance(settings, dict):
        raise ValueError(
            f"{path} should contain `name: value` lines; got {shown(settings)}, a {type(settings).__name__}."
        )
    for name in settings:
        if name in _SWEEP_SETTINGS and name not in known:
            raise ValueError(
                f"{path} sets '{name}', which is a setting of `distil-nlp sweep`; a run has no trials. Sweep the file "
                f"first and run the best.yaml that the sweep writes, or remove the line."
            )
        if name not in known:
            raise ValueError(f"{path} sets {shown(name)}, which is not a setting{nearest(name, known)}.")
    return {
        name: value if name in STRUCTURED and value is not None else checked_value(name, value, known[name], str(path))
        for name, value in settings.items()
    }


def without_alternatives(settings: Mapping[str, Any], chosen: Iterable[str]) -> dict[str, Any]:
    """`settings` without those that a setting named in `chosen` excludes, such as `layers` where `num_layers` is chosen."""
    chosen, excluded = set(chosen), set()
    for group, alternative in _ALTERNATIVES:
        excluded |= (alternative if chosen & group else set()) | (group if chosen & alternative else set())
    return {name: value for name, value in settings.items() if name not in excluded - chosen}


def _split(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """Leading words are YAML files, the rest are flags."""
    argv = list(argv)
    first_flag = next((index for index, word in enumerate(argv) if word.startswith("-")), len(argv))
    return argv[:first_flag], argv[first_flag:]


def _expanded(value: Any) -> Any:
    """A path, or each in a list, with the home folder in the place of ~, as a shell gives it; any other value unchanged."""
    if isinstance(value, list):
        return [_expanded(item) for item in value]
    is_home = isinstance(value, str) and value.startswith("~") and not os.path.lexists(value)
    return os.path.expanduser(value) if is_home else value


def _expanded_flags(flags: Sequence[str]) -> list[str]:
    """Flags with the home folder in their paths: a shell leaves ~ in `--name=~/file` as it is."""
    words, name = [], ""
    for word in flags:
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            word = f"--{name}={_expanded(value)}" if equals and name in _PATHS else word
        elif name in _PATHS:
            word = _expanded(word)
        words.append(word)
    return words


def _check_text(values: Mapping[str, Any]) -> None:
    """Raise ValueError for a text that no file can contain: bytes of a name that are not UTF-8, a null character."""
    for name, value in values.items():
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str) and (
                "\0" in text or any("\ud800" <= character <= "\udfff" for character in text)
            ):
                raise ValueError(
                    f"{name} should be text in UTF-8, which the files of a run are; got {shown(text)}. Rename the file or "
                    f"folder, or give it another name by a link: ln -s."
                )
