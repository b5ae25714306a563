"""Epochs of distillation on SST-2: as the well-known tutorial does it, and as we do.

    python benchmarks/epoch.py [--max_train_samples 4000] [--seeds 2] [--student 2x128] [--output FILE]
    python benchmarks/epoch.py --cache --epochs 3                 the teacher is asked once
    python benchmarks/epoch.py --cache --epochs 3 --trials 10     ... for all trials of a sweep of the temperature

- tutorial:  a subclass of Trainer whose `compute_loss` weighs `outputs.loss` with a KLDivLoss of the softened logits;
             random batches, padded to their longest text; the teacher runs in every step under `no_grad`
- ours:      `DistillationTrainer` with its defaults: batches of texts of like length; the teacher runs in every step
             too. With --cache it is asked once, by `build_cache`, and that time is ours

The same texts, teacher, initial student, loss and hyper-parameters. Each run is a fresh process; for every seed the
two follow each other, and the next seed begins with the other one. Timed is what a user waits for: making the trainer
and `train()`, of all trials together. Loading, tokenizing and the evaluation afterwards are not.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from timing import Worker, load_average, parse, require, share_cores, text_table, write_result

TEMPERATURES, KD_RATIO, WARMUP = (2.0, 1.0, 4.0, 8.0, 3.0, 1.5, 6.0, 5.0, 2.5, 10.0), 0.5, 0.1
# Tutorial / ours, at least: by cached or not, more than one trial or not, from scratch or not. Printed beside what was
# measured.
BOUNDS = {
    (False, False, False): 1.8,
    (True, False, False): 2.2,
    (True, False, True): 4.0,
    (True, True, False): 2.6,
    (True, True, True): 10.0,
}


def parse_args(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", default="../shared/data", help="Folder with glue/sst2/train.parquet and validation.parquet."
    )
    parser.add_argument(
        "--teacher", default="../shared/data/models/minilm-sst2", help="Hub id or folder of a classifier of SST-2."
    )
    parser.add_argument("--num_layers", type=int, default=3, help="The student: that many of the teacher's layers.")
    parser.add_argument("--student", help="Instead: a size to train from scratch, such as 2x128.")
    parser.add_argument("--max_train_samples", type=int, default=4000, help="Random texts; 0 takes all.")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--cache", action="store_true", help="Ours asks the teacher once.")
    parser.add_argument(
        "--trials", type=int, default=1, help="Trainings one after the other, each at another temperature; at most 10."
    )
    parser.add_argument("--seeds", type=int, default=2, help="How many pairs of runs.")
    parser.add_argument("--learning_rate", type=float, default=5e-5, help="From scratch 5e-4 is better.")
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", default="benchmarks/results/epoch.json")
    return parse(parser, argv, quick={"max_train_samples": 64, "epochs": 1, "seeds": 1})


def main():
    args = parse_args()
    files = [split_file(args, split) for split in ("train", "validation")]
    require(*files, *[args.teacher] * args.quick, quick=args.quick)  # otherwise the teacher may be a Hub id
    load = load_average()
    share_cores(args.threads)
    runs = run_all(args)
    result = {
        "settings": vars(args),
        **compare(runs),
        "runs": {name: list(map(brief, of)) for name, of in runs.items()},
    }
    show(result, runs)
    write_result(args.output, result, threads=args.threads, load=load)


def split_file(args, split):
    return Path(args.data) / "glue" / "sst2" / f"{split}.parquet"


def run_all(args):
    """What each run found, by system, in the order of the seeds."""
    runs = {name: [] for name in SYSTEMS}
    for seed in range(args.seeds):
        for name in list(SYSTEMS)[:: -1 if seed % 2 else 1]:
            with Worker(name, run, args, name, seed) as worker:
                found = worker.receive()
            runs[name].append(found)
            accuracy = np.mean(found["correct"])
            print(f"seed {seed}  {name:8}  {found['seconds']:7.1f} s  accuracy {accuracy:.4f}", flush=True)
    return runs


# ---- One run, in a process of its own ----


def run(pipe, args, system, seed):
    """Train one student; seconds, tokens and which validation texts it gets right."""
    import torch
    from transformers import DataCollatorWithPadding

    from distil_nlp.evaluation import predict_logits
    from distil_nlp.models.loading import load_model, load_tokenizer
    from distil_nlp.students import build_student

    torch.set_num_threads(args.threads)
    tokenizer = load_tokenizer(args.teacher)
    train, validation = (tokenized(args, split, tokenizer) for split in ("train", "validation"))
    if args.max_train_samples:
        # The same texts for all seeds: what differs between them is the luck of training.
        train = train.shuffle(seed=0).select(range(min(args.max_train_samples, len(train))))
    teacher, _ = load_model("AutoModelForSequenceClassification", args.teacher)
    students = []
    for _ in range(args.trials):
        torch.manual_seed(seed)
        students.append(build_student(args.student, teacher, num_layers=None if args.student else args.num_layers))
    with tempfile.TemporaryDirectory() as folder:
        shared = dict(
            output_dir=folder,
            num_train_epochs=args.epochs,
            per_device_train_batch_size=args.batch_size,
            learning_rate=args.learning_rate,
            warmup_steps=WARMUP,
            save_strategy="no",
            use_cpu=True,
            seed=seed,
        )
        start = time.perf_counter()
        if args.cache and system == "ours":
            teacher, train = asked_once(teacher, tokenizer, train, Path(folder) / "cache")
        cache_seconds, trainers = time.perf_counter() - start, []
        for student, temperature in zip(students, TEMPERATURES, strict=False):
            trainers.append(SYSTEMS[system](student, teacher, tokenizer, train, shared, temperature))
            trainers[-1].train()
        seconds = time.perf_counter() - start
    logits = predict_logits(students[0], validation, DataCollatorWithPadding(tokenizer))
    return {
        "seconds": seconds,
        "cache_seconds": cache_seconds,
        "num_steps": sum(trainer.state.global_step for trainer in trainers),
        "real_tokens": sum(int(trainer.real_tokens) for trainer in trainers),
        "padded_tokens": sum(int(trainer.padded_tokens) for trainer in trainers),
        "correct": (logits.argmax(-1) == np.asarray(validation["labels"])).astype(int).tolist(),
    }


def tokenized(args, split, tokenizer):
    """Token ids and labels, not padded."""
    import datasets
    import pyarrow.parquet

    rows = pyarrow.parquet.read_table(split_file(args, split), columns=["sentence", "label"]).to_pydict()
    tokens = tokenizer(rows["sentence"], truncation=True, max_length=128)
    return datasets.Dataset.from_dict({**tokens, "labels": rows["label"]})


def asked_once(teacher, tokenizer, train, folder):
    """The teacher as a cache, and the texts with their numbers."""
    from transformers import DataCollatorWithPadding

    from distil_nlp import CachedTeacher, OnlineTeacher, add_example_ids, build_cache

    train = add_example_ids(train)
    build_cache(folder, OnlineTeacher(teacher), train, DataCollatorWithPadding(tokenizer), tokenizer=tokenizer)
    return CachedTeacher(folder), train


class CountTokens:
    """Beside a Trainer: how many tokens its batches held, and how many of them were text."""

    real_tokens = padded_tokens = 0

    def training_step(self, model, inputs, *args, **kwargs):
        self.real_tokens = self.real_tokens + inputs["attention_mask"].sum()
        self.padded_tokens += inputs["attention_mask"].numel()
        return super().training_step(model, inputs, *args, **kwargs)


def tutorial(student, teacher, tokenizer, train, shared, temperature):
    """What one finds when looking for knowledge distillation with Trainer."""
    import torch
    from torch import nn
    from torch.nn.functional import log_softmax, softmax
    from transformers import Trainer, TrainingArguments

    class TutorialTrainer(CountTokens, Trainer):
        def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
            outputs = model(**inputs)
            with torch.no_grad():
                teacher_outputs = teacher(**inputs)
            divergence = nn.KLDivLoss(reduction="batchmean")(
                log_softmax(outputs.logits / temperature, dim=-1),
                softmax(teacher_outputs.logits / temperature, dim=-1),
            )
            loss = (1 - KD_RATIO) * outputs.loss + KD_RATIO * divergence * temperature**2
            return (loss, outputs) if return_outputs else loss

    teacher.eval()
    return TutorialTrainer(student, TrainingArguments(**shared), train_dataset=train, processing_class=tokenizer)


def ours(student, teacher, tokenizer, train, shared, temperature):
    from distil_nlp import DistillationTrainer, DistillationTrainingArguments

    class OurTrainer(CountTokens, DistillationTrainer):
        pass

    arguments = DistillationTrainingArguments(**shared, temperature=temperature, kd_ratio=KD_RATIO)
    return OurTrainer(student, teacher, arguments, train_dataset=train, processing_class=tokenizer)


SYSTEMS = {"tutorial": tutorial, "ours": ours}


# ---- What they show ----


def compare(runs):
    """Ratios of the times, seed by seed, and the difference in accuracy."""
    from distil_nlp.evaluation import difference_of_means

    ratios = [slow["seconds"] / fast["seconds"] for slow, fast in zip(runs["tutorial"], runs["ours"], strict=True)]
    correct = {name: np.asarray([found["correct"] for found in of]) for name, of in runs.items()}
    difference = difference_of_means(correct["ours"], correct["tutorial"], of="ours", to="tutorial", metric="accuracy")
    return {
        "time_ratio": {"median": float(np.median(ratios)), "low": min(ratios), "high": max(ratios), "each": ratios},
        "accuracy": {name: spread(values.mean(axis=1)) for name, values in correct.items()},
        "accuracy_difference": {"value": difference.value, "low": difference.low, "high": difference.high},
        "padded_per_real": {
            name: sum(found["padded_tokens"] for found in of) / sum(found["real_tokens"] for found in of)
            for name, of in runs.items()
        },
    }


def spread(values):
    """Mean and standard deviation over seeds; None of one seed."""
    return {"mean": float(np.mean(values)), "sd": float(np.std(values, ddof=1)) if len(values) > 1 else None}


def brief(found):
    """A run for the result file: the share of right answers instead of each of them."""
    return {**{key: value for key, value in found.items() if key != "correct"}, "accuracy": np.mean(found["correct"])}


def show(result, runs):
    rows = []
    for name, of in runs.items():
        accuracy, seconds = result["accuracy"][name], [found["seconds"] for found in of]
        sd = "" if accuracy["sd"] is None else f" ± {accuracy['sd']:.4f}"
        steps = sum(found["num_steps"] for found in of)
        rows.append(
            [
                name,
                f"{np.median(seconds):.1f}",
                f"{1000 * sum(seconds) / steps:.0f}",
                f"{result['padded_per_real'][name]:.2f}",
                f"{accuracy['mean']:.4f}{sd}",
            ]
        )
    print("\n" + text_table(["system", "seconds", "ms a step", "tokens/real", "accuracy"], rows), end="\n\n")
    ratio, difference = result["time_ratio"], result["accuracy_difference"]
    samples = result["settings"]["max_train_samples"] or "all"
    settings = result["settings"]
    bound = BOUNDS.get((settings["cache"], settings["trials"] > 1, settings["student"] is not None))
    print(
        f"{settings['trials']} x {settings['epochs']} epochs of {samples} texts, {len(ratio['each'])} seeds"
        f"{', the teacher asked once' if settings['cache'] else ''}.\n"
        f"Time, tutorial / ours: {ratio['median']:.2f} (seeds: {ratio['low']:.2f} to {ratio['high']:.2f}"
        f"{'' if bound is None else f'; at least {bound} is asked'}).\n"
        f"Accuracy, ours - tutorial: {100 * difference['value']:+.2f} points (95 % over validation texts: "
        f"{100 * difference['low']:+.2f} to {100 * difference['high']:+.2f})."
    )


if __name__ == "__main__":
    main()
