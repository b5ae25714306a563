"""Task: extractive question answering, where the answer is a span of a context."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import datasets
import numpy as np
import torch
from datasets.fingerprint import Hasher

from ..collators.text import SpanCollator
from ..data.columns import check_texts
from ..data.squad import check_answers, read_answers
from ..data.tokenization import clamp_max_length
from ..internals.messages import listed, quoted, shown
from ..metrics.classification import MISSING_LABEL
from ..metrics.spans import MAX_ANSWER_LENGTH, SpanEvaluator
from ..models.loading import load_tokenizer, load_trained_model
from ..signals.forward import accepted_columns, forward_logits
from .base import Splits, Task, add_ids

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

logger = logging.getLogger(__name__)

_NO_ANSWER = 0  # the position of [CLS], the label of a window without the answer


class QuestionAnswering(Task):
    """Extractive question answering on data of SQuAD's form. Make it with `from_splits`.

    A context longer than a row is split into overlapping windows; the label of a window without the answer is its first
    token, [CLS]. For a question without any answer it is [CLS] in all windows.

    Attributes:
        question_column, context_column, answers_column (`str`): Splits may lack the answers; they are missing then.
        max_answer_length (`int`): Tokens of the longest answer that a model may predict.
        no_answer (`bool`): Some question of the data has no answer, so a model may predict none.

    See `Task` for the others.
    """

    name = "question-answering"
    auto_class = "AutoModelForQuestionAnswering"
    problem_type = "single_label_classification"  # of one position among all, for the start and the end
    example = {"question": "Who wrote it?", "context": "It was written in May, by a clerk of the court."}

    def __init__(
        self,
        columns: tuple[str, str, str],
        *,
        max_answer_length: int = MAX_ANSWER_LENGTH,
        no_answer: bool = False,
    ) -> None:
        self.question_column, self.context_column, self.answers_column = columns
        self.max_answer_length, self.no_answer = max_answer_length, no_answer

    @classmethod
    def from_splits(
        cls,
        splits: Splits,
        *,
        text_column: str = "question",
        text_pair_column: str = "context",
        label_column: str = "answers",
        max_answer_length: int = MAX_ANSWER_LENGTH,
    ) -> QuestionAnswering:
        """Create the task: check questions, contexts and answers, because answers that do not fit would be wrong labels.

        An answers column contains, for each row, {"text": [...], "answer_start": [...]} or a list of {"text": ...,
        "answer_start": ...}; `answer_start` counts characters of the context from 0. An empty list is a question that
        the context does not answer (SQuAD 2). Null, or no such column, is a question whose answer is unknown.

        Args:
            splits (`dict[str, datasets.Dataset]`): "train", "validation", and where given "test" and "unlabeled".
            text_column, text_pair_column, label_column (`str`): Question, context and answers.
            max_answer_length (`int`): Tokens of the longest answer that a model may predict, 1 or more.

        Raises:
            ValueError: Missing columns; answers that are not at their `answer_start`, with the rows, the text at that
                place, and the places where the answer is.
        """
        if max_answer_length < 1:
            raise ValueError(
                f"max_answer_length counts tokens of an answer, 1 or more; got {shown(max_answer_length)}."
            )
        columns, no_answer = (text_column, text_pair_column, label_column), False
        # All rows, also where a run takes a subset: row numbers of messages are then those of the file.
        for split_name, split in getattr(splits, "whole", splits).items():
            _check_columns(split, split_name, columns)
            check_texts(split, split_name, columns[:2])
            if split_name != "unlabeled" and label_column in split.column_names:
                answers = read_answers(split, label_column, split_name)
                check_answers(split, text_pair_column, answers, split_name)
                no_answer = no_answer or any(accepted == [] for accepted in answers)
        return cls(columns, max_answer_length=max_answer_length, no_answer=no_answer)

    def config_labels(self) -> dict[str, Any]:
        """The label fields of a model config: two outputs per token, whatever labels the checkpoint had before."""
        names = {0: "LABEL_0", 1: "LABEL_1"}  # transformers' default names
        return {
            "num_labels": 2,
            "id2label": names,
            "label2id": {name: index for index, name in names.items()},
            "problem_type": None,
        }

    def labeled(self, prepared: datasets.Dataset) -> np.ndarray:
        """Mask of the prepared rows that have a label, bool, shape (rows,)."""
        return np.asarray(prepared["labels"]).reshape(-1, 2)[:, 0] != MISSING_LABEL

    def missing_labels(self, count: int) -> list[list[int]]:
        return [[MISSING_LABEL, MISSING_LABEL]] * count

    def prepare(
        self,
        split: datasets.Dataset,
        tokenizer: PreTrainedTokenizerBase,
        *,
        max_length: int = 384,
        doc_stride: int | None = None,
        with_labels: bool = True,
    ) -> datasets.Dataset:
        """Windows of tokens, not padded: [CLS] question [SEP] part of the context [SEP].

        Args:
            split (`datasets.Dataset`): Rows with question and context; labels are missing where it has no answers.
            tokenizer: A fast tokenizer, which has the characters of each token.
            max_length (`int`): Tokens of a window, question and special tokens included.
            doc_stride (`int`, *optional*): Tokens that two neighboring windows share; a third of `max_length` by
                default. An answer longer than that may be in no window as a whole.
            with_labels (`bool`): False: the answers of the split are not read and count as missing.

        Returns:
            `datasets.Dataset`, one row or more for each of the split, in its order: input_ids, attention_mask and the
            tokenizer's other columns; labels, the first and the last position of the (first) answer, [0, 0] in a
            window without it, [-100, -100] where it is missing or in no window as a whole; length; example_id, the row's
            number; example, the number of the split's row; context_span, the first and the last position of the
            context; token_starts and token_ends, the characters at which the context's tokens begin and end.

        Raises:
            ValueError: A tokenizer that is not fast; lengths that leave no tokens for question and context; invalid
                answers.
        """
        if not tokenizer.is_fast:
            kind = type(tokenizer).__name__
            raise ValueError(f"{kind} has no character offsets of tokens, which answers need. Use a fast tokenizer.")
        check_texts(split, "given", (self.question_column, self.context_column))
        max_length = clamp_max_length(max_length, tokenizer, is_pair=True)
        doc_stride = max_length // 3 if doc_stride is None else doc_stride
        questions = _questions(_column(split, self.question_column), tokenizer, max_length, doc_stride)
        answers = self._answers_of(split) if with_labels else [None] * len(split)
        to_windows = _Windows(tokenizer, questions, answers, max_length=max_length, doc_stride=doc_stride)
        contexts = split.with_format(None).select_columns([self.context_column])
        # An explicit key, because a tokenizer pickles to other bytes after its first use.
        key = [split._fingerprint, max_length, doc_stride, with_labels, tokenizer.get_vocab()]
        windows = contexts.map(
            lambda rows, indices: to_windows(rows[self.context_column], indices),
            batched=True,
            with_indices=True,
            remove_columns=[self.context_column],
            keep_in_memory=True,
            load_from_cache_file=False,
            features=_features(tokenizer),
            new_fingerprint=Hasher.hash(key),
            desc="Tokenizing",
        )
        if to_windows.num_lost:
            logger.warning(
                f"No window contains the whole answer of {to_windows.num_lost} of {len(split)} questions "
                f"(max_length={max_length}, doc_stride={doc_stride}); only a teacher has targets for them. A larger "
                f"doc_stride keeps longer answers whole."
            )
        return add_ids(windows)

    def _answers_of(self, split: datasets.Dataset) -> list[Any]:
        """The checked answers of each row, see `read_answers`; None where there is no column of answers."""
        if self.answers_column not in split.column_names:
            return [None] * len(split)
        answers = read_answers(split, self.answers_column, "given")
        check_answers(split, self.context_column, answers, "given")
        return answers

    def collator(self, tokenizer: PreTrainedTokenizerBase, *, pad_to_multiple_of: int | None = None) -> SpanCollator:
        """The collator of prepared rows."""
        return SpanCollator(tokenizer, pad_to_multiple_of=pad_to_multiple_of)

    def evaluator(
        self, prepared: datasets.Dataset, raw: datasets.Dataset | None = None, main_metric: str | None = None
    ) -> SpanEvaluator:
        """A `SpanEvaluator` of the questions of the split, see `Task.evaluator`. It needs `raw`."""
        if raw is None:
            raise ValueError(
                f"Answers are texts, so an evaluator needs the split before `prepare`; got raw={shown(raw)}. Pass raw."
            )
        answers: list[Any] = [None] * len(raw)
        if self.answers_column in raw.column_names:
            answers = read_answers(raw, self.answers_column, "compared")
        windows = prepared.select_columns(["example", "context_span", "token_starts", "token_ends"])
        return SpanEvaluator(
            _column(raw, self.context_column),
            [None if accepted is None else [text for _, text in accepted] for accepted in answers],
            windows.with_format("numpy")[:],
            max_answer_length=self.max_answer_length,
            no_answer=self.no_answer,
            main_metric=main_metric,
        )

    def usage_example(self, folder: str | Path) -> str:
        arguments = ", ".join(f"{name}={text!r}" for name, text in self.example.items())
        return f"distil_nlp.tasks.answer_question({quoted(folder)}, {arguments})"


def answer_question(
    model: str | Path,
    *,
    question: str,
    context: str,
    max_answer_length: int = MAX_ANSWER_LENGTH,
    no_answer: bool = False,
) -> str:
    """The answer of a saved model. (transformers 5 no longer has a pipeline for extractive question answering.)

    Args:
        model (`str` or `Path`): Hub id or folder, with a tokenizer beside the model.
        question, context (`str`): A context may be longer than the model's input: it is split into windows.
        max_answer_length (`int`): Tokens of the longest answer.
        no_answer (`bool`): Allow "", the prediction of "no answer" by a model trained on questions without answers.

    Returns:
        `str`: A part of the context.
    """
    name, model = model, load_trained_model(QuestionAnswering.auto_class, model)
    tokenizer = load_tokenizer(name)
    columns = ("question", "context", "answers")
    task = QuestionAnswering(columns, max_answer_length=max_answer_length, no_answer=no_answer)
    raw = datasets.Dataset.from_dict({"question": [question], "context": [context], "answers": [[]]})
    longest = min(384, tokenizer.model_max_length, getattr(model.config, "max_position_embeddings", 384))
    rows = task.prepare(raw, tokenizer, max_length=longest, with_labels=False)
    evaluator, batch = task.evaluator(rows, raw), task.collator(tokenizer)(list(rows))
    with torch.inference_mode():
        return evaluator.texts(evaluator.answers(forward_logits(model, batch, accepted_columns(model)), batch))[0]


class _Windows:
    """Splits a batch of contexts into windows, and locates the answer in each.

    Args:
        tokenizer: A fast tokenizer.
        questions (list of `str`), answers (list): Of the whole split; answers from `read_answers`.
        max_length, doc_stride (`int`): See `QuestionAnswering.prepare`.

    Attributes:
        num_lost (`int`): Questions so far whose answer is in no window as a whole.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        questions: Sequence[str],
        answers: Sequence[Any],
        *,
        max_length: int,
        doc_stride: int,
    ) -> None:
        self.tokenizer, self.questions, self.answers = tokenizer, questions, answers
        self.settings = {"truncation": "only_second", "max_length": max_length, "stride": doc_stride}
        self.num_lost = 0

    def __call__(self, contexts: Sequence[str], indices: Sequence[int]) -> dict[str, list]:
        tokens = self.tokenizer(
            [self.questions[index] for index in indices],
            contexts,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
            **self.settings,
        )
        all_offsets, of_row = tokens.pop("offset_mapping"), tokens.pop("overflow_to_sample_mapping")
        names = ("labels", "example", "context_span", "token_starts", "token_ends")
        windows: dict[str, list] = {name: [] for name in names}
        located = set()
        for window, (row, offsets) in enumerate(zip(of_row, all_offsets, strict=True)):
            first, last = _context_span(tokens.sequence_ids(window))
            starts, ends = np.array(offsets[first : last + 1]).reshape(-1, 2).T
            answer = self.answers[indices[row]]
            span = _position(answer[0], starts, ends) if answer else None
            if span is not None:
                located.add(row)
            windows["labels"].append([_NO_ANSWER] * 2 if span is None else [first + position for position in span])
            windows["example"].append(indices[row])
            windows["context_span"].append([first, last])
            windows["token_starts"].append(starts)
            windows["token_ends"].append(ends)
        unknown = {row for row, index in enumerate(indices) if self.answers[index] is None}
        lost = {row for row, index in enumerate(indices) if self.answers[index] and row not in located}
        self.num_lost += len(lost)
        for window, row in enumerate(of_row):
            if row in unknown or row in lost:  # the label [CLS] would mean that there is no answer
                windows["labels"][window] = [MISSING_LABEL] * 2
        return {**tokens, **windows, "length": [len(ids) for ids in tokens["input_ids"]]}


