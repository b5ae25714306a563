"""What benchmarks of a student's initial weights share: SST-2, a cached teacher, a short training, accuracy."""

import argparse

import numpy as np
import torch
from timing import parse, require

from distil_nlp import (
    CachedTeacher,
    DistillationTrainer,
    DistillationTrainingArguments,
    OnlineTeacher,
    build_cache,
    predict_logits,
)
from distil_nlp.data.splits import load_splits
from distil_nlp.models.loading import load_model, load_tokenizer
from distil_nlp.tasks import TextClassification


def make_parser(description, *, output):
    """A parser with the arguments that `Benchmark` reads."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", default="../shared/data/glue/sst2", help="Folder with train.parquet and validation.parquet."
    )
    parser.add_argument("--teacher", default="../shared/data/models/minilm-sst2", help="Folder of a classifier.")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--max_train_samples", type=int, default=4000)
    parser.add_argument("--num_train_epochs", type=float, default=1.0)
    parser.add_argument("--learning_rate", type=float, default=5e-5)
    parser.add_argument("--output", default=output)
    return parser


def parse_initial_weights(parser, argv=None, *, quick):
    """The parsed arguments, once data and teacher are there; `quick` as for `timing.parse`."""
    args = parse(parser, argv, quick={"seeds": 1, "max_train_samples": 64, **quick})
    require(args.data, *[args.teacher] * args.quick, quick=args.quick)
    return args


def settings(args):
    """The arguments that a reader of the result needs."""
    return {name: value for name, value in vars(args).items() if name not in ("data", "teacher", "output", "quick")}


class Benchmark:
    """Data, teacher and the cache of the teacher's logits.

    Args:
        args: Of `parse_initial_weights`.
        folder (`str`): For the cache and the trainer's output.
    """

    def __init__(self, args, folder):
        self.args, self.folder = args, folder
        files = {f"{split}_file": f"{args.data}/{split}.parquet" for split in ("train", "validation")}
        splits = load_splits(**files, max_train_samples=args.max_train_samples)
        task, self.tokenizer = TextClassification.from_splits(splits), load_tokenizer(args.teacher)
        self.rows = {name: task.prepare(split, self.tokenizer) for name, split in splits.items()}
        if args.quick:
            self.rows["validation"] = self.rows["validation"].select(range(32))
        self.collator = task.collator(self.tokenizer)
        self.teacher, _ = load_model(task.auto_class, args.teacher)
        build_cache(
            f"{folder}/cache",
            OnlineTeacher(self.teacher),
            self.rows["train"],
            self.collator,
            tokenizer=self.tokenizer,
        )

    def train(self, student, seed):
        """Distill with the trainer's defaults."""
        training = DistillationTrainingArguments(
            f"{self.folder}/run",
            learning_rate=self.args.learning_rate,
            num_train_epochs=self.args.num_train_epochs,
            per_device_train_batch_size=32,
            save_strategy="no",
            report_to="none",
            seed=seed,
            dataloader_pin_memory=torch.cuda.is_available(),
        )
        DistillationTrainer(
            student,
            CachedTeacher(f"{self.folder}/cache"),
            training,
            train_dataset=self.rows["train"],
            data_collator=self.collator,
            processing_class=self.tokenizer,
        ).train()

    def accuracy(self, model):
        """Share of the validation sentences whose label is predicted."""
        logits = predict_logits(model, self.rows["validation"], self.collator)
        return float((logits.argmax(-1) == np.asarray(self.rows["validation"]["labels"])).mean())
