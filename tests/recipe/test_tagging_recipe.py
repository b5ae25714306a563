"""Token classification from a recipe: names tagged by a tiny teacher, augmented copies, a student in a pipeline."""

import json
import random
from functools import partial

import pytest
from transformers import pipeline

from distil_nlp.cli.commands import run, sweep
from tests.recipe.runs import same_students, save_model, words
from tests.tiny import WORDS, tiny_model, tiny_tokenizer

NAMES = ["O", "B-X", "I-X"]


def save_rows(path, num_rows, seed=0):
    draw = random.Random(seed)
    lines = []
    for _ in range(num_rows):
        tokens = draw.choices(WORDS, k=draw.randint(3, 9))
        lines.append({"tokens": tokens, "ner_tags": draw.choices(NAMES, k=len(tokens))})
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tagging")
    model = tiny_model(task="token", num_labels=3)
    # Another order than the data's, whose names are sorted: B-X, I-X, O.
    model.config.id2label = dict(enumerate(NAMES))
    model.config.label2id = {name: index for index, name in enumerate(NAMES)}
    model.save_pretrained(folder / "teacher")
    tiny_tokenizer().save_pretrained(folder / "teacher")
    save_rows(folder / "train.jsonl", 48)
    save_rows(folder / "validation.jsonl", 24, seed=1)
    (folder / "more.jsonl").write_text(json.dumps({"tokens": ["a", "good", "film"]}) + "\n")
    return folder


def tagging(folder, output, **changes):
    return words(folder, output, "--task", "token-classification", **changes)


def test_two_cached_teachers_may_have_their_tags_in_different_orders(folder, tmp_path):
    model = tiny_model(task="token", num_labels=3)
    order = [2, 0, 1]
    model.config.id2label = {new: NAMES[old] for new, old in enumerate(order)}
    model.config.label2id = {name: index for index, name in model.config.id2label.items()}
    model.classifier.weight.data = model.classifier.weight.data[order]
    model.classifier.bias.data = model.classifier.bias.data[order]
    model.save_pretrained(tmp_path / "second")
    tiny_tokenizer().save_pretrained(tmp_path / "second")
    run(tagging(folder, tmp_path / "out", more_teachers=tmp_path / "second", cache="true", control="false"))
    models = json.loads((tmp_path / "out" / "report.json").read_text())["models"]
    assert models[0]["metrics"] == models[1]["metrics"] == models[2]["metrics"]
    assert models[1]["agreement"] == models[2]["agreement"] == 1.0


@pytest.fixture(scope="module")
def finished(folder, tmp_path_factory):
    output = tmp_path_factory.mktemp("run") / "out"
    run(
        tagging(folder, output, num_augmented_copies=1, unlabeled_file=folder / "more.jsonl", soft_pieces="all"),
    )
    return output


def test_models_are_compared_by_entities_and_have_the_teachers_order_of_tags(finished):
    report = json.loads((finished / "report.json").read_text())
    assert report["metric"] == "f1" and report["task"] == "token-classification"
    assert report["models"][0]["metrics"].keys() == {"f1", "precision", "recall", "accuracy"}
    assert report["data"]["learned_from"] == {"labeled": 48, "unlabeled": 1, "altered": 49}
    config = json.loads((finished / "student" / "config.json").read_text())
    assert [config["id2label"][str(index)] for index in range(3)] == NAMES
    card = (finished / "student" / "README.md").read_text()
    assert "pipeline_tag: token-classification" in card and "AutoModelForTokenClassification" in card
    assert 'aggregation_strategy="first"' in card


def test_the_student_of_a_run_works_in_a_pipeline(finished):
    student = pipeline("token-classification", str(finished / "student"), aggregation_strategy="first")
    answer = student("a good film")
    assert all(entity["entity_group"] == "X" for entity in answer)
    assert len(pipeline("token-classification", str(finished / "student"), ignore_labels=[])("a good film")) == 3


def test_an_encoder_without_a_head_is_fine_tuned_first(folder, tmp_path):
    tiny_model(num_labels=2).bert.save_pretrained(tmp_path / "encoder")
    tiny_tokenizer().save_pretrained(tmp_path / "encoder")
    settings = {"teacher": tmp_path / "encoder", "teacher_num_train_epochs": 1, "control": "false"}
    run(tagging(folder, tmp_path / "out", **settings))
    config = json.loads((tmp_path / "out" / "teacher" / "config.json").read_text())
    assert config["architectures"] == ["BertForTokenClassification"]
    assert set(config["id2label"].values()) == set(NAMES)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tfidf_control": "true"}, "the task is token-classification"),
        ({"problem_type": "regression"}, "problem_type='regression' would have no effect"),
        ({"main_metric": "recal"}, "must be one that .*the nearest is 'recall'"),
        ({"soft_pieces": "last"}, "soft_pieces must be one of first, all; got 'last'"),
    ],
)
def test_an_invalid_setting_is_refused_before_training(folder, tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        run(tagging(folder, tmp_path / "out", **changes))


def test_a_tag_that_the_teacher_does_not_have_is_refused(folder, tmp_path):
    model = tiny_model(task="token", num_labels=3)
    model.config.id2label, model.config.label2id = {0: "O", 1: "B-X", 2: "B-Y"}, {"O": 0, "B-X": 1, "B-Y": 2}
    model.save_pretrained(tmp_path / "teacher")
    tiny_tokenizer().save_pretrained(tmp_path / "teacher")
    with pytest.raises(ValueError, match="does not have the label I-X"):
        run(tagging(folder, tmp_path / "out", teacher=tmp_path / "teacher"))


def test_soft_pieces_are_refused_for_text_classification(folder, tmp_path):
    save_model(tmp_path / "teacher")
    rows = "".join(json.dumps({"text": "a film", "label": label}) + "\n" for label in ("bad", "good"))
    (tmp_path / "a.jsonl").write_text(rows)
    (tmp_path / "b.jsonl").write_text(rows)
    files = {"train_file": tmp_path / "a.jsonl", "validation_file": tmp_path / "b.jsonl"}
    with pytest.raises(ValueError, match="soft_pieces='all' would have no effect: the task text-classification"):
        run(words(folder, tmp_path / "out", teacher=tmp_path / "teacher", soft_pieces="all", **files))


def test_augmented_copies_are_refused_for_tasks_that_do_not_support_them(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("distil_nlp.tasks.TokenClassification.supports_augmentation", False)
    with pytest.raises(ValueError, match="num_augmented_copies=2 joins texts.*not an example of token-classification"):
        run(tagging(folder, tmp_path / "out", num_augmented_copies=2))


@pytest.mark.slow  # two runs; the recipe of texts compares cached and online teachers in the default run
def test_a_cached_and_an_online_teacher_give_the_same_student(folder, tmp_path):
    assert same_students(run, partial(tagging, folder), tmp_path, soft_pieces="all", num_augmented_copies=1)


@pytest.mark.slow  # the recipe of masked-language modeling has a sweep by its own metric in the default run
def test_a_sweep_is_decided_by_entities_with_a_cached_teacher(folder, tmp_path):
    report = sweep(tagging(folder, tmp_path / "out", sweep="{kd_ratio: [0.5, 1]}", control="false"))
    assert report["metric"] == "f1" and len(report["trials"]) == 2
    assert (tmp_path / "out" / "teacher_cache" / "cache.json").is_file()
