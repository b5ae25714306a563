"""Cached teachers: stored outputs, rejected caches, and interrupted builds."""

import copy
import json
import multiprocessing
import os
import random
import shutil
import signal
import time

import numpy as np
import pytest
import torch
from transformers import DataCollatorWithPadding

from distil_nlp.data.examples import add_example_ids
from distil_nlp.objectives import HardLabels, HiddenStates, LogitMatching, Objective, PatientStates, Relations
from distil_nlp.teachers import CachedTeacher, OnlineTeacher, build_cache
from distil_nlp.teachers.cache import build as caching
from distil_nlp.training.trainer import DistillationTrainer
from tests.teachers.cache_building import build_slowly, collator_of, make_cache, one_example_per_shard, teacher_of
from tests.tiny import tiny_model, tiny_tokenizer
from tests.training.runs import make_arguments, make_pair, make_rows, make_trainer, same_weights

KINDS = ["single_label_classification", "multi_label_classification", "regression", "token", "masked"]


def outputs_of(teacher, rows, collator, numbers):
    batch = collator([rows[number] for number in numbers])
    return batch, teacher(batch)


@pytest.mark.parametrize("problem", KINDS)
def test_a_cached_teacher_returns_the_teachers_logits(problem, tmp_path):
    rows, teacher, collator = make_cache(tmp_path, problem=problem)
    batch, signals = outputs_of(CachedTeacher(tmp_path), rows, collator, [30, 2, 17])
    online = teacher(batch).logits
    mask = batch["attention_mask"].bool() if online.dim() == 3 else ...
    torch.testing.assert_close(signals.logits[mask], online[mask], rtol=0, atol=1e-5)


def test_cached_span_logits_have_no_probability_at_padding(tmp_path):
    rows = add_example_ids(make_rows(problem="none"))
    teacher, collator = OnlineTeacher(tiny_model(task="span", num_labels=2)), DataCollatorWithPadding(tiny_tokenizer())
    build_cache(tmp_path, teacher, rows, collator)
    batch, signals = outputs_of(CachedTeacher(tmp_path), rows, collator, [30, 2, 17])
    torch.testing.assert_close(signals.logits.softmax(-1), teacher(batch).logits.softmax(-1))


def test_float16_storage_rounds_the_logits(tmp_path):
    for storage in ("float32", "float16"):
        rows, _, collator = make_cache(tmp_path / storage, problem="token", storage=storage)
    single, half = (
        outputs_of(CachedTeacher(tmp_path / storage), rows, collator, [5, 3])[1].logits
        for storage in ("float32", "float16")
    )
    assert half.dtype == torch.float32 and not torch.equal(single, half)
    torch.testing.assert_close(half, single, rtol=1e-3, atol=1e-3)


class Marked(torch.nn.Module):
    """A model that returns a given number as the first logit of the example with the largest sum of tokens."""

    def __init__(self, value, rows, problem):
        super().__init__()
        self.model, self.value = teacher_of(problem).model, value
        self.config = self.model.config
        self.mark = max(map(sum, rows["input_ids"]))

    def forward(self, input_ids, attention_mask=None, token_type_ids=None):
        logits = self.model(input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids).logits.clone()
        logits[input_ids.sum(1) == self.mark, ..., 0] = self.value
        return logits


def marked_cache(folder, value, problem="single_label_classification", **settings):
    rows = add_example_ids(make_rows(problem=problem))
    marked = max(range(len(rows)), key=lambda index: sum(rows[index]["input_ids"]))
    teacher = OnlineTeacher(Marked(value, rows, problem), name="marked")
    return marked, rows, lambda: make_cache(folder, problem=problem, teacher=teacher, rows=rows, **settings)


