"""A small part of the fault suite (`make test-faults`): after a fault the same command ends as if there had been none."""

import pytest

from .cases import Bench, Case

CASES = [
    Case("text", "killed at a file operation", 0.55, 1),
    Case("text", "full disk", 0.7, 1),
    Case("text", "SIGTERM", 0.6, 1),
    Case("text", "two at once", 0.1, 1),
    Case("text", "cut file of a finished run", 1.0, 4),
    Case("text", "changed data", 0.8, 1),
    Case("text, cached", "moved", 0.6, 1),
    Case("cache", "killed at a file operation", 0.5, 1),
]


@pytest.fixture(scope="module")
def bench(forks, tmp_path_factory):
    return Bench(forks, tmp_path_factory.mktemp("faults"))


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_after_a_fault_the_same_command_ends_as_without_it_or_refuses_with_a_sentence(case, bench):
    result = bench.try_out(case)
    assert not result.startswith("FAIL"), result


def test_every_fault_of_a_command_that_must_go_on_is_noticed_if_it_does_not(bench):
    whole = bench.undisturbed("text")
    assert whole["operations"] > 20 and {"report.json", "student/model.safetensors"} <= whole["digest"].keys()
