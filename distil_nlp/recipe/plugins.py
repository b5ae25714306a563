"""Python of the user that a recipe needs: own terms, tasks, networks and problem kinds, registered when it is imported."""

import importlib
import importlib.util
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from ..internals.checksums import crc32
from ..internals.messages import listed, shown

ENTRY_POINTS = "distil_nlp.plugins"  # the group of installed packages whose modules are imported for every recipe


def check_named_by_the_user(from_files: Mapping[str, Any], flag_names: set[str]) -> None:
    """Refuse plugins that only a YAML file names: a file from elsewhere would run code on this machine.

    Raises:
        ValueError: A file sets `plugin`, and the command line does not.
    """
    if from_files.get("plugin") and "plugin" not in flag_names:
        named = from_files["plugin"] if isinstance(from_files["plugin"], list) else [from_files["plugin"]]
        raise ValueError(
            f"The recipe needs {listed(named)}, Python that would run with all your rights. If you know what is in it, "
            f"name it on the command line: --plugin {' '.join(map(str, named))}"
        )


def load_plugins(names: Sequence[str]) -> None:
    """Import the plugins of installed packages, then these.

    Args:
        names (`list[str]`): Python files, or names of modules that can be imported.

    Raises:
        FileNotFoundError, ImportError: There is no such file or module, or importing it raises an ImportError.
    """
    for entry_point in entry_points(group=ENTRY_POINTS):
        entry_point.load()
    for name in names:
        if name.endswith(".py"):
            _import_file(Path(name).expanduser())
        else:
            importlib.import_module(name)


def _import_file(path: Path) -> None:
    """Import a file once per content, under a name of its own."""
    if not path.is_file():
        raise FileNotFoundError(f"There is no plugin {shown(str(path))}. Give a Python file, or a module's name.")
    name = f"distil_nlp_plugin_{path.stem}_{crc32(path)}"
    if name in sys.modules:
        return
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None  # the name ends in .py
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # before it runs, as for every import: its dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
