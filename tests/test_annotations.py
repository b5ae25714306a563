"""Public functions and methods of the package carry annotations: the package is marked `py.typed`."""

import ast

import pytest

from tests.test_layers import package_sources


def public_functions(tree):
    """Public functions of a module and public methods of its public classes, `__init__` and `__call__` included."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from public_functions(node)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            if not node.name.startswith("_") or node.name in ("__init__", "__call__"):
                yield node


def missing_annotations(source):
    missing = []
    for function in public_functions(ast.parse(source)):
        arguments = function.args
        given = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
        unannotated = [
            one.arg for one in given if one is not None and one.annotation is None and one.arg not in ("self", "cls")
        ]
        if function.returns is None and function.name != "__init__":
            unannotated.append("return")
        if unannotated:
            missing.append(f"line {function.lineno}: {function.name} ({', '.join(unannotated)})")
    return missing


SOURCES = package_sources()


@pytest.mark.parametrize("module", SOURCES)
def test_the_public_functions_of_a_module_are_annotated(module):
    assert missing_annotations(SOURCES[module]) == []


def test_a_missing_annotation_is_found_and_a_private_function_is_left_alone():
    source = "def f(x, *, y: int): pass\nclass A:\n    def g(self) -> int: pass\n    def _h(self, x): pass\n"
    assert missing_annotations(source) == ["line 1: f (x, return)"]
