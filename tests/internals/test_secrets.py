"""Secrets in text, wherever they stand; and what is no secret."""

import copy
import pickle

import pytest

from distil_nlp.internals.secrets import hide_secrets
from distil_nlp.recipe.run_folder import RunFolder
from distil_nlp.reports import Report
from distil_nlp.training.arguments import DistillationTrainingArguments
from tests.hub.sample import make_report

TOKEN = "hf_aBcDeFgHiJkLmNoPqRsTuVwXyZ012345678"


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        (f"distil-nlp run a.yaml --hub_token {TOKEN} --seeds 3", "distil-nlp run a.yaml --hub_token *** --seeds 3"),
        ("x --hub_token='a b' --api-key=1", "x --hub_token=*** --api-key=***"),
        ("HF_TOKEN=abc x", "HF_TOKEN=*** x"),
        ("hub_token: abc", "hub_token: ***"),
        ("https://user:secret@host/x?token=3&y=4", "https://***@host/x?token=***"),
        ("Authorization: Bearer abcdefgh1234", "Authorization: Bearer ***"),
        (f"it is {TOKEN}.", "it is ***."),
        ({"list": [f"--hub_token {TOKEN}"], "hub_token": "abc"}, {"list": ["--hub_token ***"], "hub_token": "***"}),
    ],
)
def test_a_secret_becomes_stars(text, hidden):
    assert hide_secrets(text) == hidden


@pytest.mark.parametrize(
    "text",
    [
        "--max_tokens 5",
        "models/hf_distilbert_v2",
        "pass `token=`.",
        "the token (from HF_TOKEN) may read",
        "a: b",
        3,
        None,
    ],
)
def test_what_is_no_secret_stays(text):
    assert hide_secrets(text) == text


def test_the_values_of_secret_environment_variables_are_hidden(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "ordinary-word")
    assert hide_secrets("got ordinary-word!") == "got ***!"


def test_a_report_and_a_recipe_contain_no_secret(tmp_path):
    report = Report.from_dict({**make_report(), "command": f"x --hub_token {TOKEN}"})
    assert TOKEN not in report.to_json() and "--hub_token ***" in report.to_json()
    folder, overrides = RunFolder(tmp_path), {"dataset_name": f"https://user:{TOKEN}@host/data"}
    folder.write_recipe(overrides, {})
    assert TOKEN not in (tmp_path / "recipe.yaml").read_text()
    folder.check(overrides, {})  # the same run


def test_pickled_training_arguments_have_no_token_and_copies_in_the_process_do(tmp_path):
    arguments = DistillationTrainingArguments(str(tmp_path), hub_token=TOKEN, use_cpu=True, report_to="none")
    assert TOKEN.encode() not in pickle.dumps(arguments)
    assert pickle.loads(pickle.dumps(arguments)).learning_rate == arguments.learning_rate
    assert copy.deepcopy(arguments).hub_token == copy.copy(arguments).hub_token == TOKEN