@pytest.mark.parametrize(
    ("value", "problem", "storage", "told"),
    [
        (float("nan"), "single_label_classification", "float32", "contain NaN"),
        (float("inf"), "single_label_classification", "float16", "contain inf"),
        (7e4, "single_label_classification", "float16", "contain 70000, which float16 cannot store.*Store float32"),
        (-7e4, "regression", "float16", "contain 70000, which float16 cannot store"),
        (float("-inf"), "regression", "float32", "contain -inf"),
        (float("nan"), "multi_label_classification", "float32", "contain NaN"),
        (float("nan"), "token", "float16", "contain NaN"),
        (float("nan"), "token", {"kind": "top_k", "k": 2}, "contain NaN"),
    ],
)
def test_an_output_that_is_no_prediction_is_not_stored(value, problem, storage, told, tmp_path):
    marked, _, build = marked_cache(tmp_path, value, problem, storage=storage)
    with pytest.raises(ValueError, match=rf"logits of the teacher \(marked\) for example {marked} {told}"):
        build()
    assert not (tmp_path / "cache.json").exists()


@pytest.mark.parametrize("value", [float("-inf"), -1e6])
def test_a_class_that_the_teacher_excludes_is_learned_from_a_cache_as_from_the_teacher(value, tmp_path):
    marked, rows, build = marked_cache(tmp_path / "cache", value, storage="float16")
    rows, teacher, collator = build()
    batch, stored = outputs_of(CachedTeacher(tmp_path / "cache"), rows, collator, [marked, 3])
    online, half = teacher(batch).logits, torch.float16
    torch.testing.assert_close(stored.logits.softmax(-1), online.softmax(-1), rtol=1e-2, atol=1e-3)
    assert stored.logits[0, 0] == float("-inf") and torch.equal(stored.logits[1], online[1].to(half).float())


def test_a_layer_too_large_for_float16_is_not_stored(tmp_path):
    teacher = teacher_of()
    name = "bert.encoder.layer.0"
    teacher.model.get_submodule(name).register_forward_hook(lambda module, inputs, output: output * 1e6)
    with pytest.raises(
        ValueError, match=r"outputs of bert.encoder.layer.0 of the teacher .* for example \d+ contain \d"
    ):
        make_cache(tmp_path, teacher=teacher, storage="float16", features=[name])


def test_a_cache_stores_the_requested_layers(tmp_path):
    name = "bert.encoder.layer.1"
    rows, teacher, collator = make_cache(tmp_path, features=[name])
    cached = CachedTeacher(tmp_path)
    cached.tap_layers([name])
    teacher.tap_layers([name])
    batch, signals = outputs_of(cached, rows, collator, [1, 0])
    mask = batch["attention_mask"].bool()
    torch.testing.assert_close(signals.features[name][mask], teacher(batch).features[name][mask], rtol=0, atol=1e-5)
    with pytest.raises(ValueError, match="needs outputs of bert.pooler .* stores bert.encoder.layer.1"):
        cached.tap_layers(["bert.pooler"])


def test_a_layer_with_the_name_of_an_array_of_the_cache_is_refused(tmp_path):
    teacher = teacher_of()
    teacher.model.logits = torch.nn.Identity()
    teacher.model.classifier.register_forward_hook(lambda module, inputs, output: teacher.model.logits(output))
    with pytest.raises(ValueError, match="stores its own arrays under digest, logits, .* module named logits"):
        make_cache(tmp_path, teacher=teacher, features=["logits"])


OBJECTIVES = {
    "hidden": lambda: HiddenStates(1.0, layers=[(0, 1)]),
    "patient": lambda: PatientStates(1.0, layers=[(0, 1)]),
    "relations": lambda: Relations(1.0),
    "logits": lambda: LogitMatching(1.0),
}


@pytest.mark.parametrize("term", OBJECTIVES)
def test_training_with_cached_layers_equals_training_with_the_teacher(term, tmp_path):
    rows = add_example_ids(make_rows())
    objective = Objective([HardLabels(0.5), OBJECTIVES[term]()])
    student, teacher = make_pair()
    probe = make_trainer(copy.deepcopy(student), teacher, rows, tmp_path / "probe", objective=copy.deepcopy(objective))
    build_cache(
        tmp_path / "cache",
        OnlineTeacher(teacher),
        rows,
        DataCollatorWithPadding(tiny_tokenizer()),
        features=probe.objective.teacher_taps,
    )
    ends = []
    for source in (teacher, CachedTeacher(tmp_path / "cache")):
        model = copy.deepcopy(student)
        make_trainer(model, source, rows, tmp_path / "run", objective=copy.deepcopy(objective)).train()
        ends.append(model.state_dict())
    for name, weight in ends[0].items():
        torch.testing.assert_close(ends[1][name], weight, rtol=0, atol=1e-5)


