"""Two distributions over the positions of a text: the loss by hand, whatever the padding and however a step is cut."""

import inspect

import pytest
import torch
from torch.nn.functional import cross_entropy, kl_div, log_softmax, pad

from distil_nlp.objectives import (
    ClassCorrelation,
    DecoupledSoftTargets,
    HardLabels,
    LogitMatching,
    NormalizedSoftTargets,
    Objective,
    SoftTargets,
    StandardizedSoftTargets,
)
from distil_nlp.signals.base import Signals
from distil_nlp.tasks import QuestionAnswering
from distil_nlp.teachers import OnlineTeacher
from distil_nlp.teachers.probe import labeled_items, probe
from distil_nlp.teachers.reconcile import label_order
from distil_nlp.training.trainer import DistillationTrainer
from tests.questions import make_questions
from tests.tiny import tiny_model, tiny_tokenizer
from tests.training.runs import Gradients, gradients_of, in_float64, make_arguments, relative_difference

KINDS = {"all labeled": ("answer",), "mixed": ("answer", "no answer", "unknown"), "unlabeled": ("unknown",)}
TOKENIZER = tiny_tokenizer()


def make_spans(num_rows=32, *, kinds=("answer",), num_words=(5, 22)):
    """A task and its prepared rows, some contexts in several windows."""
    split = make_questions(num_rows, kinds=kinds, num_words=num_words)
    task = QuestionAnswering.from_splits({"train": split, "validation": make_questions(2)})
    return task, task.prepare(split, TOKENIZER, max_length=24, doc_stride=8)


def make_models(architecture="bert"):
    student = tiny_model(architecture, "span", seed=1, num_layers=1, num_labels=2)
    return student, tiny_model("bert", "span", seed=2, hidden_size=24, num_labels=2)


def make_trainer(student, teacher, task, rows, folder, *, objective=None, callbacks=None, **changes):
    return DistillationTrainer(
        student,
        teacher,
        make_arguments(folder, **changes),
        objective=objective,
        train_dataset=rows,
        eval_dataset=rows,
        data_collator=task.collator(TOKENIZER),
        processing_class=TOKENIZER,
        callbacks=callbacks,
    )


def spans_of(model, row):
    """Start and end logits of one window, each of shape (1, sequence)."""
    columns = {"input_ids", "attention_mask", "token_type_ids"} & set(inspect.signature(model.forward).parameters)
    said = model(**{name: torch.tensor([row[name]]) for name in columns})
    return said.start_logits, said.end_logits


def by_hand(student, teacher, rows, *, temperature=2.0):
    """Gradients of half the cross-entropy and half the soft loss, window by window, so that nothing is padded."""
    hard, soft = [], []
    for row in rows:
        ours_and_theirs = zip(spans_of(student, row), (side.detach() for side in spans_of(teacher, row)), strict=True)
        for place, (ours, theirs) in zip(row["labels"], ours_and_theirs, strict=True):
            if place >= 0:
                hard.append(cross_entropy(ours, torch.tensor([place])))
            sides = (log_softmax(side / temperature, -1) for side in (ours, theirs))
            soft.append(kl_div(*sides, reduction="sum", log_target=True) * temperature**2)
    student.zero_grad()
    (0.5 * sum(hard) / max(len(hard), 1) + 0.5 * sum(soft) / len(soft)).backward()
    return gradients_of(student)


@pytest.mark.parametrize("architecture", ["bert", "distilbert"])
@pytest.mark.parametrize("kinds", KINDS)
def test_the_gradients_are_those_of_the_loss_by_hand_however_the_step_is_cut(kinds, architecture, tmp_path):
    task, rows = make_spans(kinds=KINDS[kinds])
    rows = rows.select(range(32))
    student, teacher = in_float64(make_models(architecture))
    expected = by_hand(student, teacher, rows)
    for num_micro_batches in (1, 2, 4):
        recorder = Gradients()
        recorder.trainer = make_trainer(
            *in_float64(make_models(architecture)),
            task,
            rows,
            tmp_path,
            callbacks=[recorder],
            kd_ratio=0.5,
            train_sampling_strategy="sequential",
            per_device_train_batch_size=32 // num_micro_batches,
            gradient_accumulation_steps=num_micro_batches,
        )
        recorder.trainer.train()
        assert relative_difference(recorder.steps[0]["student"], expected) < 1e-9


TERMS = {
    "hard": lambda: HardLabels(1.0),
    "soft": lambda: SoftTargets(1.0, temperature=2.0),
    "soft, cold": lambda: SoftTargets(1.0, temperature=0.25),
    "soft, hot": lambda: SoftTargets(1.0, temperature=100.0),
    "decoupled": lambda: DecoupledSoftTargets(1.0, temperature=2.0),
    "normalized": lambda: NormalizedSoftTargets(1.0),
}


