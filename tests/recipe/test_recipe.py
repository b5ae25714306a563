"""A recipe on tiny models: its output, its errors, and that nothing computed is lost."""

import json
from functools import partial

import pytest
import yaml
from transformers import AutoTokenizer

from distil_nlp.cli import main as cli
from distil_nlp.cli.commands import main, run
from distil_nlp.recipe import parse
from distil_nlp.reports import markdown
from tests.recipe.runs import LABELS, same_students, save_model, save_rows, words
from tests.tiny import WORDS, tiny_model, tiny_tokenizer


@pytest.fixture(scope="module")
def finished(folder, tmp_path_factory, short_comparison):
    output = tmp_path_factory.mktemp("run") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(markdown, "_draw", short_comparison)
        run(words(folder, output, seeds=2, unlabeled_file=folder / "train.jsonl"))
    return output


def test_a_finished_run_writes_students_controls_and_a_report(finished):
    names = {path.name for path in finished.iterdir()}
    expected = {
        "student",
        "student-seed43",
        "control",
        "control-seed43",
        "recipe.yaml",
        "report.json",
        "report.md",
        "report.png",
    }
    assert expected <= names
    report = json.loads((finished / "report.json").read_text())
    assert [model["role"] for model in report["models"]] == ["teacher", "student", "control"]
    keys = {
        "role",
        "name",
        "metrics",
        "kept",
        "agreement",
        "parameters",
        "size_bytes",
        "latency_ms",
        "throughput_per_s",
    }
    assert all(keys <= model.keys() for model in report["models"])
    assert {"task", "metric", "differences", "environment", "command", "seeds"} <= report.keys()
    assert report["models"][1]["spread"] is not None and report["seeds"] == [42, 43]
    assert report["data"]["rows"]["unlabeled"] == 48 and "Hinton" in (finished / "student" / "README.md").read_text()


def test_the_student_of_a_run_works_in_a_pipeline(finished):
    from transformers import pipeline

    answer = pipeline("text-classification", str(finished / "student"))("a good film")
    assert answer[0]["label"] in LABELS.values()


def test_a_second_call_trains_nothing(finished, folder, monkeypatch):
    monkeypatch.setattr(
        "distil_nlp.training.trainer.DistillationTrainer.train", lambda *_, **__: pytest.fail("trained again")
    )
    run(words(folder, finished, seeds=2, unlabeled_file=folder / "train.jsonl"))


def test_a_cached_and_an_online_teacher_give_the_same_student(folder, tmp_path):
    assert same_students(run, partial(words, folder), tmp_path)


def test_a_cache_built_beforehand_serves_several_runs(folder, tmp_path, capsys, monkeypatch):
    shared = {"teacher_cache": tmp_path / "shared", "cache": "true", "control": "false"}
    cli.main(["cache", *words(folder, tmp_path / "first", **shared)])
    assert f"The teacher's outputs: {tmp_path / 'shared'}." in capsys.readouterr().out
    assert not (tmp_path / "first" / "student").exists() and (tmp_path / "shared" / "cache.json").is_file()
    monkeypatch.setattr("distil_nlp.teachers.cache.build._Build.run", lambda *_: pytest.fail("asked again"))
    for name, kd_ratio in (("first", None), ("second", 0.9)):
        run(words(folder, tmp_path / name, kd_ratio=kd_ratio, **shared))
    assert not (tmp_path / "second" / "teacher_cache").exists()
    with pytest.raises(ValueError, match="built with another preprocessing .*, another data set"):
        run(words(folder, tmp_path / "third", max_train_samples=24, **shared))
    with pytest.raises(ValueError, match="teacher_cache=.* no effect without a cache"):
        run(words(folder, tmp_path / "fourth", teacher_cache=tmp_path / "shared"))


# The preset with two stages stands for those with one, which take two runs each.
@pytest.mark.parametrize(
    "preset", ["tinybert", *(pytest.param(name, marks=pytest.mark.slow) for name in ("pkd", "minilmv2"))]
)
def test_cached_and_online_layers_give_the_same_student(preset, folder, tmp_path):
    assert same_students(run, partial(words, folder), tmp_path, preset=preset, num_layers=2)


def test_a_teacher_without_a_head_is_fine_tuned_first(folder, tmp_path):
    encoder = tiny_model(num_labels=2).bert
    encoder.save_pretrained(tmp_path / "encoder")
    tiny_tokenizer().save_pretrained(tmp_path / "encoder")
    settings = {"teacher": tmp_path / "encoder", "teacher_num_train_epochs": 1, "control": "false"}
    run(words(folder, tmp_path / "out", **settings))
    assert (tmp_path / "out" / "teacher" / "model.safetensors").is_file()
    assert json.loads((tmp_path / "out" / "teacher" / "config.json").read_text())["id2label"] == {
        "0": "bad",
        "1": "good",
    }


