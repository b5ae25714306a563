"""What may be said in public: Hub ids as they are, folders by their last component, secrets not at all."""

import re
import shlex
from pathlib import Path

from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

HIDDEN = "***"
_OUR_OWN = ("recipes/", "benchmarks/")  # relative paths inside this project: public, and needed to repeat a run
_FILE_SUFFIXES = tuple(".csv .tsv .json .jsonl .parquet .arrow .txt .yaml .yml .py .gz .zip".split())
_SECRET_OPTION = re.compile(r"(token|password|secret|api[_-]?key)$", flags=re.IGNORECASE)
_SECRET_VALUE = re.compile(r"hf_\w{8,}")
_MACHINE_KEYS = ("hostname", "host", "node", "user", "username", "cwd", "home")


def is_hub_id(name):
    """Whether `name` is "owner/name" on the Hub. A folder or file of that name here makes it local."""
    name = str(name)
    if name.count("/") != 1 or name.lower().endswith(_FILE_SUFFIXES) or Path(name).exists():
        return False
    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return True


def public_name(name):
    """`name` as a reader elsewhere may see it: a Hub id whole, a path by its last component.

    Examples: "google-bert/bert-base-uncased" stays; "/home/ada/runs/teacher" becomes "teacher". Several, joined by
    " + " as the name of an ensemble is, are shown one by one.
    """
    if " + " in str(name):
        return " + ".join(map(public_name, str(name).split(" + ")))
    name = _SECRET_VALUE.sub(HIDDEN, str(name))
    if is_hub_id(name) or not re.search(r"[\\/]", name):
        return name
    return re.split(r"[\\/]+", name.rstrip("\\/"))[-1]


def public_command(command):
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
        is_secret = bool(_SECRET_OPTION.search(option))
        hide_next = is_secret and not equals and option.startswith("-")
        if equals:
            shown.append(f"{public_name(option)}={HIDDEN if is_secret else _public_word(value)}")
        else:
            shown.append(_public_word(word))
    return " ".join(word if word == HIDDEN else _quoted(word) for word in shown)


def public_facts(facts, prefix=""):
    """A nested dict as flat pairs of strings, in order; what names a machine or a person is left out.

    Returns:
        `list[tuple[str, str]]`: ("torch", "2.13.0+cpu"), ("cpu.cores", "2"), ...
    """
    pairs = []
    for key, value in facts.items():
        if str(key).lower() in _MACHINE_KEYS or value is None:
            continue
        if _SECRET_OPTION.search(str(key)):
            continue
        if isinstance(value, dict):
            pairs.extend(public_facts(value, prefix=f"{prefix}{key}."))
        elif isinstance(value, (list, tuple)):
            pairs.append((f"{prefix}{key}", ", ".join(public_name(item) for item in value)))
        else:
            pairs.append((f"{prefix}{key}", public_name(value)))
    return pairs


def _public_word(word):
    if word.startswith(_OUR_OWN) and ".." not in word:
        return word
    return public_name(word)


def _split(command):
    try:
        return shlex.split(command)
    except ValueError:  # an unbalanced quote: show what there is rather than fail a finished run
        return command.split()


def _quoted(word):
    """Quoted where a shell needs it; `--option=***` does not."""
    return word if re.fullmatch(r"[\w@%+=:,./*-]+", word) else shlex.quote(word)
