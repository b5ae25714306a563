"""What benchmarks of a student's first weights share: SST-2, a teacher asked once, short training, accuracy."""

import argparse

import numpy as np
import torch

from distil_nlp import CachedTeacher, DistillationTrainer, DistillationTrainingArguments, predict_logits
from distil_nlp.data.splits import load_splits
from distil_nlp.models.loading import load_model, load_tokenizer
from distil_nlp.tasks import TextClassification
from distil_nlp.teachers import OnlineTeacher, write_cache


def parser(description, *, output):
    """A parser with the arguments that `Bench` reads."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="../shared/data/glue/sst2", help="train.parquet and validation.parquet.")
    parser.add_argument("--teacher", default="../shared/data/models/minilm-sst2")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--max_train_samples", type=int, default=4000)
    parser.add_argument("--num_train_epochs", type=float, default=1.0)
    parser.add_argument("--learning_rate", type=float, default=5e-5)
    parser.add_argument("--output", default=output)
    return parser


def settings(args):
    """The arguments that a reader of the result needs."""
    return {name: value for name, value in vars(args).items() if name not in ("data", "teacher", "output")}


class Bench:
    """Data, teacher and the teacher's answers.

    Args:
        args: Of `parser`.
        folder (`str`): For the answers and the trainer's output.
    """

    def __init__(self, args, folder):
        self.args, self.folder = args, folder
        files = {f"{split}_file": f"{args.data}/{split}.parquet" for split in ("train", "validation")}
        splits = load_splits(**files, max_train_samples=args.max_train_samples)
        task, self.tokenizer = TextClassification.from_splits(splits), load_tokenizer(args.teacher)
        self.rows = {name: task.prepare(split, self.tokenizer) for name, split in splits.items()}
        self.collator = task.collator(self.tokenizer)
        self.teacher, _ = load_model(task.auto_class, args.teacher)
        answers = predict_logits(self.teacher, self.rows["train"], self.collator, description="Asking the teacher")
        header = {"teacher": "teacher", "fingerprint": OnlineTeacher(self.teacher).fingerprint()}
        write_cache(folder, torch.from_numpy(answers), header)

    def train(self, student, seed):
        """Distil with the defaults of the trainer."""
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
            CachedTeacher(self.folder),
            training,
            train_dataset=self.rows["train"],
            data_collator=self.collator,
            processing_class=self.tokenizer,
        ).train()

    def accuracy(self, model):
        """Share of the validation sentences that are right."""
        logits = predict_logits(model, self.rows["validation"], self.collator)
        return float((logits.argmax(-1) == np.asarray(self.rows["validation"]["labels"])).mean())
