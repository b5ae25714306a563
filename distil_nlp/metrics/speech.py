"""Metrics of speech recognition: word error rate, character error rate, sentences without an error."""

from __future__ import annotations

import re
import unicodedata
import warnings
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..internals.imports import import_extra
from .base import Evaluator
from .classification import MISSING_LABEL

if TYPE_CHECKING:
    import torch

METRICS = ["wer", "cer", "sentences"]


def word_errors(reference: Sequence[Any], hypothesis: Sequence[Any]) -> int:
    """Levenshtein distance: the fewest substitutions, deletions and insertions that turn one sequence into the other.

    Args:
        reference, hypothesis (`list` or `str`): Words, or their numbers; the characters of a `str`.

    Raises:
        ImportError: rapidfuzz is missing; the message has the command that installs it.
    """
    return import_extra("word_errors").Levenshtein.distance(reference, hypothesis)


class SpeechEvaluator(Evaluator):
    """Base of the evaluators of transcripts: the metrics are ratios of error counts.

    Args:
        names (`list[str]`): Metrics.
        num_rows (`int`): Number of sentences.
        problem_type (`str`): Of the task.
        main_metric (`str`, *optional*): Main metric instead of the first.
    """

    def __init__(self, names: Sequence[str], num_rows: int, problem_type: str, main_metric: str | None) -> None:
        super().__init__(
            names, num_rows=num_rows, num_examples=num_rows, problem_type=problem_type, main_metric=main_metric
        )

    @abstractmethod
    def counts(self, row: int, answer: list[int]) -> list[int]:
        """Five counts for a row; the metrics are ratios of their sums over the rows."""

    def statistics(self, answers: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
        if len(answers) != self.num_rows:
            raise ValueError(f"There should be an answer for each of {self.num_rows} rows; got {len(answers)}.")
        if num_bad := sum(np.isnan(answer).any() for answer in answers):
            warnings.warn(
                f"The logits of {num_bad} of {len(answers)} clips contain NaN; every metric is nan.", stacklevel=2
            )
            return np.full((self.num_rows, 5), np.nan)
        numbers = (np.asarray(answer, dtype=np.int64).tolist() for answer in answers)
        return np.array([self.counts(row, answer) for row, answer in enumerate(numbers)], dtype=np.float64)


class CtcSpeechEvaluator(SpeechEvaluator):
    """Evaluates transcripts of CTC models, which predict a character or a blank for each frame.

    | metric | value |
    |---|---|
    | wer | word error rate: substituted, inserted and deleted words over words of the reference |
    | cer | character error rate: the same for characters, spaces included |
    | sentences | share of clips without an error |

    Args:
        texts (`list[str]`): Reference transcript of each row. Events such as [noise] do not count, see `without_events`.
        decode (callable): From a list of tokens to text.
        main_metric (`str`, *optional*): Main metric instead of the first.

    Raises:
        ValueError: No text has a word; an unknown metric.
    """

    problem_type = "ctc"

    def __init__(
        self, texts: Sequence[str], decode: Callable[[list[int]], str], main_metric: str | None = None
    ) -> None:
        texts = list(map(without_events, texts))
        if not any(texts):
            raise ValueError(
                f"The word error rate counts words of the references, but none of the {len(texts)} texts has a word. Is "
                f"this the column of the transcripts?"
            )
        self._texts, self._decode = texts, decode
        super().__init__(METRICS, len(texts), self.problem_type, main_metric)

    def answers(self, logits: torch.Tensor, batch: Mapping[str, torch.Tensor]) -> list[np.ndarray]:
        """Tokens of each row by greedy decoding: the best of each frame, without repeats and blanks. NaN for NaN logits.

        Args:
            logits (`torch.Tensor`): Shape (batch, frames, tokens), from `signals.frame_logits`: an output that covers
                several frames is repeated.
            batch (`Mapping[str, torch.Tensor]`): frames, bool, shape (batch, frames).
        """
        best = logits.argmax(-1).masked_fill(~batch["frames"].to(logits.device), 0).cpu().numpy()
        has_nan = logits.isnan().flatten(1).any(1).tolist()
        emitted = (best != 0) & (best != np.pad(best, ((0, 0), (1, 0)))[:, :-1])
        return [
            np.array([np.nan]) if nan else tokens[mask].astype(np.float64)
            for tokens, mask, nan in zip(best, emitted, has_nan, strict=True)
        ]

    def counts(self, row: int, answer: list[int]) -> list[int]:
        """Word errors, words, character errors, characters, and whether the transcript is exact."""
        reference, hypothesis = self._texts[row], without_events(self._decode(answer))
        words = reference.split()
        return [
            word_errors(words, hypothesis.split()),
            len(words),
            word_errors(reference, hypothesis),
            len(reference),
            reference == hypothesis,
        ]

    def compute(self, name: str, statistics: np.ndarray) -> float:
        errors, words, character_errors, characters, exact = statistics.sum(axis=0)
        if name == "wer":
            return errors / words if words else float("nan")
        if name == "cer":
            return character_errors / characters if characters else float("nan")
        return exact / len(statistics)

    def agreement(
        self, student_answers: Sequence[np.ndarray] | np.ndarray, teacher_answers: Sequence[np.ndarray] | np.ndarray
    ) -> float:
        """Share of rows with the same tokens."""
        pairs = zip(student_answers, teacher_answers, strict=True)
        return float(np.mean([np.array_equal(student, teacher) for student, teacher in pairs]))


class Seq2SeqSpeechEvaluator(CtcSpeechEvaluator):
    """Evaluates transcripts of encoder-decoders. Case and punctuation are ignored, see `plain_text`.

    The metrics are those of `CtcSpeechEvaluator`; `decode` takes the tokens of a row, special ones included.
    """

    problem_type = "single_label_classification"

    def __init__(
        self, texts: Sequence[str], decode: Callable[[list[int]], str], main_metric: str | None = None
    ) -> None:
        super().__init__(list(map(plain_text, texts)), lambda tokens: plain_text(decode(tokens)), main_metric)

    def answers(self, logits: torch.Tensor, batch: Mapping[str, torch.Tensor]) -> list[np.ndarray]:
        """Generated tokens of each row.

        Args:
            logits (`torch.Tensor`): The tokens that the predictor generated, int64, shape (batch, longest text).
            batch: Unused.
        """
        return list(logits.cpu().numpy())


_EVENT = re.compile(r"\[[^\]\[]*\]|<[^<>]*>|\([^()]*\)")


def without_events(text: str) -> str:
    """A transcript without events that are not speech, phrases in brackets or parentheses: [noise], <unk>, (laughs).

    Scoring leaves them out of reference and hypothesis, as Kaldi's scoring filters and Whisper's normalizer do. A bracket
    without its partner is kept.
    """
    return " ".join(_EVENT.sub(" ", text).split())


def plain_text(text: str) -> str:
    """Normalize a text for the comparison of words: lower case; letters, digits and apostrophes; single spaces.

    Phrases in brackets and parentheses are left out, see `without_events`. A combining accent belongs to its letter, and a
    typographic apostrophe counts as an apostrophe.

    After Radford et al. 2023, "Robust Speech Recognition via Large-Scale Weak Supervision", appendix C, without its rules
    for single languages.
    """
    text = unicodedata.normalize("NFKC", without_events(text)).replace("\N{RIGHT SINGLE QUOTATION MARK}", "'").lower()
    characters = (letter if letter.isalnum() or letter == "'" else " " for letter in text)
    return " ".join("".join(characters).split())


class HybridSpeechEvaluator(SpeechEvaluator):
    """Evaluates hybrid recognizers: a model classifies frames into HMM states, and a decoder makes words of them.

    | metric | value |
    |---|---|
    | wer | word error rate: substituted, inserted and deleted words over words of the reference |
    | sentences | share of sentences without an error |
    | frames | share of the aligned frames whose best state is that of the alignment |

    Args:
        sentences (`list[list[str]]`): Reference words of each row.
        decoder (`hmm.Decoder`): Decodes logits into words.
        main_metric (`str`, *optional*): Main metric instead of the first.

    Raises:
        ValueError: No sentence has a word; an unknown metric.
    """

    def __init__(self, sentences: Sequence[Sequence[str]], decoder: Any, main_metric: str | None = None) -> None:
        if not any(sentences):
            raise ValueError(
                f"The word error rate counts words of the references, but none of the {len(sentences)} sentences has a "
                f"word. Is this the column of the transcripts?"
            )
        self.decoder = decoder
        self._numbers = {word: number for number, word in enumerate(decoder.lexicon.words)}
        sentences = [without_events(" ".join(sentence)).split() for sentence in sentences]
        # A word outside the lexicon cannot be recognized: it gets the number -1, which is always an error.
        self._references = [[self._numbers.get(word, -1) for word in sentence] for sentence in sentences]
        self._events = {number for word, number in self._numbers.items() if not without_events(word)}
        names = ["wer", "sentences", "frames"]
        super().__init__(names, len(sentences), "single_label_classification", main_metric)

    def answers(self, logits: torch.Tensor, batch: Mapping[str, torch.Tensor]) -> list[np.ndarray]:
        """For each row: correct frames, frames with a state, then the numbers of the recognized words.

        Args:
            logits (`torch.Tensor`): Shape (batch, frames, states).
            batch (`Mapping[str, torch.Tensor]`): soft_items and labels, both of shape (batch, frames).
        """
        labels, aligned = batch["labels"], batch["labels"] != MISSING_LABEL
        correct = ((logits.argmax(-1) == labels) & aligned).sum(1).tolist()
        has_nan = logits.isnan().flatten(1).any(1).tolist()
        sentences = self.decoder(logits.cpu().nan_to_num(), batch["soft_items"].sum(1).cpu())
        rows = zip(correct, aligned.sum(1).tolist(), sentences, has_nan, strict=True)
        return [
            np.array([np.nan] if nan else [num_correct, num_frames, *(self._numbers[part.word] for part in words)])
            for num_correct, num_frames, words, nan in rows
        ]

    def counts(self, row: int, answer: list[int]) -> list[int]:
        """Word errors, words, whether the sentence is exact, correct frames, frames with a state."""
        correct, frames, *hypothesis = answer
        errors = word_errors(self._references[row], [number for number in hypothesis if number not in self._events])
        return [errors, len(self._references[row]), errors == 0, correct, frames]

    def compute(self, name: str, statistics: np.ndarray) -> float:
        errors, words, exact, correct, frames = statistics.sum(axis=0)
        if name == "wer":
            return errors / words if words else float("nan")
        if name == "sentences":
            return exact / len(statistics)
        return correct / frames if frames else float("nan")

    def agreement(
        self, student_answers: Sequence[np.ndarray] | np.ndarray, teacher_answers: Sequence[np.ndarray] | np.ndarray
    ) -> float:
        """Share of rows with the same words."""
        pairs = zip(student_answers, teacher_answers, strict=True)
        return float(np.mean([list(student[2:]) == list(teacher[2:]) for student, teacher in pairs]))
