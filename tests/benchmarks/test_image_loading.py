"""The benchmark of loading images times what it says: waiting inside the trainer's own loader, and nothing else."""

import sys
from types import SimpleNamespace

import pytest

from tests.conftest import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))  # where `python benchmarks/x.py` finds what they share

import image_loading  # noqa: E402

TINY = ["--steps=2", "--warmup_steps=1", "--batch_size=4"]


class Slow:
    """A loader that takes 2 seconds for each of three batches, by a clock that only it and the test move."""

    dataset = "rows"

    def __init__(self):
        self.now = 0.0

    def __len__(self):
        return 3

    def __iter__(self):
        for batch in range(3):
            self.now += 2
            yield batch


def test_waiting_and_steps_are_told_apart_and_each_is_counted_once(monkeypatch):
    slow = Slow()
    monkeypatch.setattr(image_loading, "time", SimpleNamespace(perf_counter=lambda: slow.now))
    loader, batches = image_loading.TimedLoader(slow), []
    for batch in loader:
        batches.append(batch)
        slow.now += 5
    loader.finish()
    assert batches == [0, 1, 2] and len(loader) == 3 and loader.dataset == "rows"
    assert loader.waits == [2, 2, 2] and loader.steps == [5, 5, 5]


@pytest.mark.parametrize("augmentation", image_loading.AUGMENTATIONS)
def test_a_run_counts_the_steps_it_was_asked_for(augmentation, capsys):
    run = image_loading.measure(None, image_loading.parse_args(TINY), "cnn4:cnn2", "28x28x1", augmentation)
    assert len(run["wait_seconds"]) == len(run["step_seconds"]) == 2 and 0 < run["share"] < 1
    image_loading.show([run])
    assert f"cnn4:cnn2, 28x28x1, {augmentation}" in capsys.readouterr().out
