"""Invariant 6: labels are reconciled by name, sizes are compared before anything broadcasts, vocabularies must fit."""

import logging

import pytest
import torch

from distil_nlp.teachers import OnlineTeacher, reorder
from distil_nlp.teachers.reconcile import check_vocabulary, label_names
from tests.tiny import tiny_model, tiny_tokenizer
from tests.training.runs import make_pair, make_rows, make_trainer


def named(model, names):
    model.config.id2label = dict(enumerate(names))
    model.config.label2id = {name: index for index, name in enumerate(names)}
    return model


def test_the_logits_of_a_teacher_with_another_order_of_labels_are_reordered_by_name(tmp_path):
    student, model = make_pair()
    named(student, ["no", "maybe", "yes"]), named(model, ["Yes", "No", "Maybe"])
    rows = make_rows(8)
    trainer = make_trainer(student, model, rows, tmp_path)
    batch = next(trainer._batches_of(rows, range(8)))
    plain = OnlineTeacher(model)(batch).logits
    assert torch.equal(trainer.teacher(batch).logits, plain[:, [1, 2, 0]])


@pytest.mark.parametrize(
    ("ours", "theirs", "order"),
    [
        (["a", "b"], ["a", "b"], None),
        (["not_equivalent", "equivalent"], ["Equivalent", "not equivalent"], [1, 0]),
        (["LABEL_0", "LABEL_1"], ["LABEL_0", "LABEL_1"], None),
        (["0", "1"], ["negative", "positive"], None),
        (["c", "a"], ["a", "b", "c"], [2, 0]),
        (["A", "B", "a", "b"], ["A", "B", "a", "b"], None),
        (["A", "B", "a", "b"], ["a", "b", "A", "B"], [2, 3, 0, 1]),
        (["A", "a", "B c"], ["b_C", "a", "A"], [2, 1, 0]),
        (["not x", "not_x"], ["not_x", "not x"], [1, 0]),
        (["crane", "crane"], ["crane", "crane"], None),
        (["1", "2", "3"], ["3", "2", "1"], [2, 1, 0]),
        (["LABEL_1", "LABEL_0"], ["LABEL_0", "LABEL_1"], [1, 0]),
        (["1", "2"], ["LABEL_0", "LABEL_1"], None),
        (["LABEL_0", "LABEL_1"], ["crane", "crane"], None),
    ],
)
def test_reorder_finds_the_teachers_place_of_each_label(ours, theirs, order):
    assert reorder(ours, theirs) == order


@pytest.mark.parametrize(
    ("ours", "theirs", "message"),
    [
        (["A", "b"], ["a", "b", "a "], "labels A and a, a  differ in case or separators only"),
        (["A", "a "], ["a", "b"], "labels A, a  and a differ"),
        (["x", "y"], ["y", "y"], "label 'y' is in config.id2label more than once"),
        (["a", "A"], ["a", "b"], "does not have the label A of the student"),
    ],
)
def test_names_that_fit_several_labels_are_refused(ours, theirs, message):
    with pytest.raises(ValueError, match=message):
        reorder(ours, theirs)


def test_the_keys_of_id2label_may_be_strings_and_must_have_no_gap():
    model = tiny_model()
    model.config.id2label = {"2": "c", "0": "a", "1": "b"}
    assert label_names(model) == ["a", "b", "c"]
    model.config.id2label = {1: "a", 2: "b", 3: "c"}
    with pytest.raises(ValueError, match="name for each of 0 to 2; it has 1, 2, 3 and no 0"):
        OnlineTeacher(tiny_model()).reconcile(model)


def test_labels_the_teacher_does_not_know_are_an_error_that_names_them():
    with pytest.raises(ValueError, match=r"does not have the label joy of the student \(teacher: anger, fear\)"):
        reorder(["anger", "joy"], ["anger", "fear"])


def test_a_student_with_more_classes_than_the_teacher_is_an_error(tmp_path):
    student, teacher = tiny_model(num_labels=5), tiny_model(seed=1, num_labels=3)
    with pytest.raises(ValueError, match=r"more classes \(5: .*than the teacher \(3: "):
        make_trainer(student, teacher, make_rows(8), tmp_path)


def test_unnamed_labels_of_different_number_are_an_error():
    with pytest.raises(ValueError, match="2 classes .* the teacher 3 .*Set `config.id2label`"):
        reorder(["LABEL_0", "LABEL_1"], ["LABEL_0", "LABEL_1", "LABEL_2"])


def test_logits_of_different_width_never_broadcast(tmp_path):
    class OneLogit(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def forward(self, input_ids):
            return self.weight.expand(len(input_ids), 1)

    with pytest.raises(ValueError, match=r"student's logits have shape \(2, 3\) and the teacher's \(2, 1\)"):
        make_trainer(tiny_model(), OneLogit(), make_rows(8), tmp_path)


def test_a_vocabulary_of_another_size_is_an_error_that_says_what_to_do(tmp_path):
    student, teacher = tiny_model(vocab_size=64), tiny_model(seed=1, vocab_size=80)
    with pytest.raises(ValueError, match="table of 64 rows.*of 80: .*student_from_teacher"):
        make_trainer(student, teacher, make_rows(8), tmp_path)


def test_different_tokenizers_are_an_error_that_shows_a_token(tmp_path):
    student, model = make_pair()
    teacher = OnlineTeacher(model, tokenizer=tiny_tokenizer(["other", "words"]))
    with pytest.raises(ValueError, match="different tokenizers .* is .* for the student and unknown for the teacher"):
        make_trainer(student, teacher, make_rows(8), tmp_path)


def test_a_padded_embedding_table_is_fine_where_the_tokenizers_are_equal():
    tokenizer = tiny_tokenizer()
    check_vocabulary(tiny_model(vocab_size=64), tiny_model(vocab_size=72), tokenizer, tiny_tokenizer())


def test_a_vocabulary_as_wide_as_logits_must_match_for_masked_language_models(tmp_path):
    student, teacher = tiny_model(task="mlm", vocab_size=64), tiny_model(task="mlm", vocab_size=72)
    with pytest.raises(ValueError, match="64 rows"):
        make_trainer(student, teacher, make_rows(8, problem="none"), tmp_path)


def test_labels_named_on_one_side_only_keep_their_place_with_a_warning(caplog):
    with caplog.at_level(logging.WARNING, logger="distil_nlp"):
        assert reorder(["LABEL_0", "LABEL_1"], ["no", "yes"]) is None
    assert "the order is taken to be the same" in caplog.text
