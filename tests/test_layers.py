"""Imports go down a level, never up, never sideways: docs and CONTRIBUTING explain, this file enforces."""

import ast
import sys
from pathlib import Path

import pytest

PACKAGE = "distil_nlp"
ROOT = Path(__file__).resolve().parents[1]
# A room is a module or a folder of the package. It may import the rooms below it, and itself.
LEVELS = {
    **dict.fromkeys(["internals", "losses", "signals", "hmm", "metrics"], 0),
    **dict.fromkeys(["models", "reports"], 1),
    **dict.fromkeys(["data", "objectives", "students", "hub"], 2),
    **dict.fromkeys(["collators", "teachers", "evaluation", "streaming"], 3),
    **dict.fromkeys(["augmentation", "generation", "export"], 4),
    **dict.fromkeys(["tasks", "training"], 5),
    **dict.fromkeys(["recipe"], 6),
    **dict.fromkeys(["sweeps"], 7),
    **dict.fromkeys(["cli"], 8),
    **dict.fromkeys(["__init__", "__main__"], 9),
}
# Imports within a level that are allowed: messages, files and batch columns serve the other rooms of level 0.
SIDEWAYS = {
    ("metrics", "internals"),
    ("metrics", "signals"),
    ("signals", "internals"),
    ("hmm", "internals"),
    ("__main__", "__init__"),
}


