"""What the benchmarks share: processes that take turns, ratios of pairs, and a result with its circumstances.

A busy machine is slow for a minute and fast for the next. So nothing here compares two long runs: every batch is
handed to all systems within seconds, and what is reported is the ratio of the two times of one batch.
"""

import itertools
import multiprocessing
import os
import random
import shlex
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

_SPAWN = multiprocessing.get_context("spawn")  # a fresh process: nothing of the parent's memory counts as its own
_LAST_WORDS = 3000


def share_cores(threads, *, wait_policy=None):
    """Settle how many threads the processes started from now on use, before any of them imports torch.

    Args:
        threads (`int`): For OpenMP and MKL; the workers also tell torch.
        wait_policy (`str`, *optional*): "passive" lets idle OpenMP threads sleep at once. By default they spin for
            a while after each parallel part, on the cores of whoever has the next turn.
    """
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(threads)
    if wait_policy is not None:
        os.environ["OMP_WAIT_POLICY"] = wait_policy


class Worker:
    """A function in a fresh process of its own. While it waits for its turn it is blocked in a read, not spinning.

    `function(pipe, *args)` runs there; what it returns is the last message. Its output goes to a file, which is
    shown if it fails.

    Args:
        name (`str`): For results and messages.
        function (callable): At the top level of a module, because another process has to find it.
        args: For the function; they are pickled.
    """

    def __init__(self, name, function, *args):
        self.name = name
        descriptor, self._log = tempfile.mkstemp(prefix=f"benchmark-{os.getpid()}-", suffix=".log")
        os.close(descriptor)
        self._pipe, theirs = _SPAWN.Pipe()
        self._process = _SPAWN.Process(target=_work, args=(function, theirs, self._log, args), daemon=True)
        self._process.start()
        theirs.close()  # or the end of the worker would never be seen here

    def receive(self):
        """The worker's next message.

        Raises:
            RuntimeError: It ended before it sent one.
        """
        try:
            return self._pipe.recv()
        except (EOFError, ConnectionResetError):
            self._process.join()
            said = Path(self._log).read_text(errors="replace")[-_LAST_WORDS:]
            raise RuntimeError(
                f"The process of '{self.name}' ended (exit code {self._process.exitcode}) before it answered, so there "
                f"is nothing to compare. Its last words:\n{said}"
            ) from None

    def ask(self, message):
        """Send `message`, wait, return the answer."""
        self._pipe.send(message)
        return self.receive()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self._pipe.close()
        if kind is not None:
            self._process.terminate()
        self._process.join()
        Path(self._log).unlink(missing_ok=True)


def _work(function, pipe, log, args):
    with open(log, "w") as file:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(file.fileno(), stream.fileno())
        pipe.send(function(pipe, *args))


class HandedBatches:
    """In a worker: an iterator over the batches that the parent hands over, which reports how long each one took.

    The clock runs from the moment a batch is given to the loop until the loop asks for the next one, so it holds
    everything a step does: forward, backward, clipping, optimizer, scheduler, callbacks, logging. What it does not
    hold is the making of the batch.

    Args:
        pipe: To the parent, which uses `interleave`.
        num_batches (`int`): How many will come.
        seed (`int`): Given to torch before the first step, so that dropout is the same in all workers.
    """

    def __init__(self, pipe, num_batches, *, seed):
        self._pipe, self._num_batches, self._seed = pipe, num_batches, seed
        self._handed, self._start = 0, None

    def __len__(self):
        return self._num_batches

    def __iter__(self):
        return self

    def __next__(self):
        import torch

        self.finish()
        if self._handed == self._num_batches:
            raise StopIteration
        if self._handed == 0:
            self._pipe.send("ready")
        batch = {name: torch.from_numpy(values) for name, values in self._pipe.recv().items()}
        if self._handed == 0:
            torch.manual_seed(self._seed)
        self._handed += 1
        self._start = time.perf_counter()
        return batch

    def finish(self):
        """Report the step that is under way, if one is: for a loop that does not ask after its last batch."""
        if self._start is not None:
            self._pipe.send(time.perf_counter() - self._start)
            self._start = None


def interleave(workers, batches, *, seed=0):
    """Hand each batch to all workers, one at a time, each first, second, ... equally often.

    Args:
        workers (list of `Worker`): Whose functions iterate over `HandedBatches`.
        batches (list of dict of `np.ndarray`): The same for all.
        seed (`int`): Of the orders.

    Returns:
        `dict[str, list[float]]`: Seconds of each batch, by the worker's name.
    """
    from tqdm.auto import tqdm

    for worker in workers:
        worker.receive()  # it is ready: nobody loads a model while somebody is timed
    seconds = {worker.name: [] for worker in workers}
    for batch, order in zip(tqdm(batches, unit=" batches", disable=None), orders(workers, seed=seed), strict=False):
        for worker in order:
            seconds[worker.name].append(worker.ask(batch))
    return seconds


