"""Docstrings and messages are plain technical English: no word that makes a person of a model, a file or a function."""

import ast
import re

import pytest

from tests.test_layers import package_sources

# Words for persons, and archaic ones, that docstrings and messages of an API do not need.
WORDS = re.compile(
    r"\b(nobody|somebody|anybody|whoever|whom|theirs|says|said|hears|speaks|spoke|dearest|afresh|anew)\b",
    re.IGNORECASE,
)
LOGGED = {"debug", "info", "warning", "warn", "error", "exception", "warning_once", "warning_advice"}


def texts(tree):
    """(line, text) of every docstring, and of every string in a `raise` or in a call that logs or warns."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            yield getattr(node, "lineno", 1), ast.get_docstring(node, clean=False) or ""
        is_log = isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", None)) in LOGGED
        if isinstance(node, ast.Raise) or is_log:
            for inner in ast.walk(node):
                if isinstance(inner, ast.Constant) and isinstance(inner.value, str):
                    yield inner.lineno, inner.value


def odd_words(source):
    return [f"line {line}: {word}" for line, text in texts(ast.parse(source)) for word in WORDS.findall(text)]


SOURCES = package_sources()


@pytest.mark.parametrize("module", SOURCES)
def test_docstrings_and_messages_of_a_module_are_plain(module):
    assert odd_words(SOURCES[module]) == []


def test_docstrings_and_messages_are_found_and_code_is_not():
    source = (
        '"""Nobody."""\ndef f(whom):\n    """Says."""\n    said = "anew"\n    raise ValueError(f"{said} theirs")\n'
    )
    assert odd_words(source) == ["line 1: Nobody", "line 2: Says", "line 5: theirs"]
    assert odd_words('logger.warning("somebody %s", x)\nwarnings.warn("hears")') == [
        "line 1: somebody",
        "line 2: hears",
    ]
