"""A text, or a pair of texts, gets a class, several classes, or a score."""

import json
import logging
from pathlib import Path

import numpy as np
from datasets.fingerprint import Hasher

from ..metrics import Classification, compute_metrics
from ..metrics.classification import PROBLEM_TYPES
from .base import Task, add_ids, add_labels
from .columns import check_texts, find_label_column, find_text_columns, listed
from .labels import column_values, read_labels
from .room import room

logger = logging.getLogger(__name__)


class TextClassification(Task):
    """Classification or regression of single texts and pairs. Make it with `from_splits`.

    Attributes:
        text_columns (`tuple[str]`): One column, or the two of a pair.
        label_column (`str`): Splits may lack it; their labels are missing then.

    See `Task` for the others.
    """

    name = "text-classification"
    auto_class = "AutoModelForSequenceClassification"
    one_row = any_tokenizer = True

    def __init__(self, text_columns, label_column, code):
        self.text_columns, self.label_column = tuple(text_columns), label_column
        self._code = code
        self.problem_type, self.label_names, self.num_labels = code.problem_type, code.names, code.num_labels

    @classmethod
    def from_splits(
        cls,
        splits,
        *,
        text_column=None,
        text_pair_column=None,
        label_column=None,
        problem_type=None,
        label_names=None,
    ):
        """Read columns, kind of problem and classes off the data; refuse now what would fail after training.

        The columns and the classes are those of the training split (of validation where there is none), and hold for
        all splits: a label of another split that training does not have is an error. From `load_splits` with
        `max_train_samples`, the classes are those of all training rows, not only of the rows taken.

        Labels may be class labels, words (sorted, so that the same data gives the same indices), whole numbers
        (indices where they are 0, 1, 2, ... without a gap, otherwise names), truth values, fractions (regression), or
        lists (multi-label: classes that apply, or one 0 or 1 per class). Missing are: empty, None, NaN, -1 for
        classes, and -1 for scores where every row of a split has it.

        Args:
            splits (`dict[str, datasets.Dataset]`): "train", "validation", and where given "test" and "unlabelled".
            text_column, text_pair_column (`str`, *optional*): Where the usual names do not settle it.
            label_column (`str`, *optional*): By default "label" or "labels".
            problem_type (`str`, *optional*): One of "single_label_classification", "multi_label_classification",
                "regression", where the labels leave it open.
            label_names (`list[str]`, *optional*): The classes in order, a teacher's for example. Whole numbers in the
                data are then indices into it, unless the names are numbers.

        Raises:
            ValueError: Columns, texts or labels that cannot be used; says which, where, and what to do.
        """
        if problem_type is not None and problem_type not in PROBLEM_TYPES:
            raise ValueError(f"problem_type must be one of {', '.join(PROBLEM_TYPES)}; got {problem_type!r}.")
        whole = getattr(splits, "whole", splits)
        found = _first(whole, "train", "unlabelled", "validation", "test").column_names
        texts = find_text_columns(found, text_column, text_pair_column)
        for split_name, split in splits.items():
            check_texts(split, split_name, texts)
        label = _find_label_column(whole, label_column)
        if label in texts:
            raise ValueError(f"Column {label!r} is named as both text and label. Set text_column and label_column.")
        reference = _first(whole, "train", "validation", "test")
        code = read_labels(reference, label, problem_type=problem_type, label_names=label_names)
        task = cls(texts, label, code)
        task._check_labels(splits)
        return task

    def prepare(self, split, tokenizer, *, max_length=128, with_labels=True, cache_dir=None):
        """Tokenised rows, not padded.

        Nothing is written unless `cache_dir` is given, so that data in a folder nobody may write to is fine.

        Args:
            split (`datasets.Dataset`): Rows with the text columns; labels are missing where it has no label column.
            tokenizer: Student and teacher read the same ids, so it is the tokenizer of both.
            max_length (`int`): Tokens, special ones included; longer texts are cut at the end (of pairs, the longer
                text first). At most the tokenizer's own limit.
            with_labels (`bool`): Off: the labels of the split are not read and count as missing.
            cache_dir (`str` or `Path`, *optional*): Keep the tokens in a file here and read them from it, next time
                too, instead of holding them in memory. For data too large for that.

        Returns:
            `datasets.Dataset` of as many rows: input_ids, attention_mask and what else the tokenizer makes
            (token_type_ids: a BERT teacher needs them even if the student takes none); labels: int, list of float,
            or float, see `Task.missing_labels` for those that are not there; length: number of tokens; example_id:
            the row's number, 0 first, by which what a teacher said can be found again.

        Raises:
            ValueError: A `max_length` without room for text; texts or labels that cannot be used.
        """
        check_texts(split, "given", self.text_columns)
        labelled = with_labels and self.label_column in split.column_names
        labels = self._labels_of(split, "given") if labelled else self.missing_labels(len(split))
        max_length = room(max_length, tokenizer, is_pair=len(self.text_columns) == 2)
        return add_ids(add_labels(self._tokens(split, tokenizer, max_length, cache_dir), labels))

    def collator(self, tokenizer, *, pad_to_multiple_of=None):
        """A function from a list of prepared rows to a batch of tensors, see `PaddingCollator`.

        Labels are int64 of shape (batch,); float32 of shape (batch, labels) for multi-label; float32 of shape
        (batch,) for regression.

        Args:
            tokenizer: The one that `prepare` was given.
            pad_to_multiple_of (`int`, *optional*): Round lengths up; 8 suits half precision on a GPU.

        Raises:
            ValueError: A tokenizer without a padding token.
        """
        # Here, not above: who only looks at data need not wait for torch.
        from .collator import PaddingCollator

        return PaddingCollator(
            tokenizer,
            float_labels=self.problem_type != "single_label_classification",
            pad_to_multiple_of=pad_to_multiple_of,
        )

    def yardstick(self, prepared, raw=None, main_metric=None):
        """A `Classification` over the labels of the rows, see `Task.yardstick`."""
        return Classification(self.problem_type, np.asarray(prepared["labels"]), self.num_labels, main_metric)

    def compute_metrics(self):
        """A function for `Trainer(compute_metrics=)`: every metric of the problem."""
        return compute_metrics(self.problem_type)

    def _tokens(self, split, tokenizer, max_length, cache_dir):
        texts = split.with_format(None).select_columns(list(self.text_columns))

        def tokenize(rows):
            tokens = tokenizer(*(rows[name] for name in self.text_columns), truncation=True, max_length=max_length)
            return {**tokens, "length": [len(ids) for ids in tokens["input_ids"]]}

        # A key of our own: pickling a tokenizer gives another one after its first use.
        key = Hasher.hash([split._fingerprint, self.text_columns, max_length, _state(tokenizer)])
        where = {"keep_in_memory": True, "load_from_cache_file": False}
        if cache_dir is not None:
            Path(cache_dir).mkdir(parents=True, exist_ok=True)
            where = {"cache_file_name": str(Path(cache_dir) / f"tokens-{key}.arrow"), "load_from_cache_file": True}
        return texts.map(
            tokenize, batched=True, remove_columns=texts.column_names, new_fingerprint=key, desc="Tokenizing", **where
        )

    def _labels_of(self, split, split_name):
        return self._code.encode(column_values(split, self.label_column), split_name)

    def _check_labels(self, splits):
        """Every label of every split has its place, and train and validation have some."""
        blank = self.missing_labels(1)[0]
        for split_name, split in splits.items():
            if split_name == "unlabelled" or self.label_column not in split.column_names:
                continue
            labels = self._labels_of(split, split_name)
            num_missing = sum(label == blank or label != label for label in labels)  # NaN alone differs from itself
            if num_missing == len(labels) and split_name != "test":
                raise ValueError(
                    f"All {len(labels)} labels of the {split_name} split are missing (empty or -1) in column "
                    f"{self.label_column!r}. GLUE publishes its test sets like this. Use a split with labels; rows "
                    f"without them can be learned from as the 'unlabelled' split (unlabelled_file)."
                )
            if 0 < num_missing < len(labels):
                logger.warning(
                    "%d of %d labels of the %s split are missing (empty or -1): only a teacher can say something "
                    "about these rows. If -1 is a class of yours, pass label_names with '-1' in it.",
                    num_missing,
                    len(labels),
                    split_name,
                )


def _first(splits, *names):
    """The first of the named splits that is there."""
    for name in names:
        if name in splits:
            return splits[name]
    raise ValueError(f"There should be one of the splits {', '.join(names)}; got {listed(splits) or 'none'}.")


def _find_label_column(splits, given):
    """The label column, which training and validation must have; the others may lack it."""
    name = find_label_column(_first(splits, "train", "validation", "test").column_names, given)
    if "validation" in splits and name not in splits["validation"].column_names:
        raise ValueError(
            f"The validation split has no column {name!r}, where the training split has its labels. Its columns are "
            f"{listed(splits['validation'].column_names)}. Without labels nothing can be measured: add them, or give "
            f"the splits the same column names."
        )
    return name


def _state(tokenizer):
    """What decides a tokenizer's output. Not its truncation and padding, which its last caller left behind."""
    names = [type(tokenizer).__name__, tokenizer.model_input_names, tokenizer.truncation_side, tokenizer.padding_side]
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return [*names, sorted(tokenizer.get_vocab().items()), str(tokenizer.init_kwargs)]
    settings = json.loads(backend.to_str())
    return [*names, {name: value for name, value in settings.items() if name not in ("truncation", "padding")}]
