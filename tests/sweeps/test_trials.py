"""The settings of the next trial depend on the finished trials and the seed alone."""

import math
from functools import partial

import optuna
import pytest

from distil_nlp.sweeps.space import Space
from distil_nlp.sweeps.trials import Trials
from distil_nlp.training.arguments import DistillationTrainingArguments

SPACE = {"kd_ratio": {"low": 0.0, "high": 1.0}, "preset": ["logits", "pkd"], "layers": [[0, 1], [1]]}


def make_trials(folder, space=SPACE, *, lower_is_better=False, num_trials=14, seed=3):
    return Trials(
        folder / "study.db",
        Space(space),
        metric="accuracy",
        lower_is_better=lower_is_better,
        seed=seed,
        num_trials=num_trials,
    )


def height(settings):
    return {"value": math.sin(9 * settings.get("kd_ratio", 0.4)) + len(settings["layers"])}


@pytest.fixture(scope="module")
def arguments(tmp_path_factory):
    return DistillationTrainingArguments(str(tmp_path_factory.mktemp("arguments")), use_cpu=True, report_to="none")


def tried(trials, arguments, number, function=height):
    for _ in range(number):
        trials.run_next(function, arguments)
    return trials.finished


def test_interrupted_trials_do_not_change_the_following_trials(tmp_path, arguments, monkeypatch):
    sampler = partial(optuna.samplers.TPESampler, n_startup_trials=3)
    monkeypatch.setattr(optuna.samplers, "TPESampler", sampler)
    for name in ("whole", "cut"):
        (tmp_path / name).mkdir()
    whole = tried(make_trials(tmp_path / "whole"), arguments, 5)

    def cut_off(settings):
        raise KeyboardInterrupt

    for number in (1, 3, 1):  # the last two are after the three that are drawn at random
        trials = make_trials(tmp_path / "cut")
        tried(trials, arguments, number)
        with pytest.raises(KeyboardInterrupt):
            trials.run_next(cut_off, arguments)
        trials._study["storage"].create_new_trial(1)  # as a kill leaves one
    assert make_trials(tmp_path / "cut").finished == whole


def test_another_seed_tries_other_settings(tmp_path, arguments):
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    first = tried(make_trials(tmp_path / "one"), arguments, 2)
    assert tried(make_trials(tmp_path / "other", seed=4), arguments, 2) != first


def test_later_trials_are_closer_to_the_best_settings(tmp_path, arguments):
    found = tried(make_trials(tmp_path, {"kd_ratio": SPACE["kd_ratio"], "layers": [[1]]}), arguments, 14)
    misses = [abs(one["settings"]["kd_ratio"] - math.pi / 18) for one in found]
    assert sum(misses[10:]) / 4 < sum(misses[:10]) / 10


def test_a_trial_without_a_value_counts_as_the_worst_and_is_not_repeated(tmp_path, arguments):
    trials = make_trials(tmp_path, {"layers": [[0], [1], [2]]}, lower_is_better=True)
    values = iter([None, 2.0, 1.0])
    found = tried(trials, arguments, trials.total, lambda settings: {"value": next(values)})
    assert [one["settings"]["layers"] for one in found] == [[0], [1], [2]]
    assert trials.best(found) == 2


def test_a_grid_covers_the_missing_combinations_after_repeated_trials(tmp_path, arguments):
    space = {"kd_ratio": [0.1, 0.2, 0.3]}
    found = tried(make_trials(tmp_path, space, num_trials=2), arguments, 2, lambda settings: {"value": 0.5})
    trials = make_trials(tmp_path, space, num_trials=3)
    missing = 3 - len({one["settings"]["kd_ratio"] for one in found})
    assert trials.total == 2 + missing
    assert (
        len({one["settings"]["kd_ratio"] for one in tried(trials, arguments, missing, lambda settings: {"value": 1})})
        == 3
    )


def test_of_equal_trials_the_first_is_the_best(tmp_path):
    trials = make_trials(tmp_path)
    assert trials.best([{"value": 0.5}, {"value": 0.7}, {"value": 0.7}]) == 1


def test_a_grid_omits_settings_without_effect_and_a_range_has_no_grid():
    given = {"kd_ratio": [0.1, 0.9], "preset": ["logits", "pkd"]}
    assert Space(given).grid() == [
        {"preset": "logits", "kd_ratio": 0.1},
        {"preset": "logits", "kd_ratio": 0.9},
        {"preset": "pkd"},
    ]
    assert Space(SPACE).grid() is None


def test_samples_contain_every_student_and_every_value():
    given = {
        "preset": ["pkd", "logits"],
        "num_layers": [1, 2],
        "kd_ratio": {"low": 0.1, "high": 1},
        "weight_decay": [0, 1],
    }
    samples = Space(given).samples()
    assert {(one["preset"], one["num_layers"]) for one in samples} == {
        (preset, layers) for preset in given["preset"] for layers in given["num_layers"]
    }
    assert {one["kd_ratio"] for one in samples if "kd_ratio" in one} == {0.1, 1}
    assert {one["weight_decay"] for one in samples} == {0, 1}
    assert not any("kd_ratio" in one for one in samples if one["preset"] == "pkd")


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: b"x" * 5000])
def test_a_damaged_file_of_trials_is_refused_with_its_name(damage, tmp_path, arguments):
    tried(make_trials(tmp_path), arguments, 1)
    file = tmp_path / "study.db"
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(
        OSError, match=r"study.db, the file of the sweep's trials, cannot be read or written: .*restore"
    ):
        make_trials(tmp_path)


def test_the_name_of_the_folder_may_have_any_character(tmp_path, arguments):
    folder = tmp_path / "a?b=1 #%20{c}'ü"
    folder.mkdir()
    tried(make_trials(folder), arguments, 1)
    assert [path.name for path in folder.iterdir()] == ["study.db"] and len(make_trials(folder).finished) == 1
