"""What our training step costs beyond its work: time and memory over a bare PyTorch loop.

    python benchmarks/step_overhead.py [--steps 300] [--rounds 4] [--student 2x128] [--output FILE]
    python benchmarks/step_overhead.py --teacher resnet20 --student resnet8 --batch_size 128      networks, on images

Four systems, each in a process of its own with its own copy of the models, meet the same batches; each batch goes to
all four within seconds, one at a time, in changing order:

- ours:             `DistillationTrainer.train()`, from the hand-over of a batch until it asks for the next one
- bare loop:        plain PyTorch: student, teacher in inference mode, loss, backward, clip, AdamW, scheduler, in a
                    process that has imported `datasets`, as a script that reads a data set has
- bare loop again:  the same code, in a process that has imported transformers' Trainer and us. Its time over the bare
                    loop's says what the machine can tell apart, its memory what these imports take
- parts:            a step of the student on the labels alone, then the teacher's forward pass in inference mode

That happens in several rounds of fresh processes: where a process happens to lie in memory can make it faster or
slower for as long as it lives (Mytkowicz et al. 2009, "Producing Wrong Data Without Doing Anything Obviously Wrong!").
Ours and the bare loop end with the same losses and weights, which is checked and printed.
"""

import argparse
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from timing import (
    HandedBatches,
    Worker,
    interleave,
    load_average,
    paired_ratio,
    parse,
    peak_memory_bytes,
    share_cores,
    text_table,
    write_result,
)

TEMPERATURE, KD_RATIO, LEARNING_RATE, MAX_GRAD_NORM, SEED = 2.0, 0.5, 5e-5, 1.0, 0
IMAGE, NUM_CLASSES = (3, 32, 32), 10  # what networks are shown
LOGGING_STEPS = 10  # ours logs this often, the bare loops never do
QUICK = {"steps": 4, "rounds": 1, "warmup_steps": 1, "batch_size": 4, "teacher": "2x16", "num_layers": 1}
# What the project asks of itself; printed beside what was measured.
BOUNDS = {"ours / bare loop": 1.03, "ours / parts": 1.05}
MEMORY_BOUNDS = {"ours / bare loop": 1.05}
SAME_WORK = 1e-4  # largest difference of a loss or a trained weight between two loops that do the same


def parse_args(argv=None):
    return parse(arguments_of_steps(__doc__, "step_overhead"), argv, quick=QUICK)


def arguments_of_steps(description, name):
    """What every benchmark of a step can be told."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=300, help="Batches that count, in all.")
    parser.add_argument("--rounds", type=int, default=4, help="Fresh processes, that often; the steps are shared out.")
    parser.add_argument("--warmup_steps", type=int, default=5, help="Batches of a round before them that do not.")
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument(
        "--teacher",
        default="6x384",
        help="A size (BERT with random weights), a folder with a classifier, or a network such as resnet20.",
    )
    parser.add_argument("--num_layers", type=int, default=3, help="The student: that many of the teacher's layers.")
    parser.add_argument("--student", help="Instead: a size, such as 2x128; of a network, another one.")
    parser.add_argument("--data", help="Folder with train.parquet (column 'sentence'); --teacher is then a folder.")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", default=f"benchmarks/results/{name}.json")
    return parser


def main():
    args = parse_args()
    load = load_average()
    share_cores(args.threads, wait_policy="passive")
    parts = batches_by_round(args)
    rounds = [measure(args, part, seed=index) for index, part in enumerate(parts)]
    result = {"settings": vars(args), **compare(args, rounds), "tokens": tokens(sum(parts, []))}
    show(result)
    write_result(args.output, result, threads=args.threads, load=load)


# ---- Batches ----


def batches_by_round(args):
    """The batches of each round: those of the warm-up, those that count, and one more, whose end no loop reports."""
    size = args.warmup_steps + max(1, args.steps // args.rounds) + 1
    batches = make_batches(args, args.rounds * size)
    return [batches[index * size :][:size] for index in range(args.rounds)]


def make_batches(args, num_batches):
    """Length-grouped batches, as our defaults make them: short ones, whose overhead weighs most. Networks get images."""
    from distil_nlp.models import parse_network_name
    from distil_nlp.training.sampling import LengthGroupedSampler

    if parse_network_name(args.teacher) is not None:
        return image_batches(args, num_batches)
    texts = texts_of(args, num_batches * args.batch_size)
    order = list(LengthGroupedSampler([len(text) for text in texts], args.batch_size, SEED))
    generator = np.random.default_rng(SEED)
    batches = []
    for start in range(0, len(order), args.batch_size):
        rows = [texts[index] for index in order[start : start + args.batch_size]]
        ids = np.zeros((len(rows), max(map(len, rows))), dtype=np.int64)
        mask = np.zeros_like(ids)
        for row, text in enumerate(rows):
            ids[row, : len(text)], mask[row, : len(text)] = text, 1
        labels = generator.integers(2, size=len(rows))
        batches.append({"input_ids": ids, "attention_mask": mask, "labels": labels})
    return batches


def image_batches(args, num_batches):
    """Noise of the size of CIFAR's images: what a batch costs does not depend on what it shows."""
    generator = np.random.default_rng(SEED)
    shape = (args.batch_size, *IMAGE)
    return [
        {
            "pixel_values": generator.standard_normal(shape, dtype=np.float32),
            "labels": generator.integers(NUM_CLASSES, size=args.batch_size),
        }
        for _ in range(num_batches)
    ]