def package_sources():
    """Module name -> source, for every file of the package. A folder goes by the name of its `__init__`."""
    sources = {}
    for path in sorted((ROOT / PACKAGE).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        sources[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path.read_text(encoding="utf-8")
    return sources


def imported_names(module, source, is_package):
    """Every dotted name that `source` imports, at the top or inside a function, with its line."""
    base = module.split(".") if is_package else module.split(".")[:-1]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            start = base[: len(base) - node.level + 1] if node.level else []
            origin = ".".join([*start, *([node.module] if node.module else [])])
            for alias in node.names:
                yield f"{origin}.{alias.name}", node.lineno
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            first = node.args[0] if node.args else None
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                relative = first.value.startswith(".")
                yield (f"{PACKAGE}{first.value}" if relative else first.value), node.lineno


def annotation_lines(source):
    """Lines that only a type checker runs: those under `if TYPE_CHECKING`."""
    blocks = [
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    ]
    return {line for block in blocks for line in range(block.lineno, block.end_lineno + 1)}


def imported_modules(sources):
    """Module -> the package's modules it imports, each with its line. `from a import b` is `a.b` where that exists."""
    folders = {module.rpartition(".")[0] for module in sources} | {PACKAGE}
    edges = {}
    for module, source in sources.items():
        edges[module] = {}
        for name, line in imported_names(module, source, module in folders):
            if name.split(".")[0] != PACKAGE or name == f"{PACKAGE}.__version__":  # a constant, for cards and reports
                continue
            while name not in sources and "." in name:
                name = name.rpartition(".")[0]
            if name != module:
                edges[module].setdefault(name, line)
    return edges


def room(module):
    """`distil_nlp.losses.soft` is in `losses`; the package itself is `__init__`."""
    return [*module.split("."), "__init__"][1]


def layering_errors(sources):
    """What breaks the layering in `sources` (module name -> source), one sentence each."""
    errors = [
        f"{module}: room '{room(module)}' has no level; decide one in LEVELS"
        for module in sources
        if room(module) not in LEVELS
    ]
    edges = imported_modules(sources)
    for module, targets in edges.items():
        for target, line in targets.items():
            mine, theirs = room(module), room(target)
            if mine == theirs or mine not in LEVELS or theirs not in LEVELS or (mine, theirs) in SIDEWAYS:
                continue
            if LEVELS[theirs] > LEVELS[mine]:
                errors.append(f"{module}:{line} imports up: {mine} -> {theirs}")
            elif LEVELS[theirs] == LEVELS[mine]:
                errors.append(f"{module}:{line} imports sideways: {mine} -> {theirs}")
    return errors + [f"import circle: {' -> '.join(circle)}" for circle in circles(edges)]


def circles(edges):
    """Import circles, each once, found by walking down from every module."""
    found, done = [], set()

    def walk(module, trail):
        if module in trail:
            found.append([*trail[trail.index(module) :], module])
        elif module not in done:
            for target in edges.get(module, {}):
                walk(target, [*trail, module])
            done.add(module)

    for module in edges:
        walk(module, [])
    return found


def test_every_module_has_a_level_and_imports_only_downwards_without_a_circle():
    sources = package_sources()
    assert len(sources) > 1
    assert layering_errors(sources) == []


def test_losses_import_torch_each_other_and_abstract_types_only():
    sources = package_sources()
    folder = f"{PACKAGE}.losses"
    for module, source in sources.items():
        if module == folder or module.startswith(f"{folder}."):
            for name, line in imported_names(module, source, module == folder):
                allowed = name.startswith(("torch", "collections.abc", f"{folder}."))
                assert allowed, f"{module}:{line} {name}"


def test_metrics_import_numpy_scipy_rapidfuzz_and_light_internals_only():
    sources = package_sources()
    folder = f"{PACKAGE}.metrics"
    own = (f"{folder}.", f"{PACKAGE}.internals.messages.", f"{PACKAGE}.internals.imports.")
    libraries = {"numpy", "scipy", "rapidfuzz", *sys.stdlib_module_names}
    for module, source in sources.items():
        if module == folder or module.startswith(f"{folder}."):
            for_annotations = annotation_lines(source)
            for name, line in imported_names(module, source, module == folder):
                allowed = libraries | ({"torch", "transformers"} if line in for_annotations else set())
                assert name.startswith(own) or name.split(".")[0] in allowed, f"{module}:{line} {name}"


@pytest.mark.parametrize(
    ("module", "source", "expected"),
    [
        ("distil_nlp.losses.soft", "from distil_nlp.objectives import Term", "imports up: losses -> objectives"),
        ("distil_nlp.losses.soft", "from ..objectives.base import Term", "imports up: losses -> objectives"),
        ("distil_nlp.losses.soft", "from ..metrics import x", "imports sideways: losses -> metrics"),
        ("distil_nlp.signals.taps", "def f():\n    from ..training import Any", ":2 imports up: signals -> training"),
        ("distil_nlp.tasks.text", "import distil_nlp.training", "imports sideways: tasks -> training"),
        ("distil_nlp.training.trainer", "from distil_nlp import Signals", "imports up: training -> __init__"),
        ("distil_nlp.hub", "import_module('.training', 'distil_nlp')", "imports up: hub -> training"),
        ("distil_nlp.helpers", "", "room 'helpers' has no level"),
        ("distil_nlp.objectives.base", "from . import terms", "import circle"),
    ],
)
def test_the_checker_finds(module, source, expected):
    rooms = ["losses", "metrics", "objectives", "objectives.base", "tasks", "training"]
    house = dict.fromkeys(["distil_nlp", *(f"distil_nlp.{name}" for name in rooms)], "")
    house["distil_nlp.objectives.terms"] = "from .base import Term"
    errors = layering_errors({**house, module: source})
    assert len(errors) == 1 and expected in errors[0], errors


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("distil_nlp.training.trainer", "from ..losses import soft\nfrom ..objectives import Objective\nimport torch"),
        ("distil_nlp.hub.card", "from .. import __version__\nfrom ..reports import tables\nfrom . import push"),
        ("distil_nlp.cli.main", "def main():\n    from ..recipe import run"),
        ("distil_nlp.signals.taps", "from ..internals.files import read_json"),
    ],
)
def test_the_checker_accepts(module, source):
    rooms = ["losses", "objectives", "reports", "reports.layout", "hub", "hub.push", "recipe", "internals.files"]
    house = dict.fromkeys(["distil_nlp", *(f"distil_nlp.{name}" for name in rooms)], "")
    assert layering_errors({**house, module: source}) == []


def test_no_module_stands_loose_at_the_root():
    loose = {path.name for path in (ROOT / PACKAGE).glob("*.py")} - {"__init__.py"}
    assert not loose, f"put {sorted(loose)} into a room, see CONTRIBUTING.md"
