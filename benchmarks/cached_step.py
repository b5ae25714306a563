"""What a step costs whose teacher was asked beforehand: over a step without a teacher, and under one with it.

    python benchmarks/cached_step.py [--steps 300] [--rounds 4] [--student 2x128] [--output FILE]

Systems, each in a process of its own with its own copy of the models, meet the same batches; each batch goes to all
within seconds, one at a time, in changing order (see step_overhead.py for how that is made fair):

- plain:    transformers' `Trainer`, the student on the labels, its own loss: no distillation at all
- control:  `DistillationTrainer` without a teacher
- cached:   `DistillationTrainer(teacher=CachedTeacher(folder))`: every step reads its rows from disk
- online:   `DistillationTrainer(teacher=model)`

The examples of a batch lie all over the cache, as after shuffling. The cache is built first, by the teacher in a process
of its own, and how long that took per example says after how many epochs it has paid for itself.
"""

import tempfile
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import numpy as np
from step_overhead import (
    LEARNING_RATE,
    LOGGING_STEPS,
    MAX_GRAD_NORM,
    QUICK,
    SEED,
    arguments_of_steps,
    batches_by_round,
    make_models,
    ours,
    tokens,
)
from timing import (
    HandedBatches,
    Worker,
    interleave,
    load_average,
    paired_ratio,
    parse,
    share_cores,
    text_table,
    write_result,
)

BOUNDS = {"cached / plain": 1.05}  # what the project asks of itself; printed beside what was measured
EXPECTED = {"online / cached": "1.5 (3 layers) or 3 (2x128)"}
PAIRS = (("cached", "plain"), ("cached", "control"), ("control", "plain"), ("online", "cached"))


def parse_args(argv=None):
    return parse(arguments_of_steps(__doc__, "cached_step"), argv, quick=QUICK)


def main():
    args = parse_args()
    load = load_average()
    share_cores(args.threads, wait_policy="passive")
    parts = batches_by_round(args)
    batches = sum(parts, [])
    rows = numbered(batches)
    with tempfile.TemporaryDirectory() as folder:
        with Worker("cache", build, args, folder, rows) as builder:
            built = builder.receive()
        rounds = [measure(args, folder, alike(rows), part, seed=index) for index, part in enumerate(parts)]
    seconds = {name: [times[name][args.warmup_steps : -1] for times in rounds] for name in rounds[0]}
    result = {
        "settings": vars(args),
        "cache": built,
        "ratios": {f"{of} / {to}": paired_ratio(seconds[of], seconds[to]) for of, to in PAIRS},
        "break_even_epochs": break_even(built, seconds, args.batch_size),
        "tokens": tokens(batches),
        "seconds": {name: [[round(time, 6) for time in times] for times in of] for name, of in seconds.items()},
    }
    show(result)
    write_result(args.output, result, threads=args.threads, load=load)


def numbered(batches):
    """Give every row of the batches a number at random, and return the rows in the order of their numbers."""
    total = sum(len(batch["labels"]) for batch in batches)
    numbers, rows = iter(np.random.default_rng(SEED).permutation(total)), [None] * total
    for batch in batches:
        batch["example_id"] = np.array([next(numbers) for _ in batch["labels"]])
        for place, number in enumerate(batch["example_id"]):
            length = batch["attention_mask"][place].sum()
            row = {name: batch[name][place][:length].tolist() for name in ("input_ids", "attention_mask")}
            rows[number] = {**row, "labels": int(batch["labels"][place]), "example_id": int(number)}
    return rows


def alike(rows):
    """Two rows of one length, which need no padding: they show the trainer the columns."""
    length = len(rows[0]["input_ids"])
    return [row for row in rows if len(row["input_ids"]) == length][:2]


