"""Recipes on tiny models: their files, their command lines, and what they leave."""

import json
import random

import pytest
import torch
from safetensors.torch import load_file

from distil_nlp.recipe import new_context, parse, prepare
from distil_nlp.recipe.checks import check_training
from distil_nlp.recipe.students import stage_objective
from tests.tiny import WORDS, tiny_model, tiny_tokenizer

QUICK = ["--latency_seconds", "0.001", "--disable_tqdm", "true", "--use_cpu", "true", "--num_train_epochs", "1"]
# For tests of both: an online teacher takes another run of seconds, and its students are compared elsewhere.
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


class _Checked(Exception):
    """Ends a run after its checks."""


def checked(arguments):
    """The context of a run after the checks that precede every training: data, teachers (untrained ones with a random
    head) and what the caches have to contain."""

    def check(context, teachers):
        context.cache_contents, context.teachers = check_training(context, teachers), teachers
        raise _Checked

    context = new_context(*parse(arguments), command="")
    with pytest.raises(_Checked):
        prepare(context, check=check)
    return context


def term_names(context):
    """The names of the terms of all stages."""
    return [term["name"] for stage in context.stages for term in stage_objective(context, stage).describe()]


def same_students(run, arguments, output, **changes):
    """Whether students of a cached and of an online teacher are equal up to rounding: a cache is built in other batches,
    with other padding."""
    for cache in ("true", "false"):
        # Not Adam: it makes a gradient of nothing but rounding as large as any other.
        settings = {"control": "false", "optim": "sgd", "learning_rate": 0.1, **changes}
        run(arguments(output / cache, cache=cache, **settings))
    assert (output / "true" / "teacher_cache" / "cache.json").is_file()
    one, other = (weights(output / cache) for cache in ("true", "false"))
    return all(torch.allclose(one[name], other[name], rtol=0, atol=1e-5) for name in one)


def weights(output, stage="student"):
    return load_file(output / stage / "model.safetensors")
