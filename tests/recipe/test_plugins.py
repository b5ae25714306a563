"""Own terms and tasks come into a recipe by plugins that the user names."""

import json
import re

import pytest
import yaml

from distil_nlp import HardLabels, register_term
from distil_nlp.cli.commands import run
from distil_nlp.objectives import Term
from distil_nlp.objectives.from_config import TERMS
from distil_nlp.recipe import parse, plugins
from distil_nlp.tasks import TASKS, TextClassification, register_task
from tests.conftest import ROOT
from tests.recipe.runs import words


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """The worked example of the docs, in a file."""
    monkeypatch.setattr("distil_nlp.objectives.from_config.TERMS", dict(TERMS))
    page = (ROOT / "docs" / "recipes.md").read_text()
    (block,) = re.findall(r"```python\n# top_class.py\n(.*?)```", page, re.DOTALL)
    path = tmp_path / "top_class.py"
    path.write_text(block)
    return path


STAGES = "[{name: only, objective: [{hard: {weight: 0.5}}, {top_class: {weight: 0.5}}]}]"


def test_the_worked_example_of_the_docs_trains(plugin, folder, tmp_path, short_comparison, monkeypatch):
    monkeypatch.setattr("distil_nlp.reports.markdown._draw", short_comparison)
    run(words(folder, tmp_path / "out", stages=STAGES, plugin=plugin, max_steps=2, logging_steps=1, control="false"))
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert [term["name"] for term in report["objective"]] == ["hard", "top_class"]
    assert any("loss/top_class" in line for line in report["training_curves"]["student"])


def test_a_plugin_that_only_a_file_names_is_refused_before_it_runs(tmp_path):
    (tmp_path / "evil.py").write_text("raise RuntimeError('it ran')")
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(yaml.safe_dump({"teacher": "x", "plugin": str(tmp_path / "evil.py")}))
    with pytest.raises(ValueError, match="run with all your rights.*--plugin .*evil.py"):
        parse([str(recipe)])
    with pytest.raises(RuntimeError, match="it ran"):
        parse([str(recipe), "--plugin", str(tmp_path / "evil.py"), "--use_cpu", "true"])


def test_a_plugin_is_imported_once_and_again_when_it_has_changed(tmp_path):
    path, log = tmp_path / "count.py", tmp_path / "log"
    log.touch()
    path.write_text(f"open({str(log)!r}, 'a').write('1')")
    plugins.load_plugins([str(path)])
    plugins.load_plugins([str(path)])
    assert log.read_text() == "1"
    path.write_text(f"open({str(log)!r}, 'a').write('2')")
    plugins.load_plugins([str(path)])
    assert log.read_text() == "12"


def test_a_missing_plugin_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no plugin .*missing.py"):
        plugins.load_plugins([str(tmp_path / "missing.py")])


def test_plugins_of_installed_packages_are_loaded(monkeypatch):
    loaded = []

    class EntryPoint:
        def load(self):
            loaded.append("mine")

    monkeypatch.setattr(plugins, "entry_points", lambda group: [EntryPoint()] * (group == "distil_nlp.plugins"))
    plugins.load_plugins([])
    assert loaded == ["mine"]


class Unnamed(Term):
    """A term without a name."""


class Hard(Term):
    """Another term by the name of one."""

    name = HardLabels.name


@pytest.mark.parametrize(
    ("term", "error", "message"),
    [(Unnamed, ValueError, "has no name"), (Hard, ValueError, "a term 'hard' already"), (3, TypeError, "got 3")],
)
def test_a_term_that_cannot_be_registered_is_refused(term, error, message):
    with pytest.raises(error, match=message):
        register_term(term)


def test_a_task_is_registered_by_its_name(monkeypatch):
    monkeypatch.setattr("distil_nlp.tasks.TASKS", dict(TASKS))

    class Mine(TextClassification):
        name = "my-classification"

    assert register_task(Mine) is Mine
    from distil_nlp.tasks import task_class

    assert task_class("my-classification") is Mine
    with pytest.raises(ValueError, match="a task 'text-classification' already"):
        register_task(type("Other", (TextClassification,), {}))
    with pytest.raises(TypeError, match="got 'x'"):
        register_task("x")
