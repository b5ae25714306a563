"""What docs/hub.md and a recipe promise, done as written."""

import csv

import pytest
from huggingface_hub import ModelCard

from distil_nlp.internals.files import write_json
from tests.hub.conftest import ROOT
from tests.hub.sample import TERMS, make_report, save_student
from tests.tiny import tiny_model, tiny_tokenizer


def test_the_example_of_the_docs_runs_as_written_and_loads_the_student_back(hub, tmp_path):
    save_student(tmp_path / "runs" / "sst2" / "student")
    write_json(tmp_path / "runs" / "sst2" / "report.json", {**make_report(), "objective": TERMS})
    page = (ROOT / "docs" / "hub.md").read_text(encoding="utf-8")
    (tmp_path / "example.py").write_text(page.split("```python\n")[1].split("```")[0], encoding="utf-8")
    printed = hub.python("example.py", cwd=tmp_path)
    assert f"{hub.state.url}/ada/sst2-small" in printed and "'score'" in printed
    card = ModelCard(hub.state.files("ada/sst2-small")["README.md"].decode())
    assert card.data.license == "apache-2.0" and card.data.base_model == "textattack/bert-base-uncased-SST-2"


@pytest.mark.slow  # three trainings and a comparison, in a process of their own
def test_a_recipe_with_push_to_hub_leaves_student_and_card_on_the_hub_and_nothing_of_the_machine(hub, tmp_path):
    tiny_model(num_labels=2).save_pretrained(tmp_path / "teacher")
    tiny_tokenizer().save_pretrained(tmp_path / "teacher")
    for name in ("train", "validation"):
        with open(tmp_path / f"{name}.csv", "w", newline="") as file:
            rows = [("great fine film", 1), ("poor boring plot", 0), ("very good movie", 1), ("a bad story", 0)]
            csv.writer(file).writerows([("text", "label"), *rows * 8])
    hub.python(
        "recipes/text_classification.py", "--teacher", tmp_path / "teacher", "--train_file", tmp_path / "train.csv",
        "--validation_file", tmp_path / "validation.csv", "--num_layers", 1, "--max_steps", 4, "--use_cpu", "true",
        "--output_dir", tmp_path / "run", "--push_to_hub", "true", "--hub_model_id", "tester/from-recipe",
    )  # fmt: skip
    files = hub.state.files("tester/from-recipe")
    assert set(files) - {".gitattributes"} == {
        "README.md", "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"
    }  # fmt: skip
    card = files["README.md"].decode()
    assert str(tmp_path) not in card and tmp_path.name not in card
    assert "Hinton et al. 2015" in card and "| student |" in card and "| control |" in card
