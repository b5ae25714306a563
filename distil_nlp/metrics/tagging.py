"""How good a tagger is: entities found whole, and words tagged right.

An entity counts where its first word, its last word and its type are all right, as the shared task of CoNLL 2003 counts
them and as seqeval does in its default mode (the tests compare). Tags are B-, I- and O; the ends and single words of
IOBES and BILOU are understood, too.
"""

import re
import warnings

import numpy as np

from .base import Evaluator
from .classification import MISSING_LABEL

UNSEEN = -1  # what a model says about a word that it never saw: nothing
_NOT_A_NUMBER = -2
_OUTSIDE, _BEGIN, _INSIDE, _END, _SINGLE = range(5)
_PARTS = {"O": _OUTSIDE, "B": _BEGIN, "I": _INSIDE, "M": _INSIDE, "E": _END, "L": _END, "S": _SINGLE, "U": _SINGLE}
_ENTITY_TAG = re.compile(r"([BIMELSU])-(.+)|([BIO])")


def marks_entities(label_names):
    """Whether tags mark the parts of entities (B-PER, I-PER, O), rather than a class a word (NOUN, VERB).

    Args:
        label_names (`list[str]` or None): Names by class index.
    """
    names = label_names or []
    return any(name != "O" for name in names) and all(_ENTITY_TAG.fullmatch(name) for name in names)


class TaggingEvaluator(Evaluator):
    """Judges tags of words: by whole entities where the tags mark them, otherwise by the share of words tagged right.

    A sentence is an example. An answer is the tags of those of its words that are scored and that the model saw, int,
    shape (words,). A fact is counts: entities that are right, predicted and true, words that are right and all words.

    An entity begins at B- or S-, after a word outside, after an E- or S-, and where the type changes: an I- needs no B-
    before it. A word the model never saw, because its sentence was cut, has no tag: it counts as wrong in `accuracy`,
    and an entity it is part of is not found.

    | tags | metrics |
    |---|---|
    | B-, I-, O and their kin | f1, precision, recall (of entities, all types together), accuracy (of words) |
    | any other | accuracy (of words) |

    Args:
        tags (list of `np.ndarray`): For each row, the classes of its words that are scored, in order. A row without any
            is no example.
        num_labels (`int`): Number of classes.
        label_names (`list[str]`, *optional*): Their names; without them nothing says what is an entity.
        seen (list of `np.ndarray` of bool, *optional*): For each row, which of these words the model saw. Default: all.
        main_metric (`str`, *optional*): The metric to decide by, instead of the first.

    Raises:
        ValueError: No word is scored; a class outside 0 to num_labels - 1; an unknown metric.

    Reference: Tjong Kim Sang and De Meulder 2003, "Introduction to the CoNLL-2003 Shared Task", section 2.4.
    """

    def __init__(self, tags, num_labels, label_names=None, *, seen=None, main_metric=None):
        lengths = np.array([len(row) for row in tags], dtype=np.int64)
        if lengths.sum() == 0:
            raise ValueError(f"None of the words of {len(tags)} rows has a tag, so there is nothing to score.")
        self.num_labels = num_labels
        self._tags = _joined(tags)
        self._seen = np.ones(len(self._tags), dtype=bool) if seen is None else _joined(seen).astype(bool)
        _check_classes(self._tags, num_labels)
        self._num_seen = np.bincount(np.repeat(np.arange(len(tags)), lengths)[self._seen], minlength=len(tags))
        # Examples are the rows that have a word; between two of them stands a place that is outside of everything.
        self._example = np.repeat(np.arange(np.count_nonzero(lengths)), lengths[lengths > 0])
        self._place = np.arange(len(self._tags)) + self._example
        names = label_names if marks_entities(label_names) else None
        self._parts, self._types = (None, None) if names is None else _parts_and_types(names)
        super().__init__(
            ["accuracy"] if names is None else ["f1", "precision", "recall", "accuracy"],
            num_rows=len(tags),
            num_examples=int(self._example[-1]) + 1,
            problem_type="single_label_classification",
            main_metric=main_metric,
        )
        self._entities = None if names is None else self._find_entities(self._tags)

    def answers(self, logits, batch):
        """The tags of the words that have a label, at their first pieces.

        Args:
            logits (`torch.Tensor`): Shape (batch, sequence, classes).
            batch (`dict[str, torch.Tensor]`): `labels` of shape (batch, sequence), -100 where nothing is scored.

        Raises:
            ValueError: Logits of another shape.
        """
        if logits.ndim != 3 or logits.shape[-1] != self.num_labels:
            raise ValueError(
                f"Logits should have shape (batch, sequence, {self.num_labels}), a class for each token; the model gave "
                f"{tuple(logits.shape)}. Load it with AutoModelForTokenClassification and the labels of this data."
            )
        return _decided(logits.float().cpu().numpy(), batch["labels"].cpu().numpy())

    def statistics(self, answers):
        found = np.array([len(answer) for answer in answers])
        if len(found) != self.num_rows or (found != self._num_seen).any():
            raise ValueError(
                f"There should be an answer for each of {self.num_rows} rows, with a tag for each word the model saw "
                f"({self._num_seen.sum()} in all); got {len(found)} with {found.sum()} tags. Are they of another split?"
            )
        tags = np.full(len(self._tags), UNSEEN)
        tags[self._seen] = _joined(answers)
        facts = self._word_counts(tags)
        if self._entities is not None:
            facts = np.column_stack([self._entity_counts(tags), facts])
        num_bad = int(np.sum(tags == _NOT_A_NUMBER))
        if num_bad:
            warnings.warn(f"The logits of {num_bad} of {len(tags)} words hold NaN; every metric is nan.", stacklevel=2)
            return np.full(facts.shape, np.nan)
        return facts

    def compute(self, name, facts):
        counts = facts.sum(axis=0)
        if np.isnan(counts).any():
            return float("nan")
        if name == "accuracy":
            right, total = counts[-2:]
        else:
            right, predicted, true = counts[:3]
            total = {"precision": predicted, "recall": true, "f1": (predicted + true) / 2}[name]
        return float(right / total) if total else 0.0

    def agreement(self, ours, theirs):
        """Share of words with the same tag."""
        ours, theirs = _joined(ours), _joined(theirs)
        if (ours == _NOT_A_NUMBER).any() or (theirs == _NOT_A_NUMBER).any():
            return float("nan")
        return float(np.mean(ours == theirs))

    def _word_counts(self, tags):
        right = np.bincount(self._example, weights=tags == self._tags, minlength=self.num_examples)
        return np.column_stack([right.astype(np.int64), np.bincount(self._example, minlength=self.num_examples)])

    def _entity_counts(self, tags):
        """Entities that are right, predicted and true, in each example."""
        starts, ends, types = self._find_entities(tags)
        true_starts, true_ends, true_types = self._entities
        true_end, true_type = (np.full(self._place[-1] + 1, -1) for _ in range(2))
        true_end[true_starts], true_type[true_starts] = true_ends, true_types
        right = starts[(true_end[starts] == ends) & (true_type[starts] == types)]
        example = np.zeros(self._place[-1] + 1, dtype=np.int64)
        example[self._place] = self._example
        count = [np.bincount(example[one], minlength=self.num_examples) for one in (right, starts, true_starts)]
        return np.column_stack(count)

    def _find_entities(self, tags):
        """First place, last place and type of every entity."""
        placed = np.full(self._place[-1] + 2, UNSEEN)
        placed[self._place] = np.maximum(tags, UNSEEN)
        parts, types = self._parts[placed], self._types[placed]  # of the last element, "outside", for UNSEEN
        before, type_before = np.roll(parts, 1), np.roll(types, 1)  # the very last place is outside
        begins = (
            np.isin(parts, (_BEGIN, _SINGLE)) | np.isin(before, (_OUTSIDE, _END, _SINGLE)) | (types != type_before)
        )
        begins &= parts != _OUTSIDE
        ends = (parts != _OUTSIDE) & (begins | (parts == _OUTSIDE))[np.r_[1 : len(parts), 0]]
        return np.flatnonzero(begins), np.flatnonzero(ends), types[begins]