def orders(items, *, seed=0):
    """Without end: all orders of `items` in random sequence, then all of them again.

    A rotation would let everyone follow the same predecessor, and inherit the caches it leaves, every time.
    """
    generator = random.Random(seed)
    while True:
        every = list(itertools.permutations(items))
        generator.shuffle(every)
        yield from every


def paired_ratio(of, to, *, num_resamples=4_000, seed=0):
    """How many times longer `of` takes than `to`, from pairs of times of the same batch.

    One process of a program can be a few percent faster than the next of the very same program, for as long as it
    lives: where its memory happens to lie decides. An interval over pairs alone would not know of it, so the rounds
    (fresh processes each) are drawn anew as well.

    Args:
        of, to (`list[Sequence[float]]`): Seconds, one sequence a round; the same batches in the same order.
        num_resamples (`int`): For the interval: rounds are drawn, and in each of them pairs, both times together.
        seed (`int`): Of the draws.

    Returns:
        `dict`: "value" (median of all pairs' ratios), "low" and "high" (its 95 % bootstrap interval; of few rounds it
        comes out somewhat narrow), "rounds" (the median of each), "num_pairs", "of_medians" and "of_totals" (the
        ratios of the medians and of the sums, for comparison).

    Raises:
        ValueError: Different numbers of times, or none.
    """
    of, to = ([np.asarray(times, dtype=np.float64) for times in rounds] for rounds in (of, to))
    sizes = [[len(times) for times in rounds] for rounds in (of, to)]
    if sizes[0] != sizes[1] or not sizes[0] or 0 in sizes[0]:
        raise ValueError(
            f"A ratio of pairs needs two times of each batch, and a batch in each round; got {sizes[0]} and {sizes[1]}."
        )
    ratios, generator = [ours / theirs for ours, theirs in zip(of, to, strict=True)], np.random.default_rng(seed)
    resampled = []
    for _ in range(num_resamples):
        drawn = [ratios[index] for index in generator.integers(len(ratios), size=len(ratios))]
        again = [pairs[generator.integers(len(pairs), size=len(pairs))] for pairs in drawn]
        resampled.append(np.median(np.concatenate(again)))
    low, high = np.quantile(resampled, (0.025, 0.975))
    of, to = np.concatenate(of), np.concatenate(to)
    return {
        "value": float(np.median(of / to)),
        "low": float(low),
        "high": float(high),
        "rounds": [float(np.median(pairs)) for pairs in ratios],
        "num_pairs": len(of),
        "of_medians": float(np.median(of) / np.median(to)),
        "of_totals": float(of.sum() / to.sum()),
    }


def parse(parser, argv=None, *, quick):
    """Parse a benchmark's arguments; with `--quick` its defaults are those of a run of seconds.

    Args:
        parser (`argparse.ArgumentParser`): Of the benchmark; gets the flag `--quick`.
        argv (`list[str]`, *optional*): By default those of the process.
        quick (`dict`): Defaults with `--quick`: tiny sizes, few steps. The result is written to `runs/benchmarks/`,
            unless `--output` names a file.

    Returns:
        `argparse.Namespace`, with `quick` among the arguments.
    """
    parser.add_argument(
        "--quick", action="store_true", help="Tiny sizes and few steps: checks that it runs; its figures mean nothing."
    )
    if parser.parse_known_args(argv)[0].quick:
        output = parser.get_default("output")
        parser.set_defaults(**({"output": f"runs/benchmarks/{Path(output).name}"} if output else {}), **quick)
    return parser.parse_args(argv)


def require(*paths, quick):
    """Stop a benchmark whose data or models are missing.

    Args:
        paths (`str` or `Path`): Files or folders that it reads.
        quick (`bool`): The script ends without an error, so that the next benchmark runs.

    Raises:
        SystemExit: With the missing paths; the exit status is 0 if `quick`.
    """
    missing = [str(path) for path in paths if not Path(path).exists()]
    if missing and quick:
        print(f"Skipped: {', '.join(missing)} not found.")
        sys.exit(0)
    if missing:
        sys.exit(f"{', '.join(missing)} not found. Name other places with --data and --teacher (see --help).")


def peak_memory_bytes():
    """The most physical memory this process ever had."""
    status = Path("/proc/self/status")
    if status.is_file():
        # Not getrusage: on Linux its figure survives exec, so a child begins with what its parent had.
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def load_average():
    """Processes that wanted a core during the last minute, and the cores there are: were we alone?"""
    wanted = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {"load_average": wanted, "cores": os.cpu_count()}


def write_result(path, result, *, threads, load):
    """Write what was measured, and under which circumstances, as JSON.

    Args:
        path (`str` or `Path`): Of the file.
        result (`dict`): What was measured.
        threads (`int`): That the workers used.
        load (`dict`): `load_average()` before the measurement began.
    """
    from distil_nlp.internals.files import write_json
    from distil_nlp.reports import environment

    command = shlex.join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]])
    write_json(path, {"command": command, "environment": {**environment(), "threads": threads, **load}, **result})
    print(f"\nWritten to {path}")


def text_table(header, rows):
    """A table for the terminal: the first column to the left, numbers to the right."""
    cells = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    lines = [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in cells
    ]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])
