"""How good a recognizer of speech is: words wrong, left out and added, for every word that was said."""

import unicodedata
import warnings
from abc import abstractmethod

import numpy as np

from .base import Evaluator
from .classification import MISSING_LABEL


def word_errors(said, heard):
    """The fewest words to exchange, add and leave out that make one sentence the other (Levenshtein's distance).

    Args:
        said, heard (`list`): Words, or their numbers.
    """
    costs = list(range(len(heard) + 1))
    for row, word in enumerate(said, 1):
        diagonal, costs[0] = costs[0], row
        for column, other in enumerate(heard, 1):
            best = min(costs[column] + 1, costs[column - 1] + 1, diagonal + (word != other))
            diagonal, costs[column] = costs[column], best
    return costs[-1]


class SpeechEvaluator(Evaluator):
    """What judging sentences has in common, whoever made words of a model's answers.

    Args:
        names (`list[str]`): Metrics.
        num_rows (`int`): Sentences.
        problem_type (`str`): Of the task.
        main_metric (`str`, *optional*): To decide by, instead of the first.
    """

    def __init__(self, names, num_rows, problem_type, main_metric):
        super().__init__(
            names, num_rows=num_rows, num_examples=num_rows, problem_type=problem_type, main_metric=main_metric
        )

    @abstractmethod
    def counts(self, row, answer):
        """Five numbers for a row, of which metrics are ratios of sums."""

    def statistics(self, answers):
        if len(answers) != self.num_rows:
            raise ValueError(f"There should be an answer for each of {self.num_rows} rows; got {len(answers)}.")
        if num_bad := sum(np.isnan(one).any() for one in answers):
            warnings.warn(
                f"The logits of {num_bad} of {len(answers)} clips hold NaN; every metric is nan.", stacklevel=2
            )
            return np.full((self.num_rows, 5), np.nan)
        numbers = (np.asarray(one, dtype=np.int64).tolist() for one in answers)
        return np.array([self.counts(row, one) for row, one in enumerate(numbers)], dtype=np.float64)


class CtcSpeechEvaluator(SpeechEvaluator):
    """Judges texts written down by models that say a letter or a blank a frame.

    | metric | is |
    |---|---|
    | wer | words wrong, added and left out, over words said |
    | cer | the same of letters, spaces included |
    | sentences | clips without an error |

    Args:
        texts (`list[str]`): What was said in each row.
        written (callable): From a list of tokens to text.
        main_metric (`str`, *optional*): To decide by, instead of the first.

    Raises:
        ValueError: Nothing was said in any row; an unknown metric.
    """

    problem_type = "ctc"

    def __init__(self, texts, written, main_metric=None):
        if not any(text.split() for text in texts):
            raise ValueError(f"None of the {len(texts)} texts holds a word, so there is nothing to count.")
        self._texts, self._written = [" ".join(text.split()) for text in texts], written
        super().__init__(["wer", "cer", "sentences"], len(texts), self.problem_type, main_metric)

    def answers(self, logits, batch):
        """The tokens of each row: the best of every frame, without repeats and blanks. NaN where the logits are.

        Args:
            logits (`torch.Tensor`): Shape (batch, frames, tokens), from `signals.frame_logits`: an answer that counts for
                several frames is a repeat.
            batch (`dict[str, torch.Tensor]`): frames, bool, shape (batch, frames).
        """
        best = logits.argmax(-1).masked_fill(~batch["frames"].to(logits.device), 0).cpu().numpy()
        broken = logits.isnan().flatten(1).any(1).tolist()
        kept = (best != 0) & (best != np.pad(best, ((0, 0), (1, 0)))[:, :-1])
        return [
            np.array([np.nan]) if nan else row[here].astype(np.float64)
            for row, here, nan in zip(best, kept, broken, strict=True)
        ]

    def counts(self, row, answer):
        said, heard = self._texts[row], " ".join(self._written(answer).split())
        words = said.split()
        return [
            word_errors(words, heard.split()),
            len(words),
            word_errors(list(said), list(heard)),
            len(said),
            said == heard,
        ]

    def compute(self, name, facts):
        errors, words, wrong, letters, exact = facts.sum(axis=0)
        if name == "wer":
            return errors / words if words else float("nan")
        if name == "cer":
            return wrong / letters if letters else float("nan")
        return exact / len(facts)

    def agreement(self, ours, theirs):
        """The share of rows of which both wrote the same."""
        return float(np.mean([np.array_equal(one, other) for one, other in zip(ours, theirs, strict=True)]))


