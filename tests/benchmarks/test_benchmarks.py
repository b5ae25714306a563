"""The benchmarks compare what they say they compare. How fast anything is, no test can say."""

import json
import subprocess
import sys
from functools import cache, partial

import numpy as np
import pytest

from tests.benchmarks import loops
from tests.conftest import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))  # where `python benchmarks/x.py` finds what they share

import cached_step  # noqa: E402
import epoch  # noqa: E402
import step_overhead  # noqa: E402
import term_step  # noqa: E402
import timing  # noqa: E402

TINY = ["--teacher=2x16", "--num_layers=1", "--batch_size=4", "--threads=1"]


class ScriptedPipe:
    """Stands for the parent: has all batches at hand and keeps what it is told."""

    def __init__(self, batches):
        self.batches, self.told = list(batches), []

    def recv(self):
        return self.batches.pop(0)

    def send(self, message):
        self.told.append(message)


def tiny_run(system, *more, num_batches=4):
    args = step_overhead.parse_args([*TINY, *more])
    pipe = ScriptedPipe(step_overhead.make_batches(args, num_batches))
    return system(pipe, args, num_batches), pipe


# ---- timing ----


def test_the_ratio_of_pairs_ignores_that_the_machine_was_slow_for_some_batches():
    bare = np.random.default_rng(0).uniform(1, 9, size=50)
    ratio = timing.paired_ratio([1.02 * bare[:20], 1.02 * bare[20:]], [bare[:20], bare[20:]])
    assert all(ratio[key] == pytest.approx(1.02) for key in ("value", "low", "high"))
    assert ratio["num_pairs"] == 50


def test_the_interval_holds_the_true_ratio_of_noisy_pairs_and_is_narrower_than_the_noise():
    generator = np.random.default_rng(1)
    bare = generator.uniform(1, 2, size=400)
    ours = 1.03 * bare * generator.lognormal(0, 0.1, size=400)
    ratio = timing.paired_ratio([ours], [bare], num_resamples=1000)
    assert ratio["low"] < 1.03 < ratio["high"] < ratio["low"] + 0.05


def test_the_interval_knows_that_one_process_is_slower_than_the_next_of_the_same_program():
    generator = np.random.default_rng(2)
    bare = [generator.uniform(1, 2, size=100) for _ in range(4)]
    ours = [
        times * luck * generator.lognormal(0, 0.01, size=100)
        for times, luck in zip(bare, (0.97, 1, 1.02, 1.04), strict=True)
    ]
    ratio = timing.paired_ratio(ours, bare, num_resamples=1000)
    assert (
        ratio["low"] < 0.99 and ratio["high"] > 1.02 and np.allclose(ratio["rounds"], (0.97, 1, 1.02, 1.04), atol=0.01)
    )


def test_a_ratio_of_times_that_are_not_pairs_is_refused():
    with pytest.raises(ValueError, match=r"got \[2\] and \[1\]"):
        timing.paired_ratio([[1.0, 2.0]], [[1.0]])


def test_every_system_takes_every_turn_equally_often_and_follows_every_other():
    orders = timing.orders("abcd")
    rounds = [next(orders) for _ in range(24)]
    assert len(set(rounds)) == 24
    assert [sum(order[turn] == "a" for order in rounds) for turn in range(4)] == [6, 6, 6, 6]


def test_a_step_is_reported_once_also_where_the_loop_does_not_ask_after_its_last_batch():
    pipe = ScriptedPipe([{"labels": np.zeros(1)}] * 2)
    batches = timing.HandedBatches(pipe, 2, seed=0)
    next(batches), next(batches)
    batches.finish()
    batches.finish()
    assert pipe.told[0] == "ready" and len(pipe.told) == 3
    assert next(batches, None) is None


def test_workers_get_the_same_batches_and_answer_in_the_order_of_the_batches():
    with timing.Worker("one", loops.squares, 0) as one, timing.Worker("two", loops.squares, 100) as two:
        assert timing.interleave([one, two], [2, 3, 4]) == {"one": [4, 9, 16], "two": [104, 109, 116]}
        assert one.receive() == two.receive() == "done"


def test_a_worker_that_breaks_is_named_with_its_last_words():
    with timing.Worker("three", loops.breaks) as worker:
        with pytest.raises(RuntimeError, match="(?s)'three' ended .*the disk is full"):
            worker.receive()


# ---- step_overhead ----


@pytest.mark.parametrize("student", [[], ["--student=1x8"]], ids=["layers", "from scratch"])
def test_ours_and_the_bare_loop_end_with_the_same_losses_and_weights(student):
    (ours, _), (bare, _) = (tiny_run(system, *student) for system in (step_overhead.ours, step_overhead.bare_loop))
    work = step_overhead.same_work(ours, bare)
    assert work["num_steps"] == 4 and max(ours["losses"]) > 0
    assert work["largest_loss_difference"] < 1e-6 and work["largest_weight_difference"] < 1e-6


