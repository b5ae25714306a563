"""A process ends when its launcher is killed, and only then."""

import signal
import time
from pathlib import Path

from distil_nlp.internals import launcher

LAUNCHED = """
import os, time
from distil_nlp.internals import launcher
launcher._POLL_S = 0.02
os.environ["TORCHELASTIC_RUN_ID"] = "a launch"
if os.fork() == 0:
    launcher.stop_with_launcher()
    print(os.getpid(), flush=True)
time.sleep(60)
"""


def has_ended(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return True
    return state.rpartition(")")[2].split()[0] == "Z"


def test_a_worker_ends_after_its_launcher_was_killed(forks):
    process = forks.start("-c", LAUNCHED)
    while not process.stdout().strip():
        assert process.poll() is None, process.stderr()
        time.sleep(0.002)
    worker = int(process.stdout())
    time.sleep(0.1)
    assert not has_ended(worker)
    process.send_signal(signal.SIGKILL)
    process.wait()
    end = time.monotonic() + 30
    while not has_ended(worker):
        assert time.monotonic() < end
        time.sleep(0.01)
    assert f"The launcher (process {process.pid}) has ended; process {worker} stops." in process.stderr()


def test_a_process_without_a_launcher_is_not_watched(monkeypatch):
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    assert not launcher._is_launched()
