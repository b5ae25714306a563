"""How a command ends: one sentence for a mistake of the user, a traceback for an error of the package."""

import subprocess
import sys

import pytest

from distil_nlp.cli.errors import run_command
from distil_nlp.internals.messages import nearest
from tests.conftest import ROOT


def ended(command, capsys, **options):
    """What the process prints as its last line, and what was printed before."""
    with pytest.raises(SystemExit) as stop:
        run_command(command, **options)
    return stop.value.code, capsys.readouterr().err


def raising(error):
    def command():
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError("seeds must be 1."), "error: seeds must be 1."),
        (FileNotFoundError(2, "No such file or directory", "a.csv"), "error: a.csv: No such file or directory."),
        (ImportError("x is missing"), "error: x is missing"),
        (MemoryError(), "error: there is not enough memory (MemoryError)"),
        (ValueError("a\x1b[31m --hub_token hf_abc\nb"), r"error: a\x1b[31m --hub_token ***"),
        (ValueError("x" * 10_000), "... (10,000 characters)"),
        (ValueError(), "error: ValueError"),
    ],
)
def test_a_mistake_of_the_user_ends_with_a_sentence(error, message, capsys):
    code, printed = ended(raising(error), capsys)
    assert message in code and len(code) < 4_100 and "Traceback" not in printed


@pytest.mark.parametrize(
    "error", [KeyError("x"), AttributeError("x"), IndexError(), NotImplementedError(), RecursionError()]
)
def test_an_error_of_the_package_ends_with_its_traceback_and_a_request_to_report_it(error, capsys):
    code, printed = ended(raising(error), capsys)
    assert "looks like an error of distil_nlp" in code and "report it" in code and "Traceback" in printed


def test_a_type_error_that_the_package_raises_is_a_mistake_of_the_user(capsys):
    from distil_nlp.students.from_teacher import check_teacher

    code, printed = ended(lambda: check_teacher(3), capsys)
    assert code.startswith("error: ") and "looks like an error of distil_nlp" not in code and not printed
    code, printed = ended(lambda: nearest("a", 3), capsys)  # a TypeError of Python, within the package
    assert "looks like an error of distil_nlp" in code and "Traceback" in printed


def test_ctrl_c_ends_with_a_sentence(capsys):
    assert ended(raising(KeyboardInterrupt()), capsys, stopped="Stopped here.") == (130, "Stopped here.\n")
    assert "at step 3. Run the same command again" in ended(raising(KeyboardInterrupt("at step 3.")), capsys)[1]


def test_a_reader_that_ends_early_is_no_error():
    code = (
        "from distil_nlp.cli.errors import run_command; run_command(lambda: [print('x' * 100) for _ in range(10_000)])"
    )
    command = f"'{sys.executable}' -c \"{code}\" | head -1"
    done = subprocess.run(command, shell=True, cwd=ROOT, capture_output=True, text=True, env={"PYTHONPATH": str(ROOT)})
    assert done.stdout == "x" * 100 + "\n" and done.stderr == ""
