"""How much of a training step is spent waiting for images: read, altered, brought to what student and teacher see.

    python benchmarks/image_loading.py [--steps 40] [--batch_size 128] [--data ../shared/data] [--output FILE]

`DistillationTrainer.train()` on images in memory, made into batches by the process that trains (no loader workers: what
is measured is the whole work, none of it hidden behind a step), in the memory that a recipe asks for
(`keep_freed_memory`). The clock runs inside its data loader, from being asked for a batch until it is there. A share is
the waiting over waiting and step, of all steps but the first few.

Each pair of networks, kind of images and augmentation runs in a process of its own. The smaller the networks, the more
waiting weighs, so one pair is the smallest there is. Beside it stands what making one batch takes by itself: reading the
rows, altering the images, and showing them to one model. Without --data the images are noise, which costs the same.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from timing import Worker, load_average, parse, share_cores, text_table, write_result

BOUND = 0.05  # the largest share the project asks of itself; printed beside what was measured
NUM_CLASSES, SEED = 10, 0
QUICK = {"steps": 2, "warmup_steps": 1, "batch_size": 4, "pairs": ["cnn4:cnn2"], "images": ["28x28x1"]}
IMAGES = {"28x28x1": (1, 28, 28), "32x32x3": (3, 32, 32)}
DATA = {"28x28x1": "fashion_mnist", "32x32x3": "cifar10"}
AUGMENTATIONS = {
    "plain": None,
    "crop, flip": {"flip": 0.5, "crop_padding": 4},
    "all": {
        "flip": 0.5, "crop_padding": 4, "min_scale": 0.5, "erasing": 0.25, "mixup": 0.2, "cutmix": 1.0,
        "num_classes": NUM_CLASSES,
    },
}  # fmt: skip


def parse_args(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=40, help="Batches that count.")
    parser.add_argument("--warmup_steps", type=int, default=5, help="Batches before them that do not.")
    parser.add_argument("--batch_size", type=int, default=128)
    parser.add_argument("--pairs", nargs="+", default=["cnn1000:cnn500", "resnet20:resnet8"], help="teacher:student")
    parser.add_argument("--images", nargs="+", default=list(IMAGES), choices=list(IMAGES))
    parser.add_argument("--data", help="Folder with fashion_mnist and cifar10 as Parquet. Default: noise.")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", default="benchmarks/results/image_loading.json")
    return parse(parser, argv, quick=QUICK)


def main():
    args = parse_args()
    load = load_average()
    share_cores(args.threads, wait_policy="passive")
    runs = []
    for pair in args.pairs:
        for images in args.images:
            for augmentation in AUGMENTATIONS:
                with Worker(f"{pair}, {images}, {augmentation}", measure, args, pair, images, augmentation) as worker:
                    runs.append(worker.receive())
                print(f"{worker.name}: {runs[-1]['share']:.2%} of a step is waiting", flush=True)
    show(runs)
    write_result(args.output, {"settings": vars(args), "runs": runs}, threads=args.threads, load=load)


# ---- The system ----


def measure(pipe, args, pair, images, augmentation):
    """One run: what it is, its share, and the seconds of each step and of each wait."""
    import torch

    from distil_nlp.augmentation import ImageAugmentation
    from distil_nlp.internals.memory import keep_freed_memory

    torch.set_num_threads(args.threads)
    keep_freed_memory()
    settings = AUGMENTATIONS[augmentation]
    settings = None if settings is None else ImageAugmentation(**settings, seed=SEED)
    rows, shape = rows_of(args, images)
    trainer, folder = make_trainer(args, pair, rows, shape, settings)
    loader = TimedLoader(trainer.get_train_dataloader())
    trainer.get_train_dataloader = lambda: loader
    with folder:
        trainer.train()
    loader.finish()
    waits, steps = (times[args.warmup_steps :] for times in (loader.waits, loader.steps))
    return {
        "pair": pair,
        "images": images,
        "augmentation": augmentation,
        "share": sum(waits) / (sum(waits) + sum(steps)),
        "making": parts_of_a_batch(trainer, rows, settings),
        "wait_seconds": [round(one, 6) for one in waits],
        "step_seconds": [round(one, 6) for one in steps],
    }


class TimedLoader:
    """A data loader that notes how long each batch was waited for, and how long it was until the next was asked for."""

    def __init__(self, loader):
        self._loader, self.waits, self.steps, self._given = loader, [], [], None

    def __len__(self):
        return len(self._loader)

    def __getattr__(self, name):
        return getattr(self._loader, name)

    def __iter__(self):
        batches = None
        while True:
            asked = time.perf_counter()
            self.finish(asked)
            # What an epoch begins with (an order is drawn) is waited for, too.
            batches = iter(self._loader) if batches is None else batches
            batch = next(batches, None)
            if batch is None:
                return
            self._given = time.perf_counter()
            self.waits.append(self._given - asked)
            yield batch

    def finish(self, now=None):
        """End the step that is under way, if one is."""
        if self._given is not None:
            self.steps.append((time.perf_counter() if now is None else now) - self._given)
            self._given = None


def rows_of(args, images):
    """A data set as the task prepares it, as many images as the steps take; and their shape."""
    import datasets

    shape, total = IMAGES[images], (args.warmup_steps + args.steps) * args.batch_size
    if args.data is not None:
        from distil_nlp.models import image_processor_for
        from distil_nlp.tasks.image_classification import ImageClassification

        split = datasets.Dataset.from_parquet(str(Path(args.data) / DATA[images] / "train.parquet"))
        split = split.select(np.arange(total) % len(split))
        task = ImageClassification.from_splits({"train": split})
        return task.prepare(split, image_processor_for(shape[1:], shape[0])), shape
    generator = np.random.default_rng(SEED)
    columns = {
        "image": [generator.bytes(int(np.prod(shape))) for _ in range(total)],
        "labels": generator.integers(NUM_CLASSES, size=total),
        "example_id": np.arange(total),
    }
    return datasets.Dataset.from_dict(columns), shape


def make_trainer(args, pair, rows, shape, augmentation):
    """A trainer of one epoch, and the folder it was promised."""
    import torch

    from distil_nlp import DistillationTrainer, DistillationTrainingArguments
    from distil_nlp.collators.images import ImageCollator
    from distil_nlp.models import NetworkForImageClassification
    from distil_nlp.models.pixel_preprocessor import PixelPreprocessor

    torch.manual_seed(SEED)
    channels, height, width = shape
    teacher, student = (
        NetworkForImageClassification.from_network(
            name, image_size=(height, width), num_channels=channels, num_labels=NUM_CLASSES
        )
        for name in pair.split(":")
    )
    sees = PixelPreprocessor(height, width, channels, (0.5,) * channels, (0.25,) * channels)
    folder = tempfile.TemporaryDirectory()
    arguments = DistillationTrainingArguments(
        folder.name,
        per_device_train_batch_size=args.batch_size,
        num_train_epochs=1,
        save_strategy="no",
        report_to="none",
        use_cpu=True,
    )
    trainer = DistillationTrainer(
        student,
        teacher,
        arguments,
        train_dataset=rows,
        data_collator=ImageCollator(shape, {"": sees}, augmentation=augmentation),
    )
    trainer.probes_teacher = False  # of random weights there is nothing to find out
    return trainer, folder


def parts_of_a_batch(trainer, rows, augmentation, *, num_times=30):
    """Median seconds of making one batch by itself: "rows" read, "view" altered, "seen" by one model."""
    import torch

    collator, size = trainer.data_collator, trainer.args.per_device_train_batch_size
    generator, seconds = np.random.default_rng(SEED), {"rows": [], "view": [], "seen": []}
    for epoch in range(num_times):
        numbers = generator.integers(len(rows), size=size).tolist()
        times = [time.perf_counter()]
        read = rows.__getitems__(numbers)
        batch = (collator.pixels(read), torch.tensor([row["labels"] for row in read]), torch.tensor(numbers))
        times.append(time.perf_counter())
        view = batch[0] if augmentation is None else augmentation(*batch, epoch)[0]
        times.append(time.perf_counter())
        collator.preprocessors[""](view)
        times.append(time.perf_counter())
        for name, one in zip(seconds, np.diff(times).tolist(), strict=True):
            seconds[name].append(one)
    return {name: round(float(np.median(of)), 6) for name, of in seconds.items()}


# ---- What they show ----


def show(runs):
    rows = [
        [
            f"{run['pair']}, {run['images']}, {run['augmentation']}",
            *(f"{1000 * np.median(run[name]):.2f}" for name in ("step_seconds", "wait_seconds")),
            f"{100 * run['share']:.2f} %",
            *(f"{1000 * one:.2f}" for one in run["making"].values()),
        ]
        for run in runs
    ]
    header = [
        "teacher:student, images, augmentation",
        "step ms",
        "waiting ms",
        "share",
        "rows ms",
        "view ms",
        "seen ms",
    ]
    print("\n" + text_table(header, rows))
    worst = max(run["share"] for run in runs)
    print(f"\nAt most {100 * worst:.2f} % of the time is spent waiting; below {100 * BOUND:.0f} % is asked.")


if __name__ == "__main__":
    main()