def texts_of(args, num_texts):
    if args.data is not None:
        return real_texts(args, num_texts)
    # The lengths of SST-2: mean 13.9 tokens, 95 % below 31, at most 66; in between a log-normal fits.
    generator = np.random.default_rng(SEED)
    lengths = np.rint(generator.lognormal(2.455, 0.595, size=num_texts)).clip(3, 66).astype(int)
    return [generator.integers(1000, 30_000, size=length) for length in lengths]


def real_texts(args, num_texts):
    import pyarrow.parquet

    from distil_nlp.models.loading import load_tokenizer

    tokenizer = load_tokenizer(args.teacher) if Path(args.teacher).is_dir() else None
    if tokenizer is None:
        raise ValueError(
            f"--data {args.data} is text, and needs a teacher with a tokenizer; got --teacher {args.teacher}. "
            f"Give a folder such as ../shared/data/models/minilm-sst2."
        )
    sentences = pyarrow.parquet.read_table(Path(args.data) / "train.parquet")["sentence"].to_pylist()
    chosen = np.random.default_rng(SEED).choice(len(sentences), size=num_texts, replace=num_texts > len(sentences))
    return tokenizer([sentences[index] for index in chosen], truncation=True, max_length=128)["input_ids"]


def tokens(batches):
    masks = [batch["attention_mask"] for batch in batches if "attention_mask" in batch]
    return {"real": int(sum(mask.sum() for mask in masks)), "padded": sum(mask.size for mask in masks)}


# ---- The systems ----


def measure(args, batches, *, seed):
    """One round: seconds of each batch, and what each worker found at its end, by the worker's name."""
    with ExitStack() as stack:
        workers = [stack.enter_context(Worker(name, run, args, len(batches))) for name, run in SYSTEMS.items()]
        seconds = interleave(workers, batches, seed=seed)
        return seconds, {worker.name: worker.receive() for worker in workers}