def test_loops_that_did_different_work_are_not_compared():
    (ours, _), (parts, _) = tiny_run(step_overhead.ours), tiny_run(step_overhead.parts)
    with pytest.raises(RuntimeError, match="different work"):
        step_overhead.same_work(ours, parts)


@pytest.mark.parametrize("system", ["ours", "bare_loop", "bare_loop_again", "parts"])
def test_every_system_reports_one_time_a_batch_and_its_peak_memory(system):
    found, pipe = tiny_run(getattr(step_overhead, system), num_batches=3)
    assert pipe.told[0] == "ready" and len(pipe.told) == 4 and min(pipe.told[1:]) > 0
    assert found["peak_memory"] > 50 * 2**20  # torch alone takes more


def test_generated_batches_have_the_lengths_of_sst2_and_next_to_no_padding():
    args = step_overhead.parse_args([])
    batches = step_overhead.make_batches(args, 300)
    lengths = np.concatenate([batch["attention_mask"].sum(1) for batch in batches])
    assert len(batches) == 300 and all(len(batch["labels"]) == 32 for batch in batches)
    assert lengths.mean() == pytest.approx(13.9, abs=0.5) and np.quantile(lengths, 0.95) == pytest.approx(31, abs=2)
    assert sum(batch["attention_mask"].size for batch in batches) < 1.1 * lengths.sum()


def test_real_text_without_a_tokenizer_is_refused():
    args = step_overhead.parse_args(["--data=somewhere", "--teacher=2x16"])
    with pytest.raises(ValueError, match="needs a teacher with a tokenizer"):
        step_overhead.make_batches(args, 1)


# ---- epoch ----


@pytest.fixture
def sst2(tmp_path, make_model, tokenizer):
    """Arguments for a run on a few texts of very different lengths."""
    datasets = pytest.importorskip("datasets")
    folder = tmp_path / "data" / "glue" / "sst2"
    folder.mkdir(parents=True)
    texts = ["good film", "the plot of this movie was " + "very " * 30 + "bad"] * 16
    for split in ("train", "validation"):
        rows = datasets.Dataset.from_dict({"sentence": texts, "label": [1, 0] * 16, "idx": list(range(32))})
        rows.to_parquet(folder / f"{split}.parquet")
    make_model(num_labels=2).save_pretrained(tmp_path / "teacher")
    tokenizer.save_pretrained(tmp_path / "teacher")
    return [
        f"--data={tmp_path / 'data'}",
        f"--teacher={tmp_path / 'teacher'}",
        "--num_layers=1",
        "--batch_size=4",
        "--threads=1",
        "--learning_rate=1e-3",
    ]


def test_both_systems_see_the_same_texts_and_ours_pads_less(sst2):
    args = epoch.parse_args([*sst2, "--max_train_samples=24"])
    tutorial, ours = (epoch.run(None, args, system, 0) for system in ("tutorial", "ours"))
    assert tutorial["num_steps"] == ours["num_steps"] == 2 * 6
    assert tutorial["real_tokens"] == ours["real_tokens"]
    assert ours["real_tokens"] <= ours["padded_tokens"] < tutorial["padded_tokens"]
    assert len(tutorial["correct"]) == len(ours["correct"]) == 32
    assert min(tutorial["seconds"], ours["seconds"]) > 0


def test_with_the_same_batches_both_systems_train_the_same_student(sst2, monkeypatch):
    # One batch an epoch: random and grouped batches are then the same up to their order.
    args = epoch.parse_args([*sst2, "--max_train_samples=0", "--batch_size=32"])
    weights = {}

    def remembered(name, make):
        def build(student, *rest):
            weights[name] = student
            return make(student, *rest)

        return build

    systems = {name: remembered(name, make) for name, make in epoch.SYSTEMS.items()}
    monkeypatch.setattr(epoch, "SYSTEMS", systems)
    for name in systems:
        epoch.run(None, args, name, 0)
    tutorial, ours = (weights[name].state_dict() for name in ("tutorial", "ours"))
    names = [name for name in ours if not name.endswith("key.bias")]  # see step_overhead.same_work
    assert max(float((ours[name] - tutorial[name]).abs().max()) for name in names) < 1e-5


def test_with_a_cache_the_students_of_all_trials_are_those_of_the_teacher_itself(sst2):
    accuracies, steps = [], []
    for more in ([], ["--cache"]):
        args = epoch.parse_args([*sst2, "--max_train_samples=24", "--epochs=1", "--trials=2", *more])
        found = epoch.run(None, args, "ours", 0)
        accuracies.append(found["correct"])
        steps.append(found["num_steps"])
        assert (found["cache_seconds"] > 0.01) == bool(more)
    assert accuracies[0] == accuracies[1] and steps == [2 * 6] * 2


