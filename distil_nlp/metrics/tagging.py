"""Metrics of token classification: F1 of whole entities, and accuracy of words.

An entity is correct where its first word, its last word and its type are all correct, as in the shared task of CoNLL 2003
and in seqeval's default mode (the tests compare). Tags are B-, I- and O, or those of IOBES and BILOU.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from .base import Evaluator, first_of, share_of_most_frequent
from .classification import MISSING_LABEL

if TYPE_CHECKING:
    import torch
    from transformers import EvalPrediction

UNSEEN = -1  # the tag of a word that was truncated, so that the model has no prediction for it
_NOT_A_NUMBER = -2
_OUTSIDE, _BEGIN, _INSIDE, _END, _SINGLE = range(5)
_PARTS = {"O": _OUTSIDE, "B": _BEGIN, "I": _INSIDE, "M": _INSIDE, "E": _END, "L": _END, "S": _SINGLE, "U": _SINGLE}
_ENTITY_TAG = re.compile(r"([BIMELSU])-(.+)|([BIO])")


def marks_entities(label_names: Sequence[str] | None) -> bool:
    """Whether tags mark parts of entities (B-PER, I-PER, O) rather than a class of each word (NOUN, VERB).

    Args:
        label_names (`list[str]` or None): Names by class index.
    """
    names = label_names or []
    return any(name != "O" for name in names) and all(_ENTITY_TAG.fullmatch(name) for name in names)


class TaggingEvaluator(Evaluator):
    """Evaluates tags of words: by F1 of whole entities where the tags mark these, otherwise by accuracy.

    A sentence is an example. An answer is the tags of those of its words that are scored and not truncated, int, shape
    (words,). The statistics of a sentence are counts: entities that are correct, predicted and true, words that are
    correct and all words.

    An entity begins at B- or S-, after a word outside, after an E- or S-, and where the type changes: an I- needs no B-
    before it. A word that was truncated has no tag: it counts as wrong in `accuracy`, and its entity as not found.

    | tags | metrics |
    |---|---|
    | B-, I-, O (also IOBES, BILOU) | f1, precision, recall (of entities, all types together), accuracy (of words) |
    | any other | accuracy (of words) |

    Args:
        tags (list of `np.ndarray`): For each row, the classes of its words that are scored, in order. A row without any
            is not counted as an example.
        num_labels (`int`): Number of classes.
        label_names (`list[str]`, *optional*): Names of the classes; without them there are no entities.
        seen (list of `np.ndarray` of bool, *optional*): For each row, which of these words were not truncated. Default:
            all.
        main_metric (`str`, *optional*): Main metric instead of the first.

    Raises:
        ValueError: No word is scored; a class outside 0 to num_labels - 1; an unknown metric.

    Reference: Tjong Kim Sang and De Meulder 2003, "Introduction to the CoNLL-2003 Shared Task", section 2.4.
    """

    def __init__(
        self,
        tags: Sequence[np.ndarray],
        num_labels: int,
        label_names: Sequence[str] | None = None,
        *,
        seen: Sequence[np.ndarray] | None = None,
        main_metric: str | None = None,
    ) -> None:
        lengths = np.array([len(row) for row in tags], dtype=np.int64)
        if lengths.sum() == 0:
            raise ValueError(
                f"None of the words of {len(tags)} rows has a tag, so the metrics have no references. Is this the "
                f"column of the tags?"
            )
        self.num_labels = num_labels
        self._tags = _joined(tags)
        self._seen = np.ones(len(self._tags), dtype=bool) if seen is None else _joined(seen).astype(bool)
        _check_classes(self._tags, num_labels)
        self._num_seen = np.bincount(np.repeat(np.arange(len(tags)), lengths)[self._seen], minlength=len(tags))
        # Examples are the rows with a word; a position that is outside of all entities separates them.
        self._example = np.repeat(np.arange(np.count_nonzero(lengths)), lengths[lengths > 0])
        self._positions = np.arange(len(self._tags)) + self._example
        names = label_names if label_names is not None and marks_entities(label_names) else None
        super().__init__(
            ["accuracy"] if names is None else ["f1", "precision", "recall", "accuracy"],
            num_rows=len(tags),
            num_examples=int(self._example[-1]) + 1,
            problem_type="single_label_classification",
            main_metric=main_metric,
        )
        self._entities = None
        if names is not None:
            self._parts, self._types = _parts_and_types(names)
            self._entities = self._find_entities(self._tags)

    def answers(self, logits: torch.Tensor, batch: Mapping[str, torch.Tensor]) -> list[np.ndarray]:
        """Predicted tags of the words that have a label, at their first subwords.

        Args:
            logits (`torch.Tensor`): Shape (batch, sequence, classes).
            batch (`dict[str, torch.Tensor]`): `labels` of shape (batch, sequence), -100 where no word is scored.

        Raises:
            ValueError: Logits of another shape.
        """
        if logits.ndim != 3 or logits.shape[-1] != self.num_labels:
            raise ValueError(
                f"Logits should have shape (batch, sequence, {self.num_labels}), a class for each token; the model "
                f"returned {tuple(logits.shape)}. Load it with AutoModelForTokenClassification and the labels of this data."
            )
        return _predicted_tags(logits.float().cpu().numpy(), batch["labels"].cpu().numpy())

    def statistics(self, answers: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
        num_tags = np.array([len(answer) for answer in answers])
        if len(num_tags) != self.num_rows or (num_tags != self._num_seen).any():
            raise ValueError(
                f"There should be an answer for each of {self.num_rows} rows, with a tag for each word the model saw "
                f"({self._num_seen.sum()} in all); got {len(num_tags)} with {num_tags.sum()} tags. Are they of another "
                f"split?"
            )
        tags = np.full(len(self._tags), UNSEEN)
        tags[self._seen] = _joined(answers)
        statistics = self._word_counts(tags)
        if self._entities is not None:
            statistics = np.column_stack([self._entity_counts(tags, self._entities), statistics])
        num_bad = int(np.sum(tags == _NOT_A_NUMBER))
        if num_bad:
            warnings.warn(
                f"The logits of {num_bad} of {len(tags)} words contain NaN; every metric is nan.", stacklevel=2
            )
            return np.full(statistics.shape, np.nan)
        return statistics

    def compute(self, name: str, statistics: np.ndarray) -> float:
        counts = statistics.sum(axis=0)
        if np.isnan(counts).any():
            return float("nan")
        if name == "accuracy":
            correct, total = counts[-2:]
        else:
            correct, predicted, true = counts[:3]
            total = {"precision": predicted, "recall": true, "f1": (predicted + true) / 2}[name]
        return float(correct / total) if total else 0.0

    def agreement(
        self, student_answers: Sequence[np.ndarray] | np.ndarray, teacher_answers: Sequence[np.ndarray] | np.ndarray
    ) -> float:
        """Share of words with the same tag."""
        student, teacher = _joined(student_answers), _joined(teacher_answers)
        if (student == _NOT_A_NUMBER).any() or (teacher == _NOT_A_NUMBER).any():
            return float("nan")
        return float(np.mean(student == teacher))

    def most_frequent(self, answers: Sequence[np.ndarray] | np.ndarray) -> float | None:
        tags = _joined(answers)
        return float("nan") if (tags == _NOT_A_NUMBER).any() else share_of_most_frequent(tags)

    def _word_counts(self, tags: np.ndarray) -> np.ndarray:
        correct = np.bincount(self._example, weights=tags == self._tags, minlength=self.num_examples)
        return np.column_stack([correct.astype(np.int64), np.bincount(self._example, minlength=self.num_examples)])

    def _entity_counts(self, tags: np.ndarray, entities: tuple[np.ndarray, np.ndarray, np.ndarray]) -> np.ndarray:
        """Entities that are correct, predicted and true, in each example."""
        starts, ends, types = self._find_entities(tags)
        true_starts, true_ends, true_types = entities
        true_end, true_type = (np.full(self._positions[-1] + 1, -1) for _ in range(2))
        true_end[true_starts], true_type[true_starts] = true_ends, true_types
        correct = starts[(true_end[starts] == ends) & (true_type[starts] == types)]
        example = np.zeros(self._positions[-1] + 1, dtype=np.int64)
        example[self._positions] = self._example
        counts = [np.bincount(example[some], minlength=self.num_examples) for some in (correct, starts, true_starts)]
        return np.column_stack(counts)

    def _find_entities(self, tags: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """First position, last position and type of every entity."""
        placed = np.full(self._positions[-1] + 2, UNSEEN)
        placed[self._positions] = np.maximum(tags, UNSEEN)
        parts, types = self._parts[placed], self._types[placed]  # UNSEEN indexes the last element, "outside"
        before, type_before = np.roll(parts, 1), np.roll(types, 1)  # the last position is outside
        begins = (
            np.isin(parts, (_BEGIN, _SINGLE)) | np.isin(before, (_OUTSIDE, _END, _SINGLE)) | (types != type_before)
        )
        begins &= parts != _OUTSIDE
        ends = (parts != _OUTSIDE) & (begins | (parts == _OUTSIDE))[np.r_[1 : len(parts), 0]]
        return np.flatnonzero(begins), np.flatnonzero(ends), types[begins]


def tag_metrics(
    num_labels: int, label_names: Sequence[str] | None = None
) -> Callable[[EvalPrediction], dict[str, float]]:
    """A function for Trainer's `compute_metrics`: the metrics of `TaggingEvaluator`, over the tokens that have a label.

    Truncated words have no token and are not counted; `TaggingEvaluator` with `seen` counts them.

    Args:
        num_labels (`int`): Number of classes.
        label_names (`list[str]`, *optional*): Names of the classes.
    """

    def compute(prediction: EvalPrediction) -> dict[str, float]:
        logits, labels = first_of(prediction.predictions), first_of(prediction.label_ids)
        evaluator = TaggingEvaluator([row[row != MISSING_LABEL] for row in labels], num_labels, label_names)
        return evaluator.scores(evaluator.statistics(_predicted_tags(logits, labels)))

    return compute


def _predicted_tags(logits: np.ndarray, labels: np.ndarray) -> list[np.ndarray]:
    """For each row, the class of the highest logit at each position with a label."""
    scored = labels != MISSING_LABEL
    chosen = logits[scored]
    tags = chosen.argmax(axis=-1).astype(np.int32)
    tags[np.isnan(chosen).any(axis=-1)] = _NOT_A_NUMBER
    return np.split(tags, np.cumsum(scored.sum(axis=1))[:-1])


def _joined(rows: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
    return np.concatenate([np.asarray(row) for row in rows if len(row)] or [np.zeros(0, dtype=np.int64)])


def _check_classes(tags: np.ndarray, num_labels: int) -> None:
    wrong = tags[(tags < 0) | (tags >= num_labels)]
    if len(wrong):
        raise ValueError(
            f"Tags must be whole numbers from 0 to {num_labels - 1}, for {num_labels} classes; got {wrong[0]}. Are these "
            f"another data set's tags, or has the model too few classes?"
        )


def _parts_and_types(names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """For each class the part of an entity and the number of the entity's type, then those of "outside"."""
    matches = [match for name in names if (match := _ENTITY_TAG.fullmatch(name))]
    numbers: dict[str, int] = {}
    types = [-1 if match[0] == "O" else numbers.setdefault(match[2], len(numbers)) for match in matches]
    return np.array([_PARTS[match[1] or match[3]] for match in matches] + [_OUTSIDE]), np.array([*types, -1])
