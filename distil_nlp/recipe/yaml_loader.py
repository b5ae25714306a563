"""Reads settings in YAML: plain types, the words and numbers that users mean, and errors in one sentence."""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import yaml

from ..internals.messages import printable, shown

_MAX_BYTES = 1 << 20  # of a recipe
_MAX_NODES = 100_000  # of values after aliases are replaced by what they name
TYPE_NAMES = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    list: "a list",
    NoneType: "nothing",
}

_PLURALS = {int: "whole numbers", float: "numbers", str: "texts"}


class _Loader(yaml.SafeLoader):
    """Reads plain words as YAML 1.2 does: `no` and `off` are texts, and so are 007, 12:30 and 2026-01-31; 1e-4 is a number.

    A key that occurs twice is an error.
    """

    yaml_implicit_resolvers: dict[str, list] = {}

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        keys: set[Any] = set()
        for key_node, _ in node.value:
            if isinstance(key_node, yaml.ScalarNode) and key_node.tag != "tag:yaml.org,2002:merge":
                key = self.construct_object(key_node)  # `true` and `True` are one key
                if not keys.isdisjoint({key, (key_node.tag, key_node.value)}):
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key {shown(key_node.value)} occurs twice", key_node.start_mark
                    )
                keys |= {key, (key_node.tag, key_node.value)}  # NaN does not equal itself, its text does
        return super().construct_mapping(node, deep=deep)


# A subset of YAML 1.1, so that what `yaml.safe_dump` writes is read as it was.
for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)", list("-+0123456789")),
    ("float", r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?", list("-+.0123456789")),
    ("float", r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)", list("-+.")),
    ("merge", r"<<", ["<"]),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"(?:{_pattern})\Z"), _first)


def load_yaml(text: str, source: str) -> Any:
    """The value of a YAML text, of plain types only.

    Args:
        text (`str`): YAML, of which JSON is a part.
        source (`str`): The file or the setting, for messages.

    Raises:
        ValueError: The text does not parse; a key occurs twice; it stands for more values than settings can have.
    """
    try:
        value = yaml.load(text, Loader=_Loader)  # a SafeLoader
    except yaml.YAMLError as error:
        raise ValueError(f"{source} does not parse as YAML: {_reason(error)}.") from error
    except (RecursionError, ValueError) as error:  # nested too deeply; a number of thousands of digits
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else printable(error)
        raise ValueError(f"{source} does not parse as YAML: {reason}.") from error
    except (
        LookupError,
        TypeError,
        AttributeError,
    ) as error:  # of PyYAML: a value that its tag does not fit, !!bool maybe
        reason = f"a value does not fit the type that is written before it (!!...): {printable(error)}"
        raise ValueError(f"{source} does not parse as YAML: {reason}.") from error
    if not _is_small(value):
        raise ValueError(
            f"{source} stands for more than {_MAX_NODES:,} values: its aliases (*name) repeat other parts, or themselves. "
            f"Settings are not that many; write them without aliases."
        )
    return value


def read_yaml_file(path: Path) -> Any:
    """The value of a YAML file.

    Raises:
        FileNotFoundError, ValueError: No such file; a folder, a large file, another encoding than UTF-8; see `load_yaml`.
    """
    if path.is_dir():
        raise ValueError(f"{shown(str(path))} is a folder; a recipe is a YAML file. Name a file in it.")
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no recipe {shown(str(path))}. `distil-nlp recipes` lists those that come with the package."
        )
    if path.stat().st_size > _MAX_BYTES:
        size = f"{path.stat().st_size:,}"
        raise ValueError(f"{path} has {size} bytes; a recipe is a few lines of YAML. Is it another file?")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not text in UTF-8 (byte 0x{error.object[error.start]:02x} at position {error.start}). A recipe is "
            f"a YAML file; save it as UTF-8."
        ) from error
    return load_yaml(text, str(path))


def checked_value(name: str, value: Any, hint: Any, source: str) -> Any:
    """A setting from a file in the type of its field: the same value, or a number as the text that is asked for.

    Args:
        name (`str`): The setting.
        value: From YAML.
        hint: The annotation of the field.
        source (`str`): The file, for messages.

    Raises:
        ValueError: A value of another type.
    """
    options = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    if value is None and not {bool, int, float}.issuperset(options):
        return None
    for option in options:
        is_valid, converted = _as_type(value, option)
        if is_valid:
            return converted
    names = dict.fromkeys(map(_type_name, options))
    names.pop("nothing", None)
    got = "no value" if value is None else shown(value)
    way_out = f" Put a text in quotation marks: {name}: '...'." if str in options and value is not None else ""
    raise ValueError(f"{source}: {name} should be {' or '.join(names)}; got {got}.{way_out}")


def _type_name(option: Any) -> str:
    name = TYPE_NAMES.get(get_origin(option) or option, "a text")
    inner = get_args(option) if get_origin(option) is list else ()
    return f"{name} of {_PLURALS[inner[0]]}" if inner and inner[0] in _PLURALS else name


def _as_type(value: Any, option: Any) -> tuple[bool, Any]:
    """Whether a value is of a type, and the value in it. Texts are left to the parser of flags."""
    kind = get_origin(option) or option
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind is NoneType:
        return value is None, None
    if kind is bool:
        return isinstance(value, (bool, str)), value
    if kind is int:
        is_whole = is_number and (isinstance(value, int) or (math.isfinite(value) and value == int(value)))
        return is_whole or isinstance(value, str), int(value) if is_whole else value
    if kind is float:
        return is_number or isinstance(value, str), value
    if kind is str:
        is_integer = isinstance(value, int) and not isinstance(value, bool)
        return is_integer or isinstance(value, str), str(value) if is_integer else value
    if kind is list:
        (inner,) = get_args(option) or (Any,)
        elements = value if isinstance(value, list) else [value]
        typed = [_as_type(element, inner) for element in elements]
        is_text = inner not in (str, Any) and any(isinstance(element, str) for element in elements)
        is_valid = value is not None and not isinstance(value, dict) and not is_text and all(ok for ok, _ in typed)
        return is_valid, [element for _, element in typed]
    if kind is dict:
        return isinstance(value, Mapping), value
    if kind is Literal:
        return isinstance(value, str), value
    return not isinstance(value, (list, dict)) or kind is Any, value


def _is_small(value: Any) -> bool:
    """Whether a value has at most `_MAX_NODES` parts, counted as often as they are named."""
    waiting, count = [value], 0
    while waiting and count <= _MAX_NODES:
        part = waiting.pop()
        count += 1
        if isinstance(part, dict):
            waiting += [*part, *part.values()]
        elif isinstance(part, (list, tuple, set)):
            waiting += part
    return count <= _MAX_NODES


def _reason(error: yaml.YAMLError) -> str:
    """The problem and its place, in one line."""
    problem, mark = getattr(error, "problem", None), getattr(error, "problem_mark", None)
    text = printable(problem or str(error).splitlines()[0]).rstrip(".")
    if r"\t" in text:
        text += " (a tab; indent with spaces)"
    return text + (f" (line {mark.line + 1}, column {mark.column + 1})" if mark is not None else "")
