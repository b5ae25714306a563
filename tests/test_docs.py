"""What README and docs show must exist: names that import, keywords that are taken, files that are there."""

import ast
import dataclasses
import inspect
import re

import pytest

import distil_nlp
from distil_nlp.recipe import RecipeArguments, SweepArguments
from distil_nlp.sweeps.space import KINDS
from tests.conftest import ROOT

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCKS = [
    pytest.param(block, id=f"{page.relative_to(ROOT)}-{number}")
    for page in PAGES
    for number, block in enumerate(re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL))
]


@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_of_python_parses_and_imports_only_names_that_exist(block):
    for node in ast.walk(ast.parse(block)):
        if isinstance(node, ast.ImportFrom) and node.module == "distil_nlp":
            for alias in node.names:
                assert hasattr(distil_nlp, alias.name), alias.name


@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_of_python_uses_only_keywords_that_are_taken(block):
    for node in ast.walk(ast.parse(block)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in distil_nlp.__all__:
            taken = inspect.signature(getattr(distil_nlp, node.func.id)).parameters
            anything = any(one.kind is one.VAR_KEYWORD for one in taken.values())
            unknown = {keyword.arg for keyword in node.keywords} - taken.keys()
            assert anything or not unknown, f"{node.func.id} takes no {unknown}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_uses_of_the_package_it_imports(page):
    nodes = list(ast.walk(ast.parse("".join(re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)))))
    imported = {alias.name for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names}
    used = {node.func.id for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    assert not (used & set(distil_nlp.__all__)) - imported


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_links_only_to_files_that_are_there(page):
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text()):
        if "://" not in target and not target.startswith("mailto:"):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_page_of_recipes_lists_every_setting_of_a_recipe():
    page = (ROOT / "docs" / "recipes.md").read_text()
    missing = [name for name in RecipeArguments.setting_names() if f"`{name}`" not in page]
    assert not missing


def test_the_page_of_sweeps_lists_every_setting_that_can_be_swept():
    page = (ROOT / "docs" / "sweeps.md").read_text()
    settings = [*KINDS, *(one.name for one in dataclasses.fields(SweepArguments))]
    assert not [name for name in settings if f"`{name}`" not in page]
