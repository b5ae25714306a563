"""Recipes without training labels."""

import json

import pytest

from distil_nlp.cli.commands import run
from tests.recipe.runs import save_rows, words
from tests.teachers.test_zero_shot import TEMPLATE, nli_model
from tests.tiny import tiny_tokenizer


def test_a_recipe_without_labels_teaches_a_plain_classifier(folder, tmp_path):
    nli_model().save_pretrained(tmp_path / "nli")
    tiny_tokenizer().save_pretrained(tmp_path / "nli")
    save_rows(tmp_path / "pool.jsonl", 40, columns=("text",))
    settings = {
        "teacher": tmp_path / "nli",
        "train_file": None,
        "unlabeled_file": tmp_path / "pool.jsonl",
        "hypothesis_template": TEMPLATE,
        "cache": "true",
        "control": "false",
    }
    run(words(folder, tmp_path / "out", **settings))
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert [model["role"] for model in report["models"]] == ["teacher", "student"]
    assert report["data"]["learned_from"] == {"labeled": 0, "unlabeled": 40, "altered": 0}
    assert [term["name"] for term in report["objective"]] == ["soft"]
    config = json.loads((tmp_path / "out" / "student" / "config.json").read_text())
    assert config["id2label"] == {"0": "bad", "1": "good"}
    with pytest.raises(ValueError, match="None of the 40 rows to learn from has a label"):
        run(words(folder, tmp_path / "other", **{**settings, "control": "true"}))
    with pytest.raises(ValueError, match="is to be trained first. Take an NLI model"):
        run(words(folder, tmp_path / "other", **{**settings, "train_teacher": "true"}))


def test_a_recipe_without_training_rows_is_refused(folder, tmp_path):
    with pytest.raises(ValueError, match="neither a train split nor an unlabeled one"):
        run(words(folder, tmp_path / "out", train_file=None))
