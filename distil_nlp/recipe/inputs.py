"""The files that a run reads: data, models, tokenizers. Their content is compared, not their names, places and times."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import try_to_load_from_cache
from tqdm.auto import tqdm

from ..hub.redaction import is_hub_id
from ..internals.messages import shown
from .arguments import RecipeArguments
from .data import ROW_KINDS
from .yaml_loader import load_yaml

# Settings that name a file or a folder, by what counts in it.
_MODELS = ("teacher", "more_teachers", "student", "augmentation_model", "assistants")
_DATA = ("dataset_name", "train_file", "validation_file", "test_file", "unlabeled_file", "stages", "plugin")
_MODEL_SUFFIXES = (".json", ".safetensors", ".txt", ".model", ".tiktoken", ".jinja", ".py")
_NO_MODEL_FILES = ("trainer_state.json", "report.json", "sweep.json", "inputs.json")
_BLOCK, _NUM_SAMPLES = 1 << 20, 16
_IN_BYTES = {"unit": "B", "unit_scale": True, "delay": 3.0, "leave": False}  # shown after three seconds
_MAX_WHOLE = 4 << 30  # bytes of a folder; of more, blocks of every file are compared

_ROWS = "rows of "
Inputs = dict[str, dict[str, Any]]
_digests: dict[tuple, str] = {}  # of files of this process, by place, size, times and inode


def inputs_of(recipe: RecipeArguments, *, exclude: Path) -> Inputs:
    """What a run reads from this machine: the name of each file, folder or Hub id as it was given -> its content.

    Args:
        recipe (`RecipeArguments`): The settings.
        exclude (`Path`): The run's folder, whose files are no inputs.

    Returns:
        `dict`: "setting", "path" (absolute), "digest" of the content, and "files": name -> [size, digest, state]. Of a Hub
        id, its commit as the digest where the cache of the Hub has it. Names without a file are left out.
    """
    inputs: Inputs = {}
    for setting, given in _named(recipe):
        entry = _entry(given, is_model=setting in _MODELS, exclude=exclude.resolve())
        if entry is not None and given not in inputs:
            inputs[given] = {"setting": setting, **entry}
    return inputs


def rows_as_inputs(digests: Mapping[str, str]) -> Inputs:
    """Prepared rows as inputs, from split -> digest: they cover files that the data names and data sets of the Hub."""
    return {
        f"{_ROWS}{split}": {"setting": "", "path": "", "digest": digest, "files": {}}
        for split, digest in digests.items()
    }


def changed_rows(before: Inputs, now: Inputs) -> list[str]:
    """Splits whose rows were others before."""
    common = [name for name in now if name.startswith(_ROWS) and name in before]
    return [name.removeprefix(_ROWS) for name in common if before[name]["digest"] != now[name]["digest"]]


def is_valid(inputs: Any) -> bool:
    """Whether a value that was read from a file has the form of `Inputs`."""
    return isinstance(inputs, dict) and all(
        isinstance(entry, dict)
        and all(isinstance(entry.get(name), str) for name in ("setting", "path", "digest"))
        and isinstance(entry.get("files"), dict)
        and all(
            isinstance(file, list) and len(file) == 3 and isinstance(file[2], list) for file in entry["files"].values()
        )
        for entry in inputs.values()
    )


def remember(inputs: Inputs) -> None:
    """Take the digests of files that were read before: a file with the same size, times and inode is not read again."""
    for entry in inputs.values():
        for size, digest, state in entry["files"].values():
            _digests[(size, *state)] = digest


def differences(
    settings_before: Mapping[str, Any], before: Inputs, settings: Mapping[str, Any], now: Inputs
) -> dict[str, str]:
    """Settings whose values or inputs differ: name -> the difference in words.

    An input that is missing on one side is not compared: a teacher that a run has fine-tuned already may be gone.

    Args:
        settings_before, settings (`dict`): The settings of two starts.
        before, now (`Inputs`): Their inputs, from `inputs_of`.
    """
    gone = {given: entry for given, entry in before.items() if given not in now}
    unknown = {given: entry for given, entry in now.items() if given not in before and not entry["files"]}
    contents_before = _with_contents(settings_before, before | unknown)
    contents = _with_contents(settings, now | gone)
    return {
        name: _changed_input(name, before, now)
        or f"{name} was {shown(settings_before.get(name))} and is {shown(settings.get(name))}"
        for name in sorted({*contents_before, *contents})
        if contents_before.get(name) != contents.get(name)
    }


def _with_contents(settings: Mapping[str, Any], inputs: Inputs) -> dict[str, Any]:
    """Settings with the content in the place of each name of a file or folder."""

    def replaced(value: Any) -> Any:
        if isinstance(value, str):
            return {"content": inputs[value]["digest"]} if value in inputs else value
        if isinstance(value, list):
            return [replaced(item) for item in value]
        return {name: replaced(item) for name, item in value.items()} if isinstance(value, dict) else value

    return {
        name: replaced(_parsed(name, value)) if name in (*_MODELS, *_DATA) else value
        for name, value in settings.items()
    }


def _changed_input(name: str, before: Inputs, now: Inputs) -> str | None:
    """The change of an input of a setting, in words; None where there is none."""
    for given, entry in now.items():
        earlier = before.get(given)
        if entry["setting"] != name or earlier is None or earlier["digest"] == entry["digest"]:
            continue
        if earlier["path"] != entry["path"]:
            return f"{name} {shown(given)} is {entry['path']} now and was {earlier['path']}, with other content"
        changes = _changed_files(earlier["files"], entry["files"])
        changes = changes or f"commit {earlier['digest'][:12]} before, {entry['digest'][:12]} now"
        return f"{name} {shown(given)} has other content now ({changes})"
    return None


def _changed_files(before: Mapping[str, list], now: Mapping[str, list]) -> str:
    changes = [
        f"{name}: {_size(before.get(name))} before, {_size(now.get(name))} now"
        for name in sorted({*before, *now})
        if (before.get(name) or [])[:2] != (now.get(name) or [])[:2]
    ]
    return "; ".join(changes[:3]) + (f"; and {len(changes) - 3} more files" if len(changes) > 3 else "")


def _size(file: list | None) -> str:
    return "no such file" if file is None else f"{file[0]:,} bytes"


def _parsed(name: str, value: Any) -> Any:
    """A setting's value; a flag contains stages or assistants as YAML in one word."""
    return load_yaml(value, name) if name in ("stages", "assistants") and isinstance(value, str) else value


