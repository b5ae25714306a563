"""A text, or a pair of texts, gets a class, several classes, or a score."""

from ..data.columns import check_texts, find_text_columns, first_split, label_column_of
from ..data.labels import read_labels
from ..data.tokenization import clamp_max_length, tokenize_rows
from ..signals.problem_kinds import problem_kind
from .base import add_ids, add_labels
from .classification import ClassificationTask, check_problem_type


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

    def __init__(self, text_columns, label_column, code):
        super().__init__(label_column, code)
        self.text_columns = tuple(text_columns)

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
            splits (`dict[str, datasets.Dataset]`): "train", "validation", and where given "test" and "unlabeled".
            text_column, text_pair_column (`str`, *optional*): Where the usual names do not settle it.
            label_column (`str`, *optional*): By default "label" or "labels".
            problem_type (`str`, *optional*): One of "single_label_classification", "multi_label_classification",
                "regression", where the labels leave it open.
            label_names (`list[str]`, *optional*): The classes in order, a teacher's for example. Whole numbers in the
                data are then indices into it, unless the names are numbers.

        Raises:
            ValueError: Columns, texts or labels that cannot be used; says which, where, and what to do.
        """
        check_problem_type(problem_type)
        whole = getattr(splits, "whole", splits)
        found = first_split(whole, "train", "unlabeled", "validation", "test").column_names
        texts = find_text_columns(found, text_column, text_pair_column)
        for split_name, split in splits.items():
            check_texts(split, split_name, texts)
        label = label_column_of(whole, label_column)
        if label in texts:
            raise ValueError(f"Column {label!r} is named as both text and label. Set text_column and label_column.")
        reference = first_split(whole, "train", "validation", "test")
        code = read_labels(reference, label, problem_type=problem_type, label_names=label_names)
        task = cls(texts, label, code)
        task.check_labels(splits)
        return task

    def prepare(self, split, tokenizer, *, max_length=128, with_labels=True, cache_dir=None):
        """Tokenized rows, not padded.

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
        labels = self.labels_of(split, with_labels=with_labels)
        max_length = clamp_max_length(max_length, tokenizer, is_pair=len(self.text_columns) == 2)
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
        from ..collators.text import PaddingCollator

        return PaddingCollator(
            tokenizer,
            float_labels=problem_kind(self.problem_type).float_labels,
            pad_to_multiple_of=pad_to_multiple_of,
        )

    def _tokens(self, split, tokenizer, max_length, cache_dir):
        texts = split.with_format(None).select_columns(list(self.text_columns))

        def tokenize(rows):
            tokens = tokenizer(*(rows[name] for name in self.text_columns), truncation=True, max_length=max_length)
            return {**tokens, "length": [len(ids) for ids in tokens["input_ids"]]}

        key = (split._fingerprint, self.text_columns, max_length)
        return tokenize_rows(texts, tokenize, tokenizer, key=key, cache_dir=cache_dir)
