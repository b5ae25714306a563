"""Random combinations of wrappers, data set classes, label forms, precisions, optimizers and numbers of processes.

A combination names one entry of every table in `AXES`. `first_step` trains one step; `expected_step` computes the weights
after it by hand: plain PyTorch on the models themselves. Where a combination cannot be trained, `refusal` has a part of the
message that must come before the first step. Those of two processes are checked by `python combinations.py`, started twice.
"""

import json
import random
import re
import sys
import traceback
from pathlib import Path

import datasets
import numpy as np
import torch
from accelerate import PartialState
from peft import LoraConfig, get_peft_model
from torch import nn
from torch.nn.functional import (
    binary_cross_entropy_with_logits,
    cross_entropy,
    kl_div,
    log_softmax,
    logsigmoid,
    mse_loss,
)
from transformers import DataCollatorWithPadding

from distil_nlp import (
    DistillationTrainer,
    HardLabels,
    HiddenStates,
    Objective,
    OnlineTeacher,
    SoftTargets,
    TeacherEnsemble,
)
from tests.distributed.launching import join
from tests.tiny import tiny_model, tiny_tokenizer
from tests.training.runs import make_arguments, make_rows
from tests.training.test_data_classes import Endless, Stream

ROWS, CLASSES = 8, 3
KD_RATIO, TEMPERATURE, HIDDEN_WEIGHT, LEARNING_RATE = 0.3, 3.0, 0.5, 0.1
COLUMNS = ("input_ids", "attention_mask", "token_type_ids")

# ---- Label forms: name -> (labels, problem kind, classes of the models) ----

_CLASSES = [row % CLASSES for row in range(ROWS)]
_YES_OR_NO = [[row % 2, 1, int(row > 3)] for row in range(ROWS)]
LABELS = {
    "classes": (_CLASSES, "single", CLASSES),
    "numpy classes": ([np.int64(label) for label in _CLASSES], "single", CLASSES),
    "some missing": ([-100 if row in (1, 6) else label for row, label in enumerate(_CLASSES)], "single", CLASSES),
    "minus one": ([-1 if row == 2 else label for row, label in enumerate(_CLASSES)], "single", CLASSES),
    "truth values": ([row % 2 == 0 for row in range(ROWS)], "single", 2),
    "probabilities": ([[0.5, 0.25, 0.25], [0.0, 0.9, 0.1]] * (ROWS // 2), "soft", CLASSES),
    "several labels": ([[float(value) for value in row] for row in _YES_OR_NO], "several", CLASSES),
    "several whole-number labels": (_YES_OR_NO, "several", CLASSES),
    "numbers": ([row / 3 for row in range(ROWS)], "regression", 1),
    "none": (None, "single", CLASSES),
    "out of range": ([CLASSES + 4 if row == 5 else label for row, label in enumerate(_CLASSES)], "refused", CLASSES),
    "words": (["good"] * ROWS, "refused", CLASSES),
}

# ---- Wrappers of a model ----


class KeywordsOnly(nn.Module):
    """A module whose forward names no column."""

    def __init__(self, model):
        super().__init__()
        self.inner, self.config = model, model.config

    def forward(self, **columns):
        return self.inner(**columns)


class LogitsOnly(nn.Module):
    """A module that returns a tensor, and has no config."""

    def __init__(self, model):
        super().__init__()
        self.inner = model

    def forward(self, input_ids, attention_mask=None, token_type_ids=None):
        return self.inner(input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids).logits


def adapted(model):
    """A LoRA model whose adapters are not 0."""
    lora = LoraConfig(task_type="SEQ_CLS", r=2, lora_dropout=0.0, target_modules=["query", "value"])
    wrapped = get_peft_model(model, lora).eval()
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        for name, parameter in wrapped.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0.0, 0.3)
    return wrapped


def compiled(model):
    return torch.compile(model, backend="eager")


def frozen_below_the_head(model):
    for parameter in model.bert.parameters():
        parameter.requires_grad_(False)
    return model


def quantized(model):
    return torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, dtype=torch.qint8)


def plain(model):
    return model


STUDENTS = {
    "plain": plain,
    "frozen encoder": frozen_below_the_head,
    "lora": adapted,
    "compiled": compiled,
    "keywords only": KeywordsOnly,
    "logits only": LogitsOnly,
}
TEACHERS = {
    "none": None,
    "plain": plain,
    "online": OnlineTeacher,
    "lora": adapted,
    "compiled": compiled,
    "data parallel": nn.DataParallel,
    "keywords only": KeywordsOnly,
    "logits only": LogitsOnly,
    "quantized": quantized,
    "folder": "folder",
    "ensemble": "ensemble",
}