def test_the_student_learns_from_augmented_copies(folder, tmp_path):
    few, more = save_rows(tmp_path / "few.jsonl", 16), save_rows(tmp_path / "more.jsonl", 8, seed=2)
    settings = {"num_augmented_copies": 2, "train_file": few, "unlabeled_file": more}
    run(words(folder, tmp_path / "out", **settings))
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["data"]["learned_from"] == {"labeled": 16, "unlabeled": 8, "altered": 48}
    card = (tmp_path / "out" / "student" / "README.md").read_text()
    assert "16 with a label, 8 without one, 48 augmented copies" in card
    assert "The student started from layer 0 of the teacher." in card


def test_a_regression_runs_through(folder, tmp_path):
    save_rows(tmp_path / "scores.jsonl", 32, labels=(0.5, 1.25, 3.0))
    save_rows(tmp_path / "held.jsonl", 16, labels=(0.5, 1.25, 3.0), seed=2)
    save_model(tmp_path / "teacher", num_labels=1, problem_type="regression")
    files = {"train_file": tmp_path / "scores.jsonl", "validation_file": tmp_path / "held.jsonl"}
    run(words(folder, tmp_path / "out", teacher=tmp_path / "teacher", **files))
    assert json.loads((tmp_path / "out" / "report.json").read_text())["problem_type"] == "regression"


def test_a_trimmed_student_is_smaller_and_predicts_the_same(folder, tmp_path):
    few = save_rows(tmp_path / "few.jsonl", 48, vocabulary=WORDS[:9])
    held = save_rows(tmp_path / "held.jsonl", 24, seed=1, vocabulary=WORDS[:9])
    reports = {}
    for trim in ("true", "false"):
        files = {"train_file": few, "validation_file": held}
        run(words(folder, tmp_path / trim, trim_vocabulary=trim, **files))
        reports[trim] = json.loads((tmp_path / trim / "report.json").read_text())
    trimmed, whole = ({model["role"]: model for model in reports[trim]["models"]} for trim in ("true", "false"))
    assert trimmed["student"]["metrics"] == whole["student"]["metrics"]
    assert trimmed["control"]["metrics"] == whole["control"]["metrics"]
    assert trimmed["student"]["size_bytes"] < whole["student"]["size_bytes"]
    assert reports["true"]["vocabulary"] == {"teacher": 64, "student": 5 + 9}
    assert "cut to 14 of 64 tokens" in (tmp_path / "true" / "student" / "README.md").read_text()
    assert len(AutoTokenizer.from_pretrained(tmp_path / "true" / "student")) == 14


def refused(folder, tmp_path, *more, **changes):
    output = tmp_path / "out"
    with pytest.raises((ValueError, OSError)) as error:
        run(words(folder, output, *more, **changes))
    assert not (output / "checkpoints").exists() and not (output / "recipe.yaml").exists()
    return str(error.value)


def test_an_empty_file_is_refused(folder, tmp_path):
    (tmp_path / "empty.jsonl").write_text("")
    assert "is empty (0 bytes)" in refused(folder, tmp_path, train_file=tmp_path / "empty.jsonl")


def test_a_missing_label_column_is_refused_with_the_names_of_the_columns(folder, tmp_path):
    save_rows(tmp_path / "rows.jsonl", 8, columns=("text",))
    message = refused(folder, tmp_path, train_file=tmp_path / "rows.jsonl", validation_file=tmp_path / "rows.jsonl")
    assert "same file" in message
    save_rows(tmp_path / "other.jsonl", 8, columns=("text",))
    message = refused(folder, tmp_path, train_file=tmp_path / "rows.jsonl", validation_file=tmp_path / "other.jsonl")
    assert "label" in message and "text" in message


def test_labels_that_the_teacher_does_not_have_are_refused(folder, tmp_path):
    for name in ("train", "validation"):
        save_rows(tmp_path / f"{name}.jsonl", 16, labels=("bad", "superb"), seed=len(name))
    files = {f"{name}_file": tmp_path / f"{name}.jsonl" for name in ("train", "validation")}
    assert "does not have the label superb" in refused(folder, tmp_path, **files)


def test_a_student_of_another_vocabulary_is_refused(folder, tmp_path):
    save_model(tmp_path / "student", vocab_size=80)
    message = refused(folder, tmp_path, student=tmp_path / "student", num_layers=None)
    assert "80 rows" in message and "64" in message


