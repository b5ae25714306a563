"""SQuAD data becomes windows labeled with the answer, and invalid data is refused."""

import datasets
import numpy as np
import pytest
import torch

from distil_nlp.data.splits import load_splits
from distil_nlp.metrics import SpanEvaluator
from distil_nlp.tasks import QuestionAnswering, task_class
from tests.questions import make_questions, save_questions
from tests.tiny import tiny_tokenizer

CONTEXT = "a good film and a bad plot"


def rows_of(*answers, context=CONTEXT, question="what is bad", name="answers"):
    data = {"question": [question] * len(answers), "context": [context] * len(answers)}
    return datasets.Dataset.from_dict({**data, name: list(answers)} if answers[0] != "no column" else data)


def answer(text="bad plot", start=18):
    return {"text": [text], "answer_start": [start]}


def task_of(train, validation=None, **settings):
    return QuestionAnswering.from_splits({"train": train, "validation": validation or rows_of(answer())}, **settings)


def prepared(split, **settings):
    return task_of(split).prepare(split, tiny_tokenizer(), **{"max_length": 64, **settings})


def answer_ids(row):
    return row["input_ids"][row["labels"][0] : row["labels"][1] + 1]


# ---- Reading ----


def test_it_is_found_by_its_name_and_has_no_classes_to_reconcile():
    task = task_of(rows_of(answer()))
    assert task_class("question-answering") is QuestionAnswering
    assert (task.num_labels, task.label_names, task.one_output_per_example) == (None, None, False)
    assert task.config_labels()["num_labels"] == 2 and task.compute_metrics() is None


@pytest.mark.parametrize("suffix", ["parquet", "jsonl"])
def test_files_are_read(suffix, tmp_path):
    save_questions(tmp_path / "train.jsonl", 6)
    make_questions(6, seed=1).to_parquet(tmp_path / "validation.parquet")
    make_questions(6).to_parquet(tmp_path / "train.parquet")
    splits = load_splits(train_file=tmp_path / f"train.{suffix}", validation_file=tmp_path / "validation.parquet")
    rows = QuestionAnswering.from_splits(splits).prepare(splits["train"], tiny_tokenizer())
    assert len(rows) == 6 and all(first > 0 for first, _ in rows["labels"])


def test_a_list_of_pairs_is_the_same_as_a_pair_of_lists():
    pairs = rows_of([{"text": "bad plot", "answer_start": 18}, {"text": "plot", "answer_start": 22}])
    lists = rows_of({"text": ["bad plot", "plot"], "answer_start": [18, 22]})
    assert prepared(pairs)["labels"] == prepared(lists)["labels"]


def test_other_names_of_columns_can_be_given():
    split = rows_of(answer(), name="spans").rename_columns({"question": "query", "context": "passage"})
    names = {"text_column": "query", "text_pair_column": "passage", "label_column": "spans"}
    task = QuestionAnswering.from_splits({"train": split, "validation": split}, **names)
    assert prepared(rows_of(answer()))["labels"][:] == task.prepare(split, tiny_tokenizer())["labels"][:]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (answer(start=17), r"characters 17 to 25 are ' bad plo'. It does occur at 18: answer_start counts characters"),
        (answer("Bad plot"), "It occurs at 18 in another case only"),
        (answer("poor plot"), "It occurs nowhere in the context: an answer is a part of it"),
        (answer(start=-1), "It does occur at 18"),
        (answer(start=400), "characters 400 to 408 are ''"),
    ],
)
def test_an_answer_that_is_not_where_it_should_be_is_refused_with_rows_and_a_way_out(wrong, said):
    with pytest.raises(ValueError, match=said) as error:
        task_of(rows_of(answer(), wrong, answer(), wrong))
    assert "2 of 4 rows of the train split" in str(error.value) and "(rows 1, 3, counted from 0)" in str(error.value)


