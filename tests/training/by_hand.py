"""The loss of one step once more, without the trainer: row by row, so that nothing is ever padded or cut."""

import inspect

import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from .runs import gradients_of


def logits_of(model, row):
    """What a model says about one row, given the columns its forward takes."""
    taken = inspect.signature(model.forward).parameters
    columns = ("input_ids", "attention_mask", "token_type_ids")
    return model(**{name: torch.tensor([row[name]]) for name in columns if name in taken}).logits[0]


def soft(student, teacher, problem, temperature):
    """The soft loss of one item."""
    if problem == "regression":
        return ((student - teacher) ** 2).mean()
    if problem == "multi_label_classification":
        p, q = (torch.stack([z.sigmoid(), 1 - z.sigmoid()]) for z in (student / temperature, teacher / temperature))
        return (q * (q / p).log()).sum(0).mean() * temperature**2
    p, q = (student / temperature).softmax(-1), (teacher / temperature).softmax(-1)
    return (q * (q / p).log()).sum() * temperature**2


def hard(logits, label, problem):
    """The hard loss of one item, or None where it has no label."""
    label = torch.tensor(label, dtype=logits.dtype)
    if bool(label.isnan().any() | (label == -100).any()):
        return None
    if problem == "regression":
        return (logits.squeeze() - label) ** 2
    if problem == "multi_label_classification":
        return binary_cross_entropy_with_logits(logits, label)
    return cross_entropy(logits, label.long())


def items_of(student, teacher, row, problem):
    """(student logits, teacher logits, label) of each item of a row: the row itself, or its labeled tokens."""
    ours = logits_of(student, row)
    theirs = None if teacher is None else logits_of(teacher, row).detach()
    if problem != "token":
        return [(ours, theirs, row.get("labels", -100))]
    return [(ours[i], theirs[i], label) for i, label in enumerate(row["labels"]) if label != -100]


def parts(student, teacher, rows, problem, temperature=2.0):
    """The hard and the soft loss, each averaged over the items that have one."""
    found = [item for row in rows for item in items_of(student, teacher, row, problem)]
    losses = {"hard": [hard(ours, label, problem) for ours, _, label in found]}
    if teacher is not None:
        losses["soft"] = [soft(ours, theirs, problem, temperature) for ours, theirs, _ in found]
    losses = {name: [value for value in values if value is not None] for name, values in losses.items()}
    return {name: sum(values) / len(values) for name, values in losses.items() if values}


def gradients(student, teacher, rows, problem, *, kd_ratio=0.5, temperature=2.0):
    """Gradients by name of (1 - kd_ratio) x hard + kd_ratio x soft; of what there is alone, where one is missing."""
    student.zero_grad()
    found = parts(student, teacher, rows, problem, temperature)
    weights = {"hard": 1 - kd_ratio, "soft": kd_ratio} if len(found) == 2 else dict.fromkeys(found, 1.0)
    sum(weights[name] * value for name, value in found.items()).backward()
    result = gradients_of(student)
    student.zero_grad()
    return result
