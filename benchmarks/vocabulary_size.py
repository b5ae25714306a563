"""How much smaller a student gets when it keeps only the tokens of its data.

    python benchmarks/vocabulary_size.py [--student 2x128]

A student of the size named, for the vocabulary of the SST-2 teacher, trimmed to the tokens of the SST-2 training
sentences: tokens and file sizes before and after, and what becomes of the validation sentences, which it was not
trimmed for. Its weights are random; sizes do not depend on them.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch
from timing import load_average, parse, require, text_table, write_result
from transformers import set_seed
from transformers.utils import logging

from distil_nlp import build_student, predict_logits, trim_vocabulary
from distil_nlp.data.splits import load_splits
from distil_nlp.models.loading import load_model, load_tokenizer
from distil_nlp.tasks import TextClassification


def parse_args(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="../shared/data/glue/sst2", help="train.parquet and validation.parquet.")
    parser.add_argument("--teacher", default="../shared/data/models/minilm-sst2")
    parser.add_argument("--student", default="2x128")
    parser.add_argument("--output", default="benchmarks/results/vocabulary_size.json")
    return parse(parser, argv, quick={"student": "1x32"})


def main():
    args = parse_args()
    require(args.data, *[args.teacher] * args.quick, quick=args.quick)
    logging.disable_progress_bar()
    set_seed(0)
    load = load_average()
    splits = load_splits(**{f"{split}_file": f"{args.data}/{split}.parquet" for split in ("train", "validation")})
    task, tokenizer = TextClassification.from_splits(splits), load_tokenizer(args.teacher)
    rows = {name: task.prepare(split, tokenizer) for name, split in splits.items()}
    teacher, _ = load_model(task.auto_class, args.teacher)
    student = build_student(args.student, teacher).eval()
    trimmed = trim_vocabulary(student, tokenizer, rows["train"]["input_ids"])
    smaller_rows = task.prepare(splits["validation"], trimmed.tokenizer)
    same = [
        trimmed.tokenizer.convert_ids_to_tokens(ours) == tokenizer.convert_ids_to_tokens(theirs)
        for ours, theirs in zip(smaller_rows["input_ids"], rows["validation"]["input_ids"], strict=True)
    ]
    before = predict_logits(student, rows["validation"], task.collator(tokenizer))
    after = predict_logits(trimmed.model, smaller_rows, task.collator(trimmed.tokenizer))
    found = {
        "before": files(student, tokenizer),
        "after": files(trimmed.model, trimmed.tokenizer),
        "validation_sentences": len(same),
        "with_the_same_tokens": sum(same),
        "largest_difference_of_their_logits": float(np.abs(after - before)[same].max()),
    }
    show(args.student, found)
    settings = {"student": args.student}
    write_result(args.output, {"settings": settings, "found": found}, threads=torch.get_num_threads(), load=load)


def files(model, tokenizer):
    """Tokens, and bytes of what `save_pretrained` writes."""
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        sizes = {name: (Path(folder) / name).stat().st_size for name in ("model.safetensors", "tokenizer.json")}
    return {"tokens": model.config.vocab_size, **sizes}


def show(student, found):
    cells = [
        [f"{student}, {when}", f"{one['tokens']:,}", *(f"{one[name] / 1e6:.2f}" for name in list(one)[1:])]
        for when, one in (("whole vocabulary", found["before"]), ("trimmed", found["after"]))
    ]
    print(text_table(["student", "tokens", "model.safetensors MB", "tokenizer.json MB"], cells))
    print(
        f"{found['with_the_same_tokens']} of {found['validation_sentences']} validation sentences have the same tokens; "
        f"their logits differ by {found['largest_difference_of_their_logits']:.1e} at most."
    )


if __name__ == "__main__":
    main()
