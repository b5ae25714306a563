"""The launcher of a process: `accelerate launch` or `torchrun`."""

import os
import signal
import sys
import threading
import time
from pathlib import Path

_POLL_S, _GRACE_S = 1.0, 60.0
_watched: set[int] = set()  # process ids: a fork watches for itself


def stop_with_launcher() -> None:
    """End this process within seconds after its launcher was killed, which would leave it training into the same folder.

    Does nothing in a process that was not started by a launcher. The process gets SIGTERM, and is killed if that does not
    end it within a minute: it may wait for another one that has ended already.
    """
    if os.getpid() not in _watched and _is_launched():
        _watched.add(os.getpid())
        threading.Thread(target=_watch, args=(os.getppid(),), name="launcher", daemon=True).start()


def _is_launched() -> bool:
    if "TORCHELASTIC_RUN_ID" in os.environ:
        return True
    try:  # a launcher of one process leaves no mark of its own in the environment
        command = Path(f"/proc/{os.getppid()}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    names = {os.path.basename(word) for word in command[:3]}
    return bool(names & {b"accelerate", b"accelerate-launch", b"accelerate.commands.launch"})


def _watch(launcher: int) -> None:
    while os.getppid() == launcher:
        time.sleep(_POLL_S)
    print(f"The launcher (process {launcher}) has ended; process {os.getpid()} stops.", file=sys.stderr, flush=True)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_GRACE_S)
    os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
