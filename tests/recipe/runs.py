"""Recipes on tiny models: their files, their command lines, and what they leave."""

import json
import random

import pytest
import torch
from safetensors.torch import load_file

from tests.tiny import WORDS, tiny_model, tiny_tokenizer

QUICK = ["--latency_seconds", "0.001", "--disable_tqdm", "true", "--use_cpu", "true", "--num_train_epochs", "1"]
# For tests of both: a teacher in every step takes another run of seconds, and its students are compared elsewhere.
CACHE = ["true", pytest.param("false", marks=pytest.mark.slow)]
LABELS = {0: "bad", 1: "good"}


def save_model(folder, **settings):
    model = tiny_model(**{"num_labels": 2, **settings})
    if model.config.num_labels == 2:
        model.config.id2label, model.config.label2id = LABELS, {name: index for index, name in LABELS.items()}
    model.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


def save_rows(path, num_rows, *, labels=("bad", "good"), seed=0, columns=("text", "label"), vocabulary=WORDS):
    draw = random.Random(seed)
    rows = [(" ".join(draw.choices(vocabulary, k=draw.randint(3, 9))), draw.choice(labels)) for _ in range(num_rows)]
    path.write_text("".join(json.dumps(dict(zip(columns, row, strict=False))) + "\n" for row in rows))
    return path


def words(folder, output, *more, **changes):
    settings = {
        "teacher": folder / "teacher",
        "train_file": folder / "train.jsonl",
        "validation_file": folder / "validation.jsonl",
        "num_layers": 1,
        "output_dir": output,
        **changes,
    }
    flags = [str(word) for name, value in settings.items() if value is not None for word in (f"--{name}", value)]
    return [*QUICK, *flags, *more]


def same_students(run, arguments, output, **changes):
    """Whether a cached teacher makes the student that a teacher asked at every step makes, up to rounding: a cache is
    filled in other batches, with other padding."""
    for cache in ("true", "false"):
        # Not Adam: it makes a gradient of nothing but rounding as large as any other.
        settings = {"control": "false", "optim": "sgd", "learning_rate": 0.1, **changes}
        run(arguments(output / cache, cache=cache, **settings))
    assert (output / "true" / "teacher_cache" / "cache.json").is_file()
    one, other = (weights(output / cache) for cache in ("true", "false"))
    return all(torch.allclose(one[name], other[name], rtol=0, atol=1e-5) for name in one)


def weights(output, stage="student"):
    return load_file(output / stage / "model.safetensors")
