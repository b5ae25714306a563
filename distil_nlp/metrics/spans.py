"""Metrics of extractive question answering: exact match and F1 of words, as SQuAD computes them."""

from __future__ import annotations

import re
import string
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .base import Evaluator

if TYPE_CHECKING:
    import torch

MAX_ANSWER_LENGTH = 30  # tokens, as in BERT's script for SQuAD
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalize(text: str) -> str:
    """Normalize an answer as SQuAD does: remove case, punctuation and articles, collapse white space.

    Reference: Rajpurkar et al. 2016, "SQuAD: 100,000+ Questions for Machine Comprehension of Text", section 6.1.
    """
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact_match(prediction: str, references: Sequence[str]) -> float:
    """1.0 where the normalized prediction is one of the references, otherwise 0.0.

    Args:
        prediction (`str`): Empty for "no answer".
        references (list of `str`): Empty where the question has no answer.
    """
    return float(normalize(prediction) in _normalized(references))


def token_f1(prediction: str, references: Sequence[str]) -> float:
    """F1 of the words of prediction and reference, 0 to 1; the highest where there are several references.

    Args:
        prediction, references: As for `exact_match`. Where either has no words, only equality counts, as in SQuAD 2.
    """
    predicted = normalize(prediction).split()
    return max(_f1(predicted, reference.split()) for reference in _normalized(references))


def _normalized(references: Sequence[str]) -> list[str]:
    # An answer of articles and punctuation alone is dropped where there is another, as in SQuAD 2.
    return [text for text in map(normalize, references) if text] or [""]


def _f1(predicted: list[str], reference: list[str]) -> float:
    if not predicted or not reference:
        return float(predicted == reference)
    common = (Counter(predicted) & Counter(reference)).total()
    return 2 * common / (len(predicted) + len(reference))


def best_spans(
    start_logits: np.ndarray,
    end_logits: np.ndarray,
    context: np.ndarray,
    *,
    max_answer_length: int = MAX_ANSWER_LENGTH,
) -> np.ndarray:
    """The span with the largest sum of logits in each row, within the context, of at most `max_answer_length` tokens.

    Args:
        start_logits, end_logits (`np.ndarray`): Shape (rows, sequence).
        context (`np.ndarray`): Shape (rows, 2): the first and the last position that may be part of an answer.
        max_answer_length (`int`): Tokens, 1 or more.

    Returns:
        `np.ndarray` of float64, shape (rows, 3): first position, last position, score. A row without context scores
        -inf, a row with NaN in its logits NaN.
    """
    start, end = (np.asarray(side, dtype=np.float64) for side in (start_logits, end_logits))
    num_rows, width = start.shape
    undefined = np.isnan(start).any(axis=1) | np.isnan(end).any(axis=1)
    positions, rows = np.arange(width), np.arange(num_rows)
    outside = (positions < context[:, :1]) | (positions > context[:, 1:])
    start, end = np.where(outside, -np.inf, start), np.where(outside, -np.inf, end)
    best = np.tile([0.0, 0.0, -np.inf], (num_rows, 1))
    for distance in range(min(max_answer_length, width)):
        sums = start[:, : width - distance] + end[:, distance:]
        first = sums.argmax(axis=1)
        spans = np.column_stack([first, first + distance, sums[rows, first]])
        best = np.where(spans[:, 2:] > best[:, 2:], spans, best)
    best[undefined, 2] = np.nan
    return best


