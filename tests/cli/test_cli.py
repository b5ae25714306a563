"""The command line: what each command says, and that a mistake ends with a sentence and not with a traceback."""

import json
import os
import re
import subprocess
import sys

import pytest

from distil_nlp import __version__
from distil_nlp.cli import commands
from distil_nlp.cli import main as cli
from distil_nlp.cli.quick import setting_names
from distil_nlp.internals.files import write_json
from distil_nlp.recipe import quickstart
from distil_nlp.recipe.settings import all_settings
from distil_nlp.recipe.yaml_loader import read_yaml_file
from tests.conftest import ROOT
from tests.hub.sample import make_report


def stopped(argv):
    """What `main` exits with."""
    with pytest.raises(SystemExit) as stop:
        cli.main(argv)
    return stop.value.code


def test_help_shows_every_command_and_an_example_of_each(capsys):
    assert stopped(["--help"]) == 0
    page = capsys.readouterr().out
    for command in ("run", "cache", "sweep", "compare", "push"):
        assert f"distil-nlp {command} " in page


def test_version_is_that_of_the_package(capsys):
    assert stopped(["--version"]) == 0
    assert capsys.readouterr().out == f"distil-nlp {__version__}\n"


def test_no_command_at_all_is_answered_with_the_commands(capsys):
    assert stopped([]) == 2
    assert "required: command" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["quickstart", "run", "cache", "sweep"])
def test_help_of_a_recipe_command_is_one_screen_of_settings_that_exist(command, capsys):
    cli.main([command, "--help"])
    page = capsys.readouterr().out
    assert len(page.splitlines()) < 60 and max(map(len, page.splitlines())) <= 110
    shown = set(re.findall(r"^  --(\w+) ", page, flags=re.MULTILINE))
    assert {"teacher", "train_file", "learning_rate", "output_dir"} <= shown <= {one.name for one in all_settings()}


def test_the_quickstarts_help_names_no_recipe_of_another_kind(capsys):
    cli.main(["quickstart", "--help"])
    page = capsys.readouterr().out
    assert "usage: distil-nlp quickstart [--setting value ...]" in page and "sst2" not in page and "FILE" not in page


def test_all_settings_are_listed_with_choices_and_defaults(capsys):
    cli.main(["run", "--help-all"])
    page = capsys.readouterr().out
    for setting in all_settings():
        assert f"  --{setting.name} " in page
    assert "--width_init svd|slice (default: svd)" in page and "--num_trials whole number (default: 20)" in page


def test_recipes_are_listed_and_copied(tmp_path, capsys):
    cli.main(["recipes"])
    assert "sst2-2x128" in capsys.readouterr().out
    cli.main(["recipes", "copy", "sst2", str(tmp_path)])
    assert (tmp_path / "sst2.yaml").is_file() and "Copied to" in capsys.readouterr().out
    assert "copy NAME [FOLDER]; got ['delete']" in stopped(["recipes", "delete"])


def test_settings_are_found_by_a_word(capsys):
    cli.main(["settings", "temperature"])
    page = capsys.readouterr().out
    assert "--temperature_end" in page and "--teacher " not in page
    cli.main(["settings", "pseudo labels"])
    assert "--pseudo_labels true or false" in capsys.readouterr().out
    assert "nearest is 'temperature'" in stopped(["settings", "temprature"])


def test_the_schema_of_a_recipe_has_every_setting(capsys):
    cli.main(["settings", "--schema"])
    schema = json.loads(capsys.readouterr().out)
    assert list(schema["properties"]) == [setting.name for setting in all_settings()]
    assert schema["properties"]["width_init"]["enum"] == ["svd", "slice", None]
    for path in (ROOT / "recipes").rglob("*.yaml"):
        for name, value in read_yaml_file(path).items():
            entry = schema["properties"][name]
            kind = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array"}.get(type(value))
            if "enum" in entry:
                assert value in entry["enum"], (path, name)
            elif "type" in entry:
                assert kind in entry["type"] or (kind == "integer" and "number" in entry["type"]), (path, name)


def test_names_read_from_the_source_are_those_of_the_dataclasses():
    assert set(setting_names()) >= {setting.name for setting in all_settings()}


def test_a_wrong_flag_is_answered_before_torch_is_imported():
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "distil_nlp.cli", "run", "--studnet", "x"],
        capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "error: --studnet is not a setting; the nearest is '--student'" in done.stderr
    assert "torch" not in done.stderr.split() and "transformers" not in done.stderr.split()


def test_compare_shows_the_table_of_a_finished_run(tmp_path, capsys):
    write_json(tmp_path / "report.json", make_report())
    cli.main(["compare", str(tmp_path)])
    page = capsys.readouterr().out
    assert "student" in page and "control" in page and "accuracy +4.0 points" in page


def test_compare_without_a_report_says_what_to_do(tmp_path):
    assert "contains no report.json" in stopped(["compare", str(tmp_path)])


def test_an_argument_nobody_knows_is_refused(tmp_path, capsys):
    assert stopped(["compare", str(tmp_path), "--color"]) == 2
    assert "--color" in capsys.readouterr().err


def test_push_hands_folder_name_and_privacy_to_the_hub(monkeypatch, capsys):
    asked = {}

    def push_to_hub(folder, repo_id, *, private):
        asked.update(folder=folder, repo_id=repo_id, private=private)
        return "https://hub/ada/x"

    monkeypatch.setattr("distil_nlp.hub.push_to_hub", push_to_hub)
    cli.main(["push", "runs/student", "ada/x", "--private"])
    assert asked == {"folder": "runs/student", "repo_id": "ada/x", "private": True}
    assert "https://hub/ada/x" in capsys.readouterr().out


def test_push_of_a_folder_that_is_not_there_ends_with_the_reason(tmp_path):
    assert stopped(["push", str(tmp_path / "nowhere"), "ada/x"]).startswith("error: ")


def test_the_installed_command_and_the_script_for_accelerate_are_the_same_recipe(tmp_path, forks):
    missing = str(tmp_path / "missing.yaml")
    for command in (["-m", "distil_nlp.cli.main", "run"], ["recipes/text_classification.py"]):
        process = forks.start(*command, missing)
        assert process.wait() == 1
        assert "There is no recipe" in process.stderr() and "Traceback" not in process.stderr()


def test_the_quickstart_refuses_a_wrong_flag_before_it_reads_a_docstring(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    done = []
    monkeypatch.setattr(quickstart, "write_files", lambda: done.append("files") or ["--train_file=train.jsonl"])
    monkeypatch.setattr(commands, "run", done.append)
    assert "--studnet is not a setting; the nearest is '--student'" in stopped(["quickstart", "--studnet", "2x128"])
    assert not done
    cli.main(["quickstart", "--student", "2x64"])
    assert done[0] == "files" and done[1][-3:] == ["--train_file=train.jsonl", "--student", "2x64"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "does not parse"),
        ("[1]", "as a run writes them; got [1]"),
        ('{"models": [{"a": 1}]}', "KeyError"),
        ("{}", "no model"),
    ],
)
def test_a_damaged_report_is_named(text, message, tmp_path):
    (tmp_path / "report.json").write_text(text)
    assert message in stopped(["compare", str(tmp_path)])


def test_a_value_that_begins_with_a_dash_is_explained():
    assert "is written --name=-value" in stopped(["run", "--teacher", "-x"])