def test_data_with_more_classes_than_the_teacher_is_refused(folder, tmp_path):
    for name in ("train", "validation"):
        save_rows(tmp_path / f"{name}.jsonl", 32, labels=("bad", "good", "so"), seed=len(name))
    files = {f"{name}_file": tmp_path / f"{name}.jsonl" for name in ("train", "validation")}
    assert "more classes (3" in refused(folder, tmp_path, **files)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--kd_ratio", "1.5"], "kd_ratio must lie in 0 to 1; got 1.5"),
        (["--temprature", "4"], "--temprature is not a setting; the nearest is '--temperature'"),
        (["--num_layers", "9"], "num_layers must be a whole number from 1 to 2"),
    ],
)
def test_an_invalid_setting_is_refused(flags, message, folder, tmp_path):
    assert message in refused(folder, tmp_path, *flags)


def test_a_main_metric_that_the_task_does_not_have_is_refused_before_training(folder, tmp_path):
    message = refused(folder, tmp_path, main_metric="accurcy")
    assert "got 'accurcy'; the nearest is 'accuracy'" in message


def test_a_temperature_for_a_regression_is_refused_before_training(folder, tmp_path):
    save_rows(tmp_path / "scores.jsonl", 32, labels=(0.5, 1.25, 3.0))
    save_rows(tmp_path / "held.jsonl", 16, labels=(0.5, 1.25, 3.0), seed=2)
    save_model(tmp_path / "teacher", num_labels=1, problem_type="regression")
    files = {"train_file": tmp_path / "scores.jsonl", "validation_file": tmp_path / "held.jsonl"}
    message = refused(folder, tmp_path, teacher=tmp_path / "teacher", temperature=2.0, **files)
    assert "temperature=2 would have no effect for problem_type='regression'" in message


def test_an_unknown_key_in_yaml_is_refused_with_the_nearest(tmp_path):
    (tmp_path / "bad.yaml").write_text("teacher: x\nnum_layer: 3\n")
    with pytest.raises(ValueError, match="sets 'num_layer', which is not a setting; the nearest is 'num_layers'"):
        parse([str(tmp_path / "bad.yaml")])


def test_a_folder_of_another_run_is_refused_with_the_difference(folder, finished):
    more = {"seeds": 2, "unlabeled_file": folder / "train.jsonl"}
    with pytest.raises(ValueError, match="contains another run: temperature was None and is 9.0"):
        run(words(folder, finished, temperature=9.0, **more))


def test_a_folder_with_other_files_is_refused(folder, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("x")
    assert "thesis.tex" in refused(folder, tmp_path)


def test_a_teacher_without_weights_is_refused(folder, tmp_path):
    save_model(tmp_path / "teacher")
    (tmp_path / "teacher" / "model.safetensors").unlink()
    assert "has a config.json but no weights" in refused(folder, tmp_path, teacher=tmp_path / "teacher")


def test_a_checkpoint_that_is_only_a_pickle_is_refused(folder, tmp_path):
    save_model(tmp_path / "teacher")
    (tmp_path / "teacher" / "model.safetensors").rename(tmp_path / "teacher" / "pytorch_model.bin")
    assert "only as a pickle (pytorch_model.bin)" in refused(folder, tmp_path, teacher=tmp_path / "teacher")


def test_the_command_line_shows_an_error_and_no_traceback(folder, tmp_path, capsys):
    with pytest.raises(SystemExit, match="error: A recipe needs a teacher; got teacher=None"):
        main(words(folder, tmp_path / "out", teacher=None))


def test_yaml_values_are_typed_and_flags_override_them(tmp_path):
    (tmp_path / "r.yaml").write_text(
        "teacher: t\nlearning_rate: 1e-4\ndataset_name: glue\nnum_layers: 3\nhidden_size: 8\n"
    )
    recipe, training, given = parse([str(tmp_path / "r.yaml"), "--num_layers", "2", "--hub_token", "hf_secret"])
    assert (training.learning_rate, recipe.models.num_layers, training.output_dir) == (1e-4, 2, "runs/r")
    assert "hub_token" not in given and given["learning_rate"] == 1e-4
    recipe, _, _ = parse([str(tmp_path / "r.yaml"), "--train_file", "a.csv", "--student", "2x8"])
    assert (recipe.data.dataset_name, recipe.models.num_layers, recipe.models.student) == (None, None, "2x8")
    assert recipe.models.hidden_size is None


def test_the_recipe_a_run_wrote_repeats_it(finished, folder):
    written = yaml.safe_load((finished / "recipe.yaml").read_text())
    assert parse([str(finished / "recipe.yaml")])[2] == written