# ---- Classes of data sets ----


DATASETS = {
    "datasets": datasets.Dataset.from_list,
    "list": list,
    "torch data set": Endless,
    "stream": lambda rows: datasets.Dataset.from_list(rows).to_iterable_dataset(),
    "stream of unknown columns": lambda rows: (
        datasets.Dataset.from_list(rows).to_iterable_dataset().map(lambda row: row)
    ),
    "torch stream": Stream,
}

STREAMS = ("stream", "stream of unknown columns", "torch stream")

# ---- Precisions: settings of the run, the models' dtype, the tolerance ----

PRECISIONS = {
    "float32": ({}, torch.float32, 1e-5),
    "float64": ({}, torch.float64, 1e-9),
    "bfloat16 autocast": ({"bf16": True}, torch.float32, 5e-2),
}
OPTIMIZERS = ("of the arguments", "own", "own with a scheduler")
ONE, TWO = "one process", "two processes"
OBJECTIVES = ("default", "of terms", "with hidden states", "with a projection")
AXES = {
    "student": list(STUDENTS),
    "teacher": list(TEACHERS),
    "labels": list(LABELS),
    "data": list(DATASETS),
    "precision": list(PRECISIONS),
    "optimizer": list(OPTIMIZERS),
    "objective": list(OBJECTIVES),
    "processes": [ONE, ONE, TWO],
}


def draw(number, seed):
    """`number` different combinations. Each entry of a table comes about equally often: tables are shuffled and dealt."""
    generator, drawn = random.Random(seed), {}
    decks = {axis: [] for axis in AXES}
    while len(drawn) < number:
        for axis, deck in decks.items():
            if not deck:
                deck.extend(generator.sample(AXES[axis], len(AXES[axis])))
        combination = {axis: deck.pop() for axis, deck in decks.items()}
        if combination["teacher"] == "quantized":  # its kernels take float32 only, and round by the range of a batch
            combination |= {"precision": "float32", "processes": ONE}
        if LABELS[combination["labels"]][1] == "refused" and combination["data"] in STREAMS:
            # The process that reads the row refuses it, and the launcher ends the other.
            combination["processes"] = ONE
        drawn.setdefault(", ".join(combination.values()), combination)
    return drawn


# ---- What must be refused ----


def refusal(combination):
    """A pattern of the messages that may refuse a combination before its first step; None if it is trained."""
    student, teacher, labels, objective = (combination[key] for key in ("student", "teacher", "labels", "objective"))
    kind, has_terms, with_layers = LABELS[labels][1], objective != "default", objective.startswith("with ")
    reasons = {
        "label": kind == "refused",
        "labels' column|no teacher was given": labels == "none" and (teacher == "none" or has_terms),
        "none was given": teacher == "none" and has_terms,
        "labels must be": labels == "several whole-number labels",
        "labels must be|over 1 class|1 class": kind in ("regression", "several") and has_terms,
        "an ensemble has no layers": with_layers and teacher == "ensemble",
        "depend on frozen weights only": with_layers and student == "frozen encoder",
        "layers of LogitsOnly": with_layers and "logits only" in (student, teacher),
        "For multi_label_classification labels must be": kind == "soft" and not has_terms,
        "optimizer": objective == "with a projection" and combination["optimizer"] != "of the arguments",
        "averages softmaxes": teacher == "ensemble" and kind in ("several", "regression"),
        "Load the teacher and pass the model": teacher == "folder" and student == "logits only",
        "For single_label_classification labels must be": kind == "regression" and student == "logits only",
    }
    return "|".join(pattern for pattern, holds in reasons.items() if holds) or None


# ---- One step, trained and by hand ----


def rows_of(combination):
    """Rows as a user has them, each a dict of lists."""
    rows = make_rows(ROWS, problem="none", pairs=True, lengths=(5, 12)).to_list()
    labels = LABELS[combination["labels"]][0]
    return rows if labels is None else [{**row, "labels": label} for row, label in zip(rows, labels, strict=True)]