@pytest.mark.parametrize("architecture", ["bert", "distilbert", "roberta", "modernbert"])
@pytest.mark.parametrize("term", TERMS)
def test_more_padding_changes_no_loss(term, architecture, tmp_path):
    task, rows = make_spans(6, kinds=("answer", "no answer"))
    trainer = make_trainer(
        *in_float64(make_models(architecture)), task, rows, tmp_path, objective=Objective([TERMS[term]()])
    )
    batch = next(trainer._batches_of(rows, range(6)))
    longer = {
        name: pad(column, (0, 7)) if column.shape == batch["input_ids"].shape else column
        for name, column in batch.items()
    }
    trainer.model.eval()
    losses = [trainer.compute_loss(trainer.model, one) for one in (batch, longer)]
    assert losses[0] > 0 and losses[0].isfinite()
    torch.testing.assert_close(losses[1], losses[0], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    "term",
    [
        lambda: LogitMatching(1.0),
        lambda: StandardizedSoftTargets(1.0, temperature=2.0),
        lambda: ClassCorrelation(1.0, temperature=2.0),
    ],
)
def test_a_term_that_takes_a_mean_over_padding_is_refused(term, tmp_path):
    task, rows = make_spans(4)
    with pytest.raises(ValueError, match="one for each position of a text, padding included"):
        make_trainer(*make_models(), task, rows, tmp_path, objective=Objective([term()]))


def test_in_half_precision_padding_has_no_probability_either(tmp_path):
    task, rows = make_spans(6)
    student, teacher = (model.half() for model in make_models())
    batch = task.collator(TOKENIZER)(list(rows))
    said, told = OnlineTeacher(student)(batch), OnlineTeacher(teacher)(batch)
    values = SoftTargets(1.0, temperature=0.5).values(said, told, batch)
    assert values.isfinite().all() and said.logits.isfinite().all()


def test_evaluation_gives_a_loss_over_batches_of_any_length_and_asks_for_no_logits(tmp_path):
    task, rows = make_spans(20, num_words=(3, 10))
    trainer = make_trainer(*make_models(), task, rows, tmp_path, per_device_eval_batch_size=3)
    metrics = trainer.evaluate()
    assert metrics["eval_loss"] > 0 and "eval_f1" not in metrics


def test_predict_gives_starts_and_ends_of_batches_of_any_length(tmp_path):
    task, rows = make_spans(20, num_words=(3, 10))
    student, teacher = make_models()
    trainer = make_trainer(student, teacher, task, rows, tmp_path, per_device_eval_batch_size=3)
    predicted = trainer.predict(rows)
    starts, ends = predicted.predictions
    assert starts.shape == ends.shape == (len(rows), max(rows["length"]))
    assert predicted.label_ids.tolist() == rows["labels"][:]
    row = rows[4]
    _, end = spans_of(student.eval(), row)
    torch.testing.assert_close(torch.tensor(ends[4, : row["length"]]), end[0].detach(), rtol=1e-4, atol=1e-5)


def test_a_teacher_of_spans_has_no_labels_to_reorder():
    student, teacher = make_models()
    student.config.id2label = {0: "end", 1: "start"}
    teacher.config.id2label = {0: "start", 1: "end"}
    assert label_order(student, teacher) is None


class Finds(torch.nn.Module):
    """Knows every answer, in windows of any length; moved by some places where it is told to."""

    def __init__(self, moved=0):
        super().__init__()
        self.moved = moved

    def forward(self, input_ids, start_positions=None):
        raise NotImplementedError

    def __call__(self, batch):
        logits = torch.zeros(*batch["labels"].shape, batch["input_ids"].shape[1])
        places = (batch["labels"] + self.moved) % logits.shape[-1]
        return logits.scatter(2, places.unsqueeze(2), 9.0)


class Knowing(OnlineTeacher):
    def __call__(self, batch):
        logits = self.model(batch)
        return Signals(logits)


def test_the_probe_counts_starts_and_ends_over_windows_of_any_length(caplog):
    task, rows = make_spans(40, num_words=(4, 18))
    collate = task.collator(TOKENIZER)
    batches = [collate([rows[index] for index in range(first, first + 4)]) for first in range(0, 40, 4)]
    found = probe(Knowing(Finds()), batches)
    assert (found.num_items, found.accuracy) == (80, 1.0) and not caplog.text
    wrong = probe(Knowing(Finds(moved=1)), batches)  # a place is no class that could be renamed
    assert wrong.accuracy == wrong.permuted == 0.0 and "A student cannot learn much from it" in caplog.text


def test_the_probe_passes_over_windows_without_labels(tmp_path):
    task, rows = make_spans(12, kinds=("answer", "unknown"), num_words=(4, 6))
    assert sorted(labeled_items(rows)) == list(range(0, 12, 2))
    _, unknown = make_spans(4, kinds=("unknown",))
    assert labeled_items(unknown) == []
