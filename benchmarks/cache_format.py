"""How many bytes a token's soft targets take on disk, and how long reading them takes, by form and vocabulary.

    python benchmarks/cache_format.py [--examples 64] [--length 512] [--output FILE]

A teacher whose distributions have the entropy of a language model's: Zipf's law, its exponent set so that the
entropy is the one asked for, moved to other tokens at every position. `build_cache` keeps them in every form;
`CachedTeacher` reads batches of 8 examples in random order, each of 512 tokens, into the tensors that the loss takes.
Beside them the same numbers as people keep them in parquet: a list of lists for each example, in a column for token ids
and one for log-probabilities, read by `datasets` as Python lists.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from timing import load_average, parse, share_cores, text_table, write_result

BOUNDS = {"bytes": 60, "microseconds": 1.0}  # a token, of sampled targets; what the project asks of itself
NUM_TARGETS, BATCH_SIZE = 50, 8
QUICK = {"vocabularies": [1000], "entropies": [2.7], "dense_examples": 1, "examples": 8, "length": 16, "repeats": 1}
FORMS = {
    "float32": "float32",
    "float16": "float16",
    "top_k": {"kind": "top_k", "k": NUM_TARGETS, "temperature": 1.0},
    "sampled": {"kind": "sampled", "num_draws": NUM_TARGETS, "temperature": 1.0},
}


def parse_args(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vocabularies", type=int, nargs="+", default=[32_000, 151_936])
    parser.add_argument("--entropies", type=float, nargs="+", default=[1.3, 2.7, 4.4], help="Nats, of the teacher.")
    parser.add_argument("--dense_examples", type=int, default=4, help="Of the forms that keep everything.")
    parser.add_argument("--examples", type=int, default=64, help="Of the others.")
    parser.add_argument("--length", type=int, default=512, help="Tokens of an example.")
    parser.add_argument("--repeats", type=int, default=5, help="How often all examples are read; the median counts.")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", default="benchmarks/results/cache_format.json")
    return parse(parser, argv, quick=QUICK)


def main():
    args = parse_args()
    load = load_average()
    share_cores(args.threads)
    import torch

    torch.set_num_threads(args.threads)
    found = []
    for vocabulary in args.vocabularies:
        for entropy in args.entropies:
            for name, kept in FORMS.items():
                dense = isinstance(kept, str)
                if dense and entropy != args.entropies[0]:
                    continue  # every number is kept, whatever they are
                examples = args.dense_examples if dense else args.examples
                of = {"vocabulary": vocabulary, "entropy": entropy, "form": name}
                with tempfile.TemporaryDirectory() as folder:
                    teacher = zipf_teacher(vocabulary, entropy)
                    found.append({**of, **measure(args, teacher, kept, examples, Path(folder) / "cache")})
                    if name == "top_k":
                        as_lists = nested_lists(args, teacher, examples, Path(folder) / "rows.parquet")
                        found.append({**of, "form": "nested lists (parquet)", **as_lists})
                print(text_table(*as_rows(found[-1:])).splitlines()[-1], flush=True)
    print("\n" + text_table(*as_rows(found)))
    print(f"\nAsked of sampled: at most {BOUNDS['bytes']} bytes and {BOUNDS['microseconds']} microseconds a token.")
    write_result(args.output, {"settings": vars(args), "found": found}, threads=args.threads, load=load)


def zipf_teacher(vocabulary, entropy):
    """A `Teacher` that says something of this entropy at every token of a batch."""
    import torch

    from distil_nlp.signals.base import Signals
    from distil_nlp.teachers import Teacher

    ranks = np.log(np.arange(1, vocabulary + 1))
    low, high = 0.1, 20.0
    while high - low > 1e-6:
        exponent = (low + high) / 2
        share = np.exp(-exponent * ranks)
        share /= share.sum()
        low, high = (exponent, high) if -(share * np.log(share.clip(1e-300))).sum() > entropy else (low, exponent)
    generator = torch.Generator().manual_seed(0)
    scores = torch.from_numpy(-exponent * ranks).float()[torch.randperm(vocabulary, generator=generator)]
    # A little noise: the same 50 numbers everywhere would be an easy case for parquet's dictionaries.
    scores = (scores + 0.01 * torch.randn(vocabulary, generator=generator)).repeat(2)

    class Zipf(Teacher):
        name, columns = "zipf", ("input_ids", "attention_mask")

        def __call__(self, batch):
            places = [7919 * int(token) % vocabulary for token in batch["input_ids"].flatten()]
            rows = torch.stack([scores[place : place + vocabulary] for place in places])
            return Signals(rows.view(*batch["input_ids"].shape, vocabulary))

        def fingerprint(self):
            return f"zipf {vocabulary} {entropy}"

    return Zipf()


def rows_of(examples, length):
    import datasets

    ids = np.arange(examples * length).reshape(examples, length)  # a token of its own at every position
    return datasets.Dataset.from_dict(
        {
            "input_ids": ids.tolist(),
            "attention_mask": np.ones_like(ids).tolist(),
            "example_id": list(range(examples)),
        }
    )


def measure(args, teacher, kept, examples, folder):
    """Bytes and microseconds a token of a form."""
    import torch
    from transformers import default_data_collator

    from distil_nlp import CachedTeacher, build_cache

    rows = rows_of(examples, args.length)
    start = time.perf_counter()
    build_cache(folder, teacher, rows, default_data_collator, storage=kept, batch_size=1)
    built = time.perf_counter() - start
    cached, tokens = CachedTeacher(folder), examples * args.length
    order = torch.randperm(examples, generator=torch.Generator().manual_seed(0)).tolist()
    size = min(BATCH_SIZE, examples)
    batches = [default_data_collator([rows[i] for i in order[at : at + size]]) for at in range(0, examples, size)]
    times = []
    for _ in range(args.repeats):
        start = time.perf_counter()
        for batch in batches:
            said = cached(batch)
        times.append(time.perf_counter() - start)
    entries = None if said.sparse is None else float((said.sparse.weights > 0).sum(-1).float().mean())
    size = sum(path.stat().st_size for path in folder.glob("shard-*.safetensors"))
    return {
        "bytes": size / tokens,
        "microseconds": 1e6 * float(np.median(times)) / tokens,
        "entries": entries,
        "build_microseconds": 1e6 * built / tokens,
    }


def nested_lists(args, teacher, examples, path):
    """The same top-k in a parquet file of lists of lists, read example by example in random order."""
    import datasets
    import torch

    columns = {"ids": [], "log_probabilities": []}
    for row in rows_of(examples, args.length):
        batch = {"input_ids": torch.tensor([row["input_ids"]])}
        values, ids = teacher(batch).logits[0].log_softmax(-1).topk(NUM_TARGETS)
        columns["ids"].append(ids.tolist())
        columns["log_probabilities"].append(values.half().float().tolist())
    features = datasets.Features(
        {
            "ids": datasets.List(datasets.List(datasets.Value("int32"))),
            "log_probabilities": datasets.List(datasets.List(datasets.Value("float16"))),
        }
    )
    datasets.Dataset.from_dict(columns, features=features).to_parquet(path)
    rows = datasets.Dataset.from_parquet(str(path), cache_dir=str(path.parent / "datasets"))
    order = torch.randperm(examples, generator=torch.Generator().manual_seed(0)).tolist()
    times = []
    for _ in range(args.repeats):
        start = time.perf_counter()
        for at in range(0, examples, BATCH_SIZE):
            batch = [rows[index] for index in order[at : at + BATCH_SIZE]]
            torch.tensor([row["ids"] for row in batch])
            torch.tensor([row["log_probabilities"] for row in batch])
        times.append(time.perf_counter() - start)
    tokens = examples * args.length
    return {
        "bytes": path.stat().st_size / tokens,
        "microseconds": 1e6 * float(np.median(times)) / tokens,
        "entries": float(NUM_TARGETS),
        "build_microseconds": None,
    }


def as_rows(found):
    """Header and rows of the table."""
    rows = [
        [
            f"{one['form']}",
            f"{one['vocabulary']:,}",
            f"{one['entropy']:.1f}" if one["form"] not in ("float32", "float16") else "any",
            "all" if one["entries"] is None else f"{one['entries']:.1f}",
            f"{one['bytes']:,.1f}",
            f"{one['microseconds']:,.2f}",
            "" if one["build_microseconds"] is None else f"{one['build_microseconds']:,.0f}",
        ]
        for one in found
    ]
    return ["form", "vocabulary", "nats", "entries", "bytes", "us to read", "us to build"], rows


if __name__ == "__main__":
    main()