def build(pipe, args, folder, rows):
    """The cache, and how long each example took, the look at the data before it included."""
    from distil_nlp import OnlineTeacher, build_cache

    _, teacher = make_models(args)
    start = time.perf_counter()
    build_cache(folder, OnlineTeacher(teacher), rows, padded)
    seconds = time.perf_counter() - start
    size = sum(path.stat().st_size for path in Path(folder).iterdir())
    return {"examples": len(rows), "seconds": seconds, "bytes": size}


def padded(rows):
    """Rows as a batch."""
    import torch
    from torch.nn.utils.rnn import pad_sequence

    batch = {
        name: pad_sequence([torch.tensor(row[name]) for row in rows], batch_first=True)
        for name in ("input_ids", "attention_mask")
    }
    return {**batch, **{name: torch.tensor([row[name] for row in rows]) for name in ("labels", "example_id")}}


# ---- The systems ----


def measure(args, folder, rows, batches, *, seed):
    """One round: seconds of each batch by the system's name."""
    systems = {
        "plain": plain,
        "control": partial(ours, rows=rows, source=nobody),
        "cached": partial(ours, rows=rows, source=partial(asked_before, folder)),
        "online": partial(ours, rows=rows),
    }
    with ExitStack() as stack:
        workers = [stack.enter_context(Worker(name, run, args, len(batches))) for name, run in systems.items()]
        seconds = interleave(workers, batches, seed=seed)
        for worker in workers:
            worker.receive()
        return seconds


def nobody(teacher):
    return None


def asked_before(folder, teacher):
    from distil_nlp import CachedTeacher

    return CachedTeacher(folder)


def plain(pipe, args, num_batches):
    """transformers' own Trainer on student and labels."""
    from transformers import Trainer, TrainingArguments

    student, _ = make_models(args)
    batches = HandedBatches(pipe, num_batches, seed=SEED)

    class PlainTrainer(Trainer):
        def get_train_dataloader(self):
            return batches

        def _prepare_inputs(self, inputs):
            inputs.pop("example_id")  # its own loader would have dropped the column
            return super()._prepare_inputs(inputs)

    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder,
            learning_rate=LEARNING_RATE,
            max_grad_norm=MAX_GRAD_NORM,
            num_train_epochs=1,
            per_device_train_batch_size=args.batch_size,
            logging_steps=LOGGING_STEPS,
            save_strategy="no",
            use_cpu=True,
        )
        PlainTrainer(student, arguments, train_dataset=[{}] * 2).train()
    batches.finish()


# ---- What they show ----


def break_even(built, seconds, batch_size):
    """Epochs after which building the cache is paid for by the steps it made shorter."""
    online, cached = (np.median(np.concatenate(seconds[name])) / batch_size for name in ("online", "cached"))
    return float(built["seconds"] / built["examples"] / (online - cached))


def show(result):
    rows = [
        [name, f"{1000 * np.median(np.concatenate(times)):.1f}", f"{1000 * np.mean(np.concatenate(times)):.1f}"]
        for name, times in result["seconds"].items()
    ]
    print(text_table(["system", "median ms", "mean ms"], rows), end="\n\n")
    rows = []
    for name, ratio in result["ratios"].items():
        between = f"{min(ratio['rounds']):.3f} to {max(ratio['rounds']):.3f}"
        figures = (f"{ratio[key]:.3f}" for key in ("value", "low", "high"))
        asked = f"at most {BOUNDS[name]}" if name in BOUNDS else EXPECTED.get(name, "")
        rows.append([name, *figures, between, asked])
    print(text_table(["ratio of a step", "median", "from", "to (95 %)", "rounds", "asked for"], rows), end="\n\n")
    built = result["cache"]
    print(
        f"Building the cache took {1000 * built['seconds'] / built['examples']:.2f} ms an example ({built['examples']:,} "
        f"examples, {built['bytes'] / built['examples']:.0f} bytes each); it is paid for after "
        f"{result['break_even_epochs']:.2f} epochs."
    )


if __name__ == "__main__":
    main()
