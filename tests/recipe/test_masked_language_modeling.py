"""The recipe of masked-language modeling on a tiny teacher: its output and its errors."""

import json
from functools import partial

import pytest

from distil_nlp.cli.commands import build_cache, run, sweep
from tests.recipe.runs import same_students, save_model, save_rows, words


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("masked")
    save_model(folder / "teacher", task="mlm")
    save_rows(folder / "train.jsonl", 120)
    save_rows(folder / "validation.jsonl", 60, seed=1)
    return folder


def flags(folder, output, *more, **changes):
    return words(folder, output, *more, **{"task": "fill-mask", "max_length": 24, **changes})


def test_the_preset_distilbert_has_three_losses_and_is_compared_by_perplexity(texts, tmp_path):
    run(flags(texts, tmp_path, preset="distilbert", num_mask_copies=2, logging_steps=1))
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["metric"] == "perplexity" and report["task"] == "fill-mask"
    assert [(term["name"], term["weight"]) for term in report["objective"]] == [
        ("soft", 5),
        ("hard", 2),
        ("hidden", 1),
    ]
    assert [model["role"] for model in report["models"]] == ["teacher", "student", "control"]
    assert all(1 < model["metrics"]["perplexity"] for model in report["models"])
    assert report["stages"]["student"]["steps"] == report["stages"]["control"]["steps"]
    assert report["data"]["labeled_train_rows"] == 2 * (report["data"]["labeled_train_rows"] // 2)
    card = (tmp_path / "student" / "README.md").read_text()
    assert "fill-mask" in card and "[MASK]" in card

    from transformers import pipeline

    assert pipeline("fill-mask", str(tmp_path / "student"))("a good [MASK]")[0]["score"] > 0


def test_two_teachers_have_a_lower_perplexity_together(texts, tmp_path):
    save_model(tmp_path / "second", task="mlm", seed=3)
    changes = {"more_teachers": tmp_path / "second", "num_mask_copies": 1, "cache": "true", "control": "false"}
    run(flags(texts, tmp_path / "out", **changes))
    models = json.loads((tmp_path / "out" / "report.json").read_text())["models"]
    together, *alone = (model["metrics"]["perplexity"] for model in models[:3])
    assert together < max(alone)  # of a mean of probabilities the logarithm is never below the mean of the logarithms


def test_a_teacher_without_a_trained_head_is_trained_first(texts, tmp_path):
    save_model(tmp_path / "encoder")
    settings = {"teacher": tmp_path / "encoder", "teacher_num_train_epochs": 0.1, "max_steps": 2}
    run(flags(texts, tmp_path / "out", control="false", **settings))
    assert (tmp_path / "out" / "teacher" / "model.safetensors").is_file()


def test_training_rows_are_masked_four_times_by_default_and_others_once(texts, tmp_path):
    from distil_nlp.recipe import parse
    from distil_nlp.recipe.data import RecipeData
    from tests.tiny import tiny_tokenizer

    num_rows = {}
    for copies in (None, 1):
        recipe, *_ = parse(flags(texts, tmp_path, num_mask_copies=copies))
        data = RecipeData(recipe)
        data.processor = tiny_tokenizer()
        data.prepare()
        num_rows[copies] = [len(data.prepared[split]) for split in ("train", "validation")]
    assert num_rows[None] == [4 * num_rows[1][0], num_rows[1][1]]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_augmented_copies": 1}, "result is not an example of fill-mask"),
        (
            {"label_column": "label"},
            "label_column='label' would have no effect: the task fill-mask takes no such setting",
        ),
        ({"tfidf_control": "true"}, "tfidf_control fits a logistic regression to single classes of whole texts"),
        ({"main_metric": "f1"}, "The main metric must be one that this task has: perplexity, accuracy"),
        ({"mask_probability": "2"}, "mask_probability must be greater than 0 and below 1; got 2.0"),
    ],
)
def test_settings_without_effect_on_the_task_are_refused_before_training(
    changes, message, texts, tmp_path, monkeypatch
):
    monkeypatch.setattr(
        "distil_nlp.training.trainer.DistillationTrainer.train", lambda *_, **__: pytest.fail("trained")
    )
    with pytest.raises(ValueError, match=message):
        run(flags(texts, tmp_path, **changes))


def test_settings_of_masking_are_refused_by_other_tasks(folder, tmp_path):
    with pytest.raises(ValueError, match="mask_probability=0.2 would have no effect: the task text-classification"):
        run(words(folder, tmp_path, mask_probability=0.2))