def make_models(args):
    """The same teacher and student in every process."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    from distil_nlp.models import NetworkForImageClassification, parse_network_name
    from distil_nlp.models.loading import load_model
    from distil_nlp.students import build_student
    from distil_nlp.students.from_config import is_size_name, parse_size_name

    torch.set_num_threads(args.threads)
    torch.manual_seed(SEED)
    if parse_network_name(args.teacher) is not None:
        about = {"image_size": IMAGE[-1], "num_channels": IMAGE[0], "num_labels": NUM_CLASSES}
        teacher = NetworkForImageClassification.from_network(args.teacher, **about)
        return build_student(args.student or args.teacher, teacher), teacher.eval()
    if is_size_name(args.teacher):
        num_layers, width = parse_size_name(args.teacher)
        heads = max(1, width // 32)  # MiniLM's: 12 heads of 32
        config = BertConfig(
            hidden_size=width, num_hidden_layers=num_layers, num_attention_heads=heads, intermediate_size=4 * width
        )
        teacher = BertForSequenceClassification(config)
    else:
        teacher, _ = load_model("AutoModelForSequenceClassification", args.teacher)
    student = build_student(args.student, teacher, num_layers=None if args.student else args.num_layers)
    return student, teacher.eval()


def ours(pipe, args, num_batches, terms=None, rows=None, source=lambda teacher: teacher):
    """`DistillationTrainer`, its whole loop, with the parent's batches in place of its data loader.

    `terms` is an objective for `objective_from`; without it, labels and soft targets. `rows` are two examples that show
    the trainer the columns. `source` makes of the teacher's model what the trainer gets; None leaves the labels alone.
    """
    import torch

    from distil_nlp import DistillationTrainer, DistillationTrainingArguments
    from distil_nlp.objectives import objective_from

    student, teacher = make_models(args)
    teacher = source(teacher)
    batches, losses = HandedBatches(pipe, num_batches, seed=SEED), []

    class Trainer(DistillationTrainer):
        def get_train_dataloader(self):
            return batches

        def training_step(self, *args, **kwargs):
            losses.append(super().training_step(*args, **kwargs))
            return losses[-1]

    blends = terms is None and teacher is not None
    example = {"input_ids": torch.ones(8, dtype=torch.long), "attention_mask": torch.ones(8, dtype=torch.long)}
    if student.main_input_name == "pixel_values":
        example = {"pixel_values": torch.zeros(IMAGE)}
    with tempfile.TemporaryDirectory() as folder:
        arguments = DistillationTrainingArguments(
            folder,
            temperature=TEMPERATURE if blends else None,
            kd_ratio=KD_RATIO if blends else None,
            learning_rate=LEARNING_RATE,
            max_grad_norm=MAX_GRAD_NORM,
            num_train_epochs=1,
            per_device_train_batch_size=args.batch_size,
            logging_steps=LOGGING_STEPS,
            save_strategy="no",
            use_cpu=True,
        )
        # The two examples show the trainer the columns; it trains on the batches above.
        rows = [{**example, "labels": 0}] * 2 if rows is None else rows
        objective = None if terms is None else objective_from(terms)
        trainer = Trainer(student, teacher, arguments, objective=objective, train_dataset=rows)
        trainer.train()
    batches.finish()
    return found(student, losses)


class Bare:
    """What a bare loop is made of: the models, and Trainer's optimizer and schedule written out."""

    def __init__(self, args, num_batches):
        import torch

        self.student, self.teacher = make_models(args)
        self.student.train()
        self._parameters = list(self.student.parameters())
        # Trainer's default is the fused AdamW without weight decay, with a rate that falls to 0 in a straight line.
        self._optimizer = torch.optim.AdamW(self._parameters, lr=LEARNING_RATE, weight_decay=0.0, fused=True)
        self._scheduler = torch.optim.lr_scheduler.LambdaLR(self._optimizer, lambda step: 1 - step / num_batches)
        self._clip = torch.nn.utils.clip_grad_norm_

    def update(self, loss):
        loss.backward()
        self._clip(self._parameters, MAX_GRAD_NORM)
        self._optimizer.step()
        self._scheduler.step()
        self._optimizer.zero_grad()


def bare_loop(pipe, args, num_batches):
    """Distillation as one would write it by hand, without Trainer, and without losing time."""
    import datasets  # noqa: F401  a script by hand reads its rows with it, too; it takes memory, not time
    import torch
    from torch.nn.functional import cross_entropy, kl_div, log_softmax

    bare, losses = Bare(args, num_batches), []
    for batch in HandedBatches(pipe, num_batches, seed=SEED):
        labels = batch.pop("labels")
        with torch.inference_mode():
            said = bare.teacher(**batch).logits
        logits = bare.student(**batch).logits
        # An inference tensor may not enter a graph; a clone of it may.
        soft, target = log_softmax(logits / TEMPERATURE, -1), log_softmax(said.clone() / TEMPERATURE, -1)
        divergence = kl_div(soft, target, reduction="batchmean", log_target=True) * TEMPERATURE**2
        loss = (1 - KD_RATIO) * cross_entropy(logits, labels) + KD_RATIO * divergence
        bare.update(loss)
        losses.append(loss.detach())
    return found(bare.student, losses)


def bare_loop_again(pipe, args, num_batches):
    import distil_nlp.training.trainer  # noqa: F401

    return bare_loop(pipe, args, num_batches)


def parts(pipe, args, num_batches):
    """The two things a step of distillation cannot do without, and nothing that joins them."""
    import torch
    from torch.nn.functional import cross_entropy

    bare, losses, teacher_seconds = Bare(args, num_batches), [], []
    for batch in HandedBatches(pipe, num_batches, seed=SEED):
        labels = batch.pop("labels")
        loss = cross_entropy(bare.student(**batch).logits, labels)
        bare.update(loss)
        losses.append(loss.detach())
        start = time.perf_counter()
        with torch.inference_mode():
            bare.teacher(**batch)
        teacher_seconds.append(time.perf_counter() - start)
    return found(bare.student, losses, teacher_seconds=teacher_seconds)


SYSTEMS = {"ours": ours, "bare loop": bare_loop, "bare loop again": bare_loop_again, "parts": parts}


def found(student, losses, **more):
    peak = peak_memory_bytes()  # first: what follows takes memory, too
    weights = {name: tensor.numpy() for name, tensor in student.state_dict().items()}
    return {"peak_memory": peak, "losses": [float(loss) for loss in losses], "weights": weights, **more}


