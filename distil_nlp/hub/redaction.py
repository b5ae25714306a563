"""Redaction for public text: Hub ids unchanged, folders by their last component, secrets not at all."""

import dataclasses
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from ..internals.secrets import HIDDEN, SECRET_NAME, hide_secrets
from ..reports.report import NamedDifference, Report
from ..reports.verdict import verdict

_PROJECT_FOLDERS = (
    "recipes/",
    "benchmarks/",
)  # relative paths inside this project: public, and needed to repeat a run
_FILE_SUFFIXES = tuple(".csv .tsv .json .jsonl .parquet .arrow .txt .yaml .yml .py .gz .zip".split())
_SECRET_VALUE = re.compile(r"hf_\w{8,}")
_MACHINE_KEYS = ("hostname", "host", "node", "user", "username", "cwd", "home")


def is_hub_id(name: Any) -> bool:
    """Whether `name` is "owner/name" on the Hub. A folder or file of that name here makes it local."""
    name = str(name)
    if name.count("/") != 1 or name.lower().endswith(_FILE_SUFFIXES) or Path(name).exists():
        return False
    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return True


def public_name(name: Any) -> str:
    """`name` for public text: a Hub id unchanged, a path by its last component.

    Examples: "google-bert/bert-base-uncased" stays; "/home/ada/runs/teacher" becomes "teacher". The names of an
    ensemble, joined by " + ", are redacted one by one.
    """
    if " + " in str(name):
        return " + ".join(map(public_name, str(name).split(" + ")))
    name = hide_secrets(_SECRET_VALUE.sub(HIDDEN, str(name)))
    if is_hub_id(name) or not re.search(r"[\\/]", name):
        return name
    return re.split(r"[\\/]+", name.rstrip("\\/"))[-1]


def public_command(command: str | Sequence[str]) -> str:
    """A command line without local folders and without secrets; paths inside `recipes/` stay as they are.

    Args:
        command (`str` or `list[str]`): As typed, or `sys.argv`.
    """
    words = _split(command) if isinstance(command, str) else [str(word) for word in command]
    shown, hide_next = [], False
    for word in words:
        option, equals, value = word.partition("=")
        if hide_next and not word.startswith("-"):
            shown.append(HIDDEN)
            hide_next = False
            continue
        is_secret = bool(SECRET_NAME.search(option))
        hide_next = is_secret and not equals and option.startswith("-")
        if equals:
            shown.append(f"{public_name(option)}={HIDDEN if is_secret else _public_word(value)}")
        else:
            shown.append(_public_word(word))
    return " ".join(word if word == HIDDEN else _quoted(word) for word in shown)


def public_pairs(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """A nested dict as flat pairs of strings, in order; names of machines and persons are left out.

    Returns:
        `list[tuple[str, str]]`: ("torch", "2.13.0+cpu"), ("cpu.cores", "2"), ...
    """
    pairs = []
    for key, value in values.items():
        if str(key).lower() in _MACHINE_KEYS or value is None:
            continue
        if SECRET_NAME.search(str(key)):
            continue
        if isinstance(value, dict):
            pairs.extend(public_pairs(value, prefix=f"{prefix}{key}."))
        elif isinstance(value, (list, tuple)):
            pairs.append((f"{prefix}{key}", ", ".join(public_name(item) for item in value)))
        else:
            pairs.append((f"{prefix}{key}", public_name(value)))
    return pairs


def public_report(report: Report) -> Report:
    """A copy of a report in which the names of models are redacted.

    Raises:
        ValueError: The report has no student.
    """
    if report.of_role("student") is None:
        roles = ", ".join(model.role for model in report.models) or "no model at all"
        raise ValueError(
            f"A card describes a student, and the report has none (it has {roles}). "
            f"Build the report with an entry whose role is 'student'."
        )
    models = [dataclasses.replace(model, name=public_name(model.name)) for model in report.models]
    differences = [_public_difference(difference) for difference in report.differences]
    public = dataclasses.replace(report, models=models, differences=differences)
    return dataclasses.replace(public, verdict=verdict(public))


def _public_difference(difference: NamedDifference) -> NamedDifference:
    names = {key: public_name(name) for key in ("of_name", "to_name") if (name := getattr(difference, key))}
    return dataclasses.replace(difference, **names)


def _public_word(word: str) -> str:
    if word.startswith(_PROJECT_FOLDERS) and ".." not in word:
        return word
    return public_name(word)


def _split(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError:  # an unbalanced quote: an approximation is better than failing a finished run
        return command.split()


def _quoted(word: str) -> str:
    """Quoted where a shell needs it; `--option=***` does not."""
    return word if re.fullmatch(r"[\w@%+=:,./*-]+", word) else shlex.quote(word)
