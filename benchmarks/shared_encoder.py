"""What a step saves whose student has the teacher's encoder: kept and shared, kept, or trained.

    python benchmarks/shared_encoder.py [--steps 30] [--teacher whisper-4x192] [--output FILE]

The teacher is of Whisper's architecture with random weights, the student its encoder and one decoder layer, on noise of
five seconds. A step is the teacher's forward, the student's forward and backward, on labels and soft targets; the three
kinds of student take their turns on each batch, in changing order.
"""

import argparse
import copy
import time

import torch
from timing import load_average, orders, paired_ratio, parse, share_cores, text_table, write_result

from distil_nlp.models import AutoSpeechSeq2Seq, whisper_processor
from distil_nlp.objectives import HardLabels, Objective, SoftTargets
from distil_nlp.signals.base import Signals
from distil_nlp.students import freeze_encoder, share_encoder, student_from_teacher

SECONDS, TOKENS = 5, 12
COLUMNS = ("input_features", "decoder_input_ids")


def parse_args(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=30, help="That count, beside three that do not.")
    parser.add_argument("--batch_size", type=int, default=8)
    parser.add_argument("--teacher", default="whisper-4x192", help="Layers and width.")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", default="benchmarks/results/shared_encoder.json")
    return parse(parser, argv, quick={"steps": 2, "batch_size": 1, "teacher": "whisper-1x32"})


def main(argv=None):
    args, load = parse_args(argv), load_average()
    share_cores(args.threads)
    torch.set_num_threads(args.threads)
    pairs = make_pairs(args.teacher)
    seconds = {name: [] for name in pairs}
    for number, order in zip(range(3 + args.steps), orders(list(pairs)), strict=False):
        batch = make_batch(args.batch_size, pairs["trained"][0].config, seed=number)
        for name in order:
            took = step(*pairs[name], dict(batch))
            seconds[name] += [took] * (number >= 3)
    ratios = {name: paired_ratio([seconds[name]], [seconds["trained"]]) for name in ("kept", "shared")}
    rows = [[name, f"{one['value']:.3f}", f"{one['low']:.3f} to {one['high']:.3f}"] for name, one in ratios.items()]
    print(text_table(["encoder", "of a step that trains it", "95 %"], rows))
    result = {"settings": vars(args), "ratios": ratios, "seconds": seconds}
    write_result(args.output, result, threads=args.threads, load=load)


def make_pairs(spec):
    """Student and teacher by what becomes of the encoder."""
    torch.manual_seed(0)
    processor = whisper_processor(["one two three"], SECONDS)
    teacher = AutoSpeechSeq2Seq(lambda: processor).from_pretrained(spec).eval()
    pairs = {}
    for name in ("trained", "kept", "shared"):
        theirs = copy.deepcopy(teacher)
        student = student_from_teacher(theirs, num_layers=1)
        if name != "trained":
            freeze_encoder(student, theirs)
        if name == "shared":
            share_encoder(student, theirs)
        pairs[name] = student, theirs
    return pairs


def make_batch(size, config, *, seed):
    draw = torch.Generator().manual_seed(seed)
    tokens = torch.randint(config.vocab_size - 6, (size, TOKENS + 1), generator=draw)
    shape = (size, config.num_mel_bins, 2 * config.max_source_positions)
    return {
        "input_features": torch.randn(shape, generator=draw),
        "decoder_input_ids": tokens[:, :-1],
        "labels": tokens[:, 1:],
    }


def step(student, teacher, batch):
    """Seconds that it takes."""
    objective = Objective([HardLabels(0.5), SoftTargets(0.5, temperature=2.0)])
    student.zero_grad(set_to_none=True)
    inputs = {name: batch[name] for name in COLUMNS}
    before = time.perf_counter()
    with torch.inference_mode():
        theirs = teacher(**inputs).logits
    ours, theirs = Signals(student(**inputs).logits), Signals(theirs.clone())
    objective.setup(ours, theirs, batch)
    loss, _ = objective(ours, theirs, batch, objective.count([batch]))
    loss.backward()
    return time.perf_counter() - before


if __name__ == "__main__":
    main()
