"""A sweep: each trial equals a run with its settings, the teacher is evaluated once, finished work is not repeated."""

import json
import random
import shutil
import signal
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from distil_nlp.cli.commands import main, run, sweep
from distil_nlp.recipe import SweepArguments, new_context, parse, prepare
from distil_nlp.recipe import cache as recipe_cache
from distil_nlp.sweeps import report as sweep_report
from distil_nlp.sweeps.sweep import Sweep
from distil_nlp.teachers import OnlineTeacher
from distil_nlp.training.trainer import DistillationTrainer
from tests.recipe.runs import save_model, save_rows, weights, words
from tests.tiny import tiny_model, tiny_tokenizer
from tests.training.runs import same_weights

FAST = {"learning_rate": 1e-2, "per_device_train_batch_size": 8}
OF_THE_USER = {"notes.txt": "mine", "my-runs/weights.bin": "mine", "1/plot.svg": "mine"}
BLEND = "{temperature: [1, 8], kd_ratio: [0.3, 1.0]}"
FIRST_HALF = "{temperature: [1], kd_ratio: [0.3, 1.0]}"


def swept(folder, output, space=BLEND, **changes):
    return words(folder, output, **{**FAST, "sweep": space, **changes})


def refused(arguments):
    main(arguments, action=sweep)


def best_of(output):
    """The folder of the best trial, where its recipe runs."""
    return Path(yaml.safe_load((output / "best.yaml").read_text())["output_dir"])


def left_by(output):
    return json.loads((output / "sweep.json").read_text())


def figures(report):
    return [(one["settings"], one["value"]) for one in report["trials"]]


@pytest.fixture(scope="module")
def finished(folder, tmp_path_factory, no_plots):
    """A sweep over BLEND: its folder, a copy of every student, and the calls of the teacher."""
    output, kept = tmp_path_factory.mktemp("sweep") / "out", tmp_path_factory.mktemp("students")
    calls = {"caches": 0, "rows": []}
    with pytest.MonkeyPatch.context() as patch:
        clear, ask, cached_teachers = Sweep._clear, OnlineTeacher.__call__, recipe_cache.cached_teachers

        def copied(self, *numbers):
            shutil.copytree(self.context.folder.path / "trials", kept, dirs_exist_ok=True)
            for name, text in OF_THE_USER.items():
                (self.context.folder.path / "trials" / name).parent.mkdir(exist_ok=True)
                (self.context.folder.path / "trials" / name).write_text(text)
            clear(self, *numbers)

        def counted(*args, **kwargs):
            calls["caches"] += 1
            return cached_teachers(*args, **kwargs)

        def recorded(self, batch):
            calls["rows"].append(len(batch["input_ids"]))
            return ask(self, batch)

        patch.setattr(sweep_report, "_draw", no_plots)
        patch.setattr(Sweep, "_clear", copied)
        patch.setattr(recipe_cache, "cached_teachers", counted)
        patch.setattr(OnlineTeacher, "__call__", recorded)
        sweep(swept(folder, output))
    return output, kept, calls


def test_a_sweep_of_lists_tries_every_combination_once(finished):
    report = left_by(finished[0])
    tried = [tuple(one["settings"].values()) for one in report["trials"]]
    assert tried == [(1, 0.3), (1, 1.0), (8, 0.3), (8, 1.0)]
    assert all(one["steps"] == 6 and one["seconds"] > 0 for one in report["trials"])


def test_the_teacher_is_evaluated_once_for_all_trials(finished):
    _, _, calls = finished
    assert calls["caches"] == 1
    assert [rows for rows in calls["rows"] if rows > 16] == [48]  # the checks before it use smaller batches


def test_every_trial_is_bit_identical_to_a_run_with_its_settings(finished, folder, tmp_path):
    output, kept, _ = finished
    for trial in left_by(output)["trials"][::3]:
        alone = tmp_path / str(trial["number"])
        run(words(folder, alone, control="false", cache="true", **FAST, **trial["settings"]))
        assert same_weights(weights(kept / str(trial["number"])), weights(alone))
        models = json.loads((alone / "report.json").read_text())["models"]
        assert models[1]["metrics"] == trial["metrics"] and models[1]["parameters"] == trial["parameters"]
    assert not same_weights(weights(kept / "1"), weights(kept / "3"))


