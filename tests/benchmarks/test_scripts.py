"""Every script of benchmarks/ and recipes/ starts, and `--quick` makes every benchmark one of seconds."""

import argparse
import os
import runpy
import shutil
import subprocess
import sys

import pytest

from tests.conftest import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))  # where `python benchmarks/x.py` finds what they share

import timing  # noqa: E402

SHARED_MODULES = {"timing", "initial_weights", "language_pairs"}  # imported by benchmarks, no scripts
SCRIPTS = sorted(
    str(path.relative_to(ROOT))
    for folder in ("benchmarks", "recipes")
    for path in (ROOT / folder).glob("*.py")
    if path.stem not in SHARED_MODULES
)
BENCHMARKS = [script for script in SCRIPTS if script.startswith("benchmarks/") and "results" not in script]


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_prints_its_help(script, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [script, "--help"])
    try:
        runpy.run_path(str(ROOT / script), run_name="__main__")
    except SystemExit as stop:
        assert not stop.code
    assert "usage:" in capsys.readouterr().out


def test_make_bench_runs_every_benchmark_and_no_shared_module():
    listed = next(line for line in (ROOT / "Makefile").read_text().splitlines() if line.startswith("NO_BENCHMARKS"))
    left_out = listed.split(",", 1)[1].rstrip(")").split()
    assert set(left_out) == {"results.py", *(f"{name}.py" for name in SHARED_MODULES)}


# ---- --quick ----


def quick_parser():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--output", default="benchmarks/results/x.json")
    return parser


def test_quick_changes_defaults_and_keeps_the_results_that_are_in_the_repository():
    args = timing.parse(quick_parser(), ["--quick"], quick={"steps": 4})
    assert args.quick and args.steps == 4 and args.output == "runs/benchmarks/x.json"
    args = timing.parse(quick_parser(), [], quick={"steps": 4})
    assert not args.quick and args.steps == 300 and args.output == "benchmarks/results/x.json"


def test_an_argument_given_beside_quick_is_used():
    args = timing.parse(quick_parser(), ["--steps", "7", "--quick", "--output", "y.json"], quick={"steps": 4})
    assert args.steps == 7 and args.output == "y.json"


def test_missing_data_is_an_error_and_with_quick_a_line(tmp_path, capsys):
    timing.require(tmp_path, quick=False)
    with pytest.raises(SystemExit, match="missing.parquet not found"):
        timing.require(tmp_path, tmp_path / "missing.parquet", quick=False)
    with pytest.raises(SystemExit) as stop:
        timing.require(tmp_path / "missing.parquet", quick=True)
    assert stop.value.code == 0 and capsys.readouterr().out.startswith("Skipped: ")


@pytest.mark.slow  # each starts one to eight processes, each of which imports torch and transformers
@pytest.mark.parametrize("script", BENCHMARKS)
def test_a_benchmark_runs_with_quick(script):
    command = [sys.executable, script, "--quick"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.strip()


def test_a_page_of_results_is_made_of_the_report_of_a_run(tmp_path, monkeypatch, capsys):
    report = min((ROOT / "docs" / "results").glob("sst2*.json"))
    (tmp_path / "run").mkdir()
    shutil.copy(report, tmp_path / "run" / "report.json")
    monkeypatch.setattr(sys, "argv", ["results.py", str(tmp_path / "run"), "--title", "SST-2"])
    runpy.run_path(str(ROOT / "benchmarks" / "results.py"), run_name="__main__")
    page = capsys.readouterr().out
    assert page.startswith("# SST-2") and "± is the standard deviation over seeds" in page
