"""Which of the teacher's layers make the better student: evenly spaced ones, or the lowest?

    python benchmarks/layer_choice.py [--num_layers 2 3] [--seeds 2] [--max_train_samples 4000]

The same trainer, data, steps and seeds for both; accuracy on the SST-2 validation sentences before and after
distillation. The winner is `DEFAULT_LAYER_CHOICE` in `distil_nlp/students/sizes.py`.
"""

import tempfile

import numpy as np
import torch
from initial_weights import Benchmark, make_parser, parse_initial_weights, settings
from timing import load_average, text_table, write_result
from transformers import set_seed
from transformers.utils import logging

from distil_nlp.students import student_from_teacher
from distil_nlp.students.sizes import choose_layers

STRATEGIES = ("even", "lower")


def parse_args(argv=None):
    parser = make_parser(__doc__, output="benchmarks/results/layer_choice.json")
    parser.add_argument("--num_layers", type=int, nargs="+", default=[2, 3])
    return parse_initial_weights(parser, argv, quick={"num_layers": [1]})


def main():
    args = parse_args()
    logging.disable_progress_bar()
    load = load_average()
    found = []
    with tempfile.TemporaryDirectory() as folder:
        bench = Benchmark(args, folder)
        for num_layers in args.num_layers:
            for strategy in STRATEGIES:
                layers = choose_layers(bench.teacher.config.num_hidden_layers, num_layers, strategy)
                one = {"num_layers": num_layers, "strategy": strategy, "layers": layers, "before": None, "after": []}
                for seed in range(args.seeds):
                    set_seed(seed)
                    student = student_from_teacher(bench.teacher, layers=layers)
                    one["before"] = bench.accuracy(student)
                    bench.train(student, seed)
                    one["after"].append(bench.accuracy(student))
                found.append(one)
        show(found, bench.accuracy(bench.teacher))
    result = {"settings": settings(args), "found": found}
    write_result(args.output, result, threads=torch.get_num_threads(), load=load)


def show(found, of_teacher):
    cells = [
        [
            str(one["num_layers"]),
            one["strategy"],
            str(one["layers"]),
            f"{100 * one['before']:.1f}",
            " ".join(f"{100 * value:.1f}" for value in one["after"]),
            f"{100 * np.mean(one['after']):.1f}",
        ]
        for one in found
    ]
    print(text_table(["layers", "choice", "of the teacher", "before %", "after, each seed %", "mean %"], cells))
    print(f"Teacher: {100 * of_teacher:.1f} %.")


if __name__ == "__main__":
    main()