class SpanEvaluator(Evaluator):
    """Evaluates answers extracted from contexts. A row is a window of a context, an example is a question.

    An answer is four numbers for each window: the first and last position of its best span, the span's score, and the
    score of "no answer" (the first position, [CLS]). The statistics of a question are its F1 and its exact match.

    Args:
        contexts (list of `str`): Of all examples.
        references (list): For each example the accepted answers, a list of `str` (empty: it has no answer), or None
            where it is not known; such examples count for agreement only.
        windows (`Mapping`): For each row, "example" (the index of its example), "context_span" (first and last
            position of the context), "token_starts" and "token_ends" (of the context's tokens, in characters).
        max_answer_length (`int`): Tokens of the longest answer.
        no_answer (`bool`): Whether "no answer" is a valid prediction: where it scores above the best span of all windows.
        main_metric (`str`, *optional*): "f1" (the default) or "exact_match".

    Raises:
        ValueError: No example has references; an unknown metric.
    """

    def __init__(
        self,
        contexts: Sequence[str],
        references: Sequence[Sequence[str] | None],
        windows: Mapping[str, Any],
        *,
        max_answer_length: int = MAX_ANSWER_LENGTH,
        no_answer: bool = False,
        main_metric: str | None = None,
    ) -> None:
        self._contexts, self._windows = list(contexts), windows
        labeled = {index: accepted for index, accepted in enumerate(references) if accepted is not None}
        if not labeled:
            raise ValueError(
                f"None of the {len(self._contexts)} questions has answers, so the metrics have no references. Is this the "
                f"column of the answers?"
            )
        self._labeled, self._references = list(labeled), list(labeled.values())
        self.max_answer_length, self.no_answer = max_answer_length, no_answer
        super().__init__(
            ["f1", "exact_match"],
            num_rows=len(windows["example"]),
            num_examples=len(self._labeled),
            problem_type="question_answering",
            main_metric=main_metric,
        )

    def answers(self, logits: torch.Tensor, batch: Mapping[str, torch.Tensor]) -> np.ndarray:
        """Best span and score of "no answer" of each window, `np.ndarray` of shape (batch, 4).

        Args:
            logits (`torch.Tensor`): Shape (batch, 2, sequence): of the first and of the last token of an answer.
            batch (`dict[str, torch.Tensor]`): With context_span, shape (batch, 2).
        """
        start, end = logits.double().cpu().numpy().swapaxes(0, 1)
        spans = best_spans(start, end, batch["context_span"].cpu().numpy(), max_answer_length=self.max_answer_length)
        return np.column_stack([spans, start[:, 0] + end[:, 0]])

    def texts(self, answers: Sequence[np.ndarray] | np.ndarray) -> list[str]:
        """The predicted text for each example; "" for no answer.

        Args:
            answers (list of `np.ndarray`): From `answers`, one for each row.
        """
        answers = np.asarray(answers, dtype=np.float64)
        best: dict[int, int] = {}
        no_answer_score: dict[int, float] = {}
        for row, (example, (_, _, score, null)) in enumerate(zip(self._windows["example"], answers, strict=True)):
            if example not in best or score > answers[best[example], 2]:
                best[example] = row
            no_answer_score[example] = min(null, no_answer_score.get(example, np.inf))
        texts = [""] * len(self._contexts)
        for example, row in best.items():
            first, last, score, _ = answers[row]
            if score > -np.inf and not (self.no_answer and no_answer_score[example] > score):
                texts[example] = self._text(row, int(first), int(last))
        return texts

    def statistics(self, answers: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
        num_undefined = int(np.isnan(np.asarray(answers)).any(axis=1).sum())
        if num_undefined:
            warnings.warn(f"{num_undefined} of {len(answers)} windows contain NaN; every metric is nan.", stacklevel=2)
            return np.full((self.num_examples, 2), np.nan)
        texts = self.texts(answers)
        pairs = ((texts[index], accepted) for index, accepted in zip(self._labeled, self._references, strict=True))
        return np.array([[token_f1(text, accepted), exact_match(text, accepted)] for text, accepted in pairs])

    def compute(self, name: str, statistics: np.ndarray) -> float:
        return float(self.per_example(name, statistics).mean())

    def per_example(self, name: str, statistics: np.ndarray) -> np.ndarray:
        return statistics[:, self.names.index(name)]

    def agreement(
        self, student_answers: Sequence[np.ndarray] | np.ndarray, teacher_answers: Sequence[np.ndarray] | np.ndarray
    ) -> float:
        """Share of all examples, with references or without, where both give the same normalized answer."""
        if np.isnan(np.asarray(student_answers)).any() or np.isnan(np.asarray(teacher_answers)).any():
            return float("nan")
        pairs = zip(self.texts(student_answers), self.texts(teacher_answers), strict=True)
        return float(np.mean([normalize(student) == normalize(teacher) for student, teacher in pairs]))

    def _text(self, row: int, first: int, last: int) -> str:
        offset = self._windows["context_span"][row][0]
        start = self._windows["token_starts"][row][first - offset]
        end = self._windows["token_ends"][row][last - offset]
        # Byte-level tokens start with the space before the word.
        return self._contexts[self._windows["example"][row]][start:end].strip()
