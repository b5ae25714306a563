"""Memory freed by a step stays in the process, so that the system has no pages to zero in the next step."""

import json
import subprocess
import sys

import pytest

from distil_nlp.internals import memory as freed_memory

# Blocks of a few megabytes, freed and allocated again; counts the page faults.
FAULTS = """
import json, resource, sys
from distil_nlp.internals.memory import keep_freed_memory
done = keep_freed_memory() if sys.argv[1] == "keep" else False
def step():
    blocks = [bytearray(3_000_000) for _ in range(20)]
    del blocks
for _ in range(3): step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5): step()
print(json.dumps([done, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before]))
"""


def faults(how):
    run = subprocess.run([sys.executable, "-c", FAULTS, how], capture_output=True, text=True, env={}, check=True)
    return json.loads(run.stdout)


@pytest.mark.skipif(freed_memory.platform.libc_ver()[0] != "glibc", reason="mallopt is a function of glibc")
def test_freed_pages_are_not_requested_again():
    (done, kept), (_, returned) = faults("keep"), faults("return")
    assert done
    assert kept < returned / 10


def test_environment_variables_take_precedence(monkeypatch):
    monkeypatch.setenv("MALLOC_ARENA_MAX", "2")
    assert not freed_memory.keep_freed_memory()


def test_nothing_is_set_with_another_c_library(monkeypatch):
    monkeypatch.setattr(freed_memory.platform, "libc_ver", lambda: ("", ""))
    assert not freed_memory.keep_freed_memory()
