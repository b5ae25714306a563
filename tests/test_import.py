"""`import distil_nlp` costs nothing; a public name brings its module when it is first used."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import distil_nlp

ROOT = Path(__file__).resolve().parents[1]
HEAVY = ["torch", "transformers", "datasets", "accelerate", "evaluate", "sklearn", "numpy"]


def heavy_modules_after(code):
    """Those of HEAVY that a fresh interpreter has imported after `code`."""
    report = f"import sys; print('imported:', *[name for name in {HEAVY} if name in sys.modules])"
    run = subprocess.run(
        [sys.executable, "-c", f"{code}\n{report}"], cwd=ROOT, capture_output=True, text=True, timeout=280
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.splitlines()[-1].split()[1:]


def test_importing_the_package_imports_nothing_heavy():
    assert heavy_modules_after("import distil_nlp") == []


def test_listing_the_public_names_imports_nothing_heavy():
    assert heavy_modules_after("import distil_nlp; assert 'DistillationTrainer' in dir(distil_nlp)") == []


def test_the_command_line_answers_help_without_importing_anything_heavy():
    code = (
        "from distil_nlp.cli import main as cli\n"
        "try:\n"
        "    cli.main(['--help'])\n"
        "except SystemExit as stop:\n"
        "    assert not stop.code, stop.code"
    )
    assert heavy_modules_after(code) == []


def test_two_lines_are_enough_to_load_a_built_in_network_and_training_does_not_import_evaluate(tmp_path):
    # Two tests in one: a fresh interpreter that imports torch takes seconds.
    from distil_nlp.models import NetworkForImageClassification

    NetworkForImageClassification.from_network("cnn8", image_size=8, num_labels=2).save_pretrained(tmp_path)
    code = (
        f"import distil_nlp.models, transformers\n"
        f"model = transformers.AutoModelForImageClassification.from_pretrained({str(tmp_path)!r})\n"
        f"assert type(model).__name__ == 'NetworkForImageClassification', type(model)\n"
        f"import distil_nlp.training.trainer"
    )
    assert "evaluate" not in heavy_modules_after(code)


@pytest.mark.parametrize("name", distil_nlp.__all__)
def test_every_public_name_resolves(name):
    assert getattr(distil_nlp, name) is not None


def test_an_unknown_name_is_an_attribute_error_that_lists_the_names_there_are():
    with pytest.raises(AttributeError, match="no attribute 'DistillationTrainner'.*DistillationTrainer"):
        distil_nlp.DistillationTrainner  # noqa: B018


def test_type_checkers_see_the_names_that_exist_at_run_time():
    tree = ast.parse(Path(distil_nlp.__file__).read_text(encoding="utf-8"))
    guarded = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {alias.name: node.module for node in guarded.body for alias in node.names}
    assert seen == distil_nlp._HOME
