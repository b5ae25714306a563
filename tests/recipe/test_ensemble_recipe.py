"""A recipe with several teachers: fine-tuned or not, cached or not, with their own labels and tokenizers."""

import json

import pytest

from distil_nlp.cli.commands import run
from distil_nlp.recipe import parse
from distil_nlp.teachers import CachedTeacher, OnlineTeacher
from tests.recipe.runs import CACHE, LABELS, checked, save_model, weights, words
from tests.tiny import WORDS, tiny_model, tiny_tokenizer
from tests.training.runs import same_weights


def report_of(output):
    return json.loads((output / "report.json").read_text())


@pytest.fixture(scope="module")
def more(folder):
    """The folder of every recipe test, with further teachers."""
    save_model(folder / "second", seed=3, num_layers=1)
    save_model(folder / "reader", seed=4, vocab_size=80)
    tiny_tokenizer(words=WORDS[::-1], token_type_ids=False).save_pretrained(folder / "reader")
    tiny_model(num_labels=2, seed=5).bert.save_pretrained(folder / "encoder")
    tiny_tokenizer().save_pretrained(folder / "encoder")
    return folder


def test_two_teachers_without_heads_are_fine_tuned_with_two_seeds_and_cached_one_by_one(more, tmp_path):
    changes = {"teacher": more / "encoder", "more_teachers": more / "encoder", "cache": "true", "seeds": 2}
    run(words(more, tmp_path / "out", teacher_num_train_epochs=1, **changes))
    report = report_of(tmp_path / "out")
    together = "encoder + encoder (teacher-2)"
    assert [(model["role"], model["name"]) for model in report["models"]] == [
        ("teacher", together),
        ("member", "encoder"),
        ("member", "encoder (teacher-2)"),
        ("student", "student"),
        ("control", "control"),
    ]
    assert {"teacher", "teacher-2", "student", "student-seed43", "control"} <= report["stages"].keys()
    assert not same_weights(weights(tmp_path / "out", "teacher"), weights(tmp_path / "out", "teacher-2"))
    caches = [CachedTeacher(tmp_path / "out" / "teacher_cache" / stage) for stage in ("teacher", "teacher-2")]
    for cache, stage in zip(caches, ("teacher", "teacher-2"), strict=True):
        model = type(tiny_model()).from_pretrained(tmp_path / "out" / stage)
        assert cache.fingerprint() == OnlineTeacher(model).fingerprint()
    sizes = [model["parameters"] for model in report["models"]]
    assert sizes[0] == sizes[1] + sizes[2] and report["models"][0]["latency_ms"] is not None
    assert {line["to_name"] for line in report["differences"]} == {together, *together.split(" + "), "control"}
    card = (tmp_path / "out" / "student" / "README.md").read_text()
    assert "A student of `encoder` + `encoder`" in card


def test_the_ensemble_has_the_weights_of_the_recipe(more, tmp_path):
    context = checked(words(more, tmp_path, "--teacher_weights", "1", "3", more_teachers=more / "second"))
    assert context.teachers.combined.weights == [0.25, 0.75]


@pytest.mark.slow  # three runs; a cached member of an ensemble is tested in tests/teachers
def test_cached_and_online_teachers_give_the_same_student(more, tmp_path):
    for cache in ("true", "false"):
        changes = {"more_teachers": more / "second", "cache": cache, "control": "false"}
        run(words(more, tmp_path / cache, "--teacher_weights", "1", "3", **changes))
    cached, online = weights(tmp_path / "true"), weights(tmp_path / "false")
    assert max((cached[name] - online[name]).abs().max() for name in online) < 1e-5
    run(words(more, tmp_path / "equal", more_teachers=more / "second", control="false"))
    assert not same_weights(weights(tmp_path / "equal"), online)


@pytest.mark.parametrize("cache", CACHE)
def test_a_teacher_with_another_tokenizer_has_its_own_columns(cache, more, tmp_path):
    run(words(more, tmp_path / "out", more_teachers=more / "reader", cache=cache, control="false"))
    of_both = report_of(tmp_path / "out")["models"]
    run(words(more, tmp_path / "alone", teacher=more / "reader", cache=cache, control="false"))
    alone = report_of(tmp_path / "alone")["models"][0]
    assert of_both[2]["name"] == "reader" and of_both[2]["metrics"] == alone["metrics"]
    assert of_both[0]["latency_ms"] is not None


