"""A Hub for tests, and a way to talk to it with the real client."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.hub.sample import make_report, save_student
from tests.hub.stub_server import WRITE_TOKEN, StubHub, running_hub

ROOT = Path(__file__).resolve().parents[2]
OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE")


@dataclass
class HubForTests:
    """A running stub Hub, and processes that take it for huggingface.co.

    The client reads its address, token and cache folder once, when it is imported. A process of its own with these
    in the environment is the client as users run it; nothing in it is patched.
    """

    state: StubHub
    home: Path

    @property
    def environment(self):
        kept = {name: value for name, value in os.environ.items() if name not in OFFLINE}
        hub = {"HF_ENDPOINT": self.state.url, "HF_TOKEN": WRITE_TOKEN, "HF_HOME": str(self.home)}
        # Without xet a large file takes the plain route, which the stub knows.
        quiet = {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
        return {**kept, **hub, **quiet, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "NO_PROXY": "127.0.0.1"}

    def python(self, *arguments, cwd=ROOT):
        """Runs python in a fresh process and returns what it printed; fails where it failed."""
        done = subprocess.run(
            [sys.executable, *map(str, arguments)],
            env=self.environment, cwd=cwd, capture_output=True, text=True, timeout=240,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """A fresh stub Hub for the tests of one file, with an empty cache."""
    with running_hub() as state:
        yield HubForTests(state, tmp_path_factory.mktemp("hf_home"))


@pytest.fixture
def student_folder(tmp_path):
    """A saved student with tokenizer, card, and what training leaves beside it."""
    return save_student(tmp_path / "student")


@pytest.fixture
def report():
    """A complete report of a run with teacher, student and control."""
    return make_report()
