"""The recipe of sentence embeddings, from files to a model for sentence-transformers."""

import json
import random
from functools import partial

import pytest
import torch
from huggingface_hub import ModelCard

from distil_nlp.cli.commands import run, sweep
from distil_nlp.models.loading import load_model, load_tokenizer
from distil_nlp.models.sentence_encoder import SentenceEncoder
from tests.tiny import WORDS, tiny_encoder, tiny_tokenizer

from .runs import checked, same_students, words


def save_pairs(path, num_rows, *, seed):
    draw = random.Random(seed)

    def text():
        return " ".join(draw.choices(WORDS, k=draw.randint(3, 9)))

    rows = [{"sentence1": text(), "sentence2": text(), "label": round(5 * draw.random(), 1)} for _ in range(num_rows)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("embeddings")
    tiny_encoder(normalize=True, hidden_size=24).save_pretrained(folder / "teacher")
    tiny_tokenizer().save_pretrained(folder / "teacher")
    for seed, name in enumerate(("train", "validation", "test")):
        save_pairs(folder / f"{name}.jsonl", 20, seed=seed)
    (folder / "more.jsonl").write_text("".join(json.dumps({"text": f"the {word}"}) + "\n" for word in WORDS[:7]))
    return folder


def test_a_recipe_of_embeddings_writes_a_student_for_sentence_transformers(folder, tmp_path, capsys):
    output = tmp_path / "run"
    files = {"test_file": folder / "test.jsonl", "unlabeled_file": folder / "more.jsonl"}
    comparison = run(words(folder, output, task="sentence-similarity", cache="true", **files))
    assert comparison.metric == "spearmanr" and [model.role for model in comparison.models] == [
        "teacher",
        "student",
        "control",
    ]
    report = json.loads((output / "report.json").read_text())
    assert report["data"]["compared_on"] == "test" and report["data"]["learned_from"]["unlabeled"] == 4
    assert [term["name"] for term in report["objective"]] == ["embedding"]
    assert not (output / "teacher").exists()  # it has no random weights
    student, fresh = load_model(SentenceEncoder, output / "student")
    assert fresh == [] and student.config.sentence_embedding["normalize"]
    card = ModelCard.load(output / "student" / "README.md")
    assert card.data.pipeline_tag == "sentence-similarity" and card.data.library_name == "sentence-transformers"
    assert "SentenceTransformer(" in card.text and "pipeline(" not in card.text
    assert "SentenceTransformer(" in capsys.readouterr().out


# A narrower student with a trimmed vocabulary; each of the two alone takes another run.
@pytest.mark.parametrize(
    "changes",
    [
        {"num_layers": None, "student": "1x8", "trim_vocabulary": "true"},
        pytest.param({"num_layers": None, "student": "1x8"}, marks=pytest.mark.slow),
        pytest.param({"trim_vocabulary": "true"}, marks=pytest.mark.slow),
    ],
)
def test_the_student_has_the_same_embeddings_in_sentence_transformers(changes, folder, tmp_path):
    sentence_transformers = pytest.importorskip("sentence_transformers")
    output = tmp_path / "run"
    run(words(folder, output, task="sentence-similarity", control="false", **changes))
    loaded = sentence_transformers.SentenceTransformer(str(output / "student"), device="cpu")
    student, fresh = load_model(SentenceEncoder, output / "student")
    tokenizer = load_tokenizer(output / "student")
    assert fresh == []
    if "trim_vocabulary" in changes:
        assert student.config.vocab_size == len(tokenizer) < 64
    with torch.no_grad():
        embeddings = student(**tokenizer(["a good film"], return_tensors="pt")).logits
    torch.testing.assert_close(torch.tensor(loaded.encode(["a good film"])), embeddings, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"problem_type": "regression"}, "takes no such setting"),
        ({"main_metric": "accuracy"}, "spearmanr, pearson; got 'accuracy'"),
        ({"temperature": "2"}, "temperature=2 would have no effect"),
    ],
)
def test_settings_without_effect_on_embeddings_are_refused(settings, message, folder, tmp_path):
    with pytest.raises(ValueError, match=message):
        run(words(folder, tmp_path / "run", task="sentence-similarity", **settings))


@pytest.mark.slow  # two runs; the recipe of texts compares cached and online teachers in the default run
def test_a_cached_and_an_online_teacher_give_the_same_student(folder, tmp_path):
    assert same_students(run, partial(words, folder, task="sentence-similarity"), tmp_path)


SWEPT = {"task": "sentence-similarity", "control": "false"}


@pytest.mark.slow  # the recipe of masked-language modeling has a sweep by its own metric in the default run
def test_a_sweep_of_embeddings_is_decided_by_spearman(folder, tmp_path):
    report = sweep(words(folder, tmp_path / "out", sweep="{kd_ratio: [0.5, 1]}", **SWEPT))
    assert report["metric"] == "spearmanr" and len(report["trials"]) == 2


def test_a_sweep_of_embeddings_has_no_temperature(folder, tmp_path):
    with pytest.raises(ValueError, match="temperature=2 would have no effect"):
        sweep(words(folder, tmp_path / "other", sweep="{temperature: [2, 4]}", **SWEPT))


LAST_LAYER = "[{objective: [predictions: {}, hidden: {layers: last}]}]"


def test_a_cache_contains_layers_of_an_encoder_that_is_not_in_transformers(folder, tmp_path):
    context = checked(words(folder, tmp_path, task="sentence-similarity", cache="true", stages=LAST_LAYER))
    assert len(context.cache_contents["teacher"].features) == 1


@pytest.mark.slow  # two runs
def test_cached_and_online_layers_give_the_same_student(folder, tmp_path):
    assert same_students(run, partial(words, folder, task="sentence-similarity"), tmp_path, stages=LAST_LAYER)