def make_models(combination, folder):
    """`(student, inner student, teacher, function from columns to the teacher's logits and last hidden states)`."""
    dtype = PRECISIONS[combination["precision"]][1]
    settings = {"num_labels": LABELS[combination["labels"]][2], "num_layers": 1}
    width = 24 if combination["objective"] == "with a projection" else 16
    inner = tiny_model(seed=1, **settings).to(dtype)
    student = STUDENTS[combination["student"]](inner)
    members = [tiny_model(seed=seed, hidden_size=width, **settings).to(dtype) for seed in (2, 3)]
    kind = TEACHERS[combination["teacher"]]
    if kind is None:
        return student, inner, None, None
    if kind == "folder":
        process = PartialState(cpu=True)
        if process.is_main_process:
            members[0].save_pretrained(folder / "teacher")
            tiny_tokenizer().save_pretrained(folder / "teacher")
        process.wait_for_everyone()
        teacher, run = str(folder / "teacher"), members[0].float()  # a name is loaded in `teacher_dtype`
    elif kind == "ensemble":
        teacher, run = TeacherEnsemble([OnlineTeacher(member) for member in members]), None
    else:
        teacher = kind(members[0])
        # A graph that is compiled here would not have the trainer's taps.
        run = members[0] if kind in (OnlineTeacher, compiled) else teacher
    return student, inner, teacher, _outputs_of(run, members)


def _outputs_of(run, members):
    """Logits of a teacher as a user computes them. The members of an ensemble are averaged by probability."""

    def outputs(columns, temperature):
        with torch.no_grad():
            if run is None:
                probabilities = [(member(**columns).logits / temperature).softmax(-1) for member in members]
                return (sum(probabilities) / len(members)).log() * temperature, None
            hidden = []
            encoder = next(module for name, module in run.named_modules() if name.endswith("encoder.layer.0"))
            handle = encoder.register_forward_hook(
                lambda module, args, output: hidden.append(output[0] if isinstance(output, tuple) else output)
            )
            output = run(**columns)
            handle.remove()
            return getattr(output, "logits", output), hidden[0] if hidden else None

    return outputs


def make_trainer(combination, folder, student, teacher):
    """A trainer of one step; building it may raise."""
    settings, *_ = PRECISIONS[combination["precision"]]
    default = combination["objective"] == "default" and teacher is not None
    arguments = make_arguments(
        folder / "out",
        per_device_train_batch_size=ROWS // 2 if combination["processes"] == TWO else ROWS,
        max_steps=1,
        learning_rate=LEARNING_RATE,
        train_sampling_strategy="sequential",
        kd_ratio=KD_RATIO if default and combination["labels"] != "none" else None,
        temperature=TEMPERATURE if default and LABELS[combination["labels"]][1] != "regression" else None,
        **settings,
    )
    terms = {
        "default": None,
        "of terms": [HardLabels(0.7), SoftTargets(0.3, temperature=TEMPERATURE)],
        "with hidden states": [HardLabels(0.7), HiddenStates(HIDDEN_WEIGHT, layers="last")],
        "with a projection": [HardLabels(0.7), HiddenStates(HIDDEN_WEIGHT, layers="last")],
    }[combination["objective"]]
    more = {}
    if combination["optimizer"] != "of the arguments":
        optimizer = torch.optim.SGD([weight for weight in student.parameters() if weight.requires_grad], LEARNING_RATE)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
        more["optimizers"] = (optimizer, scheduler if combination["optimizer"] == "own with a scheduler" else None)
    return DistillationTrainer(
        student,
        teacher,
        arguments,
        objective=None if terms is None else Objective(terms),
        train_dataset=DATASETS[combination["data"]](rows_of(combination)),
        data_collator=DataCollatorWithPadding(tiny_tokenizer()),
        **more,
    )


def expected_loss(combination, inner, outputs, projection=None):
    """The loss of the first step, by hand."""
    rows = [{name: row[name] for name in COLUMNS} for row in rows_of(combination)]
    columns = dict(tiny_tokenizer().pad(rows, return_tensors="pt"))
    labels, kind, _ = LABELS[combination["labels"]]
    output = inner(**columns, output_hidden_states=True)
    hard = None if labels is None else _hard_loss(kind, output.logits, labels)
    if combination["teacher"] == "none":
        return hard
    logits, hidden = outputs(columns, TEMPERATURE)
    soft = _soft_loss(kind, output.logits, logits)
    if combination["objective"] in ("default", "of terms"):
        return soft if hard is None else (1 - KD_RATIO) * hard + KD_RATIO * soft
    states, mask = output.hidden_states[-1], columns["attention_mask"].bool()
    states = states if projection is None else projection(states)
    return 0.7 * hard + HIDDEN_WEIGHT * (states - hidden).square().mean(-1)[mask].mean()


