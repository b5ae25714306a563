"""Words of a text are hidden, and the model says what they were."""

import datasets
import numpy as np

from ..data.columns import check_texts, find_text_columns
from ..data.masking import MaskableTokens, group_texts, mask_tokens
from ..data.tokenization import clamp_max_length
from ..metrics import MaskedTokenEvaluator
from .base import Task, add_ids


class MaskedLanguageModeling(Task):
    """Masked-language modeling on text of any kind: pre-training, as DistilBERT's. Make it with `from_splits`.

    A text carries its labels itself, the words that were hidden, so every row is a labeled one and there are no
    unlabeled ones.

    Attributes:
        text_column (`str`): Where the text is.

    See `Task` for the others.
    """

    name = "fill-mask"
    auto_class = "AutoModelForMaskedLM"
    # An item is a hidden word: one of a vocabulary.
    problem_type = "single_label_classification"
    # What a row hides is settled once: with several copies an epoch hides several things of every text.
    cache_format = "sampled"
    training_settings = {"num_mask_copies": 4}
    example = "The story of this film is very [MASK]."

    def __init__(self, text_column):
        self.text_column = text_column

    @classmethod
    def from_splits(cls, splits, *, text_column=None):
        """Find the column of the text.

        Args:
            splits (`dict[str, datasets.Dataset]`): Any of "train", "validation" and "test".
            text_column (`str`, *optional*): Where it is not called "text" or "sentence".

        Raises:
            ValueError: Columns or texts that cannot be used; an "unlabeled" split.
        """
        if "unlabeled" in splits:
            raise ValueError(
                f"unlabeled_file ({len(splits['unlabeled'])} rows) would have no effect of its own: the labels of a text "
                f"are its own words, so there is no text without labels, and student and control are to see the same. Put "
                f"the rows into train_file."
            )
        columns = find_text_columns(next(iter(splits.values())).column_names, text_column)
        if len(columns) > 1:
            raise ValueError(f"One column should hold the text; {' and '.join(columns)} both could. Set text_column.")
        for split_name, split in splits.items():
            check_texts(split, split_name, columns)
        return cls(columns[0])

    def prepare(
        self,
        split,
        tokenizer,
        *,
        max_length=128,
        mask_probability=0.15,
        num_mask_copies=1,
        seed=0,
        with_labels=True,
    ):
        """Rows of one length, with some of their words hidden.

        The texts stand end to end with the separator between them and are cut into rows of `max_length` tokens, so
        nothing is lost and little is padding. Of the words of a row (special tokens are none) each is chosen with
        `mask_probability`, at least one; 80 % of the chosen are masked, 10 % swapped for another, 10 % stay. The choice
        is a function of `seed`, copy and row number: it is the same for every model, on any number of processes, and
        after a resumption.

        Args:
            split (`datasets.Dataset`): Rows with the text column. Empty texts are left out.
            tokenizer: Student and teacher read the same ids, so it is the tokenizer of both. With a mask token.
            max_length (`int`): Tokens of a row, special ones included.
            mask_probability (`float`): Above 0, below 1.
            num_mask_copies (`int`): Of every row, with other words hidden in each. For rows to learn from; those that
                models are judged on need one.
            seed (`int`): Of the choice.
            with_labels (`bool`): Without effect: there is no text without its words.

        Returns:
            `datasets.Dataset`: input_ids, attention_mask and, where the tokenizer makes them, token_type_ids; labels:
            for each token the hidden word, -100 where none is; length: number of tokens; example_id: 0, 1, ...

        Raises:
            ValueError: No mask token; numbers out of range; a split without a word.

        Reference: Devlin et al. 2019, BERT; Sanh et al. 2019, DistilBERT, learns from the teacher what they hid.
        """
        if not 0 < mask_probability < 1:
            raise ValueError(
                f"mask_probability is the share of words to hide, above 0 and below 1, in BERT 0.15; got "
                f"{mask_probability!r}."
            )
        if num_mask_copies < 1:
            raise ValueError(f"num_mask_copies counts the copies of every row, 1 or more; got {num_mask_copies!r}.")
        check_texts(split, "given", (self.text_column,))
        tokens = MaskableTokens(tokenizer)
        rows = group_texts(list(split[self.text_column]), tokenizer, clamp_max_length(max_length, tokenizer))
        rows = [row for row in rows if tokens.maskable(row).any()]
        if not rows:
            raise ValueError(
                f"None of the {len(split)} texts of the split holds a word of the tokenizer's vocabulary."
            )
        self.example = self.example.replace("[MASK]", tokenizer.mask_token)
        pairs = [
            mask_tokens(row, tokens, probability=mask_probability, seed=[seed, copy, number])
            for copy in range(num_mask_copies)
            for number, row in enumerate(rows)
        ]
        return add_ids(_dataset(pairs, with_types="token_type_ids" in tokenizer.model_input_names))

    def collator(self, tokenizer, *, pad_to_multiple_of=None):
        """A function from a list of prepared rows to a batch of tensors, see `MaskedCollator`."""
        from ..collators.text import MaskedCollator

        return MaskedCollator(tokenizer, pad_to_multiple_of=pad_to_multiple_of)

    def evaluator(self, prepared, raw=None, main_metric=None):
        """`MaskedTokenEvaluator` over the hidden words of the rows, see `Task.evaluator`."""
        return MaskedTokenEvaluator(prepared["labels"], main_metric)

    def config_labels(self):
        """Nothing: the classes are the vocabulary, which a config knows."""
        return {}

    def labeled(self, prepared):
        """Every row is."""
        return np.ones(len(prepared), dtype=bool)

    def missing_labels(self, count):
        """There are none; ValueError."""
        raise ValueError(
            f"Labels of {count} rows should be missing, but a text carries its labels itself, the words that are hidden. "
            "Put all text into the training split, with datasets.concatenate_datasets for example."
        )


def _dataset(pairs, *, with_types):
    """Rows of (ids, labels) as a data set."""
    lengths = [len(ids) for ids, _ in pairs]
    small = datasets.List(datasets.Value("int8"))
    columns = {
        "input_ids": ([ids for ids, _ in pairs], datasets.List(datasets.Value("int32"))),
        **({"token_type_ids": ([np.zeros(length, np.int8) for length in lengths], small)} if with_types else {}),
        "attention_mask": ([np.ones(length, np.int8) for length in lengths], small),
        "labels": ([labels for _, labels in pairs], datasets.List(datasets.Value("int64"))),
        "length": (lengths, datasets.Value("int64")),
    }
    return datasets.Dataset.from_dict(
        {name: values for name, (values, _) in columns.items()},
        features=datasets.Features({name: feature for name, (_, feature) in columns.items()}),
    )
