"""The rows and batches of token classification keep the promises of the trainer: cuts and padding change nothing."""

import logging

import datasets
import pytest
import torch

from distil_nlp.augmentation.text import augmented_copies
from distil_nlp.objectives import HardLabels, Objective, SoftTargets
from distil_nlp.signals.columns import SOFT_ITEMS
from distil_nlp.tasks import TokenClassification
from distil_nlp.teachers.probe import labeled_items
from distil_nlp.training.trainer import DistillationTrainer
from tests.tiny import WORDS, tiny_tokenizer
from tests.training.runs import Gradients, in_float64, make_arguments, make_pair, relative_difference

PIECES = [*WORDS, "##s", "##ly"]
NAMES = ["O", "B-X", "I-X"]


@pytest.fixture(scope="module")
def prepared():
    """The task, its tokenizer, and 32 rows: of the first 16 some are tagged, the others are altered copies."""
    draw = torch.Generator().manual_seed(0)

    def pick(options, count):
        return [options[int(place)] for place in torch.randint(len(options), (count,), generator=draw)]

    words = [pick([word + end for word in WORDS for end in ("", "s")], int(count)) for count in range(2, 18)]
    tags = [pick(NAMES, len(row)) if index % 3 else None for index, row in enumerate(words)]
    split = datasets.Dataset.from_dict({"tokens": words, "tags": tags})
    task = TokenClassification.from_splits({"train": split}, label_names=NAMES)
    tokenizer = tiny_tokenizer(PIECES, pieces=True)
    rows = task.prepare(split, tokenizer)
    copies = augmented_copies(rows, tokenizer, num_copies=1, per_token=task.per_token)
    return task, tokenizer, task.with_unlabeled(rows, copies).shuffle(seed=0)


def make_trainer(prepared, folder, *, num_micro_batches=1, student=None, teacher=None, objective=None, **settings):
    task, tokenizer, rows = prepared
    pair = in_float64(make_pair(problem="token"))
    return DistillationTrainer(
        student or pair[0],
        teacher or pair[1],
        make_arguments(
            folder,
            train_sampling_strategy="sequential",
            per_device_train_batch_size=len(rows) // num_micro_batches,
            gradient_accumulation_steps=num_micro_batches,
            **settings,
        ),
        objective=objective,
        train_dataset=rows,
        processing_class=tokenizer,
        data_collator=task.collator(tokenizer),
        compute_metrics=task.compute_metrics(),
    )


def step(prepared, folder, num_micro_batches):
    recorder = Gradients()
    trainer = make_trainer(prepared, folder, num_micro_batches=num_micro_batches)
    recorder.trainer = trainer
    trainer.add_callback(recorder)
    trainer.train()
    return recorder.steps[0]["student"]


def by_hand(prepared):
    """Half the mean over tagged tokens, half the mean over tokens the teacher speaks on, row by row without padding."""
    task, _, rows = prepared
    student, teacher = in_float64(make_pair(problem="token"))
    hard, soft, temperature = [], [], 2.0
    for row in rows:
        inputs = {name: torch.tensor([row[name]]) for name in ("input_ids", "attention_mask", "token_type_ids")}
        labels, mask = torch.tensor(row["labels"]), torch.tensor(row["soft_items"])
        logits = student(**inputs).logits[0]
        with torch.no_grad():
            target = (teacher(**inputs).logits[0] / temperature).softmax(-1)
        hard += list(torch.nn.functional.cross_entropy(logits, labels, reduction="none")[labels >= 0])
        divergence = (target * (target.log() - (logits / temperature).log_softmax(-1))).sum(-1) * temperature**2
        soft += list(divergence[mask])
    (0.5 * torch.stack(hard).mean() + 0.5 * torch.stack(soft).mean()).backward()
    return {name: weight.grad for name, weight in student.named_parameters()}


@pytest.mark.parametrize("num_micro_batches", [1, 2, 4])
def test_the_gradients_are_those_by_hand_however_a_step_is_cut(prepared, num_micro_batches, tmp_path):
    assert relative_difference(step(prepared, tmp_path, num_micro_batches), by_hand(prepared)) < 1e-9


def test_more_padding_changes_no_loss(prepared, tmp_path):
    task, tokenizer, rows = prepared
    trainer = make_trainer(prepared, tmp_path)
    losses = [
        trainer.compute_loss(trainer.model.eval(), task.collator(tokenizer, pad_to_multiple_of=multiple)(list(rows)))
        for multiple in (None, 64)
    ]
    torch.testing.assert_close(losses[1], losses[0], rtol=1e-9, atol=1e-12)


def test_the_trainer_keeps_the_column_that_says_where_the_teacher_counts(prepared, tmp_path):
    trainer = make_trainer(prepared, tmp_path)
    (batch,) = trainer._batches_of(prepared[2], range(4))
    assert SOFT_ITEMS in batch and batch[SOFT_ITEMS].shape == batch["labels"].shape
    soft = SoftTargets(1.0, temperature=1.0)
    assert torch.equal(soft.items(batch), batch[SOFT_ITEMS])
    assert HardLabels(1.0).items(batch).sum() < soft.items(batch).sum()


def test_the_probe_looks_at_rows_that_have_a_tag(prepared, tmp_path, capsys, caplog):
    task, _, rows = prepared
    items = labeled_items(rows)
    assert sorted(items) == [index for index, known in enumerate(task.labeled(rows)) if known]
    with caplog.at_level(logging.WARNING, logger="distil_nlp"):
        make_trainer(prepared, tmp_path)._probe_teacher()
    num_tags = sum(label >= 0 for labels in rows["labels"] for label in labels)
    assert f"of {num_tags} training items" in capsys.readouterr().out


def test_evaluation_in_training_counts_entities(prepared, tmp_path):
    task, _, rows = prepared
    found = make_trainer(prepared, tmp_path, objective=Objective([HardLabels(1.0)])).evaluate(rows)
    evaluator = task.evaluator(rows)
    assert found["eval_f1"] <= 1 and {f"eval_{name}" for name in evaluator.names} <= found.keys()


def test_teacher_and_student_are_compared_with_the_yardstick_of_the_task(prepared, tmp_path):
    task, _, rows = prepared
    trainer = make_trainer(prepared, tmp_path)
    comparison = trainer.compare(rows, evaluator=task.evaluator(rows), seconds=0.1)
    assert comparison.to_dict()["metric"] == "f1"
    with pytest.raises(ValueError, match=r"labels of tokens.*compare\(dataset, evaluator=task.evaluator\(dataset\)\)"):
        trainer.compare(rows)
