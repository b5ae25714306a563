"""Task: classification or regression of texts and pairs of texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import datasets

from ..collators.text import PaddingCollator
from ..data.columns import check_texts, find_text_columns, first_split, label_column_of
from ..data.labels import LabelEncoder, read_labels
from ..data.tokenization import clamp_max_length, tokenize_rows
from ..internals.messages import shown
from ..signals.problem_kinds import problem_kind
from .base import Splits, add_ids, add_labels
from .classification_base import ClassificationTask, check_problem_type

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class TextClassification(ClassificationTask):
    """Classification or regression of single texts and pairs. Make it with `from_splits`.

    Attributes:
        text_columns (`tuple[str]`): One column, or the two of a pair.

    See `ClassificationTask` for the others.
    """

    name = "text-classification"
    auto_class = "AutoModelForSequenceClassification"
    allows_other_tokenizers = True
    supports_augmentation = True

    def __init__(self, text_columns: Sequence[str], label_column: str, encoder: LabelEncoder) -> None:
        super().__init__(label_column, encoder)
        self.text_columns = tuple(text_columns)

    @classmethod
    def from_splits(
        cls,
        splits: Splits,
        *,
        text_column: str | None = None,
        text_pair_column: str | None = None,
        label_column: str | None = None,
        problem_type: str | None = None,
        label_names: Sequence[str] | None = None,
    ) -> TextClassification:
        """Create the task: infer columns, problem kind and classes, and reject data that would fail after training.

        The columns and the classes are those of the training split (of validation where there is none), and hold for
        all splits: a label of another split that training does not have is an error. From `load_splits` with
        `max_train_samples`, the classes are those of all training rows, not only of the selected rows.

        Labels may be class labels, words (sorted, so that the same data gives the same indices), whole numbers
        (indices where they are 0, 1, 2, ... without a gap, otherwise names), booleans, fractions (regression), or
        lists (multi-label: classes that apply, or one 0 or 1 per class). Missing are: empty, None, NaN, -1 for
        classes, and -1 for scores where every row of a split has it.

        Args:
            splits (`dict[str, datasets.Dataset]`): "train", "validation", and where given "test" and "unlabeled".
            text_column, text_pair_column (`str`, *optional*): Where the usual names are ambiguous.
            label_column (`str`, *optional*): By default "label" or "labels".
            problem_type (`str`, *optional*): One of "single_label_classification", "multi_label_classification",
                "regression", where the labels leave it open.
            label_names (`list[str]`, *optional*): The classes in order, a teacher's for example. Whole numbers in the
                data are then indices into it, unless the names are numbers.

        Raises:
            ValueError: Columns, texts or labels that cannot be used. The message names the column or row.
        """
        check_problem_type(problem_type)
        whole = getattr(splits, "whole", splits)
        columns = first_split(whole, "train", "unlabeled", "validation", "test").column_names
        texts = find_text_columns(columns, text_column, text_pair_column)
        for split_name, split in splits.items():
            check_texts(split, split_name, texts)
        label = label_column_of(whole, label_column)
        if label in texts:
            raise ValueError(
                f"Column {shown(label)} is named as both text and label. Set text_column and label_column."
            )
        reference = first_split(whole, "train", "validation", "test")
        task = cls(texts, label, read_labels(reference, label, problem_type=problem_type, label_names=label_names))
        task.check_labels(splits)
        return task

    def prepare(
        self,
        split: datasets.Dataset,
        tokenizer: PreTrainedTokenizerBase,
        *,
        max_length: int = 128,
        with_labels: bool = True,
        cache_dir: str | Path | None = None,
    ) -> datasets.Dataset:
        """Tokenized rows, not padded.

        No file is written without `cache_dir`, so data in a read-only folder works.

        Args:
            split (`datasets.Dataset`): Rows with the text columns; labels are missing where it has no label column.
            tokenizer: The tokenizer of both student and teacher, which take the same ids.
            max_length (`int`): Tokens, special ones included; longer texts are truncated at the end (of pairs, the longer
                text first). At most the tokenizer's own limit.
            with_labels (`bool`): False: the labels of the split are not read and count as missing.
            cache_dir (`str` or `Path`, *optional*): Folder of a file with the tokens, which the rows and later calls are
                read from instead of memory. For data too large for that.

        Returns:
            `datasets.Dataset` of as many rows: input_ids, attention_mask and the tokenizer's other columns
            (token_type_ids: a BERT teacher needs them even if the student takes none); labels: int, list of float,
            or float, see `Task.missing_labels` for missing ones; length: number of tokens; example_id: the row's number
            from 0, which identifies the row in a cache.

        Raises:
            ValueError: A `max_length` that leaves no tokens for text; texts or labels that cannot be used.
        """
        check_texts(split, "given", self.text_columns)
        labels = self.labels_of(split, with_labels=with_labels)
        max_length = clamp_max_length(max_length, tokenizer, is_pair=len(self.text_columns) == 2)
        return add_ids(add_labels(self._tokens(split, tokenizer, max_length, cache_dir), labels))

    def collator(
        self, tokenizer: PreTrainedTokenizerBase, *, pad_to_multiple_of: int | None = None
    ) -> PaddingCollator:
        """The collator of prepared rows.

        Labels are int64 of shape (batch,); float32 of shape (batch, labels) for multi-label; float32 of shape
        (batch,) for regression.

        Args:
            tokenizer: The tokenizer of the rows.
            pad_to_multiple_of (`int`, *optional*): Round lengths up; 8 suits half precision on a GPU.

        Raises:
            ValueError: A tokenizer without a padding token.
        """
        return PaddingCollator(
            tokenizer,
            float_labels=problem_kind(self.problem_type).float_labels,
            pad_to_multiple_of=pad_to_multiple_of,
        )

    def _tokens(
        self, split: datasets.Dataset, tokenizer: PreTrainedTokenizerBase, max_length: int, cache_dir: Any
    ) -> datasets.Dataset:
        texts = split.with_format(None).select_columns(list(self.text_columns))

        def tokenize(rows: Mapping[str, list]) -> dict[str, list]:
            tokens = tokenizer(*(rows[name] for name in self.text_columns), truncation=True, max_length=max_length)
            return {**tokens, "length": [len(ids) for ids in tokens["input_ids"]]}

        key = (split._fingerprint, self.text_columns, max_length)
        return tokenize_rows(texts, tokenize, tokenizer, key=key, cache_dir=cache_dir)
