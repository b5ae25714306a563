"""Cases of faults: drawn from a seed, tried on a command, and judged by what the same command leaves afterwards."""

import json
import os
import random
import shutil
import signal
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from distil_nlp.teachers import CachedTeacher

from .commands import COMMANDS, digest, files, save_inputs

KINDS = {
    # The command must end as if nothing had happened.
    "killed at a file operation": True,
    "killed at a moment": True,
    "full disk": True,
    "no inodes": True,
    "SIGTERM": True,
    "SIGINT": True,
    "SIGHUP": True,
    "two at once": True,
    # It must end so, or refuse with a sentence.
    "moved": False,
    "cut file": False,
    "flipped bit": False,
    "cut file of a finished run": False,
    "changed data": False,
}


@dataclass(frozen=True)
class Case:
    """One fault.

    Args:
        command (`str`): One of `COMMANDS`.
        kind (`str`): One of `KINDS`.
        at (`float`): Where, 0 to 1: the share of the command's file operations or of its time.
        seed (`int`): Of further choices, such as the file that is damaged.
    """

    command: str
    kind: str
    at: float
    seed: int

    @property
    def name(self):
        return f"{self.command}: {self.kind} at {self.at:.3f}, seed {self.seed}"


def draw(number, seed):
    """`number` cases; commands and kinds come in turn, in an order of their own."""
    generator, cases = random.Random(seed), []
    pairs = [(command, kind) for command in COMMANDS for kind in KINDS]
    while len(cases) < number:
        for command, kind in generator.sample(pairs, len(pairs)):
            cases.append(Case(command, kind, round(generator.random(), 3), generator.randrange(10**6)))
    return cases[:number]


