"""Task: token classification, a class for every word of a text: named entities, parts of speech."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import datasets
import numpy as np
import pyarrow

from ..collators.text import PaddingCollator
from ..data.columns import (
    TAGS,
    arrow_column,
    check_words,
    find_words_column,
    first_split,
    flat_lists,
    label_column_of,
    row_location,
    source_rows,
    source_split,
)
from ..data.labels import SINGLE, LabelEncoder, column_values, read_labels
from ..data.tokenization import clamp_max_length, tokenize_rows
from ..internals.messages import quoted, shown
from ..metrics import TaggingEvaluator, marks_entities, tag_metrics
from ..metrics.classification import MISSING_LABEL
from .base import Splits, Task, add_ids

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

logger = logging.getLogger(__name__)

SOFT_PIECES = ("first", "all")


class TokenClassification(Task):
    """Tags of words. Make it with `from_splits`.

    Attributes:
        words_column (`str`): Column of lists of words.
        label_column (`str`): Column of lists of as many tags. Splits may lack it; their tags are missing then.

    See `Task` for the others.
    """

    name = "token-classification"
    auto_class = "AutoModelForTokenClassification"
    problem_type = SINGLE
    supports_augmentation = True
    per_token = {"labels": MISSING_LABEL, "soft_items": False}
    example = "Anna Schmidt moved from Berlin to Paris to work for Acme."

    def __init__(self, words_column: str, label_column: str, encoder: LabelEncoder) -> None:
        self.words_column, self.label_column = words_column, label_column
        self._encoder = encoder
        self.label_names, self.num_labels = encoder.names, encoder.num_labels

    @classmethod
    def from_splits(
        cls,
        splits: Splits,
        *,
        text_column: str | None = None,
        label_column: str | None = None,
        label_names: Sequence[str] | None = None,
    ) -> TokenClassification:
        """Create the task: infer columns and tags, and reject data that would fail after training.

        The classes are those of the training split, and hold for all splits. Tags may be class labels, words (sorted,
        so that the same data gives the same indices) or whole numbers. A row without tags (null, or an empty list
        in a row with words) is unlabeled; so is a word whose tag is empty, null, -1 or -100.

        Args:
            splits (`dict[str, datasets.Dataset]`): "train", "validation", and where given "test" and "unlabeled".
            text_column (`str`, *optional*): The column of the words. By default "tokens" or "words".
            label_column (`str`, *optional*): By default "ner_tags", "pos_tags", "tags" or "labels".
            label_names (`list[str]`, *optional*): The classes in order, a teacher's for example.

        Raises:
            ValueError: Columns, words or tags that cannot be used. The message names the column or row.
        """
        whole = getattr(splits, "whole", splits)
        words = find_words_column(
            first_split(whole, "train", "unlabeled", "validation", "test").column_names, text_column
        )
        for split_name, split in splits.items():
            check_words(split, split_name, words)
        label = label_column_of(whole, label_column, TAGS)
        if label == words:
            raise ValueError(
                f"Column {shown(label)} is named as both words and tags. Set text_column and label_column."
            )
        for split_name, split in whole.items():
            if split_name != "unlabeled" and label in split.column_names:
                _check_tags(split, split_name, label)
        task = cls(words, label, _read_tags(first_split(whole, "train", "validation", "test"), label, label_names))
        task._check_labels(splits)
        return task

    def prepare(
        self,
        split: datasets.Dataset,
        tokenizer: PreTrainedTokenizerBase,
        *,
        max_length: int = 128,
        soft_pieces: str = "first",
        with_labels: bool = True,
        cache_dir: str | Path | None = None,
    ) -> datasets.Dataset:
        """Tokenized rows, not padded.

        A word becomes one subword or more; its tag is the label of the first, and so is its prediction. Words that are
        truncated, or of which the tokenizer makes no subword, are lost: they have no label, and a warning counts them.
        `evaluator` with the raw split counts them as wrong.

        Args:
            split (`datasets.Dataset`): Rows with the words; tags are missing where it has no label column.
            tokenizer: A fast tokenizer, which has the word of each subword. One with different tokens for a word within a
                text and at its beginning (RoBERTa's) gets every word with a space before it.
            max_length (`int`): Tokens, special ones included; longer texts are truncated at the end.
            soft_pieces (`str`): Where the teacher's predictions are targets: at the "first" subword of each word, or at
                "all".
            with_labels (`bool`): False: the tags of the split are not read and count as missing.
            cache_dir (`str` or `Path`, *optional*): Folder of a file for the tokens, instead of memory.

        Returns:
            `datasets.Dataset` of as many rows: input_ids, attention_mask and the tokenizer's other columns; labels:
            list of int, -100 where there is none; soft_items: list of bool; lost_words: numbers of the words without a
            subword, nearly always none; length; example_id.

        Raises:
            ValueError: A slow tokenizer; an unknown `soft_pieces`; a `max_length` that leaves no tokens for words; words or
                tags that cannot be used.
        """
        if soft_pieces not in SOFT_PIECES:
            raise ValueError(f"soft_pieces must be one of {', '.join(SOFT_PIECES)}; got {shown(soft_pieces)}.")
        _check_fast(tokenizer)
        check_words(split, "given", self.words_column)
        tags, num_words = self._tags_of(split, "given", with_labels=with_labels)
        rows = self._tokens(split, tokenizer, clamp_max_length(max_length, tokenizer), cache_dir)
        word = flat_lists(rows, "word")[0].to_numpy()  # the number of each token's word; -1 for special tokens
        lengths = np.asarray(rows["length"], dtype=np.int64)
        row = np.repeat(np.arange(len(rows)), lengths)
        first = (word >= 0) & ((word != np.roll(word, 1)) | (row != np.roll(row, 1)))
        labels = np.full(len(word), MISSING_LABEL)
        labels[first] = tags[(np.cumsum(num_words) - num_words)[row[first]] + word[first]]
        columns = {"labels": ("int64", labels), "soft_items": ("bool", first if soft_pieces == "first" else word >= 0)}
        rows = rows.remove_columns("word")
        for name, (kind, flat) in columns.items():
            lists = _lists(flat, lengths, datasets.Value(kind).pa_type)
            rows = rows.add_column(name, lists, feature=datasets.List(datasets.Value(kind)))
        lost = _lost_words(row[first], word[first], num_words)
        rows = rows.add_column("lost_words", lost, feature=datasets.List(datasets.Value("int32")))
        return add_ids(rows)

    def collator(
        self, tokenizer: PreTrainedTokenizerBase, *, pad_to_multiple_of: int | None = None
    ) -> PaddingCollator:
        """The collator of prepared rows.

        labels are int64 of shape (batch, sequence), -100 at padding; soft_items bool of the same shape.

        Args:
            tokenizer: The tokenizer of the rows.
            pad_to_multiple_of (`int`, *optional*): Round lengths up; 8 suits half precision on a GPU.

        Raises:
            ValueError: A tokenizer without a padding token.
        """
        return PaddingCollator(tokenizer, per_token=self.per_token, pad_to_multiple_of=pad_to_multiple_of)

    def evaluator(
        self, prepared: datasets.Dataset, raw: datasets.Dataset | None = None, main_metric: str | None = None
    ) -> TaggingEvaluator:
        """A `TaggingEvaluator` of the words that have a tag, see `Task.evaluator`.

        With `raw` it is over all of them, lost ones included; without, over those that have a subword.
        """
        if raw is None:
            labels, lengths = flat_lists(prepared, "labels")
            labels = np.split(labels.to_numpy(), np.cumsum(lengths)[:-1])
            tags, seen = [row[row != MISSING_LABEL] for row in labels], None
        else:
            flat, num_words = self._tags_of(raw, "given")
            words = np.split(flat, np.cumsum(num_words)[:-1])
            is_seen = [np.ones(count, dtype=bool) for count in num_words]
            for mask, lost in zip(is_seen, prepared["lost_words"], strict=True):
                mask[lost] = False
            scored = [row != MISSING_LABEL for row in words]
            tags = [row[mask] for row, mask in zip(words, scored, strict=True)]
            seen = [row[mask] for row, mask in zip(is_seen, scored, strict=True)]
        return TaggingEvaluator(tags, self.num_labels, self.label_names, seen=seen, main_metric=main_metric)

    def compute_metrics(self) -> Callable:
        """A function for `Trainer(compute_metrics=)`, see `tag_metrics`."""
        return tag_metrics(self.num_labels, self.label_names)

    def usage_example(self, folder: str | Path) -> str:
        if not marks_entities(self.label_names):
            return super().usage_example(folder)
        # "first": the tag of a word is that of its first subword, as in training.
        arguments = f'"{self.name}", {quoted(folder)}, aggregation_strategy="first"'
        return f"transformers.pipeline({arguments})({self.example!r})"

    def labeled(self, prepared: datasets.Dataset) -> np.ndarray:
        """Mask of the prepared rows that have a tag, bool, shape (rows,)."""
        labels, lengths = flat_lists(prepared, "labels")
        row = np.repeat(np.arange(len(lengths)), lengths)
        return np.bincount(row[labels.to_numpy() != MISSING_LABEL], minlength=len(lengths)) > 0

    def without_labels(self, prepared: datasets.Dataset) -> datasets.Dataset:
        """Prepared rows with all tags missing; `soft_items`, the mask of the teacher's targets, is unchanged."""
        missing = [[MISSING_LABEL] * length for length in prepared["length"]]
        return prepared.remove_columns("labels").add_column("labels", missing, feature=prepared.features["labels"])

    def _tokens(
        self, split: datasets.Dataset, tokenizer: PreTrainedTokenizerBase, max_length: int, cache_dir: Any
    ) -> datasets.Dataset:
        texts = split.with_format(None).select_columns([self.words_column])
        before = " " if _needs_spaces(tokenizer) else ""

        def tokenize(rows: Mapping[str, list]) -> dict[str, list]:
            words = [[before + word for word in row] for row in rows[self.words_column]]
            tokens = tokenizer(words, is_split_into_words=True, truncation=True, max_length=max_length)
            numbers = [tokens.word_ids(row) for row in range(len(words))]
            return {
                **tokens,
                "word": [[-1 if number is None else number for number in row] for row in numbers],
                "length": [len(ids) for ids in tokens["input_ids"]],
            }

        key = (split._fingerprint, self.words_column, max_length, "words")
        return tokenize_rows(texts, tokenize, tokenizer, key=key, cache_dir=cache_dir)

    def _tags_of(
        self, split: datasets.Dataset, split_name: str, *, with_labels: bool = True
    ) -> tuple[np.ndarray, np.ndarray]:
        """Classes of the words of all rows, concatenated, -100 where missing; and the number of words of each row."""
        _, num_words = flat_lists(split, self.words_column)
        tags = np.full(num_words.sum(), MISSING_LABEL)
        if not with_labels or self.label_column not in split.column_names:
            return tags, num_words
        _check_tags(split, split_name, self.label_column)
        rows = column_values(split, self.label_column)
        num_tags = np.array([len(row or ()) for row in rows], dtype=np.int64)
        wrong = np.flatnonzero((num_tags != num_words) & (num_tags > 0))
        if len(wrong):
            row = wrong[0]
            raise ValueError(
                f"{row_location(split, split_name, row)} has {num_words[row]} words and {num_tags[row]} tags "
                f"({len(wrong)} such rows), so tags and words do not correspond. Each word needs a tag; a row without "
                f"any tag is learned from the teacher alone."
            )
        values = [tag for row in rows for tag in row or ()]
        numbers = np.repeat(source_rows(split), num_tags)
        classes = self._encoder.encode(values, source_split(split, split_name), rows=numbers)
        tags[np.repeat(num_tags > 0, num_words)] = classes
        return tags, num_words

    def _check_labels(self, splits: Splits) -> None:
        """Check that all tags can be encoded, and that train and validation have some; ValueError."""
        for split_name, split in splits.items():
            if split_name == "unlabeled" or self.label_column not in split.column_names:
                continue
            tags, num_words = self._tags_of(split, split_name)
            missing = tags == MISSING_LABEL
            if missing.all() and split_name != "test":
                raise ValueError(
                    f"All tags of the {len(tags)} words of the {split_name} split are missing (empty, -1 or -100) in "
                    f"column {shown(self.label_column)}. Use a split with tags; rows without them can be learned from as "
                    f"the 'unlabeled' split (unlabeled_file)."
                )
            if missing.any() and not missing.all():
                row = np.repeat(np.arange(len(num_words)), num_words)
                logger.warning(
                    "%d of %d words of the %s split have no tag, in %d of %d rows: only a teacher has targets for them.",
                    missing.sum(),
                    len(tags),
                    split_name,
                    len(np.unique(row[missing])),
                    len(num_words),
                )


def _check_tags(split: datasets.Dataset, split_name: str, column: str) -> None:
    """Raise a ValueError for tags that are not lists of classes."""
    kind = arrow_column(split, column).type
    lists = (pyarrow.types.is_list, pyarrow.types.is_large_list)
    if not any(is_list(kind) for is_list in lists):
        raise ValueError(
            f"Column {shown(column)} of the {split_name} split contains {kind}, but each row needs a list of tags, one "
            f"for each word. If each row has one label, the task is text-classification; otherwise split it, or set "
            f"label_column."
        )
    if any(is_list(kind.value_type) for is_list in lists) or pyarrow.types.is_struct(kind.value_type):
        raise ValueError(
            f"Column {shown(column)} of the {split_name} split contains {kind}, but a word has one tag: a class or a "
            f"number. Make each row a plain list of tags, or set label_column."
        )


def _read_tags(split: datasets.Dataset, column: str, label_names: Sequence[str] | None) -> LabelEncoder:
    """The encoder of the classes in a column of lists."""
    tags, _ = flat_lists(split, column)
    feature = split.features[column].feature
    if pyarrow.types.is_null(tags.type) or tags.null_count == len(tags):
        raise ValueError(
            f"Column {shown(column)} contains no tag in any of {len(split)} rows, so there are no classes. Set another "
            f"label_column, or give rows with tags."
        )
    flat = datasets.Dataset(
        datasets.table.InMemoryTable(pyarrow.table({column: tags})),
        info=datasets.DatasetInfo(features=datasets.Features({column: feature})),
    )
    return read_labels(flat, column, problem_type=SINGLE, label_names=label_names)


def _check_fast(tokenizer: PreTrainedTokenizerBase) -> None:
    if not getattr(tokenizer, "is_fast", False):
        raise ValueError(
            f"{type(tokenizer).__name__} is a slow tokenizer, which does not map subwords to words, so tags cannot be "
            f"assigned to subwords. Load it with AutoTokenizer.from_pretrained(...), which prefers a fast one."
        )


def _needs_spaces(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether a word alone has other tokens than the same word within a text (RoBERTa, ModernBERT)."""

    def last(text: str | list[str], **settings: bool) -> list[int]:
        return tokenizer(text, add_special_tokens=False, **settings)["input_ids"][-1:]

    alone, spaced = (last([word, word], is_split_into_words=True) for word in ("a", " a"))
    return alone != spaced and spaced == last("a a")


def _lists(values: np.ndarray, lengths: np.ndarray, kind: pyarrow.DataType) -> pyarrow.ListArray:
    """Concatenated values as one list per row."""
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return pyarrow.ListArray.from_arrays(offsets, pyarrow.array(values, type=kind))


def _lost_words(row: np.ndarray, word: np.ndarray, num_words: np.ndarray) -> list[list[int]]:
    """For each row, the numbers of the words without a subword; logs a warning where there are some."""
    lost: list[list[int]] = [[] for _ in num_words]
    num_seen = np.bincount(row, minlength=len(num_words))
    for index in np.flatnonzero(num_seen < num_words):
        lost[index] = np.setdiff1d(np.arange(num_words[index]), word[row == index]).tolist()
    if num_lost := sum(map(len, lost)):
        logger.warning(
            "%d of %d words, in %d of %d rows, are cut off by max_length or have no subword. They have no label, and where "
            "models are compared they count as wrong. A larger max_length keeps more.",
            num_lost,
            num_words.sum(),
            sum(map(bool, lost)),
            len(lost),
        )
    return lost
