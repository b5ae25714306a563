"""How good extracted answers are: exact match and F1 of words, counted as SQuAD counts them."""

import re
import string
import warnings
from collections import Counter

import numpy as np

from .base import Evaluator

MAX_ANSWER_LENGTH = 30  # tokens, as in BERT's script for SQuAD
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalize(text):
    """A text without what SQuAD does not count: case, punctuation, articles, width of white space.

    Reference: Rajpurkar et al. 2016, "SQuAD: 100,000+ Questions for Machine Comprehension of Text", section 6.1.
    """
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact_match(prediction, references):
    """1.0 where the normalized prediction is one of the references, otherwise 0.0.

    Args:
        prediction (`str`): Empty for "no answer".
        references (list of `str`): Empty where the question has no answer.
    """
    return float(normalize(prediction) in _wanted(references))


def token_f1(prediction, references):
    """F1 of the words of prediction and reference, 0 to 1; the best one where there are several references.

    Args:
        prediction, references: As for `exact_match`. Where a side has no words, only equality counts, as in SQuAD 2.
    """
    found = normalize(prediction).split()
    return max(_f1(found, reference.split()) for reference in _wanted(references))


def _wanted(references):
    # An answer of articles and punctuation alone is left out where there is another, as in SQuAD 2.
    return [text for text in map(normalize, references) if text] or [""]


def _f1(found, wanted):
    if not found or not wanted:
        return float(found == wanted)
    common = (Counter(found) & Counter(wanted)).total()
    return 2 * common / (len(found) + len(wanted))


def best_spans(start_logits, end_logits, context, *, max_answer_length=MAX_ANSWER_LENGTH):
    """The span with the largest sum of logits in each row, within the context, no longer than allowed.

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
    for further in range(min(max_answer_length, width)):
        sums = start[:, : width - further] + end[:, further:]
        first = sums.argmax(axis=1)
        found = np.column_stack([first, first + further, sums[rows, first]])
        best = np.where(found[:, 2:] > best[:, 2:], found, best)
    best[undefined, 2] = np.nan
    return best


class SpanEvaluator(Evaluator):
    """Judges answers cut out of contexts. A row is a window of a context, an example is a question.

    An answer is four numbers for each window: the first and last position of its best span, the span's score, and the
    score of "no answer" (the first position, [CLS]). A fact is F1 and exact match of a question.

    Args:
        contexts (list of `str`): Of all examples.
        references (list): For each example the accepted answers, a list of `str` (empty: it has no answer), or None
            where it is not known; such examples count for agreement only.
        windows (`Mapping`): For each row, "example" (the index of its example), "context_span" (first and last
            position of the context), "token_starts" and "token_ends" (of the context's tokens, in characters).
        max_answer_length (`int`): Tokens of the longest answer.
        no_answer (`bool`): Whether "no answer" is one: where it scores above the best span of all windows.
        main_metric (`str`, *optional*): "f1" (the default) or "exact_match".

    Raises:
        ValueError: No example has references; an unknown metric.
    """

    def __init__(
        self,
        contexts,
        references,
        windows,
        *,
        max_answer_length=MAX_ANSWER_LENGTH,
        no_answer=False,
        main_metric=None,
    ):
        self._contexts, self._windows = list(contexts), windows
        self._labeled = [index for index, known in enumerate(references) if known is not None]
        if not self._labeled:
            raise ValueError(f"None of the {len(self._contexts)} questions has answers, so there is nothing to score.")
        self._references = [references[index] for index in self._labeled]
        self.max_answer_length, self.no_answer = max_answer_length, no_answer
        super().__init__(
            ["f1", "exact_match"],
            num_rows=len(windows["example"]),
            num_examples=len(self._labeled),
            problem_type="question_answering",
            main_metric=main_metric,
        )

    def answers(self, logits, batch):
        """Best span and "no answer" of each window, `np.ndarray` of shape (batch, 4).

        Args:
            logits (`torch.Tensor`): Shape (batch, 2, sequence): where an answer begins and where it ends.
            batch (`dict[str, torch.Tensor]`): With context_span, shape (batch, 2).
        """
        start, end = logits.double().cpu().numpy().swapaxes(0, 1)
        spans = best_spans(start, end, batch["context_span"].cpu().numpy(), max_answer_length=self.max_answer_length)
        return np.column_stack([spans, start[:, 0] + end[:, 0]])

    def texts(self, answers):
        """What a model answers to each example, a list of `str`; "" for no answer.

        Args:
            answers (list of `np.ndarray`): From `answers`, one for each row.
        """
        answers = np.asarray(answers, dtype=np.float64)
        best, silence = {}, {}
        for row, (example, (_, _, score, null)) in enumerate(zip(self._windows["example"], answers, strict=True)):
            if example not in best or score > answers[best[example], 2]:
                best[example] = row
            silence[example] = min(null, silence.get(example, np.inf))
        texts = [""] * len(self._contexts)
        for example, row in best.items():
            first, last, score, _ = answers[row]
            if score > -np.inf and not (self.no_answer and silence[example] > score):
                texts[example] = self._text(row, int(first), int(last))
        return texts

    def statistics(self, answers):
        num_undefined = int(np.isnan(np.asarray(answers)).any(axis=1).sum())
        if num_undefined:
            warnings.warn(f"{num_undefined} of {len(answers)} windows hold NaN; every metric is nan.", stacklevel=2)
            return np.full((self.num_examples, 2), np.nan)
        texts = self.texts(answers)
        found = ((texts[index], known) for index, known in zip(self._labeled, self._references, strict=True))
        return np.array([[token_f1(text, known), exact_match(text, known)] for text, known in found])

    def compute(self, name, facts):
        return float(self.per_example(name, facts).mean())

    def per_example(self, name, facts):
        return facts[:, self.names.index(name)]

    def agreement(self, ours, theirs):
        """Share of all examples, with references or without, that both give the same normalized answer."""
        if np.isnan(np.asarray(ours)).any() or np.isnan(np.asarray(theirs)).any():
            return float("nan")
        pairs = zip(self.texts(ours), self.texts(theirs), strict=True)
        return float(np.mean([normalize(one) == normalize(other) for one, other in pairs]))

    def _text(self, row, first, last):
        offset = self._windows["context_span"][row][0]
        start = self._windows["token_starts"][row][first - offset]
        end = self._windows["token_ends"][row][last - offset]
        # Byte-level tokens begin with the space before them.
        return self._contexts[self._windows["example"][row]][start:end].strip()
