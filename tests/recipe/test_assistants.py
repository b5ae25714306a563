"""A chain from teacher to student through assistants, and a teacher that stops early."""

import json

import pytest
from transformers import AutoModelForSequenceClassification

from distil_nlp.cli.commands import run
from distil_nlp.recipe import parse
from distil_nlp.recipe.assistants import Assistant, assistants_of
from distil_nlp.training.trainer import DistillationTrainer
from tests.recipe.runs import save_model, save_rows, weights, words
from tests.tiny import tiny_model, tiny_tokenizer
from tests.training.runs import same_weights

SMALL = {"num_layers": None, "student": "1x8", "per_device_train_batch_size": 8}
LINKS = ["teacher", "assistant"]
TWO = "[1x12, {num_layers: 2, hidden_size: 8, learning_rate: 1e-3, max_steps: 4}]"


@pytest.fixture(scope="module")
def finished(folder, tmp_path_factory):
    output = tmp_path_factory.mktemp("chain") / "out"
    run(words(folder, output, assistants=TWO, cache="true", seeds=2, **SMALL))
    return output


@pytest.fixture
def names_of_teachers(monkeypatch):
    """The name of the teacher of each training, without its folders."""
    names, train = [], DistillationTrainer.train

    def recorded(self, *args, **kwargs):
        names.append(str(None if self.teacher is None else self.teacher.name).split("/")[-1])
        return train(self, *args, **kwargs)

    monkeypatch.setattr(DistillationTrainer, "train", recorded)
    return names


def report_of(output):
    return json.loads((output / "report.json").read_text())


def test_the_report_has_a_row_for_each_assistant(finished):
    report = report_of(finished)
    roles = [(model["role"], model["name"]) for model in report["models"][1:]]
    assert roles == [
        ("assistant", "assistant"),
        ("assistant", "assistant-2"),
        ("student", "student"),
        ("control", "control"),
    ]
    assert all(model["latency_ms"] and model["agreement"] is not None for model in report["models"])
    compared = [(difference["of"], difference["to_name"]) for difference in report["differences"][1:]]
    assert compared == [("student", "assistant"), ("student", "assistant-2"), ("student", "control")]
    assert report["models"][0]["parameters"] > report["models"][1]["parameters"] > report["models"][3]["parameters"]


def test_an_assistant_is_trained_once_for_all_seeds_with_its_own_number_of_steps(finished):
    steps = {name: training["steps"] for name, training in report_of(finished)["stages"].items()}
    of_students = dict.fromkeys(["student", "student-seed43", "control", "control-seed43"], 6)
    assert steps == {"assistant": 6, "assistant-2": 4, **of_students}


def test_an_assistant_has_its_own_size_and_the_teachers_labels(finished):
    model = AutoModelForSequenceClassification.from_pretrained(finished / "assistant-2")
    assert (model.config.num_hidden_layers, model.config.hidden_size) == (2, 8)
    assert model.config.id2label == {0: "bad", 1: "good"}


def test_the_card_names_the_chain(finished):
    card = (finished / "student" / "README.md").read_text()
    assert (
        "in a chain, each link by the one before: teacher, assistant (" in card and "k parameters), student." in card
    )


def test_each_teacher_of_a_chain_has_its_own_cache(finished):
    caches = [
        json.loads((finished / name / "cache.json").read_text()) for name in ("teacher_cache", "assistant_cache")
    ]
    assert caches[0]["teacher_weights"] != caches[1]["teacher_weights"]
    assert (finished / "assistant-2_cache").is_dir()


@pytest.mark.parametrize(
    "cache",
    ["true", pytest.param("false", marks=pytest.mark.slow)],  # another run of five trainings
)
def test_the_first_assistant_learns_from_the_teacher_and_the_student_from_the_last(
    cache, folder, tmp_path, names_of_teachers
):
    run(words(folder, tmp_path, assistants="1x12", preset="tinybert", cache=cache, **SMALL))
    # Two stages each; the control has no teacher.
    assert names_of_teachers == [*2 * ["teacher"], *2 * ["assistant"], "None"]
    assert (tmp_path / "assistant.layers" / "model.safetensors").is_file()
    if cache == "true":  # the layers that each model reads are in the cache of its teacher
        headers = [json.loads((tmp_path / f"{role}_cache" / "cache.json").read_text()) for role in LINKS]
        assert all("bert.embeddings" in header["features"] for header in headers)