def test_a_sweep_writes_a_table_sorted_by_the_metric_and_a_plot(finished):
    output, _, _ = finished
    report, page = left_by(output), (output / "sweep.md").read_text()
    rows = [line.split(" | ") for line in page.splitlines() if line.startswith("| ")][2:]
    values = [float(row[3]) for row in rows[:4]]
    assert values == sorted(values, reverse=True) and rows[0][0] == f"| {report['best']}"
    assert [row[0] for row in rows[4:]] == ["| control", "| teacher"]
    assert (output / "sweep.png").read_bytes().startswith(b"\x89PNG")
    assert "chosen on these examples" in page and "so it flatters" in page
    assert [path.parent.name for path in (output / "trials").glob("*/student")] == [str(report["best"])]


def test_a_sweep_deletes_no_file_of_the_user(finished):
    for name, text in OF_THE_USER.items():
        assert (finished[0] / "trials" / name).read_text() == text


def test_the_run_of_the_best_finds_student_and_control_and_trains_nothing(finished, monkeypatch):
    output, kept, _ = finished
    report = left_by(output)
    assert report["next_command"] == f"distil-nlp run {output / 'best.yaml'}"
    monkeypatch.setattr(DistillationTrainer, "train", lambda *_, **__: pytest.fail("trained again"))
    run([str(output / "best.yaml")])
    models = {model["role"]: model for model in json.loads((best_of(output) / "report.json").read_text())["models"]}
    assert same_weights(weights(best_of(output)), weights(kept / str(report["best"])))
    assert models["control"]["metrics"] == report["control"]["metrics"]
    assert models["teacher"]["metrics"] == report["teacher"]["metrics"]


def test_a_finished_sweep_trains_nothing_again(finished, folder, tmp_path, monkeypatch):
    output = tmp_path / "out"
    shutil.copytree(finished[0], output, symlinks=True)
    monkeypatch.setattr(DistillationTrainer, "train", lambda *_, **__: pytest.fail("trained again"))
    assert figures(sweep(swept(folder, output))) == figures(left_by(finished[0]))


def test_a_sweep_with_a_higher_number_of_trials_continues(finished, folder, tmp_path):
    some = sweep(swept(folder, tmp_path / "out", FIRST_HALF, control="false", num_trials=1))
    more = sweep(swept(folder, tmp_path / "out", FIRST_HALF, control="false", num_trials=2))
    assert figures(more)[:1] == figures(some)
    assert sorted(map(str, figures(more))) == sorted(map(str, figures(left_by(finished[0]))[:2]))


def test_a_sweep_that_fails_in_a_trial_continues_there(finished, folder, tmp_path, monkeypatch):
    trained, train = [], DistillationTrainer.train

    def fails_in_the_second(self, **settings):
        trained.append(self.args.output_dir)
        if len(trained) == 2:
            raise RuntimeError("out of memory")
        return train(self, **settings)

    monkeypatch.setattr(DistillationTrainer, "train", fails_in_the_second)
    arguments = swept(folder, tmp_path / "out", FIRST_HALF, control="false")
    with pytest.raises(RuntimeError, match="out of memory"):
        sweep(arguments)
    assert not (tmp_path / "out" / "sweep.json").exists()
    assert figures(sweep(arguments)) == figures(left_by(finished[0]))[:2]
    assert len(trained) == 2 + 1
    best = best_of(tmp_path / "out")
    assert same_weights(weights(best), weights(finished[1] / best.name))


SLOWED = """
import sys, time
from distil_nlp.training.trainer import DistillationTrainer
step = DistillationTrainer.training_step
DistillationTrainer.training_step = lambda *a, **k: (time.sleep(0.05), step(*a, **k))[1]
from distil_nlp.cli.commands import main, sweep
main(sys.argv[1:], action=sweep)
"""
RANGES = "{kd_ratio: {low: 0.1, high: 1.0}, learning_rate: {low: 1e-4, high: 1e-1, log: true}}"


@pytest.mark.slow  # two sweeps and a process of its own; a sweep that fails in a trial is tested above
def test_a_sweep_killed_in_a_trial_ends_with_the_trials_of_an_uninterrupted_sweep(folder, tmp_path, forks):
    more = {"num_trials": 3, "control": "false"}
    whole = sweep(swept(folder, tmp_path / "whole", RANGES, **more))
    arguments = swept(folder, tmp_path / "killed", RANGES, **more)
    process = forks.start("-c", SLOWED, *arguments, cwd=tmp_path)
    while process.poll() is None and not (tmp_path / "killed" / "trials" / "2" / "checkpoints").is_dir():
        time.sleep(0.01)
    time.sleep(random.Random(0).random() / 10)
    assert process.poll() is None, "the sweep ended before it was killed"
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "killed" / "sweep.json").exists()
    assert figures(sweep(arguments)) == figures(whole)
    assert same_weights(weights(best_of(tmp_path / "killed")), weights(best_of(tmp_path / "whole")))