def test_cached_logits_are_in_the_students_label_order(tmp_path):
    teacher = teacher_of("single_label_classification")
    teacher.model.config.id2label = {0: "c", 1: "a", 2: "b"}
    rows, _, collator = make_cache(tmp_path, teacher=teacher)
    student = tiny_model()
    student.config.id2label = {0: "a", 1: "b", 2: "c"}
    cached = CachedTeacher(tmp_path)
    batch, before = outputs_of(cached, rows, collator, [4, 1])
    cached.reconcile(student)
    assert torch.equal(cached(batch).logits, before.logits[:, [1, 2, 0]])


# ---- Rejected caches ----


@pytest.mark.parametrize("name", ["shard-00000.safetensors", "shard-00000.json", "config.json"])
def test_shards_of_a_user_are_not_overwritten(name, tmp_path):
    (tmp_path / name).write_text("mine")
    with pytest.raises(ValueError, match=f"contains {name}, which no build of this cache wrote"):
        make_cache(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_an_unfinished_cache_is_rejected(tmp_path):
    make_cache(tmp_path)
    (tmp_path / "cache.json").unlink()
    with pytest.raises(FileNotFoundError, match="contains no finished cache"):
        CachedTeacher(tmp_path)


CHANGES = {
    "teacher": lambda settings: settings.update(teacher=teacher_of("single_label_classification", seed=9)),
    "tokenizer": lambda settings: settings.update(tokenizer=tiny_tokenizer(pieces=True)),
    "data set": lambda settings: settings.update(rows=add_example_ids(make_rows(seed=5))),
    "preprocessing": lambda settings: settings.update(preprocessing={"max_length": 64}),
    "storage format": lambda settings: settings.update(storage="float16"),
    "layers": lambda settings: settings.update(features=["bert.encoder.layer.0"]),
}


@pytest.mark.parametrize("part", CHANGES)
@pytest.mark.parametrize("state", ["finished", "begun"])
def test_a_cache_with_another_header_is_rejected_and_the_part_is_named(part, state, tmp_path, monkeypatch):
    settings = {"tokenizer": tiny_tokenizer(), "preprocessing": {"max_length": 32}}
    if state == "begun":
        monkeypatch.setattr(caching._Build, "finish", lambda self: None)
    make_cache(tmp_path, **settings)
    make_cache(tmp_path, **settings)  # the same header is accepted
    CHANGES[part](settings)
    with pytest.raises(ValueError, match=f"built with another (labels .*another )?{part}"):
        make_cache(tmp_path, **settings)


def test_a_cache_is_that_of_a_copied_teacher_under_any_path(tmp_path, monkeypatch):
    teacher_of().model.save_pretrained(tmp_path / "teacher")
    shutil.copytree(tmp_path / "teacher", tmp_path / "copy")
    monkeypatch.chdir(tmp_path)
    for place in (tmp_path / "teacher", "teacher", "copy"):
        model = type(teacher_of().model).from_pretrained(place)
        assert str(model.config._name_or_path) == str(place)
        make_cache(tmp_path / "cache", teacher=OnlineTeacher(model.eval()))
    assert "_name_or_path" not in CachedTeacher(tmp_path / "cache").header["model"]["config"]


def write_header_without_checksum(folder, changes):
    """As an earlier version did."""
    header = json.loads((folder / "cache.json").read_text())
    del header["crc32"]
    (folder / "cache.json").write_text(json.dumps(header | changes))


def test_a_cache_of_an_earlier_version_with_places_in_its_header_is_read(tmp_path):
    make_cache(tmp_path)
    model = CachedTeacher(tmp_path).header["model"]
    places = {"_name_or_path": "/elsewhere/teacher", "transformers_version": "5.0.0"}
    write_header_without_checksum(tmp_path, {"model": {**model, "config": {**model["config"], **places}}})
    make_cache(tmp_path)


def test_the_same_weights_under_other_settings_of_the_model_are_another_teacher(tmp_path):
    make_cache(tmp_path)
    teacher = teacher_of()
    teacher.model.config.hidden_act = "relu"
    with pytest.raises(ValueError, match=r"another model \(its settings\)"):
        make_cache(tmp_path, teacher=teacher)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 2}, "should have the format 1; got 2"),
        ({"format": None}, "should have the format 1; got None"),
        ({"shards": []}, "is damaged: shards missing"),
        ({"columns": "input_ids", "signals": None}, "is damaged: columns, signals missing"),
        ({"model": {"class": "Trainer", "config": {"model_type": "bert"}}}, "is damaged: model missing"),
        ({"num_examples": 33}, "shards of 32 examples, and the cache was built from 33"),
    ],
)
def test_a_header_of_another_format_or_damaged_is_rejected_with_the_way_out(changes, message, tmp_path):
    make_cache(tmp_path)
    write_header_without_checksum(tmp_path, changes)
    for open_cache in (CachedTeacher, make_cache):
        with pytest.raises(ValueError, match=f"{message}.*build"):
            open_cache(tmp_path)


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_a_header_that_was_changed_after_it_was_written_is_rejected(tmp_path):
    make_cache(tmp_path)
    edit(tmp_path / "cache.json", '"LABEL_1"', '"LABEL_3"')
    with pytest.raises(ValueError, match="cache.json was changed after it was written"):
        CachedTeacher(tmp_path)


