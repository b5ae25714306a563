"""What a run leaves behind: readable, whole, and without the machine's name."""

import builtins
import getpass
import importlib.util
import json
import logging
import socket
from pathlib import Path

import numpy as np
import pytest

from distil_nlp.evaluation import Candidate, Latency, compare
from distil_nlp.metrics import ClassificationEvaluator
from distil_nlp.reports import Report, environment, report_markdown, text_table, write_report
from tests.hub.sample import make_report


@pytest.fixture
def report():
    labels = np.random.default_rng(0).integers(2, size=100)
    wrong = np.where(np.arange(100) < 20, 1 - labels, labels)
    latency = {name: Latency(5.0, 6.0, 100.0, (5.0, 6.0)) for name in ("bert | base", "tiny")}
    candidates = [
        Candidate("teacher", "bert | base", np.eye(2)[labels], parameters=109_483_778, size_bytes=437_935_112),
        Candidate("student", "tiny", [np.eye(2)[wrong]] * 2),
        Candidate("control", "tf-idf", np.eye(2)[1 - labels]),
    ]
    evaluator = ClassificationEvaluator("single_label_classification", labels, 2)
    found = compare(candidates, evaluator, latency=latency, task="SST-2", seeds=[0, 1])
    return {**found.to_dict(), "recipe": {"temperature": 2.0}}


def test_report_json_reads_back_as_it_was(report, tmp_path):
    path = write_report(tmp_path / "runs" / "toy", Report.from_dict(report))
    assert path.name == "report.json" and json.loads(path.read_text()) == report


def test_nan_is_written_as_null(report, tmp_path):
    report["models"][1]["metrics"]["accuracy"] = float("nan")
    report["recipe"]["losses"] = np.array([1.0, np.inf])
    written = json.loads(write_report(tmp_path, Report.from_dict(report)).read_text())
    assert written["models"][1]["metrics"]["accuracy"] is None
    assert written["recipe"]["losses"] == [1.0, None]


def test_the_page_holds_table_intervals_and_machine(report):
    page = report_markdown(Report.from_dict(report))
    assert page.startswith("# Comparison: SST-2\n")
    assert "| student | tiny | 80.0 ± 0.0 |" in page
    assert "student (tiny) - control (tf-idf): accuracy +80.0 points (95 % interval" in page
    assert report["environment"]["cpu"] in page and "seeds: 0, 1" in page


def test_a_bar_in_a_name_does_not_break_the_table(report):
    rows = [line for line in report_markdown(Report.from_dict(report)).splitlines() if line.startswith("|")]
    assert len({line.replace("\\|", "").count("|") for line in rows}) == 1


def test_the_terminal_table_lines_up(report):
    lines = text_table(Report.from_dict(report | {"verdict": []})).splitlines()
    assert lines[2].split()[-5:] == ["109.5M", "437.9", "5.0/6.0", "1.0x", "100"]
    assert {len(line) for line in lines[:5]} == {len(lines[0])}


def test_a_report_without_our_newer_keys_is_still_shown(report):
    for model in report["models"]:
        for key in ("per_seed", "spread", "speed_up"):
            del model[key]
    for difference in report["differences"]:
        del difference["of_name"], difference["to_name"]
    assert "student - teacher: accuracy -20.0 points" in text_table(Report.from_dict(report))


def test_the_picture_is_drawn_where_matplotlib_is(report, tmp_path):
    pytest.importorskip("matplotlib")
    write_report(tmp_path, Report.from_dict(report))
    assert (tmp_path / "report.png").read_bytes().startswith(b"\x89PNG")
    assert "(report.png)" in (tmp_path / "report.md").read_text()


def test_without_matplotlib_the_log_says_so_and_the_rest_is_written(report, tmp_path, monkeypatch, caplog):
    (tmp_path / "report.png").write_bytes(b"an older picture")
    find_spec, import_ = importlib.util.find_spec, builtins.__import__
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "matplotlib" else find_spec(name))

    def refuse(name, *arguments, **keywords):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return import_(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with caplog.at_level(logging.INFO, logger="distil_nlp"):
        write_report(tmp_path, Report.from_dict(report))
    assert "matplotlib is not installed" in caplog.text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.json", "report.md"]
    assert "report.png" not in (tmp_path / "report.md").read_text()


def test_the_environment_names_the_kind_of_machine_and_not_the_machine():
    found = environment()
    assert found["cpu"] and found["threads"] >= 1 and {"torch", "transformers"} <= found["packages"].keys()
    text = json.dumps(found)
    assert socket.gethostname() not in text and str(Path.home()) + "/" not in text
    assert "/" not in text and f'"{getpass.getuser()}"' not in text


def test_a_report_reads_back_from_its_json(report):
    curves = {"student": [{"loss": 1.5, "loss/soft": 1.0, "learning_rate": 5e-5, "step": 1}]}
    typed = Report.from_dict({**report, "training_curves": curves})
    again = Report.from_json(typed.to_json())
    assert again == typed and again.to_dict() == typed.to_dict()
    assert again.training_curves == curves and again.version == 1
    assert again.models[0].retention == report["models"][0]["kept"] == 1.0


def test_a_report_of_a_newer_version_is_an_error(report):
    with pytest.raises(ValueError, match="reads reports up to version 1; got version 2"):
        Report.from_dict({**report, "version": 2})


@pytest.mark.parametrize(
    "value", ["x", [None], {"a": {}}, True, -1, 10**400], ids=["text", "list", "mapping", "truth", "negative", "huge"]
)
@pytest.mark.parametrize("place", ["metric", "models.0.role", "models.0.metrics.accuracy", "models.1.parameters",
                                   "models.1.size_bytes", "models.0.latency_ms.p50", "differences.0.metric"])  # fmt: skip
def test_a_report_with_a_value_of_another_type_is_shown_or_refused(place, value):
    values = make_report()
    *parents, last = place.split(".")
    part = values
    for name in parents:
        part = part[int(name) if name.isdigit() else name]
    part[last] = value
    try:
        str(Report.from_dict(values))
    except ValueError as refused:
        assert "as a run writes them" in str(refused)
