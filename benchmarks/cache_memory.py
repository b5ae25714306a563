"""Memory while training from a cache of several gigabytes, over training from a small one.

    python benchmarks/cache_memory.py [--gigabytes 2.1] [--folder FOLDER] [--output FILE]

Two caches of the same teacher (one layer, 512 wide; its hidden states are kept for every token, in float32): one of the
size asked for, one of some 20 megabytes. A student of one layer learns the hidden states, every example of the large
cache once, in random order, in a process of its own; another takes as many steps on the small one. Compared is the most
physical memory each process ever had, opening and checking the cache included. FOLDER (default: a temporary one) needs
room for both.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from timing import Worker, load_average, parse, peak_memory_bytes, share_cores, text_table, write_result

WIDTH, LENGTH, BATCH_SIZE, SMALL = 512, 64, 32, 160
LAYER = "bert.encoder.layer.0"
BOUND_MB = 200  # what the project asks of itself


def parse_args(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=2.1, help="Size of the large cache, at least.")
    parser.add_argument("--folder", help="Where the caches lie; on the disk that matters.")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", default="benchmarks/results/cache_memory.json")
    return parse(parser, argv, quick={"gigabytes": 0.03})


def main():
    args = parse_args()
    load = load_average()
    share_cores(args.threads)
    large = int(np.ceil(args.gigabytes * 1e9 / (WIDTH * LENGTH * 4)))
    found = {}
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        for name, examples in (("small", SMALL), ("large", large)):
            with Worker(f"building {name}", build, args, f"{folder}/{name}", examples) as worker:
                found[name] = worker.receive()
        steps = large // BATCH_SIZE
        for name in found:
            with Worker(
                f"training from {name}", train, args, f"{folder}/{name}", found[name]["examples"], steps
            ) as one:
                found[name].update(one.receive())
    difference = found["large"]["peak_memory"] - found["small"]["peak_memory"]
    show(found, difference)
    result = {"settings": vars(args), "caches": found, "difference_bytes": difference, "steps": steps}
    write_result(args.output, result, threads=args.threads, load=load)


def rows_of(examples):
    generator = np.random.default_rng(0)
    ids = generator.integers(1000, 30_000, size=(examples, LENGTH))
    ones = [1] * LENGTH
    return [
        {"input_ids": row.tolist(), "attention_mask": ones, "example_id": number} for number, row in enumerate(ids)
    ]


def data_of(examples):
    import datasets

    return datasets.Dataset.from_list(rows_of(examples))


def model_of(width, seed):
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(seed)
    return BertForSequenceClassification(
        BertConfig(
            hidden_size=width, num_hidden_layers=1, num_attention_heads=width // 32, intermediate_size=2 * width
        )
    )


def build(pipe, args, folder, examples):
    import torch
    from transformers import default_data_collator

    from distil_nlp import OnlineTeacher, build_cache

    torch.set_num_threads(args.threads)
    start = time.perf_counter()
    build_cache(folder, OnlineTeacher(model_of(WIDTH, 0)), data_of(examples), default_data_collator, features=[LAYER])
    size = sum(path.stat().st_size for path in Path(folder).iterdir())
    return {"examples": examples, "bytes": size, "build_seconds": time.perf_counter() - start}


def train(pipe, args, folder, examples, steps):
    """Peak memory of a training from a cache, and the seconds it took to open and to train."""
    import torch
    from transformers import default_data_collator

    from distil_nlp import CachedTeacher, DistillationTrainer, DistillationTrainingArguments, HiddenStates, Objective

    torch.set_num_threads(args.threads)
    start = time.perf_counter()
    teacher = CachedTeacher(folder)
    opened = time.perf_counter()
    with tempfile.TemporaryDirectory() as output:
        arguments = DistillationTrainingArguments(
            output,
            max_steps=steps,
            per_device_train_batch_size=BATCH_SIZE,
            train_sampling_strategy="random",
            save_strategy="no",
            use_cpu=True,
            disable_tqdm=True,
        )
        trainer = DistillationTrainer(
            model_of(64, 1),
            teacher,
            arguments,
            objective=Objective([HiddenStates(1.0, layers="last")]),
            train_dataset=data_of(examples),
            data_collator=default_data_collator,
        )
        trainer.train()
    peak = peak_memory_bytes()
    return {"peak_memory": peak, "open_seconds": opened - start, "train_seconds": time.perf_counter() - opened}


def show(found, difference):
    rows = [
        [
            name,
            f"{of['examples']:,}",
            f"{of['bytes'] / 1e6:,.0f}",
            f"{of['open_seconds']:.1f}",
            f"{of['train_seconds']:.0f}",
            f"{of['peak_memory'] / 1e6:,.0f}",
        ]
        for name, of in found.items()
    ]
    print(text_table(["cache", "examples", "MB on disk", "s to open", "s to train", "peak MB"], rows), end="\n\n")
    print(f"Peak memory, large - small: {difference / 1e6:+.0f} MB (at most {BOUND_MB} is asked).")


if __name__ == "__main__":
    main()