def test_a_changed_or_missing_shard_is_rejected_on_opening_and_named(tmp_path, small_shards):
    make_cache(tmp_path)
    path = tmp_path / "shard-00002.safetensors"
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="shard-00002.safetensors was changed after it was written"):
        CachedTeacher(tmp_path)
    path.unlink()
    with pytest.raises(ValueError, match="shard-00002.safetensors is missing"):
        CachedTeacher(tmp_path)


def test_a_shard_that_is_overwritten_while_it_is_read_stops_the_run(tmp_path, monkeypatch):
    monkeypatch.setattr("distil_nlp.teachers.cache.shards._MAX_BYTES_IN_MEMORY", 0)
    make_cache(tmp_path)
    shards = CachedTeacher(tmp_path)._shards
    name, path = next(iter(shards._in_memory)), tmp_path / "shard-00000.safetensors"
    rows, _ = shards.read(name, np.arange(3))
    shutil.copy(path, tmp_path / "copy")
    (tmp_path / "copy").replace(path)  # another file of this name: what was opened is still there
    assert (shards.read(name, np.arange(3))[0] == rows).all()
    shards = CachedTeacher(tmp_path)._shards
    path.write_bytes(bytes(path.stat().st_size))
    os.utime(path, ns=(0, 0))
    with pytest.raises(ValueError, match="shard-00000.safetensors was changed while it was read"):
        shards.read(name, np.arange(3))


def test_other_data_with_the_same_ids_is_rejected_before_the_first_step(tmp_path):
    make_cache(tmp_path)
    student, other = make_pair()[0], add_example_ids(make_rows(seed=7))
    with pytest.raises(ValueError, match="Example 0 differs from the cached example"):
        make_trainer(student, CachedTeacher(tmp_path), other, tmp_path / "run")


def test_examples_without_ids_are_rejected(tmp_path):
    rows = make_rows()
    with pytest.raises(ValueError, match="'example_id' must contain each of 0 to 31 once.*add_example_ids"):
        build_cache(tmp_path, teacher_of(), rows, collator_of())
    make_cache(tmp_path)
    with pytest.raises(ValueError, match="looks up its outputs by the column 'example_id'"):
        make_trainer(make_pair()[0], CachedTeacher(tmp_path), rows, tmp_path / "run")
    with pytest.raises(ValueError, match="example_id 0 to 99, and the cache .* contains 0 to 31"):
        CachedTeacher(tmp_path)({"example_id": torch.tensor([0, 99])})


@pytest.mark.parametrize("source", [torch.rand, lambda *_: np.random.rand(), lambda *_: random.random()])
def test_a_random_transform_is_rejected_before_the_teacher_runs(source, tmp_path):
    pad = collator_of()

    def masking(examples):
        batch = pad(examples)
        batch["input_ids"] = (batch["input_ids"] + int(60 * float(source(1)))) % 64
        return batch

    with pytest.raises(ValueError, match="another input_ids when it is read a second time"):
        build_cache(tmp_path, teacher_of(), add_example_ids(make_rows()), masking)
    assert not (tmp_path / "cache.json").exists()