class Bench:
    """Tries cases in a folder.

    Args:
        forks (`tests.forked.ForkServer`): Starts the processes.
        folder (`Path`): Inputs, the undisturbed run of each command, and one folder for each case.
    """

    def __init__(self, forks, folder):
        self.forks, self.folder, self.whole = forks, Path(folder), {}
        self.inputs = self.folder / "inputs"
        if not self.inputs.exists():
            self.inputs.mkdir(parents=True)
            save_inputs(self.inputs)

    def start(self, command, inputs, output, spec=None):
        """A process of the command, with the fault of `spec`."""
        subcommand, arguments = COMMANDS[command]
        spec = json.dumps({"folder": str(output), **(spec or {})})
        words = [subcommand, *arguments(inputs, output)]
        return self.forks.start("-m", "tests.faults.injected", spec, *words, cwd=self.folder)

    def undisturbed(self, command):
        """What the command leaves, its number of file operations, its seconds."""
        if command not in self.whole:
            output, count = self.folder / f"whole-{list(COMMANDS).index(command)}", self.folder / "count"
            shutil.rmtree(output, ignore_errors=True)
            begin = time.monotonic()
            process = self.start(command, self.inputs, output, {"count": str(count)})
            assert process.wait() == 0, process.stderr()[-3000:]
            seconds = time.monotonic() - begin
            self.whole[command] = {
                "digest": digest(output), "files": files(output), "operations": int(count.read_text()),
                "seconds": seconds,
            }  # fmt: skip
            shutil.rmtree(output)
        return self.whole[command]

    def try_out(self, case):
        """The result of a case: "identical", "refused: ..." or "FAIL: ..."."""
        whole, output = self.undisturbed(case.command), self.folder / "case"
        inputs = self.folder / "case-inputs"
        for folder in (output, inputs):
            shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.inputs, inputs)
        output, complaint = self._disturb(case, whole, inputs, output)
        if complaint is not None:
            return f"FAIL: {complaint}"
        expected = self._run_on(case, inputs) if case.kind == "changed data" else whole["digest"]
        process = self.start(case.command, inputs, output)
        code, printed = process.wait(), process.stderr()
        if code != 0:
            return self._refusal(case, code, printed)
        found = digest(output)
        if found != expected:
            names = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
            return _refused_when_read(output, names) or f"FAIL: differs in {', '.join(names)}"
        litter = files(output) - whole["files"]
        return f"FAIL: litter {', '.join(sorted(litter)[:5])}" if litter else "identical"

    def _run_on(self, case, inputs):
        """What the command leaves in a new folder, with inputs of its own."""
        output = self.folder / "case-alone"
        shutil.rmtree(output, ignore_errors=True)
        process = self.start(case.command, inputs, output)
        assert process.wait() == 0, process.stderr()[-3000:]
        return digest(output)

    def _refusal(self, case, code, printed):
        lines = [line for line in printed.strip().splitlines() if line.strip()]
        last = lines[-1] if lines else ""
        if "Traceback" in printed or code < 0 or len(last) < 30:
            return f"FAIL: ended with {code}: {printed[-1500:]}"
        return f"FAIL: refused, but must go on: {last}" if KINDS[case.kind] else f"refused: {last}"

    # ---- The faults ----

    def _disturb(self, case, whole, inputs, output):
        """Run the command with the fault. Returns the output folder of the next run, and what went wrong or None."""
        at = max(1, round(case.at * whole["operations"]))
        if case.kind == "killed at a moment" or case.kind.startswith("SIG"):
            return output, self._signal(case, whole, inputs, output)
        if case.kind == "two at once":
            return output, self._two(case, inputs, output)
        if case.kind == "cut file of a finished run":
            at = whole["operations"] + 1
        fault = {"full disk": "full", "no inodes": "inodes"}.get(case.kind, "kill")
        process = self.start(case.command, inputs, output, {"kind": fault, "at": at})
        code, printed = process.wait(), process.stderr()
        if fault != "kill" and code != 0 and ("Traceback" in printed or code < 0):
            return output, f"the fault itself ended with {code}: {printed[-1500:]}"
        if case.kind == "moved" and output.exists():
            moved = output.with_name("case-moved")
            shutil.rmtree(moved, ignore_errors=True)
            output = output.rename(moved)
        if case.kind.startswith(("cut", "flipped")):
            damage(output, case)
        if case.kind == "changed data":
            change(inputs, case)
        return output, None

    def _signal(self, case, whole, inputs, output):
        process = self.start(case.command, inputs, output)
        time.sleep(case.at * whole["seconds"])
        number = signal.SIGKILL if case.kind == "killed at a moment" else getattr(signal, case.kind)
        if process.poll() is None:
            process.send_signal(number)
        process.wait()
        printed = process.stderr()
        return f"after {case.kind}: {printed[-1500:]}" if "Traceback" in printed else None

    def _two(self, case, inputs, output):
        first = self.start(case.command, inputs, output)
        time.sleep(case.at)
        second = self.start(case.command, inputs, output)
        codes = [first.wait(), second.wait()]
        printed = first.stderr() + second.stderr()
        if "Traceback" in printed or 0 not in codes:
            return f"two at once ended with {codes}: {printed[-1500:]}"
        return None


def _refused_when_read(output, names):
    """A finished run does not read its cache again; a damaged one must be refused where another run does."""
    if all(Path(name).parent.name == "teacher_cache" for name in names):
        try:
            CachedTeacher(output / Path(names[0]).parent)
        except (ValueError, FileNotFoundError) as error:
            return f"refused: where it is read: {error}"
    return None


def damage(output, case):
    """Cut a file of the output folder, or flip a bit of it. The file is drawn."""
    paths = sorted(path for path in output.rglob("*") if path.is_file() and path.stat().st_size > 0)
    if not paths:
        return
    generator = random.Random(case.seed)
    path = generator.choice(paths)
    content = bytearray(path.read_bytes())
    place = generator.randrange(len(content))
    if case.kind == "flipped bit":
        content[place] ^= 1 << generator.randrange(8)
    else:
        del content[place:]
    path.write_bytes(content)


def change(inputs, case):
    """Take the last rows away from the training data of the case's command."""
    import datasets

    if case.command in ("images", "clips"):
        path = inputs / f"{case.command}-train.parquet"
        rows = datasets.Dataset.from_parquet(str(path), cache_dir=str(inputs / "cache"))
        rows.select(range(len(rows) - 1)).to_parquet(path)
    else:
        path = inputs / "train.jsonl"
        path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    os.utime(path, (0, 0))  # a clock is no proof


def as_record(case, result):
    return {**asdict(case), "result": result}
