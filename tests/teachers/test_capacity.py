"""A student far smaller than its teacher gives one warning, with numbers."""

import logging

import pytest
import torch

from distil_nlp.objectives import HardLabels, Objective
from distil_nlp.teachers import CachedTeacher, OnlineTeacher, Teacher
from distil_nlp.teachers.base import num_parameters
from distil_nlp.teachers.capacity import LARGE_GAP, _warn_once, warn_of_gap
from tests.teachers.cache_building import make_cache
from tests.tiny import tiny_model
from tests.training.runs import make_rows, make_trainer


@pytest.fixture(autouse=True)
def no_warning_yet(caplog):
    _warn_once.cache_clear()
    caplog.set_level(logging.WARNING, logger="distil_nlp")


def pair(teacher_layers):
    return tiny_model(num_layers=1, hidden_size=8), tiny_model(num_layers=teacher_layers, hidden_size=24)


def test_embeddings_are_not_counted_and_tied_parameters_count_once():
    small, large = (tiny_model(task="mlm", vocab_size=size) for size in (64, 640))
    # The decoder is tied to the embeddings; its bias has a number for each word.
    assert num_parameters(large) - num_parameters(small) == 640 - 64
    layer = torch.nn.Linear(3, 2)
    assert num_parameters(torch.nn.Sequential(layer, layer, torch.nn.Embedding(9, 3))) == 3 * 2 + 2


def test_a_large_gap_gives_one_warning_with_numbers_and_remedies(tmp_path, caplog):
    student, teacher = pair(4)
    ratio = num_parameters(teacher) / num_parameters(student)
    assert ratio > LARGE_GAP and num_parameters(student) == 715
    for _ in range(2):
        make_trainer(student, teacher, make_rows(8), tmp_path).train()
    (message,) = [record.getMessage() for record in caplog.records if "far smaller" in record.getMessage()]
    assert (
        f"715 parameters against {num_parameters(teacher) / 1000:.1f}k, without embeddings, {ratio:.0f} times"
        in message
    )
    assert all(remedy in message for remedy in ("assistants", "teacher_stop_epoch", "DIST", "more layers"))


def test_there_is_no_warning_before_training_or_for_a_small_gap(tmp_path, caplog):
    make_trainer(*pair(4), make_rows(8), tmp_path)
    make_trainer(tiny_model(num_layers=1), tiny_model(num_layers=2), make_rows(8), tmp_path).train()
    assert "far smaller" not in caplog.text


def test_there_is_no_warning_without_a_teacher_or_with_hard_labels_only(tmp_path, caplog):
    student, teacher = pair(4)
    make_trainer(student, None, make_rows(8), tmp_path).train()
    make_trainer(student, teacher, make_rows(8), tmp_path, objective=Objective([HardLabels(1.0)])).train()
    assert "far smaller" not in caplog.text


def test_a_cached_teacher_has_the_size_of_its_teacher(tmp_path, caplog):
    student, teacher = pair(4)
    make_cache(tmp_path, teacher=OnlineTeacher(teacher))
    assert CachedTeacher(tmp_path).num_parameters == num_parameters(teacher)
    warn_of_gap(student, CachedTeacher(tmp_path))
    assert "far smaller" in caplog.text


def test_there_is_no_warning_for_a_teacher_of_unknown_size(caplog):
    warn_of_gap(tiny_model(), Teacher())
    assert "far smaller" not in caplog.text


def test_an_online_teacher_has_the_size_of_its_model():
    model = tiny_model()
    assert OnlineTeacher(model).num_parameters == num_parameters(model)