def test_a_wrong_answer_of_the_validation_split_is_refused_too():
    with pytest.raises(ValueError, match="1 of 1 rows of the validation split"):
        task_of(rows_of(answer()), rows_of(answer(start=3)))


def test_rows_are_counted_as_in_the_file_though_only_some_are_taken(tmp_path):
    for name in ("train", "validation"):
        make_questions(7).to_parquet(tmp_path / f"{name}.parquet")
    split = datasets.concatenate_datasets([make_questions(7), make_questions(1)])
    wrong = [*split["answers"][:7], {"text": ["boat"], "answer_start": [0]}]
    split.remove_columns("answers").add_column("answers", wrong).to_parquet(tmp_path / "train.parquet")
    files = {f"{name}_file": tmp_path / f"{name}.parquet" for name in ("train", "validation")}
    with pytest.raises(ValueError, match=r"1 of 8 rows of the train split .*\(rows 7, counted from 0\)"):
        QuestionAnswering.from_splits(load_splits(**files, max_train_samples=2))


@pytest.mark.parametrize(
    "wrong",
    [
        {"text": ["bad plot"], "answer_start": []},
        {"text": [""], "answer_start": [0]},
        {"text": ["bad plot"], "answer_start": [None]},
        {"text": ["bad plot"]},
        "bad plot",
        [{"text": "bad plot"}],
    ],
)
def test_answers_of_another_form_are_refused_with_the_form_they_should_have(wrong):
    with pytest.raises(ValueError, match=r"Row 0 .* of the train split contains .*\n?.*Answers should be {'text'"):
        task_of(rows_of(wrong))


def test_missing_columns_are_refused():
    with pytest.raises(ValueError, match="The train split has no column question"):
        task_of(rows_of(answer()).rename_column("question", "query"))
    with pytest.raises(ValueError, match="The validation split has no column answers"):
        task_of(rows_of(answer()), rows_of("no column"))


# ---- Windows ----


def test_labels_are_the_first_and_the_last_token_of_the_answer():
    tokenizer = tiny_tokenizer()
    for row in prepared(rows_of(answer(), answer("a bad", 16), answer(" bad plot", 17))):
        assert tokenizer.decode(answer_ids(row)) in ("bad plot", "a bad")
        assert row["length"] == len(row["input_ids"])


def test_long_contexts_become_windows_of_which_those_without_the_answer_point_to_cls():
    split = make_questions(8, num_words=(30, 60), seed=3)
    rows = prepared(split, max_length=24, doc_stride=8)
    assert len(rows) > 16 and max(rows["length"]) <= 24
    assert rows["example_id"][:] == list(range(len(rows))) and sorted(set(rows["example"])) == list(range(8))
    tokenizer = tiny_tokenizer()
    for index, row in enumerate(split):
        windows = [one for one in rows if one["example"] == index]
        inside = [one for one in windows if one["labels"][0] > 0]
        assert inside and all(tokenizer.decode(answer_ids(one)) == row["answers"]["text"][0] for one in inside)
        assert all(one["labels"] == [0, 0] for one in windows if one not in inside)
        assert all(one["context_span"][0] <= one["labels"][0] for one in inside)


def test_the_characters_of_each_token_of_the_context_are_kept():
    row = prepared(rows_of(answer()))[0]
    words = [CONTEXT[start:end] for start, end in zip(row["token_starts"], row["token_ends"], strict=True)]
    first, last = row["context_span"]
    assert words == CONTEXT.split() and last - first + 1 == len(words)


def test_a_question_without_an_answer_is_labeled_cls_and_an_unknown_answer_has_no_label():
    task, split = None, make_questions(6, kinds=("answer", "no answer", "unknown"))
    task = task_of(split)
    rows = task.prepare(split, tiny_tokenizer())
    assert task.no_answer and not task_of(make_questions(3)).no_answer
    assert rows["labels"][1] == [0, 0] and rows["labels"][2] == [-100, -100]
    assert task.labeled(rows).tolist() == [True, True, False] * 2
    assert not task.labeled(task.prepare(split, tiny_tokenizer(), with_labels=False)).any()


