"""Which of the teacher's layers make the better student: evenly spaced ones, or the lowest?

    python benchmarks/layer_choice.py [--num_layers 2 3] [--seeds 2] [--max_train_samples 4000]

The same trainer, data, steps and seeds for both; accuracy on the SST-2 validation sentences before and after
distillation. The winner is `DEFAULT_LAYER_CHOICE` in `distil_nlp/students/layer_choice.py`.
"""

import argparse
import tempfile

import numpy as np
import torch
from timing import load_average, text_table, write_result
from transformers import set_seed
from transformers.utils import logging

from distil_nlp import CachedTeacher, DistillationTrainer, DistillationTrainingArguments, predict_logits
from distil_nlp.loading import load_model, load_tokenizer
from distil_nlp.students import student_from_teacher
from distil_nlp.students.layer_choice import choose_layers
from distil_nlp.tasks import TextClassification, load_splits
from distil_nlp.teachers import OnlineTeacher, write_cache

STRATEGIES = ("even", "lower")


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="../shared/data/glue/sst2", help="train.parquet and validation.parquet.")
    parser.add_argument("--teacher", default="../shared/data/models/minilm-sst2")
    parser.add_argument("--num_layers", type=int, nargs="+", default=[2, 3])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--max_train_samples", type=int, default=4000)
    parser.add_argument("--num_train_epochs", type=float, default=1.0)
    parser.add_argument("--output", default="benchmarks/results/layer_choice.json")
    return parser.parse_args()


def main():
    args = parse_args()
    logging.disable_progress_bar()
    load = load_average()
    files = {f"{split}_file": f"{args.data}/{split}.parquet" for split in ("train", "validation")}
    splits = load_splits(**files, max_train_samples=args.max_train_samples)
    task, tokenizer = TextClassification.from_splits(splits), load_tokenizer(args.teacher)
    rows = {name: task.prepare(split, tokenizer) for name, split in splits.items()}
    collator = task.collator(tokenizer)
    teacher, _ = load_model(task.auto_class, args.teacher)
    found = []
    with tempfile.TemporaryDirectory() as folder:
        answers = torch.from_numpy(predict_logits(teacher, rows["train"], collator, description="Asking the teacher"))
        header = {"teacher": "teacher", "fingerprint": OnlineTeacher(teacher).fingerprint()}
        write_cache(folder, answers, header)
        for num_layers in args.num_layers:
            for strategy in STRATEGIES:
                layers = choose_layers(teacher.config.num_hidden_layers, num_layers, strategy)
                one = {"num_layers": num_layers, "strategy": strategy, "layers": layers, "before": None, "after": []}
                for seed in range(args.seeds):
                    set_seed(seed)
                    student = student_from_teacher(teacher, layers=layers)
                    one["before"] = accuracy(student, rows["validation"], collator)
                    train(student, CachedTeacher(folder), rows["train"], collator, tokenizer, args, seed, folder)
                    one["after"].append(accuracy(student, rows["validation"], collator))
                found.append(one)
    settings = {name: value for name, value in vars(args).items() if name not in ("data", "teacher", "output")}
    show(found, accuracy(teacher, rows["validation"], collator))
    write_result(args.output, {"settings": settings, "found": found}, threads=torch.get_num_threads(), load=load)


def train(student, teacher, rows, collator, tokenizer, args, seed, folder):
    training = DistillationTrainingArguments(
        f"{folder}/run",
        learning_rate=5e-5,
        num_train_epochs=args.num_train_epochs,
        per_device_train_batch_size=32,
        save_strategy="no",
        report_to="none",
        seed=seed,
        dataloader_pin_memory=torch.cuda.is_available(),
    )
    DistillationTrainer(
        student, teacher, training, train_dataset=rows, data_collator=collator, processing_class=tokenizer
    ).train()


def accuracy(model, rows, collator):
    return float((predict_logits(model, rows, collator).argmax(-1) == np.asarray(rows["labels"])).mean())


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