def test_presets_of_several_stages_train_all_their_stages_and_have_no_temperature(folder, tmp_path):
    space = "{preset: [logits, tinybert], temperature: [2]}"
    report = sweep(swept(folder, tmp_path / "out", space, kd_ratio=0.4, cache="true"))
    settings = [trial["settings"] for trial in report["trials"]]
    assert settings == [{"preset": "logits", "temperature": 2}, {"preset": "tinybert"}]
    assert {trial["steps"] for trial in report["trials"]} == {6} == {report["control"]["steps"]}
    run(words(folder, tmp_path / "alone", preset="tinybert", cache="true", control="false", **FAST))
    models = json.loads((tmp_path / "alone" / "report.json").read_text())["models"]
    assert models[1]["metrics"] == report["trials"][1]["metrics"]
    best = yaml.safe_load((tmp_path / "out" / "best.yaml").read_text())
    assert ("kd_ratio" in best) == (best["preset"] == "logits")


LAYERS = "{preset: [logits, distilbert, minilmv2]}"


def test_a_folder_of_the_user_with_the_number_of_a_trial_is_refused_before_the_first_trial(tmp_path):
    (tmp_path / "trials" / "2").mkdir(parents=True)
    unopened = Sweep.__new__(Sweep)
    unopened.context = SimpleNamespace(folder=SimpleNamespace(path=tmp_path))
    unopened._check_folders([1, 2])
    (tmp_path / "trials" / "2" / "thesis.txt").touch()
    with pytest.raises(ValueError, match="2 is not a trial of this sweep.*Move it elsewhere"):
        unopened._check_folders([1, 2])


@pytest.mark.parametrize(("cache", "num_features"), [("true", 4), ("false", 0)])
def test_layers_are_cached_only_if_the_recipe_asks_for_a_cache(cache, num_features, folder, tmp_path):
    arguments = swept(folder, tmp_path / "out", LAYERS, cache=cache, num_layers=2)
    recipe, training, space, overrides = parse(arguments, SweepArguments)
    context = new_context(recipe, training, overrides, command="")
    of_sweep = Sweep(context, space)
    prepare(context, check=of_sweep.check)
    assert len(context.cache_contents["teacher"].features) == num_features
    for preset in ("logits", "distilbert", "minilmv2"):
        trial = of_sweep.trial_context({"preset": preset}, tmp_path / preset, context.teachers)
        assert trial.recipe.caching.cache == (cache == "true" or preset == "logits")


@pytest.mark.slow  # three presets, a run with two seeds and one alone; what is cached is tested above
@pytest.mark.parametrize(("cache", "num_features"), [("true", 4), ("false", 0)])
def test_the_best_trial_with_or_without_cached_layers_equals_its_run(cache, num_features, folder, tmp_path):
    output, alone = tmp_path / "out", tmp_path / "alone"
    report = sweep(swept(folder, output, LAYERS, cache=cache, seeds=2, num_layers=2, control="false"))
    header = json.loads((output / "teacher_cache" / "cache.json").read_text())
    assert len(header["features"]) == num_features
    winner = yaml.safe_load((output / "best.yaml").read_text())
    assert winner.get("cache", False) == (cache == "true" or winner["preset"] == "logits")
    run([str(output / "best.yaml"), "--output_dir", str(alone), "--seeds", "1"])
    assert same_weights(weights(best_of(output)), weights(alone))
    run([str(output / "best.yaml")])  # its other seed needs the teacher again
    models = json.loads((best_of(output) / "report.json").read_text())["models"]
    assert models[1]["per_seed"] and len(report["trials"]) == 3


def test_the_validation_set_decides_and_the_test_set_is_for_the_comparison_of_the_best(finished, folder, tmp_path):
    save_rows(tmp_path / "test.jsonl", 20, seed=9)
    output = tmp_path / "out"
    report = sweep(swept(folder, output, FIRST_HALF, test_file=tmp_path / "test.jsonl", control="false"))
    assert figures(report) == figures(left_by(finished[0]))[:2] and report["num_examples"] == 24
    run([str(output / "best.yaml")])
    assert json.loads((best_of(output) / "report.json").read_text())["data"]["compared_on"] == "test"