# ---- What they show ----


def compare(args, rounds):
    """What the rounds say together: times, memory, and whether the systems did the same."""
    seconds, findings = zip(*rounds, strict=True)
    counted = {name: [times[name][args.warmup_steps : -1] for times in seconds] for name in SYSTEMS}
    pairs = (("ours", "bare loop"), ("ours", "parts"), ("ours", "bare loop again"), ("bare loop again", "bare loop"))
    teacher = [found["parts"]["teacher_seconds"][args.warmup_steps : -1] for found in findings]
    work = [same_work(found["ours"], found["bare loop"]) for found in findings]
    return {
        "ratios": {f"{of} / {to}": paired_ratio(counted[of], counted[to]) for of, to in pairs},
        "same_work": {key: max(each[key] for each in work) for key in work[0]},
        "peak_memory": memory(findings),
        "teacher_share_of_parts": paired_ratio(teacher, counted["parts"], num_resamples=1)["value"],
        "seconds": {name: [[round(time, 6) for time in times] for times in of] for name, of in counted.items()},
    }


def memory(findings):
    """Median peaks in bytes, and ours over that of each loop by hand: `parts` alone has no library for data."""
    peaks = {name: float(np.median([found[name]["peak_memory"] for found in findings])) for name in SYSTEMS}
    over = {f"ours / {name}": peaks["ours"] / peaks[name] for name in ("bare loop", "bare loop again", "parts")}
    return {"bytes": peaks, "ratios": over}


def same_work(ours, bare):
    """How far the losses and the trained weights of two runs lie apart.

    Raises:
        RuntimeError: Further than rounding explains.
    """
    losses = np.abs(np.asarray(ours["losses"]) - np.asarray(bare["losses"]))
    # A key's bias moves all scores of a query alike, and the softmax ignores it: its gradient is rounding noise, which
    # Adam blows up to full steps.
    names = [name for name in ours["weights"] if not name.endswith(("key.bias", "k_lin.bias"))]
    apart = {name: float(np.abs(ours["weights"][name] - bare["weights"][name]).max()) for name in names}
    worst = max(apart, key=apart.get)
    if not max(losses.max(), apart[worst]) <= SAME_WORK:
        raise RuntimeError(
            f"Ours and the bare loop did different work, so their times cannot be compared: after {len(losses)} steps "
            f"the losses differ by up to {losses.max():.1e} and {worst} by {apart[worst]:.1e}, where {SAME_WORK} is "
            f"allowed. Has a default of Trainer changed that `Bare` writes out?"
        )
    return {
        "largest_loss_difference": float(losses.max()),
        "largest_weight_difference": apart[worst],
        "num_steps": len(losses),
    }


_COLUMNS = {"ratio": "value", "from": "low", "to (95 %)": "high", "of medians": "of_medians", "of totals": "of_totals"}


def show(result):
    peaks, work = result["peak_memory"], result["same_work"]
    rows = []
    for name, rounds in result["seconds"].items():
        quantiles = (f"{1000 * np.quantile(np.concatenate(rounds), at):.1f}" for at in (0.5, 0.1, 0.9))
        rows.append([name, *quantiles, f"{peaks['bytes'][name] / 2**20:.0f}"])
    print(text_table(["system", "median ms", "10 %", "90 %", "peak MiB"], rows), end="\n\n")
    rows = []
    for name, ratio in result["ratios"].items():
        rounds = f"{min(ratio['rounds']):.3f} to {max(ratio['rounds']):.3f}"
        rows.append([name, *(f"{ratio[key]:.3f}" for key in _COLUMNS.values()), rounds, BOUNDS.get(name, "")])
    print(text_table(["time", *_COLUMNS, "rounds", "at most"], rows), end="\n\n")
    rows = [[name, f"{ratio:.3f}", MEMORY_BOUNDS.get(name, "")] for name, ratio in peaks["ratios"].items()]
    print(text_table(["peak memory", "ratio", "at most"], rows), end="\n\n")
    real = result["tokens"]["real"]
    padded = f", {result['tokens']['padded'] / real:.2f} tokens processed for each real one" if real else ""
    print(
        f"{result['ratios']['ours / bare loop']['num_pairs']} batches counted in {result['settings']['rounds']} rounds "
        f"of fresh processes{padded}; the teacher takes {result['teacher_share_of_parts']:.0%} of parts.\n"
        f"Same work: after {work['num_steps']} steps the losses of ours and of the bare loop differ by at most "
        f"{work['largest_loss_difference']:.1e}, the weights by {work['largest_weight_difference']:.1e}."
    )


if __name__ == "__main__":
    main()