def _named(recipe: RecipeArguments) -> Iterator[tuple[str, str]]:
    """Settings and the names in them that may be those of files and folders."""
    settings = recipe.flat()
    for setting in (*_MODELS, *_DATA):
        value = settings[setting]
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, Mapping):  # an assistant, a stage
                item = item.get("student" if setting in _MODELS else "data")
            if isinstance(item, str) and item not in ROW_KINDS:
                yield setting, item


def _entry(given: str, *, is_model: bool, exclude: Path) -> dict[str, Any] | None:
    path = Path(given).expanduser()
    try:
        found = path.exists()
    except OSError:  # longer than a name can be, such as a template
        return None
    if not found:
        commit = _hub_commit(given) if is_model and is_hub_id(given) else None
        return None if commit is None else {"path": given, "digest": commit, "files": {}}
    path = path.resolve()
    if path.is_file():
        names = {path.name: path}
    else:
        files = _model_files(path) if is_model else _data_files(path)
        names = {file.relative_to(path).as_posix(): file for file in files if exclude not in file.parents}
    sizes = {name: file.stat().st_size for name, file in names.items()}
    is_large = sum(sizes.values()) > _MAX_WHOLE
    with tqdm(total=sum(sizes.values()), desc=f"Reading {path.name}", **_IN_BYTES) as bar:
        files = {name: _content_of(file, bar, sampled=is_large) for name, file in sorted(names.items())}
    # The name of a single file does not count, its format does.
    content = [(name if path.is_dir() else path.suffix.lower(), *entry[:2]) for name, entry in files.items()]
    return {"path": str(path), "digest": hashlib.sha256(repr(content).encode()).hexdigest(), "files": files}


def _model_files(folder: Path) -> Iterable[Path]:
    """The files that a model, its tokenizer and its processor are loaded from."""
    for file in [*folder.iterdir(), *folder.glob("[0-9]_*/*")]:
        if file.suffix in _MODEL_SUFFIXES and file.is_file() and file.name[0] not in "._":
            if file.name not in _NO_MODEL_FILES and not file.name.endswith("_results.json"):
                yield file


def _data_files(folder: Path) -> Iterable[Path]:
    for file in folder.rglob("*"):
        if file.is_file() and not any(part.startswith(".") for part in file.relative_to(folder).parts):
            yield file


def _content_of(file: Path, bar: tqdm, *, sampled: bool) -> list:
    """Size, digest and state of a file. A file in the same state as before is not read again."""
    stat = file.stat()
    state = [str(file.resolve()), sampled, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
    key = (stat.st_size, *state)
    if key not in _digests:
        digest = hashlib.sha256()
        with open(file, "rb") as stream:
            for start in _starts(stat.st_size, sampled=sampled):
                stream.seek(start)
                digest.update(stream.read(_BLOCK))
        _digests[key] = digest.hexdigest()[:32]
    bar.update(stat.st_size)
    return [stat.st_size, _digests[key], state]


def _starts(size: int, *, sampled: bool) -> Iterable[int]:
    if not sampled or size <= _BLOCK * _NUM_SAMPLES:
        return range(0, size, _BLOCK)
    return [round(index * (size - _BLOCK) / (_NUM_SAMPLES - 1)) for index in range(_NUM_SAMPLES)]


def _hub_commit(repo_id: str) -> str | None:
    """The commit of a model in the local cache of the Hub."""
    cached = try_to_load_from_cache(repo_id, "config.json")
    return Path(cached).parent.name if isinstance(cached, str) else None
