"""What a narrower student knows before it is taught, and after a few steps: teacher weights by SVD, sliced, or none.

    python benchmarks/width_start.py [--hidden_sizes 256 192] [--num_layers 6] [--seeds 2] [--max_train_samples 6400]

The same sizes, trainer, data, steps and seeds for all three; accuracy on the SST-2 validation sentences. 6,400
sentences in batches of 32 are 200 steps.
"""

import tempfile

import numpy as np
import torch
from initial_weights import Benchmark, make_parser, parse_initial_weights, settings
from timing import load_average, text_table, write_result
from transformers import set_seed
from transformers.utils import logging

from distil_nlp.students import student_from_teacher

STARTS = ("svd", "slice", "random")


def parse_args(argv=None):
    parser = make_parser(__doc__, output="benchmarks/results/width_start.json")
    parser.add_argument("--hidden_sizes", type=int, nargs="+", default=[256, 192])
    parser.add_argument("--num_layers", type=int, default=6)
    parser.add_argument("--num_attention_heads", type=int, help="Default: heads as wide as the teacher's.")
    parser.set_defaults(max_train_samples=6400)
    return parse_initial_weights(parser, argv, quick={"hidden_sizes": [64], "num_layers": 1})


def main():
    args = parse_args()
    logging.disable_progress_bar()
    load = load_average()
    found = []
    with tempfile.TemporaryDirectory() as folder:
        bench = Benchmark(args, folder)
        for hidden_size in args.hidden_sizes:
            for start in STARTS:
                one = {"hidden_size": hidden_size, "start": start, "before": [], "after": []}
                for seed in range(args.seeds):
                    set_seed(seed)
                    student = make_student(bench.teacher, args, hidden_size, start)
                    one["before"].append(bench.accuracy(student))
                    bench.train(student, seed)
                    one["after"].append(bench.accuracy(student))
                found.append(one)
        show(found, bench.accuracy(bench.teacher))
    result = {"settings": settings(args), "found": found}
    write_result(args.output, result, threads=torch.get_num_threads(), load=load)


def make_student(teacher, args, hidden_size, start):
    sizes = {"hidden_size": hidden_size, "num_attention_heads": args.num_attention_heads}
    init = "svd" if start == "random" else start
    student = student_from_teacher(teacher, num_layers=args.num_layers, width_init=init, **sizes)
    return type(student)(student.config) if start == "random" else student


def show(found, of_teacher):
    cells = [
        [
            str(one["hidden_size"]),
            one["start"],
            " ".join(f"{100 * value:.1f}" for value in one["before"]),
            " ".join(f"{100 * value:.1f}" for value in one["after"]),
            f"{100 * np.mean(one['after']):.1f}",
        ]
        for one in found
    ]
    print(text_table(["hidden size", "start", "before, each seed %", "after, each seed %", "mean %"], cells))
    print(f"Teacher: {100 * of_teacher:.1f} %.")


if __name__ == "__main__":
    main()
