"""A Hub for tests, and a way to talk to it with the real client."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.forked import ForkServer
from tests.hub.sample import make_report, save_student
from tests.hub.stub_server import WRITE_TOKEN, StubHub, running_hub

ROOT = Path(__file__).resolve().parents[2]
OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE")


@dataclass
class HubForTests:
    """A running stub Hub, and processes that take it for huggingface.co.

    The client reads its address, token and cache folder once, when it is imported. A process that imports it with
    these in the environment is the client as users run it; nothing in it is patched.
    """

    state: StubHub
    home: Path
    forks: ForkServer

    def python(self, *arguments, cwd=ROOT):
        """Runs python in a process of its own and returns what it printed; fails if it failed."""
        return self.forks.run(*arguments, cwd=cwd)


def environment(state, home):
    """Of a process that takes the stub for the Hub."""
    kept = {name: value for name, value in os.environ.items() if name not in OFFLINE}
    hub = {"HF_ENDPOINT": state.url, "HF_TOKEN": WRITE_TOKEN, "HF_HOME": str(home), "NO_PROXY": "127.0.0.1"}
    # Without xet a large file takes the plain route, which the stub knows.
    quiet = {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    return {**kept, **hub, **quiet}


@pytest.fixture(scope="session")
def hub_of_the_session(tmp_path_factory):
    with running_hub() as state:
        home = tmp_path_factory.mktemp("hf_home")
        forks = ForkServer(environment(state, home))
        yield HubForTests(state, home, forks)
        forks.close()


@pytest.fixture(scope="module")
def hub(hub_of_the_session):
    """A stub Hub for the tests of one file: empty, and with an empty cache."""
    hub_of_the_session.state.clear()
    for path in hub_of_the_session.home.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return hub_of_the_session


@pytest.fixture
def student_folder(tmp_path):
    """A saved student with tokenizer, card, and what training leaves beside it."""
    return save_student(tmp_path / "student")


@pytest.fixture
def report():
    """A complete report of a run with teacher, student and control."""
    return make_report()
