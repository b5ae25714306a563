"""Invariant 3: the teacher is bit-identical before and after training, and gives the same answer twice."""

import copy

import pytest
import torch
from safetensors.torch import load_file
from transformers import DataCollatorWithPadding, TrainerCallback

from distil_nlp.data.examples import add_example_ids
from distil_nlp.teachers import CachedTeacher, OnlineTeacher, build_cache
from tests.tiny import tiny_model, tiny_tokenizer
from tests.training.runs import hint_objective, make_pair, make_rows, make_trainer, same_weights


def batch_of(rows, size=4):
    tokens = tiny_tokenizer().pad({"input_ids": rows["input_ids"][:size]}, return_tensors="pt")
    return dict(tokens)


def test_the_teacher_is_bit_identical_after_training(tmp_path):
    student, teacher = make_pair(dropout=0.1)
    before = copy.deepcopy(teacher.state_dict())
    make_trainer(student, teacher, make_rows(), tmp_path, objective=hint_objective(), learning_rate=1.0).train()
    assert same_weights(teacher.state_dict(), before)
    assert all(weight.grad is None for weight in teacher.parameters())


def test_a_teacher_with_dropout_gives_the_same_answer_twice_even_when_somebody_calls_train():
    _, model = make_pair(dropout=0.1)
    teacher, batch = OnlineTeacher(model), batch_of(make_rows())
    first = teacher(batch).logits
    model.train()
    assert torch.equal(teacher(batch).logits, first)


def test_the_answers_of_a_teacher_can_enter_a_graph():
    _, model = make_pair()
    logits = OnlineTeacher(model)(batch_of(make_rows())).logits
    assert not logits.requires_grad and not logits.is_inference()


def test_neither_checkpoint_nor_optimizer_holds_the_teacher(tmp_path):
    student, teacher = make_pair()
    trainer = make_trainer(
        student, teacher, make_rows(), tmp_path, objective=hint_objective(), save_strategy="steps", save_steps=4
    )
    trainer.train()
    optimized = {id(weight) for group in trainer.optimizer.param_groups for weight in group["params"]}
    ours = {id(weight) for module in (trainer.model, trainer.objective) for weight in module.parameters()}
    assert optimized == ours
    saved = load_file(tmp_path / "checkpoint-4" / "model.safetensors")
    assert saved.keys() == student.state_dict().keys()
    model, info = type(student).from_pretrained(tmp_path / "checkpoint-4", output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"] and same_weights(model, student)


class WordTiming(OnlineTeacher):
    """Keeps what it was asked and what it answered."""

    def __init__(self, model):
        super().__init__(model)
        self.heard = []

    def __call__(self, batch):
        signals = super().__call__(batch)
        self.heard.append((batch, signals.logits))
        return signals


@pytest.mark.parametrize("architecture", ["distilbert", "modernbert"])
def test_a_bert_teacher_reads_the_segments_its_student_does_not_take(architecture, tmp_path):
    student, model = make_pair(architecture)
    teacher = WordTiming(model)
    make_trainer(student, teacher, make_rows(8, pairs=True), tmp_path).train()
    for batch, logits in teacher.heard:
        columns = {name: batch[name] for name in ("input_ids", "attention_mask", "token_type_ids")}
        with torch.no_grad():
            assert torch.equal(logits, model(**columns).logits)
            blind = model(**{**columns, "token_type_ids": torch.zeros_like(columns["token_type_ids"])}).logits
        assert not torch.allclose(logits, blind)


def test_a_teacher_that_somebody_puts_into_train_mode_at_every_step_speaks_in_eval_mode(tmp_path):
    student, model = make_pair(dropout=0.1)
    modes = []

    class PutsIntoTrainMode(TrainerCallback):
        def on_step_begin(self, args, state, control, **kwargs):
            model.train()

    model.classifier.register_forward_hook(lambda module, *_: modes.append((module.training, student.training)))
    make_trainer(student, model, make_rows(16), tmp_path, callbacks=[PutsIntoTrainMode()]).train()
    assert modes[-2:] == [(False, True)] * 2


def test_neither_teacher_nor_projection_moves_the_random_state_a_run_begins_with(tmp_path):
    student, teacher = make_pair(dropout=0.1)
    trainer = make_trainer(student, teacher, make_rows(8), tmp_path, objective=hint_objective(), seed=7)
    state = torch.get_rng_state()
    trainer._probe_teacher()
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(torch.Generator().manual_seed(7).get_state(), state)


def test_student_and_teacher_may_not_share_parameters(tmp_path):
    student, _ = make_pair()
    with pytest.raises(ValueError, match="share parameters.*copy.deepcopy"):
        make_trainer(student, student, make_rows(), tmp_path)


def test_a_cached_teacher_gives_bit_identical_losses_and_weights(tmp_path):
    rows = add_example_ids(make_rows(lengths=(9, 9)))
    settings = {"train_sampling_strategy": "sequential", "logging_strategy": "steps", "logging_steps": 1}

    def trained(teacher, name):
        trainer = make_trainer(make_pair()[0], teacher, rows, tmp_path / name, num_train_epochs=2, **settings)
        trainer.train()
        return trainer

    first = trained(WordTiming(make_pair()[1]), "online")
    # Asked in batches as training makes them: other neighbors change a sum's rounding.
    build_cache(
        tmp_path / "cache",
        OnlineTeacher(make_pair()[1]),
        rows,
        DataCollatorWithPadding(tiny_tokenizer()),
        batch_size=8,
    )
    second = trained(CachedTeacher(tmp_path / "cache"), "cached")

    def losses(trainer):
        return [line[name] for line in trainer.state.log_history if "loss" in line for name in ("loss", "loss/soft")]

    assert len(losses(first)) == 16 and losses(first) == losses(second)
    assert same_weights(first.model, second.model)


def test_the_fingerprint_changes_with_a_single_weight():
    model = tiny_model()
    before = OnlineTeacher(model).fingerprint()
    assert OnlineTeacher(copy.deepcopy(model)).fingerprint() == before
    with torch.no_grad():
        next(model.parameters()).view(-1)[0] += 1
    assert OnlineTeacher(model).fingerprint() != before


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_a_teacher_folder_is_loaded_in_the_precision_asked_for(dtype, tmp_path):
    student, teacher = make_pair()
    teacher.half().save_pretrained(tmp_path / "teacher")
    rows = make_rows(8)
    default = make_trainer(student, str(tmp_path / "teacher"), rows, tmp_path / "a")
    assert next(default.teacher.model.parameters()).dtype == torch.float32
    asked = make_trainer(student, str(tmp_path / "teacher"), rows, tmp_path / "b", teacher_dtype=dtype)
    assert next(asked.teacher.model.parameters()).dtype == getattr(torch, dtype)