def _context_span(sequence_ids: list[int | None]) -> tuple[int, int]:
    """First and last position of the second text; (1, 0) where it has no token."""
    if 1 not in sequence_ids:
        return 1, 0
    return sequence_ids.index(1), len(sequence_ids) - 1 - sequence_ids[::-1].index(1)


def _position(answer: tuple[int, str], starts: np.ndarray, ends: np.ndarray) -> tuple[int, int] | None:
    """First and last token of an answer, counted within the context's tokens; None unless it is there as a whole."""
    begin, text = answer
    begin, end = begin + len(text) - len(text.lstrip()), begin + len(text.rstrip())
    if len(starts) == 0 or begin < starts[0] or end > ends[-1]:
        return None
    first, last = np.searchsorted(ends, begin, side="right"), np.searchsorted(starts, end, side="left") - 1
    return (int(first), int(last)) if first <= last else None


def _questions(
    questions: Sequence[str], tokenizer: PreTrainedTokenizerBase, max_length: int, doc_stride: int
) -> list[str]:
    """Questions without surrounding white space, truncated to leave tokens for the context."""
    # A window has new context in an eighth of its length at least, or a long question would make hundreds of windows.
    special = tokenizer.num_special_tokens_to_add(pair=True)
    longest = max_length - special - doc_stride - max(1, max_length // 8)
    if doc_stride < 0 or longest < 1:
        raise ValueError(
            f"doc_stride={doc_stride} tokens, which two windows of a context share, must be 0 or more and leave room "
            f"in max_length={max_length} for a question, {special} special tokens and a part of the context that is "
            f"new. Set it to a third of max_length, {max_length // 3}."
        )
    questions = [question.strip() for question in questions]
    tokens = tokenizer(questions, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    num_long = 0
    for row, offsets in enumerate(tokens["offset_mapping"]):
        if len(offsets) > longest:
            questions[row], num_long = questions[row][: offsets[longest - 1][1]], num_long + 1
    if num_long:
        logger.warning(
            "%d of %d questions have more than %d tokens, the most that max_length=%d and doc_stride=%d leave for a "
            "question; they are truncated. Are question and context swapped?",
            num_long,
            len(questions),
            longest,
            max_length,
            doc_stride,
        )
    return questions


def _check_columns(split: datasets.Dataset, split_name: str, columns: Sequence[str]) -> None:
    """Raise a ValueError unless there are questions and contexts, and in the validation split answers."""
    missing = [name for name in columns[:2] if name not in split.column_names]
    if split_name == "validation" and columns[2] not in split.column_names:
        missing.append(columns[2])
    if missing:
        raise ValueError(
            f"The {split_name} split has no column {listed(missing)}. Its columns are {listed(split.column_names)}; a "
            f"question, a context and answers are needed (training rows without answers are learned from the teacher "
            f"alone). Where they have other names, set text_column, text_pair_column and label_column."
        )


def _features(tokenizer: PreTrainedTokenizerBase) -> datasets.Features:
    def numbers(kind: str) -> datasets.List:
        return datasets.List(datasets.Value(kind))

    inputs = {"input_ids": "int32", "token_type_ids": "int8", "attention_mask": "int8"}
    more = {"labels": "int64", "context_span": "int64", "token_starts": "int32", "token_ends": "int32"}
    single = {name: datasets.Value("int64") for name in ("example", "length")}
    inputs = {name: kind for name, kind in inputs.items() if name in tokenizer.model_input_names}
    return datasets.Features({**{name: numbers(kind) for name, kind in {**inputs, **more}.items()}, **single})


def _column(split: datasets.Dataset, name: str) -> list[str]:
    return split.with_format(None).select_columns([name])[:][name]