def test_a_disk_that_is_too_small_is_rejected_before_the_teacher_runs(tmp_path, monkeypatch):
    monkeypatch.setattr(caching.shutil, "disk_usage", lambda _: caching.shutil._ntuple_diskusage(100, 99, 1))
    with pytest.raises(OSError, match=r"about \d+(\.\d)? \w+ does not fit"):
        make_cache(tmp_path)


def test_a_build_resumes_after_a_full_disk_with_the_same_bytes(tmp_path, small_shards, monkeypatch):
    write = caching.write_shard
    monkeypatch.setattr(caching, "write_shard", lambda folder, number, rows: write(folder, number, rows)
                        if number < 2 else (_ for _ in ()).throw(OSError(28, "No space left on device")))  # fmt: skip
    with pytest.raises(OSError, match="Writing shard 2 of a cache .*run the same command again"):
        make_cache(tmp_path / "cut")
    with pytest.raises(FileNotFoundError, match="no finished cache"):
        CachedTeacher(tmp_path / "cut")
    monkeypatch.undo()
    one_example_per_shard(monkeypatch.setattr)
    make_cache(tmp_path / "cut")
    make_cache(tmp_path / "whole")
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


# ---- Interrupted builds ----


@pytest.fixture
def small_shards(monkeypatch):
    one_example_per_shard(monkeypatch.setattr)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("name", ["shard-00001.safetensors", "shard-00001.safetensors.json"])
@pytest.mark.parametrize("state", ["flipped", "cut", "missing"])
def test_a_damaged_file_of_an_interrupted_build_is_written_again(name, state, tmp_path, small_shards, monkeypatch):
    make_cache(tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(caching._Build, "finish", lambda self: None)
        make_cache(tmp_path / "cut")
    path = tmp_path / "cut" / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content if state == "flipped" else content[:-9])
    if state == "missing":
        path.unlink()
    make_cache(tmp_path / "cut")
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


def test_the_damaged_plan_of_an_interrupted_build_is_refused(tmp_path, small_shards, monkeypatch):
    monkeypatch.setattr(caching._Build, "finish", lambda self: None)
    make_cache(tmp_path)
    edit(tmp_path / "plan.json", '"shard_size": 1,', '"shard_size": 3,')
    with pytest.raises(ValueError, match="plan.json was changed after it was written"):
        make_cache(tmp_path)


def test_a_build_that_is_killed_three_times_gives_the_same_bytes(tmp_path):
    def build(folder, pause):
        process = multiprocessing.get_context("fork").Process(target=build_slowly, args=(folder, pause))
        process.start()
        return process

    whole, cut = tmp_path / "whole", tmp_path / "cut"
    build(whole, 0).join()
    draw = random.Random(0)
    for _ in range(3):
        wanted = len(list(cut.glob("shard-*.safetensors"))) + draw.randint(1, 4)
        process = build(cut, 0.02)
        while process.is_alive() and len(list(cut.glob("shard-*.safetensors"))) < wanted:
            time.sleep(0.002)
        time.sleep(0.04 * draw.random())  # before, during or after writing the next shard
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL and not (cut / "cache.json").exists()
    build(cut, 0).join()
    assert contents(cut) == contents(whole)
    assert len(json.loads((whole / "cache.json").read_text())["shards"]) == 32


def test_two_runs_that_build_one_cache_write_it_once_and_the_second_reads_it(tmp_path, forks):
    code = "import sys; from tests.teachers.cache_building import build_slowly; build_slowly(sys.argv[1], 0.01)"
    first = forks.start("-c", code, tmp_path / "cache")
    while not list((tmp_path / "cache").glob("shard-*.safetensors")):
        assert first.poll() is None, first.stderr()
        time.sleep(0.002)
    second = forks.start("-c", code, tmp_path / "cache")
    assert first.wait() == 0 and second.wait() == 0, second.stderr()
    assert f"process {first.pid} on " in second.stdout() and "builds this cache; waiting for it" in second.stdout()
    assert "Cache of the teacher" not in second.stdout()
    assert CachedTeacher(tmp_path / "cache").header["num_examples"] == 32
    assert {path.name for path in (tmp_path / "cache").iterdir()} == {
        "cache.json",
        *(f"shard-{number:05d}.safetensors" for number in range(32)),
    }


