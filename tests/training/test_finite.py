"""A number that is NaN or infinite ends the training before a weight changes, with the row, the term and the cause."""

import logging
import math

import pytest
import torch
from transformers import TrainerCallback

from distil_nlp.data.examples import add_example_ids
from distil_nlp.objectives import HardLabels, LogitMatching, Objective, SoftTargets, Term
from distil_nlp.objectives.from_config import objective_from
from distil_nlp.signals.finite import DivergenceError, NonFiniteError
from distil_nlp.teachers import OnlineTeacher, TeacherEnsemble
from distil_nlp.training.finite import non_finite_weights
from tests.tiny import tiny_model
from tests.training.runs import TERMS, make_pair, make_rows, make_trainer, same_weights

NAN, INF = float("nan"), float("inf")
MARK = 63  # the first token of the marked rows; no other row contains it


class Marked(torch.nn.Module):
    """A model that returns a given number as the first logit of marked rows."""

    def __init__(self, model, value):
        super().__init__()
        self.model, self.value, self.config = model, value, model.config

    def forward(self, input_ids, attention_mask=None, token_type_ids=None):
        logits = self.model(input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids).logits.clone()
        logits[input_ids[:, 0] == MARK, 0] = self.value
        return logits


def marked_rows(*marked, num_rows=16, **settings):
    rows = make_rows(num_rows, **settings)
    ids = [[token if token != MARK else 5 for token in row] for row in rows["input_ids"]]
    for index in marked:
        ids[index][0] = MARK
    return add_example_ids(rows.remove_columns("input_ids").add_column("input_ids", ids))