def _hard_loss(kind, logits, labels):
    if kind == "single":
        return cross_entropy(logits, torch.tensor([-100 if int(label) < 0 else int(label) for label in labels]))
    target = torch.tensor(labels, dtype=logits.dtype)
    if kind == "soft":
        return cross_entropy(logits, target)
    if kind == "several":
        return binary_cross_entropy_with_logits(logits, target)
    return mse_loss(logits[:, 0], target)


def _soft_loss(kind, student, teacher):
    if kind == "regression":
        return mse_loss(student, teacher.to(student.dtype))
    student, teacher = student / TEMPERATURE, teacher.to(student.dtype) / TEMPERATURE
    if kind == "several":
        yes = teacher.sigmoid() * (logsigmoid(teacher) - logsigmoid(student))
        no = (-teacher).sigmoid() * (logsigmoid(-teacher) - logsigmoid(-student))
        return (yes + no).mean() * TEMPERATURE**2
    divergence = kl_div(log_softmax(student, -1), log_softmax(teacher, -1), log_target=True, reduction="batchmean")
    return divergence * TEMPERATURE**2


def trainable_weights(module):
    return {name: weight for name, weight in module.named_parameters() if weight.requires_grad}


def check(combination, folder):
    """Train a combination for one step and compare its weights with those by hand, or see it refused before the step.

    Raises:
        AssertionError: Other weights, a refusal that should not come, no refusal where one should, or one after the step.
    """
    torch.compiler.reset()  # a graph of an earlier combination has other taps
    message = refusal(combination)
    student, inner, teacher, outputs = make_models(combination, folder)
    before = {name: weight.detach().clone() for name, weight in trainable_weights(inner).items()}
    try:
        trainer = make_trainer(combination, folder, student, teacher)
        if message is None:
            projection = next(
                (module for module in trainer.objective.modules() if isinstance(module, nn.Linear)), None
            )
            loss = expected_loss(combination, inner, outputs, projection)
            gradients = torch.autograd.grad(loss, list(trainable_weights(inner).values()), allow_unused=True)
        trainer.train()
    except (ValueError, TypeError) as error:
        assert message is not None, f"refused: {type(error).__name__}: {error}"
        changed = [name for name, weight in trainable_weights(inner).items() if not torch.equal(weight, before[name])]
        assert not changed, f"refused after the step changed {changed[0]}: {error}"
        assert re.search(message, str(error)), f"refused with another message than {message!r}: {error}"
        return
    assert message is None, f"trained, but should be refused with {message!r}"
    tolerance = PRECISIONS[combination["precision"]][2]
    # Models that are loaded, adapters and labels that are fractions are in float32.
    if (
        combination["teacher"] == "folder"
        or "lora" in combination.values()
        or combination["labels"] in ("probabilities", "numbers")
    ):
        tolerance = max(tolerance, 1e-6)
    moved, expected = [], []
    for (name, weight), gradient in zip(trainable_weights(inner).items(), gradients, strict=True):
        moved.append((weight.detach() - before[name]).flatten())
        expected.append((torch.zeros_like(weight) if gradient is None else -LEARNING_RATE * gradient).flatten())
    moved, expected = torch.cat(moved), torch.cat(expected)
    assert expected.norm() > 0
    difference = ((moved - expected).norm() / expected.norm()).item()
    assert difference < tolerance, f"the first step differs by {difference:.1e}"


# ---- Two processes ----


def check_in_two_processes(number, seed, folder, rank, port):
    """Check the combinations of two processes among those drawn; what each came to is in results.rank0.json and rank1."""
    process, results = join(rank, port, seconds=600), {}
    for place, (name, combination) in enumerate(draw(int(number), int(seed)).items()):
        if combination["processes"] == TWO:
            process.wait_for_everyone()
            try:
                check(combination, folder / str(place))
                results[name] = None
            except Exception as error:
                results[name] = "".join(traceback.format_exception(error))
            (folder / f"results.rank{rank}.json").write_text(json.dumps(results))


if __name__ == "__main__":
    check_in_two_processes(*sys.argv[1:3], Path(sys.argv[3]), *sys.argv[4:])
