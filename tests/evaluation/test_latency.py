"""Models are timed in turn, on the same batches."""

import time
from functools import partial

import pytest
import torch

from distil_nlp.data.examples import text_batch
from distil_nlp.evaluation import Latency, measure_latency, speed_up


@pytest.fixture
def calls():
    return []


@pytest.fixture
def make_fake(calls):
    def make(name, seconds=0.0):
        def model(batch):
            time.sleep(seconds)
            calls.append((name, len(batch["input_ids"]), batch["input_ids"].data_ptr()))
            return batch["input_ids"].float()

        return model

    return make


def test_models_take_turns_and_who_begins_rotates(make_fake, calls):
    models = {name: make_fake(name) for name in "abc"}
    measure_latency(models, partial(text_batch, 100), batch_size=8, seconds=0, min_rounds=4, num_warmup=1)
    for size in (1, 8):
        assert "".join(name for name, rows, _ in calls if rows == size) == "abc" + "abc" + "bca" + "cab" + "abc"


def test_every_model_gets_the_same_batch(make_fake, calls):
    models = {name: make_fake(name) for name in "ab"}
    measure_latency(models, partial(text_batch, 100), batch_size=8, seconds=0, min_rounds=2)
    for size in (1, 8):
        assert len({address for _, rows, address in calls if rows == size}) == 1


def test_the_slower_model_is_found_slower(make_fake):
    models = {"slow": make_fake("slow", 0.004), "fast": make_fake("fast", 0.001)}
    found = measure_latency(models, partial(text_batch, 100), batch_size=4, seconds=0, min_rounds=15)
    assert 4.0 <= found["slow"].p50_ms <= found["slow"].p95_ms
    assert found["fast"].throughput_per_s > found["slow"].throughput_per_s
    value, low, high = speed_up(found["fast"], found["slow"])
    assert 1.0 < low <= value <= high


def test_a_budget_buys_more_rounds_and_ends(make_fake):
    start = time.perf_counter()
    found = measure_latency({"one": make_fake("one", 0.001)}, partial(text_batch, 100), seconds=0.4, min_rounds=1)
    assert len(found["one"].times_ms) > 20
    assert time.perf_counter() - start < 5


def test_real_models_are_left_as_they_were(make_model):
    models = {"bert": make_model("bert").train(), "distilbert": make_model("distilbert").eval()}
    found = measure_latency(models, partial(text_batch, 64), seconds=0, min_rounds=2)
    assert found.keys() == models.keys()
    assert models["bert"].training and not models["distilbert"].training


def test_ids_are_valid_in_the_smallest_vocabulary_and_none_is_padding():
    batch = text_batch(64, 100, 32)
    assert batch["input_ids"].shape == batch["attention_mask"].shape == (100, 32)
    assert batch["input_ids"].max() < 64 and batch["input_ids"].min() > 3
    assert batch["attention_mask"].min() == 1


def test_models_on_different_devices_are_not_compared(make_fake, monkeypatch):
    models = {"here": make_fake("here"), "there": make_fake("there")}
    devices = dict(zip(map(id, models.values()), ("cpu", "cuda:0"), strict=True))
    monkeypatch.setattr("distil_nlp.evaluation.latency.device_of", lambda model: devices[id(model)])
    with pytest.raises(ValueError, match="'here': 'cpu', 'there': 'cuda:0'"):
        measure_latency(models, partial(text_batch, 100))


def test_a_speed_up_is_the_ratio_of_the_medians():
    slow, fast = Latency(6.0, 9.0, 1.0, (5.0, 6.0, 9.0)), Latency(2.0, 3.0, 1.0, (3.0, 2.0, 2.0))
    value, low, high = speed_up(fast, slow)
    assert value == 3.0 and low <= 3.0 <= high


def test_a_speed_up_needs_shared_rounds():
    with pytest.raises(ValueError, match="got 1 and 2 times"):
        speed_up(Latency(1.0, 1.0, 1.0, (1.0,)), Latency(1.0, 1.0, 1.0, (1.0, 2.0)))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_is_waited_for():
    layer = torch.nn.Linear(4096, 4096, device="cuda")
    model = lambda batch: [layer(batch["x"]) for _ in range(50)][-1]  # noqa: E731
    found = measure_latency(
        {"model": model}, lambda size: {"x": torch.randn(4096, 4096)}, seconds=0, min_rounds=5, device="cuda"
    )
    flops = 50 * 2 * 4096**3
    assert found["model"].p50_ms > flops / 2e15 * 1000, "faster than any GPU: only the launch was timed"