def test_an_interrupted_chain_continues_after_its_finished_models(folder, finished, monkeypatch):
    before = weights(finished)
    (finished / "student").rename(finished / ".gone")
    trained, train = [], DistillationTrainer.train
    monkeypatch.setattr(
        DistillationTrainer, "train", lambda self, *_, **__: (trained.append(self.args.output_dir), train(self))[1]
    )
    run(words(folder, finished, assistants=TWO, cache="true", seeds=2, **SMALL))
    assert len(trained) == 1 and trained[0].endswith("checkpoints/student")
    assert same_weights(weights(finished), before)


def test_an_assistant_does_not_change_the_initial_weights_of_the_student(folder, finished, tmp_path):
    run(words(folder, tmp_path / "direct", cache="true", **SMALL))
    assert same_weights(weights(finished, "control"), weights(tmp_path / "direct", "control"))
    assert not same_weights(weights(finished), weights(tmp_path / "direct"))


def test_assistants_are_a_size_a_list_or_mappings_with_settings(tmp_path):
    (tmp_path / "r.yaml").write_text("teacher: t\nassistants:\n  - num_layers: 3\n    num_train_epochs: 2\n  - 2x8\n")
    recipe, training, given = parse([str(tmp_path / "r.yaml"), "--max_steps", "9"])
    first, second = assistants_of(recipe)
    assert first == Assistant("assistant", first.student_kwargs, {"num_train_epochs": 2})
    assert (first.student_kwargs["num_layers"], first.student_kwargs["student"]) == (3, None)
    assert (first.training(training).max_steps, second.training(training).max_steps) == (-1, 9)
    assert (second.name, second.student_kwargs) == ("assistant-2", {"student": "2x8"})
    for flag in ("2x8", "[2x8]", '["2x8"]', "{student: 2x8}"):
        recipe, _, _ = parse(["--teacher", "t", "--assistants", flag])
        assert [one.student_kwargs for one in assistants_of(recipe)] == [{"student": "2x8"}]
    assert given["assistants"] == [{"num_layers": 3, "num_train_epochs": 2}, "2x8"]


@pytest.mark.parametrize(
    ("assistants", "message"),
    [
        ("[]", r"assistants=\[\] lists no assistant"),
        ("3", "An assistant is a size such as 4x256.*got 3"),
        ("[{learning_rate: 1}]", "a mapping with one or more of student, num_layers"),
        ("[{num_layers: 2, epochs: 2}]", "The assistant sets 'epochs', .* the nearest is"),
        (
            "[1x12, {student: 1x10, learning_rate: fast}]",
            "learning_rate of the assistant-2 must be a number; got 'fast'",
        ),
        ("[{num_layers: 1, max_steps: 1, num_train_epochs: 1}]", "by max_steps=1 and by num_train_epochs=1"),
        ("[{num_layers: 9}]", "num_layers must be a whole number from 1 to 2"),
        ("[{student: 1x12, num_layers: 2}]", "would have no effect"),
        ("[2x48]", r"The assistant has more parameters than the teacher .*\(embeddings aside: teacher .*, assistant"),
        ("[1x8, 1x12]", "The assistant-2 has more parameters than the assistant that teaches it"),
        ("[1x4]", "The student has more parameters than the assistant that teaches it"),
        ("{folder}/other", "80 rows"),
    ],
)
def test_an_invalid_chain_is_refused_before_training(assistants, message, folder, tmp_path):
    save_model(tmp_path / "other", vocab_size=80)
    assistants = assistants.replace("{folder}", str(tmp_path))
    with pytest.raises((ValueError, OSError), match=message):
        run(words(folder, tmp_path / "out", assistants=assistants, **SMALL))
    assert not (tmp_path / "out" / "checkpoints").exists() and not (tmp_path / "out" / "recipe.yaml").exists()


