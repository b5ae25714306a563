"""What a training step spends its time on, part by part, beside the same parts of a bare PyTorch loop.

    python benchmarks/step_parts.py [--steps 300] [--rounds 4] [--teacher 6x384] [--student 2x128] [--output FILE]

`step_overhead.py` measures a step as a whole; here the calls inside it are timed too, in both loops: a part is the time
within a call without the parts called from it, and "rest" is what remains of the step. The difference of the last column is
what `Trainer` and this package add. Each batch goes to both loops, one after the other, in fresh processes.
"""

import functools
import sys
import time
from contextlib import ExitStack, contextmanager

import numpy as np
import step_overhead
from timing import Worker, interleave, load_average, parse, share_cores, text_table, write_result

# Parts that both loops have come first.
SHARED = ("teacher", "student", "loss", "backward", "clip", "optimizer", "scheduler", "zero_grad")
OF_TRAINER = ("prepare", "counts", "callbacks", "logging", "grad norm")
REST = "rest"


class Clock:
    """Seconds by part and step. A part within another is taken out of the outer one."""

    def __init__(self):
        self.steps, self._open = [], []

    @contextmanager
    def measure(self, part):
        start = time.perf_counter()
        self._open.append(0.0)
        try:
            yield
        finally:
            seconds = time.perf_counter() - start
            inner = self._open.pop()
            if self._open:
                self._open[-1] += seconds
            if self.steps:
                self.steps[-1][part] = self.steps[-1].get(part, 0.0) + seconds - inner

    def wrap(self, owner, name, part):
        """Time every call of `owner.name`."""
        function = getattr(owner, name)

        @functools.wraps(function)
        def timed(*args, **kwargs):
            with self.measure(part):
                return function(*args, **kwargs)

        setattr(owner, name, timed)


def parse_args(argv=None):
    parser = step_overhead.arguments_of_steps(__doc__, "step_parts")
    return parse(parser, argv, quick=step_overhead.QUICK)


def main():
    args = parse_args()
    load = load_average()
    share_cores(args.threads, wait_policy="passive")
    parts = step_overhead.batches_by_round(args)
    rounds = [measure(args, part, seed=index) for index, part in enumerate(parts)]
    result = {"settings": vars(args), "milliseconds": table_of(rounds, args.warmup_steps)}
    show(result["milliseconds"], args)
    write_result(args.output, result, threads=args.threads, load=load)


def measure(args, batches, *, seed):
    """Of each loop: its steps, each a dictionary of seconds by part with the whole under "step"."""
    with ExitStack() as stack:
        workers = [stack.enter_context(Worker(name, run, args, len(batches))) for name, run in LOOPS.items()]
        seconds = interleave(workers, batches, seed=seed)
        parts = {worker.name: worker.receive() for worker in workers}
    return {
        name: [{**step, "step": whole} for step, whole in zip(parts[name], seconds[name], strict=True)]
        for name in LOOPS
    }


# ---- The loops ----


def _patch_shared(clock):
    """The calls that both loops make."""
    import torch
    from timing import HandedBatches

    next_batch = HandedBatches.__next__

    def begin(self):
        batch = next_batch(self)
        clock.steps.append({})
        return batch

    HandedBatches.__next__ = begin
    clock.wrap(torch.Tensor, "backward", "backward")
    clock.wrap(torch.nn.utils, "clip_grad_norm_", "clip")
    clock.wrap(torch.optim.AdamW, "step", "optimizer")
    clock.wrap(torch.optim.lr_scheduler.LambdaLR, "step", "scheduler")


def bare_loop(pipe, args, num_batches):
    import torch

    clock = Clock()
    _patch_shared(clock)
    prepare = step_overhead.Bare.__init__

    def prepared(self, *arguments):
        prepare(self, *arguments)
        clock.wrap(self.student, "forward", "student")
        clock.wrap(self.teacher, "forward", "teacher")

    step_overhead.Bare.__init__ = prepared
    clock.wrap(torch.optim.AdamW, "zero_grad", "zero_grad")
    for name in ("log_softmax", "kl_div", "cross_entropy"):
        clock.wrap(torch.nn.functional, name, "loss")
    step_overhead.bare_loop(pipe, args, num_batches)
    return clock.steps


def ours(pipe, args, num_batches):
    import torch
    from transformers.trainer_callback import CallbackHandler

    from distil_nlp.objectives import Objective
    from distil_nlp.training.trainer import DistillationTrainer

    clock = Clock()
    _patch_shared(clock)
    for name, part in (
        ("_teacher_signals", "teacher"),
        ("_student_signals", "student"),
        ("_prepare_inputs", "prepare"),
        ("_get_num_items_in_batch", "counts"),
        ("_get_grad_norm", "grad norm"),
        ("_maybe_log_save_evaluate", "logging"),
    ):
        clock.wrap(DistillationTrainer, name, part)
    clock.wrap(Objective, "forward", "loss")
    clock.wrap(CallbackHandler, "call_event", "callbacks")
    clock.wrap(torch.nn.Module, "zero_grad", "zero_grad")
    step_overhead.ours(pipe, args, num_batches)
    return clock.steps


LOOPS = {"ours": ours, "bare loop": bare_loop}


# ---- What they show ----


def table_of(rounds, warmup_steps):
    """Mean milliseconds of every part, by loop; the fastest and slowest tenth of the steps are left out."""
    table = {}
    for name in LOOPS:
        steps = [step for round in rounds for step in round[name][warmup_steps:-1]]
        order = np.argsort([step["step"] for step in steps])
        kept = [steps[index] for index in order[len(order) // 10 : len(order) - len(order) // 10]]
        means = {part: 1000 * float(np.mean([step.get(part, 0.0) for step in kept])) for part in _parts(kept)}
        means[REST] = means["step"] - sum(value for part, value in means.items() if part != "step")
        table[name] = means
    return table


def _parts(steps):
    return list(dict.fromkeys(part for step in steps for part in step))


def show(table, args):
    whole = table["bare loop"]["step"]
    rows = []
    for part in (*SHARED, *OF_TRAINER, REST, "step"):
        ours, bare = (table[name].get(part, 0.0) for name in LOOPS)
        rows.append([part, f"{ours:.3f}", f"{bare:.3f}", f"{ours - bare:+.3f}", f"{100 * (ours - bare) / whole:+.2f}"])
    print(text_table(["part", "ours ms", "bare ms", "difference", "% of the bare step"], rows))


if __name__ == "__main__":
    sys.exit(main())
