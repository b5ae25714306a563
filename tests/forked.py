"""Processes that begin with the libraries imported, for tests that need a process of their own.

A fresh interpreter takes seconds to import torch, transformers and the package; a fork of a process that has imported
them takes milliseconds. `python -m tests.forked` is that process: it trains nothing itself, because a fork after a
backward pass cannot run another one. A test of what an interpreter imports needs a fresh interpreter instead.
"""

import gc
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
ROOT = Path(__file__).resolve().parents[1]
IMPORTS = """
import datasets, torch, transformers
import distil_nlp.cli.commands, distil_nlp.hub, distil_nlp.models, distil_nlp.recipe.run, distil_nlp.streaming
import distil_nlp.training.trainer, tests.training.runs
from transformers import AutoModelForSequenceClassification, AutoTokenizer, BertForSequenceClassification, pipeline
torch.set_num_threads(1)
"""


class ForkServer:
    """Starts processes as `python` would, from one process that has imported the libraries.

    Args:
        environment (`dict[str, str]`): Of all its processes.
    """

    def __init__(self, environment):
        environment = {**environment, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.forked"],
            env=environment, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def request(self, **request):
        """The server's answer to a request, see `serve`."""
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        answer = self._server.stdout.readline()
        assert answer, "the process that imports the libraries has ended; its error is printed above"
        return json.loads(answer)

    def start(self, *arguments, cwd=ROOT):
        """A `ForkedProcess` of `python *arguments`: "-c" and code, "-m" and a module, or a script."""
        return ForkedProcess(self, [str(argument) for argument in arguments], str(cwd))

    def run(self, *arguments, cwd=ROOT, timeout=240):
        """What `python *arguments` prints; fails if it fails."""
        process = self.start(*arguments, cwd=cwd)
        code = process.wait(timeout)
        assert code == 0, process.stdout() + process.stderr()
        return process.stdout()

    def close(self):
        self._server.kill()
        self._server.communicate()


class ForkedProcess:
    """A process of `ForkServer.start`."""

    def __init__(self, server, arguments, cwd):
        self._server, self._folder, self._code = server, Path(tempfile.mkdtemp()), None
        for name in ("stdout", "stderr"):
            (self._folder / name).touch()
        self.pid = server.request(arguments=arguments, cwd=cwd, output=str(self._folder))

    def poll(self):
        """The exit status, negative for a signal; None while it runs."""
        if self._code is None:
            self._code = self._server.request(poll=self.pid)
        return self._code

    def wait(self, timeout=240):
        end = time.monotonic() + timeout
        while self.poll() is None:
            assert time.monotonic() < end, f"still running after {timeout} s:\n{self.stderr()[-3000:]}"
            time.sleep(0.005)
        return self._code

    def send_signal(self, number):
        os.kill(self.pid, number)

    def stdout(self):
        """What it has printed so far."""
        return (self._folder / "stdout").read_text()

    def stderr(self):
        return (self._folder / "stderr").read_text()


def serve():
    """Answer requests, a line of JSON each: start a process (its id is the answer), or poll for its exit status."""
    exec(IMPORTS, {})
    gc.freeze()  # a fork copies what its garbage collection touches, and `Trainer` starts one in every run
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        request = json.loads(line)
        if "poll" in request:
            pid, status = os.waitpid(request["poll"], os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if pid else None
        else:
            answer = os.fork()
            if answer == 0:
                os._exit(_run(request))
        print(json.dumps(answer), file=answers, flush=True)


def _run(request):
    """In a fork: run what `python` would, and return the exit status."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(Path(request["output"]) / name, os.O_WRONLY), number)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1, closefd=False) for number in (1, 2))
    os.chdir(request["cwd"])
    for number in SIGNALS:  # as in a terminal, also where `nohup` or `&` ignores some
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    first, *rest = request["arguments"]
    try:
        if first == "-c":
            sys.argv, sys.path[0] = ["-c", *rest[1:]], ""
            exec(compile(rest[0], "<string>", "exec"), {"__name__": "__main__"})
        elif first == "-m":
            sys.argv, sys.path[0] = rest, ""
            runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
        else:
            sys.argv, sys.path[0] = [first, *rest], str(Path(first).resolve().parent)
            runpy.run_path(first, run_name="__main__")
        code = 0
    except SystemExit as stop:
        if isinstance(stop.code, str):
            print(stop.code, file=sys.stderr)
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return code


if __name__ == "__main__":
    serve()