def test_layers_that_an_assistant_does_not_have_are_refused_before_training(folder, tmp_path):
    stages = "[{objective: [hidden: {layers: [[0, 1]]}]}]"  # the teacher has a layer 1, the assistant has none
    with pytest.raises(ValueError, match="Layer 1 is not in BertFor"):
        run(words(folder, tmp_path / "out", assistants="1x12", stages=stages, **SMALL))
    assert not (tmp_path / "out" / "checkpoints").exists()


# ---- A teacher that stops early ----


@pytest.fixture
def encoder(tmp_path):
    tiny_model(num_labels=2).bert.save_pretrained(tmp_path / "encoder")
    tiny_tokenizer().save_pretrained(tmp_path / "encoder")
    return tmp_path / "encoder"


def test_a_teacher_stops_early_on_the_schedule_of_all_its_epochs(folder, encoder, tmp_path, monkeypatch):
    rates, log = [], DistillationTrainer.log
    monkeypatch.setattr(
        DistillationTrainer,
        "log",
        lambda self, logs, *rest: (rates.append(logs.get("learning_rate")), log(self, logs, *rest))[1],
    )
    more = ["--teacher_stop_epoch", "1.5", "--teacher_num_train_epochs", "3", "--teacher_learning_rate", "6e-5"]
    more += ["--logging_steps", "1", "--per_device_train_batch_size", "8"]
    run(words(folder, tmp_path / "out", *more, teacher=encoder, control="false"))
    assert report_of(tmp_path / "out")["stages"]["teacher"]["steps"] == 9  # of 18
    assert rates[8] == pytest.approx(6e-5 * 10 / 18)


@pytest.mark.parametrize("stop", ["3", "4"])
def test_a_stop_outside_the_fine_tuning_is_refused(stop, folder, encoder, tmp_path):
    with pytest.raises(ValueError, match="teacher_stop_epoch must lie above 0 and below teacher_num_train_epochs=3"):
        run(words(folder, tmp_path / "out", "--teacher_stop_epoch", stop, teacher=encoder))


def test_a_stop_of_a_teacher_that_is_not_trained_is_refused(folder, tmp_path):
    with pytest.raises(ValueError, match="teacher_stop_epoch=1 would have no effect: .* has a trained head"):
        run(words(folder, tmp_path / "out", "--teacher_stop_epoch", "1"))


# ---- Schedules in recipes ----


def test_a_schedule_is_in_the_report_and_the_card_and_does_not_change_the_control(folder, finished, tmp_path):
    more = ["--kd_ratio", "1", "--kd_ratio_end", "0", "--kd_schedule", "linear"]
    run(words(folder, tmp_path, *more, **SMALL))
    assert report_of(tmp_path)["objective"][1]["weight"] == {"start": 1.0, "end": 0.0, "schedule": "linear"}
    assert "| soft | 1.0 to 0.0 (linear) |" in (tmp_path / "student" / "README.md").read_text()
    assert same_weights(weights(tmp_path, "control"), weights(finished, "control"))


def test_a_preset_beside_a_schedule_is_refused(folder, tmp_path):
    more = ["--kd_ratio_end", "0", "--kd_schedule", "linear"]
    with pytest.raises(ValueError, match="kd_ratio_end=0, kd_schedule=linear would have no effect.*preset 'pkd'"):
        run(words(folder, tmp_path / "out", *more, preset="pkd"))


def test_a_schedule_in_the_yaml_of_a_stage_moves_its_terms(folder, tmp_path):
    stages = "[{objective: [hard: {weight: {start: 0, end: 1}}, soft: {temperature: {start: 4, end: 1}}]}]"
    save_rows(folder / "few.jsonl", 16)
    run(words(folder, tmp_path / "out", stages=stages, control="false", train_file=folder / "few.jsonl"))
    hard, soft = report_of(tmp_path / "out")["objective"]
    assert (hard["weight"]["end"], soft["temperature"]["start"], soft["weight"]) == (1.0, 4.0, 1.0)
