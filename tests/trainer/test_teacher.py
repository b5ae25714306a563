"""Invariant 3: the teacher is bit-identical before and after training, and gives the same answer twice."""

import copy

import pytest
import torch
from safetensors.torch import load_file

from distil_nlp.teachers import CachedTeacher, OnlineTeacher, write_cache
from tests.tiny import tiny_model, tiny_tokenizer
from tests.trainer.runs import hint_objective, make_pair, make_rows, make_trainer, same_weights


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
    optimised = {id(weight) for group in trainer.optimizer.param_groups for weight in group["params"]}
    ours = {id(weight) for module in (trainer.model, trainer.objective) for weight in module.parameters()}
    assert optimised == ours
    saved = load_file(tmp_path / "checkpoint-4" / "model.safetensors")
    assert saved.keys() == student.state_dict().keys()
    model, info = type(student).from_pretrained(tmp_path / "checkpoint-4", output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"] and same_weights(model, student)


def test_a_bert_teacher_reads_the_segments_a_distilbert_student_does_not_take(tmp_path):
    student, teacher = make_pair("distilbert")
    rows = make_rows(8, pairs=True)
    trainer = make_trainer(student, teacher, rows, tmp_path)
    heard = []
    trainer.teacher.__class__ = type(
        "Heard", (OnlineTeacher,), {"__call__": lambda self, b: heard.append(b) or super(type(self), self).__call__(b)}
    )
    trainer.train()
    batch = heard[-1]
    assert batch["token_type_ids"].any()
    with torch.no_grad():
        names = ("input_ids", "attention_mask", "token_type_ids")
        direct = teacher(**{name: batch[name] for name in names}).logits
    assert torch.equal(OnlineTeacher(teacher)(batch).logits, direct)


def test_student_and_teacher_may_not_share_parameters(tmp_path):
    student, _ = make_pair()
    with pytest.raises(ValueError, match="share parameters.*copy.deepcopy"):
        make_trainer(student, student, make_rows(), tmp_path)


def test_a_cached_teacher_gives_bit_identical_losses(tmp_path):
    student, teacher = make_pair()
    rows = make_rows()
    rows = rows.add_column("example_id", list(range(len(rows))))
    answers = torch.cat([OnlineTeacher(teacher)(batch_of(rows.select([row]), 1)).logits for row in range(len(rows))])
    write_cache(tmp_path / "cache", answers, {"fingerprint": "x", "teacher": "tiny", "labels": None})
    cached = CachedTeacher(tmp_path / "cache")
    ids = torch.tensor([5, 2, 30])
    assert torch.equal(cached({"example_id": ids}).logits, answers[ids])
    make_trainer(student, cached, rows, tmp_path / "run").train()


def test_a_cache_made_with_other_data_is_refused_and_the_part_is_named(tmp_path):
    write_cache(tmp_path, torch.zeros(2, 3), {"fingerprint": "x", "teacher": "tiny", "data": "old"})
    with pytest.raises(ValueError, match="another data .*'old', now 'new'"):
        CachedTeacher(tmp_path, expect={"fingerprint": "x", "data": "new"})


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