def tag_metrics(num_labels, label_names=None):
    """A function for Trainer's `compute_metrics`: the metrics of `TaggingEvaluator`, over the tokens that have a label.

    Words that were cut off have no token and are not counted; `TaggingEvaluator` with `seen` counts them.

    Args:
        num_labels (`int`): Number of classes.
        label_names (`list[str]`, *optional*): Their names.
    """

    def compute(prediction):
        logits, labels = (
            value[0] if isinstance(value, (tuple, list)) else value
            for value in (prediction.predictions, prediction.label_ids)
        )
        evaluator = TaggingEvaluator([row[row != MISSING_LABEL] for row in labels], num_labels, label_names)
        return evaluator.scores(evaluator.statistics(_decided(logits, labels)))

    return compute


def _decided(logits, labels):
    """For each row, the class of the highest logit wherever there is a label."""
    counted = labels != MISSING_LABEL
    chosen = logits[counted]
    tags = chosen.argmax(axis=-1).astype(np.int32)
    tags[np.isnan(chosen).any(axis=-1)] = _NOT_A_NUMBER
    return np.split(tags, np.cumsum(counted.sum(axis=1))[:-1])


def _joined(rows):
    return np.concatenate([np.asarray(row) for row in rows if len(row)] or [np.zeros(0, dtype=np.int64)])


def _check_classes(tags, num_labels):
    wrong = tags[(tags < 0) | (tags >= num_labels)]
    if len(wrong):
        raise ValueError(
            f"Tags must be whole numbers from 0 to {num_labels - 1}, for {num_labels} classes; got {wrong[0]}. Are these "
            f"another data set's tags, or has the model too few classes?"
        )


def _parts_and_types(names):
    """For each class the part of an entity and the entity's type, numbered; last, what "outside" has of both."""
    found = [_ENTITY_TAG.fullmatch(name) for name in names]
    kinds = {}
    types = [
        -1 if name == "O" else kinds.setdefault(one[2], len(kinds)) for name, one in zip(names, found, strict=True)
    ]
    return np.array([_PARTS[one[1] or one[3]] for one in found] + [_OUTSIDE]), np.array([*types, -1])