def test_a_split_without_answers_is_learned_from_the_teacher_alone():
    split = rows_of("no column")
    task = task_of(split)
    assert not task.labeled(task.prepare(split, tiny_tokenizer())).any()
    joined = task.with_unlabeled(prepared(rows_of(answer())), task.prepare(split, tiny_tokenizer()))
    assert joined["labels"][:] == [[10, 11], [-100, -100]] and joined["example_id"][:] == [0, 1]


def test_an_answer_longer_than_the_overlap_has_no_label_and_is_counted(caplog):
    context = " ".join(["good"] * 40)
    split = rows_of(answer(context[:149], 0), answer("good", 5), context=context)
    rows = prepared(split, max_length=24, doc_stride=8)
    labels = np.asarray(rows["labels"])
    assert (labels[np.asarray(rows["example"]) == 0] == -100).all()
    assert (labels[np.asarray(rows["example"]) == 1] >= 0).all()
    assert "No window contains the whole answer of 1 of 2 questions" in caplog.text


def test_long_questions_are_cut_and_counted_and_leave_room_for_the_context(caplog):
    split = rows_of(answer(), question="what is bad " * 30)
    rows = prepared(split, max_length=24, doc_stride=8)
    assert "1 of 1 questions have more than 10 tokens" in caplog.text
    assert max(rows["length"]) <= 24 and any(first > 0 for first, _ in rows["labels"])


@pytest.mark.parametrize("doc_stride", [-1, 21, 64])
def test_windows_that_could_not_go_on_are_refused(doc_stride):
    with pytest.raises(ValueError, match=f"doc_stride={doc_stride} tokens"):
        prepared(rows_of(answer()), max_length=24, doc_stride=doc_stride)


def test_a_tokenizer_that_does_not_know_its_characters_is_refused():
    class Slow:
        is_fast = False

    with pytest.raises(ValueError, match="Use a fast tokenizer"):
        task_of(rows_of(answer())).prepare(rows_of(answer()), Slow())


# ---- Batches and judging ----


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_batch_is_padded_on_the_right_so_that_positions_hold(side):
    split = make_questions(4)
    tokenizer = tiny_tokenizer()
    tokenizer.padding_side = side
    task = task_of(split)
    rows = task.prepare(split, tokenizer)
    batch = task.collator(tokenizer)(list(rows))
    assert batch["labels"].shape == batch["soft_items"].shape == batch["context_span"].shape == (4, 2)
    assert batch["labels"].dtype == torch.int64 and batch["soft_items"].all()
    for row, ids in zip(rows, batch["input_ids"], strict=True):
        assert ids[: row["length"]].tolist() == row["input_ids"]
    assert set(batch) == {"input_ids", "token_type_ids", "attention_mask", "labels", "soft_items", "context_span",
                          "example_id"}  # fmt: skip


def test_a_model_that_finds_every_answer_is_right_on_all_questions():
    split = make_questions(9, num_words=(5, 50), kinds=("answer", "answer", "no answer"), seed=5)
    task = task_of(split)
    rows = task.prepare(split, tiny_tokenizer(), max_length=24, doc_stride=8)
    batch = task.collator(tiny_tokenizer())(list(rows))
    logits = torch.zeros(len(rows), 2, batch["input_ids"].shape[1])
    logits.scatter_(2, batch["labels"].unsqueeze(2), 5.0)
    judge = task.evaluator(rows, split)
    assert isinstance(judge, SpanEvaluator) and judge.num_examples == 9 < judge.num_rows
    assert judge.scores(judge.statistics(judge.answers(logits, batch))) == {"f1": 1.0, "exact_match": 1.0}


def test_a_yardstick_needs_the_texts():
    with pytest.raises(ValueError, match="raw="):
        task_of(rows_of(answer())).evaluator(prepared(rows_of(answer())))