def test_the_accuracies_are_compared_text_by_text_and_the_times_seed_by_seed():
    def runs(seconds, correct):
        tokens = {"real_tokens": 10, "padded_tokens": 10 * seconds, "num_steps": 5}
        return [
            {"seconds": seconds, "correct": correct, **tokens},
            {"seconds": 2 * seconds, "correct": correct, **tokens},
        ]

    result = epoch.compare({"tutorial": runs(3, [1, 0, 1, 0]), "ours": runs(1, [1, 1, 1, 0])})
    assert result["time_ratio"]["each"] == [3.0, 3.0]
    assert result["accuracy"]["ours"] == {"mean": 0.75, "sd": 0.0}
    assert result["accuracy_difference"]["value"] == 0.25
    assert result["padded_per_real"] == {"tutorial": 3.0, "ours": 1.0}


def test_without_the_data_the_message_says_which_file_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["epoch.py", f"--data={tmp_path}"])
    with pytest.raises(SystemExit, match="train.parquet"):
        epoch.main()


# ---- as they are run ----


def run_script(name, *args):
    command = [sys.executable, f"benchmarks/{name}.py", *map(str, args)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=280).stdout


@pytest.mark.slow  # starts eight processes, each of which imports torch and transformers
def test_step_overhead_prints_its_tables_and_leaves_its_result(tmp_path):
    said = run_script(
        "step_overhead", *TINY, "--steps=4", "--rounds=2", "--warmup_steps=1", "--output", tmp_path / "result.json"
    )
    result = json.loads((tmp_path / "result.json").read_text())
    assert "ours / bare loop" in said and "Same work" in said
    assert result["ratios"]["ours / parts"]["num_pairs"] == 4
    assert [len(times) for times in result["seconds"]["ours"]] == [2, 2]
    assert result["environment"]["threads"] == 1 and result["command"].startswith("python benchmarks/step_overhead.py")


@pytest.mark.slow  # starts two processes a seed, each of which imports torch and transformers
def test_epoch_prints_its_table_and_leaves_its_result(tmp_path, sst2):
    said = run_script("epoch", *sst2, "--seeds=2", "--output", tmp_path / "result.json")
    result = json.loads((tmp_path / "result.json").read_text())
    assert "tutorial / ours" in said
    assert len(result["runs"]["ours"]) == len(result["time_ratio"]["each"]) == 2
    assert result["environment"]["packages"]["torch"]


# ---- cached_step ----


def test_a_cached_step_learns_what_an_online_step_learns_and_more_than_the_labels(tmp_path):
    args = cached_step.parse_args([*TINY])
    batches = step_overhead.make_batches(args, 4)
    rows = cached_step.numbered(batches)
    assert [row["example_id"] for row in rows] == list(range(16))
    assert rows[batches[2]["example_id"][1]]["labels"] == batches[2]["labels"][1]
    built = cached_step.build(None, args, tmp_path, rows)
    sources = {
        "online": lambda teacher: teacher,
        "cached": partial(cached_step.asked_before, tmp_path),
        "control": cached_step.nobody,
    }
    found = {
        name: step_overhead.ours(ScriptedPipe(batches), args, 4, rows=cached_step.alike(rows), source=source)
        for name, source in sources.items()
    }
    assert found["cached"]["losses"] == pytest.approx(found["online"]["losses"], abs=1e-5)
    assert found["control"]["losses"] != pytest.approx(found["online"]["losses"], abs=1e-3)
    pipe = ScriptedPipe(batches)
    cached_step.plain(pipe, args, 4)
    assert len(pipe.told) == 5
    seconds = {"online": [[4.0, 4.0]], "cached": [[2.0, 2.0]]}
    assert cached_step.break_even({**built, "seconds": 16.0}, seconds, 4) == pytest.approx(2.0)


# ---- term_step ----


@pytest.fixture(scope="module")
def first_loss_of():
    """The loss of the first of two steps with some terms beside labels and soft targets."""
    args = step_overhead.parse_args(["--teacher=2x48", "--student=2x16", "--batch_size=4", "--threads=1"])
    batches = step_overhead.make_batches(args, 2)

    @cache
    def first_loss(*names):
        terms = [*term_step.LOGITS, *(term_step.TERMS[name] for name in names)]
        return step_overhead.ours(ScriptedPipe(batches), args, 2, terms=terms)["losses"][0]

    return first_loss


@pytest.mark.parametrize("name", term_step.TERMS)
def test_a_system_of_term_step_trains_with_its_term(name, first_loss_of):
    assert first_loss_of(name) > first_loss_of()
