"""What a test of the trainer needs: rows of differing length, quiet arguments, the gradients of one step."""

import datasets
import numpy as np
import torch
from transformers import DataCollatorForTokenClassification, TrainerCallback

from distil_nlp.collators.text import MaskedCollator
from distil_nlp.data.masking import MaskableTokens, mask_tokens
from distil_nlp.objectives import (
    Attention,
    BatchCorrelation,
    ClassCorrelation,
    DecoupledSoftTargets,
    EmbeddingMatching,
    HardLabels,
    HiddenStates,
    NormalizedSoftTargets,
    Objective,
    PatientStates,
    RelationalAngle,
    RelationalDistance,
    Relations,
    SimilarityPreserving,
    SimilarityTargets,
    SoftTargets,
    StandardizedSoftTargets,
)
from distil_nlp.objectives.from_config import objective_from
from distil_nlp.objectives.presets import preset
from distil_nlp.training.arguments import DistillationTrainingArguments
from distil_nlp.training.trainer import DistillationTrainer
from tests.tiny import tiny_model, tiny_tokenizer

NUM_CLASSES = 3
PROBLEMS = ["single_label_classification", "multi_label_classification", "regression"]
# Where each architecture keeps the output of its first layer.
FIRST_LAYER = {
    "bert": "bert.encoder.layer.0",
    "distilbert": "distilbert.transformer.layer.0",
    "roberta": "roberta.encoder.layer.0",
    "modernbert": "model.layers.0",
}