def test_the_augmentation_model_makes_the_copies_of_a_classifiers_texts(folder, tmp_path):
    save_model(tmp_path / "words", task="mlm")
    run(
        words(folder, tmp_path / "out", num_augmented_copies=2, augmentation_model=tmp_path / "words", control="false")
    )
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["data"]["learned_from"] == {"labeled": 48, "unlabeled": 0, "altered": 96}


def test_an_augmentation_model_without_copies_is_refused(folder, tmp_path):
    with pytest.raises(ValueError, match="would have no effect: it makes the copies that num_augmented_copies counts"):
        run(words(folder, tmp_path, augmentation_model="google-bert/bert-base-uncased"))


SPARSE = {
    None: {"kind": "sampled", "vocabulary": 64, "num_draws": 40, "temperature": 1.0},
    "top_k": {"kind": "top_k", "vocabulary": 64, "k": 40, "temperature": 1.0},
}


@pytest.mark.parametrize("form", SPARSE)
def test_a_cache_contains_some_tokens_of_each_masked_word_by_default(form, texts, tmp_path):
    changes = {"cache_form": form, "num_cached_targets": 40, "num_mask_copies": 1}
    build_cache(flags(texts, tmp_path, kd_ratio=1, temperature=1, **changes))
    assert json.loads((tmp_path / "teacher_cache" / "cache.json").read_text())["kept"] == SPARSE[form]


@pytest.mark.slow  # three runs of four epochs
def test_students_of_sampled_and_whole_distributions_have_nearly_the_same_perplexity(texts, tmp_path):
    for form, number in ((None, 40), ("top_k", 20), ("float32", None)):
        changes = {"cache": "true", "control": "false", "cache_form": form, "num_cached_targets": number}
        run(flags(texts, tmp_path / str(form), kd_ratio=1, temperature=1, num_train_epochs=4, **changes))
    perplexity = {
        form: json.loads((tmp_path / form / "report.json").read_text())["models"][1]["metrics"]["perplexity"]
        for form in ("None", "top_k", "float32")
    }
    assert perplexity["None"] == pytest.approx(perplexity["float32"], rel=0.02)


def test_a_sparse_cache_refuses_stages_with_different_temperatures(texts, tmp_path):
    with pytest.raises(ValueError, match=r"at one temperature; the stages soften at \[2.0, 4.0\]"):
        stages = "[{objective: [soft: {temperature: 2}]}, {objective: [soft: {temperature: 4}]}]"
        run(flags(texts, tmp_path / "stages", cache="true", stages=stages))


@pytest.mark.slow  # two runs; the recipe of texts compares cached and online teachers in the default run
def test_a_cached_and_an_online_teacher_give_the_same_student(texts, tmp_path):
    assert same_students(run, partial(flags, texts), tmp_path, cache_form="float32", preset="distilbert")


def test_a_sweep_prefers_the_lowest_perplexity_and_caches_only_on_request(texts, tmp_path):
    more = {"sweep": "{learning_rate: [1e-5, 1e-2]}", "control": "false", "num_mask_copies": 1}
    report = sweep(flags(texts, tmp_path / "out", **more))
    values = [trial["value"] for trial in report["trials"]]
    assert report["metric"] == "perplexity" and values[report["best"] - 1] == min(values) < max(values)
    assert not (tmp_path / "out" / "teacher_cache").exists()
    rows = [line for line in (tmp_path / "out" / "sweep.md").read_text().splitlines() if line.startswith("| ")]
    assert rows[2].startswith(f"| {report['best']} |")


SAMPLED = {"control": "false", "num_mask_copies": 1, "cache": "true"}


@pytest.mark.slow  # a sweep; its cache is built like that of a run
def test_a_sweep_reads_a_sampled_cache_of_one_temperature(texts, tmp_path):
    report = sweep(flags(texts, tmp_path / "out", sweep="{learning_rate: [1e-4, 1e-2]}", **SAMPLED))
    assert len(report["trials"]) == 2 and (tmp_path / "out" / "teacher_cache" / "cache.json").is_file()


def test_a_sweep_of_temperatures_is_refused_with_a_sampled_cache(texts, tmp_path):
    with pytest.raises(ValueError, match=r"at one temperature; the stages soften at \[1.0, 4.0\]"):
        sweep(flags(texts, tmp_path / "two", sweep="{temperature: [1, 4]}", **SAMPLED))
    assert not (tmp_path / "two").exists()
