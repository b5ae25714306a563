"""The recipes that come with the package: listed, found by name, copied."""

import re
import shutil
import textwrap
from pathlib import Path

from .messages import nearest, shown

_WIDTH = 90
_PACKAGE = Path(__file__).resolve().parents[1]


def folder() -> Path:
    """Where the recipes are: in the package of a wheel, beside it in a checkout."""
    packaged = _PACKAGE / "recipe_files"
    return packaged if packaged.is_dir() else _PACKAGE.parent / "recipes"


def names() -> list[str]:
    """The recipes by name: "text_classification/sst2"."""
    return sorted(path.relative_to(folder()).with_suffix("").as_posix() for path in folder().glob("*/*.yaml"))


def find(name: str) -> Path | None:
    """The file of a recipe by its name, "sst2" or "text_classification/sst2"; None for what is no name of a recipe.

    Raises:
        ValueError: Several tasks have a recipe of this name.
    """
    found = [known for known in names() if name in (known, known.split("/")[1])]
    if len(found) > 1:
        raise ValueError(f"There are several recipes {shown(name)}: {', '.join(found)}. Give one of these names.")
    return folder() / f"{found[0]}.yaml" if found else None


def resolve(word: str) -> str | Path:
    """A word of the command line as a file: itself where it is one or looks like one, or the recipe of this name.

    Raises:
        ValueError: It is neither; the nearest recipe is suggested. Several tasks have a recipe of this name.
    """
    if Path(word).exists() or Path(word).suffix:
        return word
    path = find(word)
    if path is None:
        raise ValueError(
            f"{shown(word)} is no file, and no recipe of the package{nearest(word, _all_names())}. `distil-nlp recipes` "
            f"lists them."
        )
    return path


def _all_names() -> list[str]:
    return [part for name in names() for part in (name, name.split("/")[1])]


def listing() -> str:
    """The recipes by task, each with the first sentence of its comment."""
    lines, task = [], ""
    for name in names():
        if name.split("/")[0] != task:
            task = name.split("/")[0]
            lines += ["", task.replace("_", " ")]
        lines.append(f"  {name.split('/')[1]:<26} {_first_sentence(folder() / f'{name}.yaml')}")
    lines += [
        "",
        "Run one: distil-nlp run NAME [--setting value ...]. Copy one to change it: distil-nlp recipes copy NAME.",
    ]
    return "\n".join(lines[1:])


def _first_sentence(path: Path) -> str:
    comment = path.read_text(encoding="utf-8").split("\n#\n")[0].replace("\n#", "").lstrip("# ")
    return textwrap.shorten(re.split(r"(?<=[.?!]) ", comment)[0], _WIDTH, placeholder=" ...")


def copy(name: str, target: str | Path = ".") -> Path:
    """Copy a recipe's file into a folder.

    Raises:
        ValueError: There is no such recipe; the nearest name is suggested.
        FileExistsError: The folder has a file of this name.
    """
    path = find(name)
    if path is None:
        raise ValueError(
            f"There is no recipe {shown(name)}{nearest(name, _all_names())}. `distil-nlp recipes` lists all of them."
        )
    copied = Path(target) / path.name
    if copied.exists():
        raise FileExistsError(
            f"{copied} exists, and copying the recipe would overwrite it. Copy it to another folder."
        )
    return Path(shutil.copyfile(path, copied))
