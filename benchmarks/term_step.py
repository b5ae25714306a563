"""What a term between layers adds to a step: ours with it over ours with labels and soft targets alone.

    python benchmarks/term_step.py [--steps 200] [--rounds 4] [--terms relations attention] [--output FILE]

A teacher of 6 layers, 384 wide, 12 heads; a student of 2 layers, 128 wide, 2 heads; lengths as in SST-2, sdpa on in
both. Every system is `DistillationTrainer.train()` in a process of its own; each batch goes to all of them within
seconds, one at a time, in changing order. See step_overhead.py for how that is made fair.
"""

import argparse
from contextlib import ExitStack
from functools import partial

import numpy as np
from step_overhead import KD_RATIO, TEMPERATURE, batches_by_round, ours, tokens
from timing import Worker, interleave, load_average, paired_ratio, parse, share_cores, text_table, write_result

LOGITS = [{"hard": {"weight": 1 - KD_RATIO}}, {"soft": {"weight": KD_RATIO, "temperature": TEMPERATURE}}]
TERMS = {
    "relations": {"relations": {"layers": "last"}},
    "attention": {"attention": {"layers": "uniform", "average_heads": None}},
    "hidden": {"hidden": {"layers": "uniform"}},
    "patient": {"patient": {"layers": "uniform"}},
    "distance": {"distance": {}},
    "angle": {"angle": {}},
}
QUICK = {"steps": 4, "rounds": 1, "warmup_steps": 1, "batch_size": 4, "teacher": "2x48", "student": "2x16"}
BOUNDS = {"relations": 1.15}  # what the project asks of itself


def parse_args(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=200, help="Batches that count, in all.")
    parser.add_argument("--rounds", type=int, default=4, help="Fresh processes, that often; the steps are shared out.")
    parser.add_argument("--warmup_steps", type=int, default=5, help="Batches of a round before them that do not.")
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--terms", nargs="+", default=list(TERMS), choices=list(TERMS))
    parser.add_argument("--teacher", default="6x384", help="A size (BERT with random weights) or a folder.")
    parser.add_argument("--student", default="2x128")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", default="benchmarks/results/term_step.json")
    return parse(parser, argv, quick=QUICK)


def main():
    args = parse_args()
    args.data = args.num_layers = None  # as step_overhead's batches and models want to know
    load = load_average()
    share_cores(args.threads, wait_policy="passive")
    parts = batches_by_round(args)
    rounds = [measure(args, part, seed=index) for index, part in enumerate(parts)]
    seconds = {name: [each[name][args.warmup_steps : -1] for each in rounds] for name in rounds[0]}
    ratios = {name: paired_ratio(seconds[name], seconds["logits"]) for name in args.terms}
    show(ratios, seconds)
    result = {"settings": vars(args), "ratios": ratios, "tokens": tokens(sum(parts, [])), "seconds": seconds}
    write_result(args.output, result, threads=args.threads, load=load)


def measure(args, batches, *, seed):
    """One round: seconds of each batch by the system's name."""
    systems = {"logits": LOGITS, **{name: [*LOGITS, TERMS[name]] for name in args.terms}}
    with ExitStack() as stack:
        workers = [
            stack.enter_context(Worker(name, partial(ours, terms=terms), args, len(batches)))
            for name, terms in systems.items()
        ]
        seconds = interleave(workers, batches, seed=seed)
        for worker in workers:
            worker.receive()
        return seconds


def show(ratios, seconds):
    rows = [["logits", f"{1000 * np.median(np.concatenate(seconds['logits'])):.1f}", *["1"] * 3, "", ""]]
    for name, ratio in ratios.items():
        median = f"{1000 * np.median(np.concatenate(seconds[name])):.1f}"
        between = f"{min(ratio['rounds']):.3f} to {max(ratio['rounds']):.3f}"
        figures = (f"{ratio[key]:.3f}" for key in ("value", "low", "high"))
        rows.append([f"logits + {name}", median, *figures, between, BOUNDS.get(name, "")])
    print(text_table(["system", "median ms", "ratio", "from", "to (95 %)", "rounds", "at most"], rows))


if __name__ == "__main__":
    main()