def test_a_teacher_is_fine_tuned_once_for_all_trials_and_the_run_of_the_best(folder, tmp_path, monkeypatch):
    tiny_model(num_labels=2).bert.save_pretrained(tmp_path / "encoder")
    tiny_tokenizer().save_pretrained(tmp_path / "encoder")
    output = tmp_path / "out"
    more = {"teacher": tmp_path / "encoder", "teacher_num_train_epochs": 1, "control": "false"}
    sweep(swept(folder, output, "{kd_ratio: [0.5, 1]}", **more))
    monkeypatch.setattr(DistillationTrainer, "train", lambda *_, **__: pytest.fail("trained again"))
    run([str(output / "best.yaml")])
    assert same_weights(weights(output, "teacher"), weights(best_of(output), "teacher"))


def test_the_report_of_an_earlier_best_trial_is_kept_when_a_better_one_follows(folder, tmp_path, monkeypatch):
    output, more = tmp_path / "out", {"control": "false", "learning_rate": 1e-2}
    sweep(swept(folder, output, "{kd_ratio: {low: 0.1, high: 1}}", num_trials=1, **more))
    earlier = best_of(output)
    run([str(output / "best.yaml")])
    monkeypatch.setattr("distil_nlp.sweeps.trials.Trials.best", lambda self, results: len(results) - 1)
    sweep(swept(folder, output, "{kd_ratio: {low: 0.1, high: 1}}", num_trials=3, **more))
    assert (earlier / "report.json").is_file() and best_of(output).name == "3"
    assert {path.name for path in (output / "trials").iterdir()} == {"1", "3"}  # not 2, which was best for a while


def test_several_teachers_are_cached_one_by_one_and_reported_as_an_ensemble(folder, tmp_path):
    save_model(tmp_path / "second", seed=5)
    output, space = tmp_path / "out", "{preset: [logits, distilbert], temperature: [1, 4]}"
    more = {"more_teachers": tmp_path / "second", "control": "false"}
    report = sweep(swept(folder, output, "{temperature: [4]}", **more))
    assert (output / "teacher_cache" / "teacher-2" / "cache.json").is_file()
    alone = tmp_path / "alone"
    run([str(output / "best.yaml"), "--output_dir", str(alone)])
    assert same_weights(weights(best_of(output)), weights(alone))
    models = json.loads((alone / "report.json").read_text())["models"]
    assert models[0]["metrics"] == report["teacher"]["metrics"]
    with pytest.raises(SystemExit, match="preset distilbert cannot be"):
        refused(swept(folder, tmp_path / "layers", space, **more))


def test_a_trial_with_the_settings_of_an_earlier_trial_is_not_trained_again(folder, tmp_path, monkeypatch):
    trained, train = [], DistillationTrainer.train
    monkeypatch.setattr(DistillationTrainer, "train", lambda self, **more: (trained.append(1), train(self, **more))[1])
    space = "{kd_ratio: {low: 0.5, high: 1.0, step: 0.5}}"
    report = sweep(swept(folder, tmp_path / "out", space, num_trials=5, control="false"))
    assert len(report["trials"]) == 5
    assert len(trained) == len({one["settings"]["kd_ratio"] for one in report["trials"]}) <= 2
    repeated = [one for one in report["trials"] if "repeats" in one]
    assert len(repeated) == 5 - len(trained)
    assert all(one["metrics"] == report["trials"][one["repeats"] - 1]["metrics"] for one in repeated)