def weights_of(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def in_order(**changes):
    return {"train_sampling_strategy": "sequential", "remove_unused_columns": False, **changes}


class _Snapshot(TrainerCallback):
    def __init__(self, into, model):
        self.into, self.model = into, model

    def on_step_end(self, args, state, control, **kwargs):
        self.into.update(weights_of(self.model))


@pytest.mark.parametrize("accumulation", [1, 2])
@pytest.mark.parametrize(("value", "told"), [(NAN, "NaN"), (INF, "inf")])
def test_a_teachers_row_of_no_prediction_ends_the_training_before_a_weight_changes(
    tmp_path, value, told, accumulation
):
    student, teacher = make_pair()
    trainer = make_trainer(
        student, Marked(teacher, value), marked_rows(11), tmp_path,
        objective=Objective([SoftTargets(1.0, temperature=2.0)]),
        logging_strategy="steps", logging_steps=1, gradient_accumulation_steps=accumulation,
        per_device_train_batch_size=8 // accumulation, **in_order(),
    )  # fmt: skip
    trainer.probes_teacher = False
    after_step = {}
    trainer.add_callback(_Snapshot(after_step, student))
    row = 11 % (8 // accumulation)
    message = (
        rf"step 2, before its update: The loss of the term 'soft' is NaN for row {row} .*\(example_id 11\): the "
        rf"teacher's logits contain {told}"
    )
    with pytest.raises(NonFiniteError, match=message) as error:
        trainer.train()
    assert not isinstance(error.value, DivergenceError)
    assert all(torch.equal(after_step[name], tensor) for name, tensor in student.state_dict().items())
    assert [line["loss"] > 0 for line in trainer.state.log_history] == [True]


def test_a_class_that_a_teacher_excludes_is_learned_with_a_finite_loss(tmp_path):
    student, teacher = make_pair()
    trainer = make_trainer(
        student, Marked(teacher, -INF), marked_rows(*range(16)), tmp_path, kd_ratio=1.0, logging_strategy="steps",
        logging_steps=1, **in_order(),
    )  # fmt: skip
    trainer.train()
    lines = [line for line in trainer.state.log_history if "loss" in line]
    assert len(lines) == 2 and all(
        math.isfinite(line["loss"]) and line["loss"] == line["loss/soft"] > 0 for line in lines
    )


def test_an_excluded_class_has_no_value_for_matched_logits_and_is_refused_before_the_first_step(tmp_path):
    student, teacher = make_pair()
    with pytest.raises(NonFiniteError, match=r"Before the first step.*'logits' is inf.*the teacher excludes classes"):
        make_trainer(
            student,
            Marked(teacher, -INF),
            marked_rows(0),
            tmp_path,
            objective=Objective([LogitMatching(1.0)]),
            **in_order(),
        )


def test_a_teacher_without_predictions_is_refused_before_the_first_step(tmp_path):
    student, teacher = make_pair()
    teacher.classifier.bias.data[0] = NAN
    with pytest.raises(
        NonFiniteError, match="Before the first step, on 2 examples: .*the teacher's logits contain NaN"
    ):
        make_trainer(student, teacher, make_rows(8), tmp_path)


def test_a_student_of_nan_is_refused_before_the_first_step(tmp_path):
    student, teacher = make_pair()
    student.classifier.weight.data[0, 0] = NAN
    with pytest.raises(NonFiniteError, match="the student's logits contain NaN"):
        make_trainer(student, teacher, make_rows(8), tmp_path)


def test_a_layer_of_a_teacher_that_is_not_finite_is_named(tmp_path):
    student, teacher = make_pair()
    layer, plain = teacher.bert.encoder.layer[0], teacher.bert.encoder.layer[0].forward
    layer.forward = lambda *args, **kwargs: plain(*args, **kwargs) * (NAN if broken else 1)
    broken = False
    objective = objective_from([{"hidden": {"layers": [[0, 0]]}}])
    trainer = make_trainer(student, teacher, make_rows(8), tmp_path, objective=objective)
    broken = True
    trainer.probes_teacher = False
    with pytest.raises(
        NonFiniteError, match=r"term 'hidden' is NaN for row 0.*the teacher's (logits|outputs of .*layer)"
    ):
        trainer.train()


class MarkedSpans(Marked):
    """A model of questions that returns a given number as a start logit of marked rows."""

    def forward(self, input_ids, attention_mask=None, start_positions=None, end_positions=None):
        output = self.model(input_ids, attention_mask=attention_mask)
        output.start_logits = output.start_logits.clone()
        output.start_logits[input_ids[:, 0] == MARK, 1] = self.value
        return output


def test_the_cause_is_named_for_labels_in_two_columns(tmp_path):
    student, teacher = (tiny_model(task="span", num_labels=2, seed=seed) for seed in (1, 2))
    rows = marked_rows(11, problem="none", lengths=(6, 6)).map(lambda row: {"start_positions": 1, "end_positions": 2})
    trainer = make_trainer(student, MarkedSpans(teacher, NAN), rows, tmp_path, **in_order())
    with pytest.raises(NonFiniteError, match="term 'soft' is NaN for row 3 .*the teacher's logits contain NaN"):
        trainer.train()


def test_an_infinite_label_of_a_stream_is_named(tmp_path):
    student, teacher = make_pair(problem="regression")
    labels = [0.5] * 10 + [INF] + [0.1] * 5
    rows = make_rows(16, problem="none").add_column("labels", labels).to_iterable_dataset()
    trainer = make_trainer(student, None, rows, tmp_path, **{**in_order(), "max_steps": 2})
    with pytest.raises(
        NonFiniteError, match=r"'hard' is inf for row 2 of the batch: its column 'labels' contains inf"
    ):
        trainer.train()


def test_an_input_that_is_not_finite_is_named(tmp_path):
    from tests.tiny import tiny_image_model

    rows = [{"pixel_values": torch.randn(3, 32, 32), "labels": index % 3} for index in range(8)]
    rows[6]["pixel_values"][0, 3, 3] = NAN
    trainer = _image_trainer(tiny_image_model(), rows, tmp_path)
    with pytest.raises(NonFiniteError, match="row 6 of the batch: its column 'pixel_values' contains NaN"):
        trainer.train()


def _image_trainer(student, rows, folder):
    from distil_nlp.training.trainer import DistillationTrainer
    from tests.training.runs import make_arguments

    return DistillationTrainer(student, None, make_arguments(folder, **in_order()), train_dataset=rows)


class Overflowing(Term):
    name, needs_teacher = "overflowing", False
    values_are_finite = True

    def items(self, batch):
        return batch["labels"] >= 0

    def values(self, student, teacher, batch):
        return (student.logits * (1 if self.values_are_finite else 1e30)).square().mean(-1)


def test_a_term_that_overflows_is_named(tmp_path):
    student, _ = make_pair()
    term = Overflowing(1.0)
    trainer = make_trainer(student, None, make_rows(8), tmp_path, objective=Objective([HardLabels(0.5), term]))
    term.values_are_finite = False
    with pytest.raises(NonFiniteError, match="term 'overflowing' is inf.*too large for this term in float32"):
        trainer.train()


class InfiniteGradient(Overflowing):
    def values(self, student, teacher, batch):
        return (student.logits * 0).sqrt().sum(-1) + student.logits.square().sum(-1)  # the root's gradient at 0


@pytest.mark.parametrize("max_steps", [1, 3])
def test_weights_that_a_gradient_made_nan_end_the_training_and_are_not_saved(tmp_path, max_steps):
    student, _ = make_pair()
    trainer = make_trainer(
        student, None, make_rows(24), tmp_path, objective=Objective([InfiniteGradient(1.0)]), max_steps=max_steps
    )
    with pytest.raises(DivergenceError, match="After step 1 weights of the student are NaN .*learning rate"):
        trainer.train()
    assert non_finite_weights(student)
    with pytest.raises(DivergenceError, match="Nothing is saved"):
        trainer.save_model()
    assert not list(tmp_path.glob("**/*.safetensors"))


def test_a_huge_learning_rate_ends_in_a_sentence(tmp_path):
    student, teacher = make_pair()
    trainer = make_trainer(
        student,
        teacher,
        make_rows(32),
        tmp_path,
        learning_rate=1e30,
        save_strategy="steps",
        save_steps=1,
        num_train_epochs=3,
    )
    with pytest.raises(DivergenceError, match=r"(step \d+).*(diverged|learning rate)"):
        trainer.train()
    for folder in tmp_path.glob("checkpoint-*"):
        saved = type(student).from_pretrained(folder)
        assert not non_finite_weights(saved)


def test_a_loss_that_rose_far_above_the_first_is_called_divergence(tmp_path, caplog):
    student, teacher = make_pair()
    trainer = make_trainer(
        student, teacher, make_rows(32), tmp_path, learning_rate=300.0, logging_strategy="steps", logging_steps=1,
        max_grad_norm=1.0,
    )  # fmt: skip
    with caplog.at_level(logging.WARNING):
        trainer.train()
    assert "The training has diverged: the loss rose from" in caplog.text


def test_an_evaluation_of_nan_has_no_metrics(tmp_path):
    student, _ = make_pair()
    trainer = make_trainer(student, None, make_rows(8), tmp_path)
    trainer.compute_metrics = lambda prediction: {"accuracy": 1.0}
    assert trainer.evaluate(make_rows(8))["eval_accuracy"] == 1.0
    student.classifier.bias.data[1] = NAN
    with pytest.raises(NonFiniteError, match="NaN or infinite for 8 items of the evaluation data, so no metric"):
        trainer.evaluate(make_rows(8))
    assert not any(
        "eval_accuracy" in line and math.isnan(line.get("eval_loss", 0)) for line in trainer.state.log_history
    )


def test_the_probe_does_not_take_nan_for_a_class(tmp_path):
    student, teacher = make_pair()
    trainer = make_trainer(student, Marked(teacher, NAN), marked_rows(9, 11), tmp_path, **in_order())
    with pytest.raises(NonFiniteError, match=r"returns NaN for 2 of 16 labeled items, first in row \d+ of the batch"):
        trainer.train()
    assert trainer.state.global_step == 0


# ---- Padding ----


class NanAtPadding(OnlineTeacher):
    """A teacher whose logits and layers are NaN at padding."""

    def __call__(self, batch):
        padding = batch["attention_mask"] == 0
        return (
            super()
            .__call__(batch)
            .with_tensors(
                lambda tensor: (
                    tensor.masked_fill(padding.unsqueeze(-1), NAN) if tensor.shape[:2] == padding.shape else tensor
                )
            )
        )


class Averaged(TeacherEnsemble):
    """An ensemble of one teacher."""

    def __init__(self, member):
        super().__init__([member], problem_type="single_label_classification")


SOFT = {"soft": lambda: SoftTargets(0.5, temperature=2.0), "logits": lambda: LogitMatching(0.5)}
OF_TEXTS = ("embedding", "similarity targets", "batch correlation")  # terms that compare one vector of each text
PADDED_TERMS = {name: term for name, term in TERMS.items() if not name.startswith(OF_TEXTS)}


@pytest.mark.parametrize(
    ("term", "as_teacher"),
    [
        *(pytest.param(term, lambda member: member, id=name) for name, term in {**PADDED_TERMS, **SOFT}.items()),
        *(pytest.param(term, Averaged, id=f"ensemble, {name}") for name, term in SOFT.items()),
    ],
)
def test_nan_at_padding_of_the_teacher_changes_nothing(term, as_teacher, tmp_path):
    trained = []
    for teacher_class in (OnlineTeacher, NanAtPadding):
        student, teacher = make_pair(problem="token")
        objective = Objective([HardLabels(0.5), term()])
        rows = make_rows(8, problem="token", lengths=(3, 20))
        trainer = make_trainer(student, as_teacher(teacher_class(teacher)), rows, tmp_path, objective=objective)
        trainer.train()
        trained.append({**weights_of(student), **weights_of(trainer.objective)})
    assert same_weights(*trained)