class Seq2SeqSpeechEvaluator(CtcSpeechEvaluator):
    """Judges texts written by encoder-decoders. Case and punctuation count for nothing, see `plain_text`.

    Its metrics are those of `CtcSpeechEvaluator`; `written` reads the tokens of a row, special ones among them.
    """

    problem_type = "single_label_classification"

    def __init__(self, texts, written, main_metric=None):
        super().__init__(list(map(plain_text, texts)), lambda tokens: plain_text(written(tokens)), main_metric)

    def answers(self, tokens, batch):
        """The tokens of each row, from (batch, most written), int64."""
        return list(tokens.cpu().numpy())


def plain_text(text):
    """A text as words are compared: lower case, letters and digits and apostrophes, one space between words. An accent
    that is written behind its letter is part of it, and a typographic apostrophe is an apostrophe.

    After Radford et al. 2023, "Robust Speech Recognition via Large-Scale Weak Supervision", appendix C, without its rules
    for single languages.
    """
    text = unicodedata.normalize("NFKC", text).replace("\N{RIGHT SINGLE QUOTATION MARK}", "'").lower()
    kept = (letter if letter.isalnum() or letter == "'" else " " for letter in text)
    return " ".join("".join(kept).split())


class HybridSpeechEvaluator(SpeechEvaluator):
    """Judges sentences by their words, and the frames they are made of.

    | metric | is |
    |---|---|
    | wer | words wrong, added and left out, over words said |
    | sentences | sentences without an error |
    | frames | frames whose best state is that of the alignment, where there is one |

    Args:
        sentences (`list[list[str]]`): What was said in each row.
        decoder (`hmm.Decoder`): Makes words of logits.
        main_metric (`str`, *optional*): To decide by, instead of the first.

    Raises:
        ValueError: Nothing was said in any row; an unknown metric.
    """

    def __init__(self, sentences, decoder, main_metric=None):
        if not any(sentences):
            raise ValueError(f"None of the {len(sentences)} sentences holds a word, so there is nothing to count.")
        self.decoder = decoder
        self._numbers = {word: number for number, word in enumerate(decoder.lexicon.words)}
        # A word that the lexicon does not have cannot be heard: it counts as wrong.
        self._said = [[self._numbers.get(word, -1) for word in sentence] for sentence in sentences]
        names = ["wer", "sentences", "frames"]
        super().__init__(names, len(sentences), "single_label_classification", main_metric)

    def answers(self, logits, batch):
        """For each row: right frames, frames with a state, then the numbers of the words that were heard.

        Args:
            logits (`torch.Tensor`): Shape (batch, frames, states).
            batch (`dict[str, torch.Tensor]`): soft_items and labels, both of shape (batch, frames).
        """
        labels, known = batch["labels"], batch["labels"] != MISSING_LABEL
        right = ((logits.argmax(-1) == labels) & known).sum(1).tolist()
        broken = logits.isnan().flatten(1).any(1).tolist()
        heard = self.decoder(logits.cpu().nan_to_num(), batch["soft_items"].sum(1).cpu())
        counts = zip(right, known.sum(1).tolist(), heard, broken, strict=True)
        return [
            np.array([np.nan] if nan else [ours, frames, *(self._numbers[one.word] for one in words)])
            for ours, frames, words, nan in counts
        ]

    def counts(self, row, answer):
        right, frames, *heard = answer
        errors = word_errors(self._said[row], heard)
        return [errors, len(self._said[row]), errors == 0, right, frames]

    def compute(self, name, facts):
        errors, words, exact, right, frames = facts.sum(axis=0)
        if name == "wer":
            return errors / words if words else float("nan")
        if name == "sentences":
            return exact / len(facts)
        return right / frames if frames else float("nan")

    def agreement(self, ours, theirs):
        """The share of rows in which both heard the same words."""
        return float(np.mean([list(one[2:]) == list(other[2:]) for one, other in zip(ours, theirs, strict=True)]))