def test_a_build_takes_over_from_one_that_was_killed(tmp_path, forks):
    code = "import sys; from tests.teachers.cache_building import build_slowly; build_slowly(sys.argv[1], 60)"
    first = forks.start("-c", code, tmp_path)
    while not (tmp_path / "plan.json").exists():
        time.sleep(0.002)
    first.send_signal(signal.SIGKILL)
    first.wait()
    make_cache(tmp_path)
    assert CachedTeacher(tmp_path).header["num_examples"] == 32


def test_a_build_for_other_data_does_not_wait_and_is_refused(tmp_path, forks):
    code = "import sys; from tests.teachers.cache_building import build_slowly; build_slowly(sys.argv[1], 60)"
    first = forks.start("-c", code, tmp_path)
    while not (tmp_path / "plan.json").exists():
        time.sleep(0.002)
    with pytest.raises(ValueError, match="another teacher"):
        make_cache(tmp_path, teacher=teacher_of(seed=3))
    assert first.poll() is None
    first.send_signal(signal.SIGKILL)
    first.wait()


def test_a_finished_cache_is_reused_for_a_renamed_teacher(tmp_path, monkeypatch):
    make_cache(tmp_path)
    before = contents(tmp_path)
    monkeypatch.setattr(caching._Build, "run", lambda *_: pytest.fail("built again"))
    renamed = teacher_of()
    renamed.name = "another name"
    make_cache(tmp_path, teacher=renamed)
    assert contents(tmp_path) == before


def test_building_a_cache_keeps_the_random_state(tmp_path):
    state = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    make_cache(tmp_path)
    assert torch.equal(torch.get_rng_state(), state[0]) and random.getstate() == state[1]
    assert np.random.get_state()[1].tolist() == state[2]


def test_a_resumed_run_with_a_cache_ends_with_the_same_weights(tmp_path):
    rows, *_ = make_cache(tmp_path / "cache")
    ends = []
    for name, resume in (("whole", False), ("cut", True)):
        settings = {"save_strategy": "steps", "save_steps": 2, "num_train_epochs": 2}
        trainer = make_trainer(make_pair()[0], CachedTeacher(tmp_path / "cache"), rows, tmp_path / name, **settings)
        trainer.train()
        if resume:
            trainer = make_trainer(
                make_pair()[0], CachedTeacher(tmp_path / "cache"), rows, tmp_path / name, **settings
            )
            trainer.train(resume_from_checkpoint=str(tmp_path / name / "checkpoint-2"))
        ends.append(trainer.model)
    assert same_weights(*ends)


# ---- Other examples than the cached ones ----


def test_a_comparison_on_other_examples_needs_a_teacher_that_runs(tmp_path):
    rows, teacher, _ = make_cache(tmp_path / "cache")
    other = add_example_ids(make_rows(seed=3))
    trainer = make_trainer(make_pair()[0], CachedTeacher(tmp_path / "cache"), rows, tmp_path / "run")
    with pytest.raises(ValueError, match="differs from the cached example"):
        trainer.compare(other, seconds=0.1)
    comparison = trainer.compare(other, teacher=teacher.model, seconds=0.1)
    assert [model.role for model in comparison.models] == ["teacher", "student"]
    trainer.create_model_card()
    assert (tmp_path / "run" / "README.md").is_file()


def test_an_evaluation_on_other_examples_is_rejected_before_the_first_step(tmp_path):
    rows, _, collator = make_cache(tmp_path / "cache")
    with pytest.raises(ValueError, match="differs from the cached example"):
        DistillationTrainer(
            make_pair()[0],
            CachedTeacher(tmp_path / "cache"),
            make_arguments(tmp_path / "run", eval_with_teacher=True),
            train_dataset=rows,
            eval_dataset=add_example_ids(make_rows(seed=3)),
            data_collator=collator,
        )
