"""Runs a command of `distil-nlp` with a fault at one of its file operations: `python -m tests.faults.injected SPEC ...`.

SPEC is JSON: {"folder": where operations are counted, "kind": "kill", "full" or "inodes", "at": number of the operation,
"count": a file to which the number of operations is written at the end}. The rest are a subcommand and its arguments.
"""

import errno
import json
import os
import signal
import sys
from pathlib import Path

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_TRUNC
_CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate")


class Fault:
    """An audit hook that counts the file operations below a folder, and fails or kills at one of them."""

    def __init__(self, spec):
        self.folder, self.kind, self.at = spec["folder"], spec.get("kind"), spec.get("at", -1)
        self.count, self.inside = 0, False

    def __call__(self, event, args):
        if self.inside or not self._is_change(event, args):
            return
        self.inside = True
        try:
            self._meet(event)
        finally:
            self.inside = False

    def _is_change(self, event, args):
        if event == "open":
            flags = args[2] if isinstance(args[2], int) else 0
            return bool(flags & _WRITING) and self._is_below(args[0])
        return event in _CHANGES and self._is_below(args[0])

    def _is_below(self, path):
        return isinstance(path, (str, bytes, os.PathLike)) and os.path.abspath(os.fsdecode(path)).startswith(
            self.folder
        )

    def _meet(self, event):
        self.count += 1
        if self.kind == "kill" and self.count == self.at:
            os.kill(os.getpid(), signal.SIGKILL)
        creates = event in ("open", "os.mkdir", "os.link", "os.symlink")
        if self.kind == "full" and self.count >= self.at and creates:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if self.kind == "inodes" and self.count >= self.at and event != "os.remove" and creates:
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))


def main(spec, *command):
    spec = json.loads(spec)
    fault = Fault(spec)
    sys.addaudithook(fault)
    from distil_nlp.cli.main import main

    try:
        main(list(command))
    finally:
        fault.kind = None
        if "count" in spec:
            Path(spec["count"]).write_text(str(fault.count))


if __name__ == "__main__":
    main(*sys.argv[1:])