def make_rows(
    num_rows=32, *, problem="single_label_classification", labeled=None, pairs=False, lengths=(3, 20), seed=0
):
    """A data set of random token ids, each row as long as it happens to be.

    Args:
        problem (`str`): A problem type; "token" for a class per token; "masked" for hidden words; "none" for no
            labels at all.
        labeled (`Callable[[int], bool]`): Which rows have a label; the others carry the missing one.
        pairs (`bool`): The second half of each row is of token type 1.
        lengths: Shortest and longest row.
    """
    draw = torch.Generator().manual_seed(seed)
    rows = {"input_ids": [], "attention_mask": [], "token_type_ids": []}
    for _ in range(num_rows):
        length = int(torch.randint(lengths[0], lengths[1] + 1, (), generator=draw))
        rows["input_ids"].append(torch.randint(5, 64, (length,), generator=draw).tolist())
        rows["attention_mask"].append([1] * length)
        rows["token_type_ids"].append([int(pairs and place >= length // 2) for place in range(length)])
    if problem == "masked":
        return _with_hidden_words(rows, seed)
    if problem != "none":
        found = [label_of(problem, len(ids), draw) for ids in rows["input_ids"]]
        lacking = missing_label(problem)
        rows["labels"] = [label if labeled is None or labeled(i) else lacking for i, label in enumerate(found)]
    return datasets.Dataset.from_dict(rows)


def _with_hidden_words(rows, seed):
    tokens = MaskableTokens(tiny_tokenizer())
    pairs = [
        mask_tokens(np.array(ids), tokens, probability=0.3, seed=[seed, number])
        for number, ids in enumerate(rows["input_ids"])
    ]
    rows["input_ids"], rows["labels"] = ([side.tolist() for side in sides] for sides in zip(*pairs, strict=True))
    return datasets.Dataset.from_dict(rows)


def label_of(problem, length, draw):
    if problem == "single_label_classification":
        return int(torch.randint(NUM_CLASSES, (), generator=draw))
    if problem == "multi_label_classification":
        return torch.randint(2, (NUM_CLASSES,), generator=draw).float().tolist()
    if problem == "regression":
        return float(torch.randn((), generator=draw))
    labels = torch.randint(NUM_CLASSES, (length,), generator=draw)
    labels[torch.rand(length, generator=draw) < 0.4] = -100
    return labels.tolist()


def missing_label(problem):
    return {"multi_label_classification": [-100.0] * NUM_CLASSES, "regression": float("nan")}.get(problem, -100)


def make_pair(architecture="bert", *, problem="single_label_classification", teacher_architecture="bert", **settings):
    """A student and a BERT teacher that is deeper, wider and otherwise initialized."""
    task = {"token": "token", "masked": "mlm"}.get(problem, "sequence")
    settings = {"num_labels": 1 if problem == "regression" else NUM_CLASSES, **settings}
    if problem in PROBLEMS:
        settings["problem_type"] = problem
    student = tiny_model(architecture, task, seed=1, num_layers=1, **settings)
    teacher = tiny_model(teacher_architecture, task, seed=2, hidden_size=24, **{**settings, "dropout": 0.1})
    return student, teacher


def make_arguments(folder, **changes):
    """Arguments of a run that reports nowhere, saves nothing and clips nothing."""
    settings = {
        "use_cpu": True,
        "report_to": "none",
        "disable_tqdm": True,
        "save_strategy": "no",
        "logging_strategy": "no",
        "max_grad_norm": 0.0,
        "optim": "sgd",
        "learning_rate": 0.1,
        "lr_scheduler_type": "constant",
        "num_train_epochs": 1,
        "per_device_train_batch_size": 8,
    }
    return DistillationTrainingArguments(str(folder), **{**settings, **changes})


def make_trainer(
    student, teacher, rows, folder, *, objective=None, callbacks=None, trainer=DistillationTrainer, **changes
):
    """A trainer on `rows`, with the collator that fits their labels where none is given."""
    collator = changes.pop("collator", None)
    tokenizer = changes.pop("tokenizer", None) or tiny_tokenizer()
    several = collator is None and "labels" in rows.column_names and isinstance(rows[0]["labels"], list)
    return trainer(
        model=student,
        teacher=teacher,
        args=make_arguments(folder, **changes),
        objective=objective,
        train_dataset=rows,
        processing_class=tokenizer,
        data_collator=_collator(student, tokenizer) if several and not _floats(rows) else collator,
        callbacks=callbacks,
    )


def _collator(student, tokenizer):
    over_words = student.get_output_embeddings() is not None
    return MaskedCollator(tokenizer) if over_words else DataCollatorForTokenClassification(tokenizer)


def _floats(rows):
    return isinstance(rows[0]["labels"][0], float)


def hint_objective(architecture="bert", *, weight=0.5, problem="single_label_classification"):
    """Labels, soft targets and a hint that needs a projection, because the teacher is wider."""
    layers = [(FIRST_LAYER[architecture], FIRST_LAYER["bert"])]
    labels = [] if problem == "none" else [HardLabels(0.3, problem_type=problem)]
    return Objective([*labels, SoftTargets(0.7, temperature=3.0), HiddenStates(weight, layers=layers)])


def triple_loss():
    """DistilBERT's: soft targets, hidden words, and the direction of the last hidden states, here with a projection."""
    return objective_from(preset("distilbert")[0]["objective"])


# Every term that listens to layers or looks at classes in its own way, as it is used on a one-layer student.
TERMS = {
    "hidden states": lambda: HiddenStates(1.0, layers="uniform"),
    "embeddings, cosine": lambda: HiddenStates(1.0, layers=[("embeddings", "embeddings")], distance="cosine"),
    "patient": lambda: PatientStates(1.0, layers=[(0, 0), (-1, -1)]),
    "attention scores": lambda: Attention(1.0),
    "attention probabilities": lambda: Attention(1.0, layers="last", compare="probabilities"),
    "attention, heads averaged": lambda: Attention(1.0, average_heads=True),
    "relations": lambda: Relations(1.0, relations=["query-query", "key-key", "value-value", "query-key"]),
    "relations, heads given": lambda: Relations(1.0, layers=[(0, 1)], num_heads=4),
    "standardized": lambda: StandardizedSoftTargets(1.0, temperature=2.0),
    "decoupled": lambda: DecoupledSoftTargets(1.0, temperature=2.0),
    "normalized": lambda: NormalizedSoftTargets(1.0),
    "embedding": lambda: EmbeddingMatching(1.0),
    "embedding, squared": lambda: EmbeddingMatching(1.0, distance="mse"),
    "class correlation": lambda: ClassCorrelation(1.0, temperature=2.0),
}
# Those whose item is the micro-batch.
BATCH_TERMS = {
    "distance": lambda: RelationalDistance(1.0),
    "angle": lambda: RelationalAngle(1.0),
    "similarity": lambda: SimilarityPreserving(1.0),
    "similarity targets": lambda: SimilarityTargets(1.0, temperature=0.5),
    "batch correlation": lambda: BatchCorrelation(1.0, temperature=2.0),
}


def objective_of(*terms):
    """An objective of some of `TERMS` or `BATCH_TERMS`, with labels beside them."""
    return Objective([HardLabels(0.5), *({**TERMS, **BATCH_TERMS}[term]() for term in terms)])


class Gradients(TrainerCallback):
    """Keeps the gradients the optimizer is about to apply: one dict a step, by name, projections included."""

    def __init__(self):
        self.trainer, self.steps = None, []

    def on_pre_optimizer_step(self, args, state, control, **kwargs):
        modules = {"student": self.trainer.model, "objective": self.trainer.objective}
        self.steps.append({name: gradients_of(module) for name, module in modules.items()})


def gradients_of(module):
    """Gradients by name, copied; 0 where a parameter has none."""
    return {
        name: torch.zeros_like(weight) if weight.grad is None else weight.grad.clone()
        for name, weight in module.named_parameters()
    }


def step_gradients(student, teacher, rows, folder, *, num_micro_batches=1, num_processes=1, **settings):
    """The gradients of the one optimizer step that takes in all `rows`: {"student": ..., "objective": ...}."""
    recorder = Gradients()
    trainer = make_trainer(
        student,
        teacher,
        rows,
        folder,
        callbacks=[recorder],
        train_sampling_strategy="sequential",
        per_device_train_batch_size=len(rows) // (num_micro_batches * num_processes),
        gradient_accumulation_steps=num_micro_batches,
        **settings,
    )
    recorder.trainer = trainer
    trainer.train()
    assert len(recorder.steps) == 1, f"{len(recorder.steps)} optimizer steps instead of one"
    return recorder.steps[0]


def in_float64(pair):
    """Both models in float64, where a difference is no rounding."""
    return [model.double() for model in pair]


def relative_difference(found, expected):
    """Norm of the difference of two dicts of gradients, over the norm of the expected ones."""
    assert found.keys() == expected.keys()
    ours, theirs = (torch.cat([part[name].flatten() for name in expected]) for part in (found, expected))
    assert theirs.norm() > 0
    return ((ours - theirs).norm() / theirs.norm()).item()


def same_weights(one, other):
    """Whether two modules, or two dicts of tensors, are bit-identical."""
    ours, theirs = (thing if isinstance(thing, dict) else thing.state_dict() for thing in (one, other))
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
