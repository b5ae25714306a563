"""YAML gives defaults, the command line overrides them, and a name nobody knows is refused."""

import dataclasses
from pathlib import Path

import yaml
from transformers import HfArgumentParser

from ..internals.messages import nearest
from ..training.arguments import NO_BLEND, DistillationTrainingArguments
from .arguments import RecipeArguments, SweepArguments
from .yaml_loader import load_yaml

_KINDS = (RecipeArguments, DistillationTrainingArguments)
_OF_A_SWEEP = [one.name for one in dataclasses.fields(SweepArguments)]
_SECRET = ("hub_token",)

# Ways to say one thing: a flag for one of them puts aside what a file said for the others.
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


def parse(argv, *more, output="runs/{}"):
    """Read `[recipe.yaml ...] [--name value ...]`; later files override earlier ones, flags override files.

    Args:
        argv (`list[str]`): Command line, without the program's name.
        more (dataclasses): Which settings there are beside those of a recipe and of training.
        output (`str`): The output folder where none is given; {} is the name of the last file.

    Returns:
        `(recipe, training, *more, given)`: `RecipeArguments`, `DistillationTrainingArguments`, what was asked for
        beside them, and a dictionary of the settings that differ from their defaults, which is enough to repeat the
        run.

    Raises:
        FileNotFoundError: A YAML file that is not there.
        ValueError: A name that is no setting (the nearest is suggested), a value that cannot be.
    """
    files, flags = _split(argv)
    kinds = (*_KINDS, *more)
    known = [one.name for one in _settings(kinds)]
    stem = Path(files[-1]).stem if files else "distillation"
    from_files = {"output_dir": output.format(stem)}
    for file in files:
        from_files.update(read_yaml(file, known))
    flagged = {word[2:].split("=")[0] for word in flags if word.startswith("--")}
    return _parsed(kinds, without_alternatives(from_files, flagged), flags)


def parse_settings(settings):
    """As `parse` for a file with these settings, a dictionary of plain values: (recipe, training, given)."""
    return _parsed(_KINDS, settings, [])


def _parsed(kinds, settings, flags):
    parser = HfArgumentParser(kinds, allow_abbrev=False)
    defaults = {one.name: _default(one) for one in _settings(kinds)}
    parser.set_defaults(**settings)
    namespace, rest = parser.parse_known_args(flags)
    if rest:
        unknown = next((word for word in rest if word.startswith("-")), rest[0])
        raise ValueError(f"{unknown} is no setting{nearest(unknown.lstrip('-'), defaults, '--')}. See --help for all.")
    made = parser.parse_args_into_dataclasses(args=flags, look_for_args_file=False)
    chosen = vars(namespace)
    given = {name: chosen[name] for name in defaults if chosen[name] != defaults[name] and name not in _SECRET}
    return *made, {name: _plain(value) for name, value in given.items()}


def read_yaml(path, known):
    """The settings in a YAML file.

    Args:
        path (`str` or `Path`): The file.
        known (`list[str]`): Names of all settings.

    Raises:
        FileNotFoundError, ValueError: See `parse`.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no recipe {str(path)!r}. Recipes that come with us are in recipes/.")
    try:
        settings = load_yaml(path.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise ValueError(f"{path} does not parse as YAML: {error}") from error
    if not isinstance(settings, dict):
        raise ValueError(f"{path} should hold `name: value` lines; got a {type(settings).__name__}.")
    for name in settings:
        if name in _OF_A_SWEEP and name not in known:
            raise ValueError(
                f"{path} sets '{name}', which says what `distil-nlp sweep` should try; a run tries nothing. Sweep it "
                f"first and run the best.yaml that comes of it, or take the line out."
            )
        if name not in known:
            raise ValueError(f"{path} sets '{name}', which is no setting{nearest(name, known)}.")
    return settings


def _settings(kinds):
    """The fields of these dataclasses that can be set."""
    return [one for kind in kinds for one in dataclasses.fields(kind) if one.init]


def _default(one):
    return one.default if one.default_factory is dataclasses.MISSING else one.default_factory()


def without_alternatives(settings, chosen):
    """`settings` without those that are another way to say what the names in `chosen` say."""
    aside = set()
    for one, other in _ALTERNATIVES:
        aside |= (other if chosen & one else set()) | (one if chosen & other else set())
    return {name: value for name, value in settings.items() if name not in aside - chosen}


def _split(argv):
    """Leading words are YAML files, the rest are flags."""
    argv = list(argv)
    first_flag = next((place for place, word in enumerate(argv) if word.startswith("-")), len(argv))
    return argv[:first_flag], argv[first_flag:]


def _plain(value):
    """A value as YAML can hold it."""
    if dataclasses.is_dataclass(value):
        return dataclasses.asdict(value)
    return getattr(value, "value", value)