@pytest.mark.slow  # two runs; a recipe of tags tests the order of labels in one
def test_a_further_teacher_may_have_its_labels_in_another_order(more, tmp_path):
    model = tiny_model(num_labels=2, seed=3, num_layers=1)
    order = [1, 0]
    model.config.id2label = {new: LABELS[old] for new, old in enumerate(order)}
    model.classifier.weight.data, model.classifier.bias.data = (
        model.classifier.weight.data[order],
        model.classifier.bias.data[order],
    )
    model.save_pretrained(tmp_path / "second")
    tiny_tokenizer().save_pretrained(tmp_path / "second")
    for name, second in (("same", more / "second"), ("other", tmp_path / "second")):
        run(words(more, tmp_path / name, more_teachers=second, cache="true", control="false"))
    same, other = weights(tmp_path / "same"), weights(tmp_path / "other")
    assert max((same[name] - other[name]).abs().max() for name in same) < 1e-5
    scores = [[model["metrics"] for model in report_of(tmp_path / name)["models"][:3]] for name in ("same", "other")]
    assert scores[0] == scores[1]


def test_several_teachers_may_teach_an_assistant_that_teaches_the_student(more, tmp_path):
    changes = {"more_teachers": more / "second", "assistants": "[{num_layers: 2}]", "cache": "true"}
    run(words(more, tmp_path / "out", control="false", **changes))
    roles = [model["role"] for model in report_of(tmp_path / "out")["models"]]
    assert roles == ["teacher", "member", "member", "assistant", "student"]
    caches = {path.parent.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("cache.json")}
    assert caches == {"teacher_cache/teacher", "teacher_cache/teacher-2", "assistant_cache"}


def refused(more, tmp_path, *flags, **changes):
    with pytest.raises((ValueError, OSError)) as error:
        run(words(more, tmp_path / "out", *flags, **changes))
    assert not (tmp_path / "out" / "checkpoints").exists() and not (tmp_path / "out" / "recipe.yaml").exists()
    return str(error.value)


def test_settings_that_exclude_several_teachers_are_refused_before_training(more, tmp_path):
    two = {"teacher": more / "encoder", "more_teachers": more / "second"}
    assert "an ensemble has no layers, and a cache" in refused(more, tmp_path, preset="tinybert", **two)
    assert "one weight for each teacher; got 1 for 2" in refused(more, tmp_path, teacher_weights=1, **two)
    assert "would have no effect: there is one teacher" in refused(more, tmp_path, teacher_weights=1)
    template = {"hypothesis_template": "It is {}."}
    assert "is for a single teacher" in refused(more, tmp_path, **two, **template)
    assert "averaged over whole distributions" in refused(more, tmp_path, cache="true", cache_form="sampled", **two)
    missing = {**two, "more_teachers": tmp_path / "gone"}
    assert "There is no folder" in refused(more, tmp_path, **missing)
    reader = {**two, "more_teachers": more / "reader"}
    assert "could not read the copies" in refused(more, tmp_path, num_augmented_copies=1, **reader)
    assert "reader is to be trained (train_teacher=true)" in refused(more, tmp_path, train_teacher="true", **reader)
    save_model(more / "third", num_labels=3)
    assert "third, a teacher of the ensemble: " in refused(
        more, tmp_path, teacher=more / "teacher", more_teachers=more / "third"
    )


def test_different_tokenizers_are_refused_for_tasks_that_compare_token_by_token(more, tmp_path):
    for name in ("train", "validation"):
        path = tmp_path / f"{name}.jsonl"
        rows = [{"tokens": WORDS[place : place + 3], "tags": ["O", "B-X", "O"]} for place in range(16)]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    files = {f"{name}_file": tmp_path / f"{name}.jsonl" for name in ("train", "validation")}
    teachers = {"teacher": more / "encoder", "more_teachers": more / "reader"}
    message = refused(more, tmp_path, task="token-classification", **teachers, **files)
    assert "for token-classification models are compared token by token" in message


def test_yaml_and_the_command_line_take_one_further_teacher_or_several(tmp_path):
    (tmp_path / "one.yaml").write_text("teacher: a\nmore_teachers: b\n")
    (tmp_path / "two.yaml").write_text("teacher: a\nmore_teachers: [b, c]\nteacher_weights: [1, 2, 0.5]\n")
    assert parse([str(tmp_path / "one.yaml")])[0].models.more_teachers == ["b"]
    recipe = parse([str(tmp_path / "two.yaml")])[0]
    assert (recipe.models.more_teachers, recipe.models.teacher_weights) == (["b", "c"], [1, 2, 0.5])
    assert parse(["--teacher", "a", "--more_teachers", "b", "c"])[0].models.more_teachers == ["b", "c"]