def test_a_trial_that_diverges_has_no_result_and_the_others_go_on(folder, tmp_path, monkeypatch):
    train = DistillationTrainer.train

    def diverge(self, **more):
        if self.objective.temperatures[:1] == [8.0]:
            next(self.model.parameters()).data.fill_(float("nan"))
        return train(self, **more)

    monkeypatch.setattr(DistillationTrainer, "train", diverge)
    report = sweep(swept(folder, tmp_path / "out", "{temperature: [8, 1]}", control="false"))
    assert [one["value"] is None for one in report["trials"]] == [True, False] and report["best"] == 2
    assert "diverged" in report["trials"][0]
    with pytest.raises(ValueError, match="None of 1 trials has a result.*weights of the student are NaN"):
        sweep(swept(folder, tmp_path / "all", "{temperature: [8]}", control="false"))


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ("{}", "A sweep needs a search space"),
        ("[temperature]", "A sweep needs a search space"),
        ("{temprature: [1]}", "'temprature' cannot be swept; the nearest is 'temperature'"),
        ("{temperature: 4}", "temperature should be a list of choices, .* or a range"),
        ("{num_layers: {low: 1, high: 3}}", "num_layers takes a list of choices"),
        ("{num_layers: [one]}", "num_layers is a whole number.*got 'one'"),
        ("{num_layers: [true]}", "num_layers is a whole number.*got True"),
        ("{preset: [logits, logits]}", "preset has a choice twice"),
        ("{kd_ratio: {low: 1, high: 0}}", "low of kd_ratio should be below high"),
        ("{kd_ratio: {low: 0, high: 1, log: true}}", "logarithmic range .* starts above 0"),
        ("{kd_ratio: {low: 0, high: 1, step: 2}}", "step of kd_ratio should be above 0 and at most"),
        ("{kd_ratio: {low: 0, hihg: 1}}", "a range has low and high"),
        ("{kd_ratio: [0.5, 1.5]}", "kd_ratio 1.5 cannot be trained: kd_ratio must lie in 0 to 1"),
        ("{kd_ratio: {low: 0.5, high: 2}}", "kd_ratio 2 cannot be"),
        ("{temperature: [2, 0]}", "temperature 0 cannot be"),
        ("{preset: [pkd, tinybert], temperature: [1, 2]}", "temperature would have no effect: only the preset logits"),
        ("{preset: [logits, tinybart]}", "preset tinybart cannot be trained: preset must be one of"),
        ("{num_layers: [1, 3]}", "num_layers 3 cannot be"),
        ("{num_layers: [1, 2], preset: [logits, pkd]}", "preset pkd, num_layers 1 cannot be trained: layers='skip'"),
        ("{student: [2x16], num_layers: [1, 2]}", "student='2x16' is a size .* num_layers=1 would have no effect"),
        ("{hidden_size: [7]}", "hidden_size 7 cannot be"),
        ("{layers: [[0], [5]]}", r"layers \[5\] cannot be"),
        ("{lr_scheduler_type: [linear, square]}", "lr_scheduler_type square cannot be"),
    ],
)
def test_an_invalid_search_space_is_refused_before_training(space, message, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(DistillationTrainer, "train", lambda *_, **__: pytest.fail("trained"))
    with pytest.raises(SystemExit, match=message):
        refused(swept(folder, tmp_path / "out", space))
    assert not (tmp_path / "out").exists()


def test_settings_of_the_recipe_that_contradict_the_sweep_are_refused(folder, tmp_path):
    with pytest.raises(SystemExit, match="temperature=1, kd_ratio=0.3 would have no effect.*preset 'distilbert'"):
        refused(swept(folder, tmp_path / "out", preset="distilbert"))
    with pytest.raises(SystemExit, match="Both preset='logits' and stages"):
        refused(swept(folder, tmp_path / "out", "{preset: [logits]}", stages="[{objective: [hard: {}]}]"))
    with pytest.raises(SystemExit, match=r"A sweep has no assistants \(got assistant\)"):
        refused(swept(folder, tmp_path / "out", assistants="[2x16]"))
    with pytest.raises(SystemExit, match="num_trials must be a whole number, 1 or greater; got 0"):
        refused(swept(folder, tmp_path / "out", num_trials=0))


def test_a_folder_with_trials_of_another_sweep_is_refused_with_the_difference(finished, folder):
    with pytest.raises(SystemExit, match="contains another run: sweep was"):
        refused(swept(folder, finished[0], "{temperature: [1]}"))
    with pytest.raises(SystemExit, match="were decided by accuracy, and now it is f1"):
        refused(swept(folder, finished[0], main_metric="f1"))


def test_a_sweep_reads_its_search_space_from_a_file_and_a_run_refuses_that_file(folder, tmp_path):
    recipe = tmp_path / "r.yaml"
    recipe.write_text("sweep:\n  learning_rate: {low: 1e-4, high: 1e-2, log: true}\nnum_trials: 1\n")
    report = sweep([str(recipe), *swept(folder, tmp_path / "out", None, control="false")])
    assert len(report["trials"]) == 1 and report["space"] == {
        "learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}
    }
    with pytest.raises(ValueError, match="sets 'sweep', which is a setting of `distil-nlp sweep`"):
        run([str(recipe), *words(folder, tmp_path / "run")])


def test_without_optuna_the_error_names_the_command_that_installs_it(folder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(SystemExit, match=r'pip install "distil-nlp\[sweep\]"'):
        refused(swept(folder, tmp_path / "out"))
