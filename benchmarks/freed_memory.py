"""What a training step costs when memory that is freed goes back to the system, and when it is kept for the next step.

    python benchmarks/freed_memory.py [--steps 20] [--rounds 2] [--output FILE]

Two networks with random weights, each in two processes that take turns on the same batches: resnet20 on images in bfloat16,
and a BERT of 4 layers, 256 wide, on texts of 32 tokens in float32. A step is forward, backward and AdamW.
"""

import argparse
import resource
from contextlib import ExitStack

import numpy as np
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

KINDS = ("images", "texts")


def parse_args(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=20, help="That count, beside three that do not.")
    parser.add_argument("--rounds", type=int, default=2, help="Fresh processes each.")
    parser.add_argument("--batch_size", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", default="benchmarks/results/freed_memory.json")
    return parse(parser, argv, quick={"steps": 3, "rounds": 1, "batch_size": 4})


def main(argv=None):
    args, load = parse_args(argv), load_average()
    share_cores(args.threads)
    result, rows = {"settings": vars(args), "ratios": {}, "peak_megabytes": {}}, []
    for kind in KINDS:
        seconds, peaks = {"kept": [], "returned": []}, {}
        for number in range(args.rounds):
            of_round, peaks = measure(args, kind, seed=number)
            for name, times in of_round.items():
                seconds[name].append(times[3:])
        ratio = paired_ratio(seconds["kept"], seconds["returned"])
        result["ratios"][kind], result["peak_megabytes"][kind] = ratio, peaks
        interval = f"{ratio['low']:.3f} to {ratio['high']:.3f}"
        rows.append([kind, f"{ratio['value']:.3f}", interval, f"{peaks['kept']:.0f}", f"{peaks['returned']:.0f}"])
    print(text_table(["network of", "kept / returned", "95 %", "MB at most, kept", "returned"], rows))
    write_result(args.output, result, threads=args.threads, load=load)


def measure(args, kind, *, seed):
    """Seconds of each batch and the most megabytes, by what becomes of freed memory."""
    batches = [make_batch(kind, args.batch_size, seed=number) for number in range(3 + args.steps)]
    with ExitStack() as stack:
        workers = [
            stack.enter_context(Worker(name, run, kind, name == "kept", args.threads, len(batches)))
            for name in ("kept", "returned")
        ]
        seconds = interleave(workers, batches, seed=seed)
        return seconds, {worker.name: worker.receive() for worker in workers}


def make_batch(kind, size, *, seed):
    draw = np.random.default_rng(seed)
    if kind == "images":
        inputs = {"pixel_values": draw.standard_normal((size, 3, 32, 32), dtype=np.float32)}
    else:
        inputs = {"input_ids": draw.integers(1000, size=(size, 32))}
    return {**inputs, "labels": draw.integers(10, size=size)}


def run(pipe, kind, keep, threads, num_batches):
    """In a process of its own: train; the most megabytes it had."""
    import torch

    from distil_nlp.internals.memory import keep_freed_memory

    torch.set_num_threads(threads)
    if keep:
        keep_freed_memory()
    model = make_model(kind).train()
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    handed = HandedBatches(pipe, num_batches, seed=0)
    for batch in handed:
        with torch.autocast("cpu", torch.bfloat16, enabled=kind == "images"):
            loss = model(**batch).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def make_model(kind):
    from transformers import BertConfig, BertForSequenceClassification

    from distil_nlp.models import NetworkForImageClassification

    if kind == "images":
        return NetworkForImageClassification.from_network("resnet20", image_size=32, num_labels=10)
    return BertForSequenceClassification(
        BertConfig(
            vocab_size=1000,
            hidden_size=256,
            num_hidden_layers=4,
            num_attention_heads=4,
            intermediate_size=1024,
            num_labels=10,
        )
    )


if __name__ == "__main__":
    main()
