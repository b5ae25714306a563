"""Task: masked-language modeling, the prediction of masked tokens of a text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import datasets
import numpy as np

from ..collators.text import MaskedCollator
from ..data.columns import check_texts, find_text_columns
from ..data.masking import MaskableTokens, group_texts, mask_tokens
from ..data.tokenization import clamp_max_length
from ..internals.messages import shown
from ..metrics import MaskedTokenEvaluator
from .base import Splits, Task, add_ids

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class MaskedLanguageModeling(Task):
    """Masked-language modeling on text of any kind: pre-training, as DistilBERT's. Make it with `from_splits`.

    The labels of a text are its own masked tokens, so every row is labeled and there is no unlabeled data.

    Attributes:
        text_column (`str`): Column of the text.

    See `Task` for the others.
    """

    name = "fill-mask"
    auto_class = "AutoModelForMaskedLM"
    problem_type = "single_label_classification"  # of each masked token, over the vocabulary
    # The masks of a row are chosen once: with several copies an epoch has several masks of every text.
    cache_format = "sampled"
    training_settings = {"num_mask_copies": 4}
    example = "The story of this film is very [MASK]."

    def __init__(self, text_column: str) -> None:
        self.text_column = text_column

    @classmethod
    def from_splits(cls, splits: Splits, *, text_column: str | None = None) -> MaskedLanguageModeling:
        """Create the task: find the column of the text.

        Args:
            splits (`dict[str, datasets.Dataset]`): Any of "train", "validation" and "test".
            text_column (`str`, *optional*): By default "text" or "sentence".

        Raises:
            ValueError: Columns or texts that cannot be used; an "unlabeled" split.
        """
        if "unlabeled" in splits:
            raise ValueError(
                f"unlabeled_file ({len(splits['unlabeled'])} rows) would have no effect of its own: the labels of a text "
                f"are its own words, so there is no text without labels, and student and control train on the same rows. "
                f"Put the rows into train_file."
            )
        columns = find_text_columns(next(iter(splits.values())).column_names, text_column)
        if len(columns) > 1:
            raise ValueError(
                f"One column should contain the text; {' and '.join(columns)} both could. Set text_column."
            )
        for split_name, split in splits.items():
            check_texts(split, split_name, columns)
        return cls(columns[0])

    def prepare(
        self,
        split: datasets.Dataset,
        tokenizer: PreTrainedTokenizerBase,
        *,
        max_length: int = 128,
        mask_probability: float = 0.15,
        num_mask_copies: int = 1,
        seed: int = 0,
        with_labels: bool = True,
    ) -> datasets.Dataset:
        """Rows of equal length with some of their tokens masked.

        The texts are concatenated with the separator between them and split into rows of `max_length` tokens, so nothing
        is lost and little is padding. Each token of a row except special ones is chosen with `mask_probability`, at least
        one; 80 % of the chosen are masked, 10 % replaced by a random token, 10 % unchanged. The choice is a function of
        `seed`, copy and row number: it is the same for every model, on any number of processes, and after a resumption.

        Args:
            split (`datasets.Dataset`): Rows with the text column. Empty texts are skipped.
            tokenizer: The tokenizer of both student and teacher, which take the same ids. With a mask token.
            max_length (`int`): Tokens of a row, special ones included.
            mask_probability (`float`): Above 0, below 1.
            num_mask_copies (`int`): Copies of every row, each with other masks. For training rows; rows for evaluation
                need a single copy.
            seed (`int`): Seed of the choice. `with_labels` has no effect: every text is labeled.

        Returns:
            `datasets.Dataset`: input_ids, attention_mask and, where the tokenizer makes them, token_type_ids; labels:
            for each token the masked one, -100 where none is; length: number of tokens; example_id: 0, 1, ...

        Raises:
            ValueError: No mask token; numbers out of range; a split without a word.

        Reference: Devlin et al. 2019, BERT; Sanh et al. 2019, DistilBERT, whose student learns the teacher's predictions at
        the masked tokens.
        """
        if not 0 < mask_probability < 1:
            range_of_it = f"above 0 and below 1, in BERT 0.15; got {shown(mask_probability)}"
            raise ValueError(f"mask_probability is the share of tokens to mask, {range_of_it}.")
        if num_mask_copies < 1:
            range_of_it = f"1 or more; got {shown(num_mask_copies)}"
            raise ValueError(f"num_mask_copies counts the copies of every row, {range_of_it}.")
        check_texts(split, "given", (self.text_column,))
        tokens = MaskableTokens(tokenizer)
        rows = group_texts(list(split[self.text_column]), tokenizer, clamp_max_length(max_length, tokenizer))
        rows = [row for row in rows if tokens.maskable(row).any()]
        if not rows:
            raise ValueError(
                f"None of the {len(split)} texts of the split contains a word of the tokenizer's vocabulary, so no token "
                f"can be masked. Is this the right text_column, and the tokenizer of this language?"
            )
        self.example = self.example.replace("[MASK]", tokenizer.mask_token)
        pairs = [
            mask_tokens(row, tokens, probability=mask_probability, seed=[seed, copy, number])
            for copy in range(num_mask_copies)
            for number, row in enumerate(rows)
        ]
        return add_ids(_dataset(pairs, with_types="token_type_ids" in tokenizer.model_input_names))

    def collator(self, tokenizer: PreTrainedTokenizerBase, *, pad_to_multiple_of: int | None = None) -> MaskedCollator:
        """The collator of prepared rows."""
        return MaskedCollator(tokenizer, pad_to_multiple_of=pad_to_multiple_of)

    def evaluator(
        self, prepared: datasets.Dataset, raw: datasets.Dataset | None = None, main_metric: str | None = None
    ) -> MaskedTokenEvaluator:
        """A `MaskedTokenEvaluator` of the masked tokens of the rows, see `Task.evaluator`."""
        return MaskedTokenEvaluator(prepared["labels"], main_metric)

    def config_labels(self) -> dict[str, Any]:
        """Empty: the classes are the vocabulary, whose size is part of every config."""
        return {}

    def labeled(self, prepared: datasets.Dataset) -> np.ndarray:
        """True for every row."""
        return np.ones(len(prepared), dtype=bool)

    def missing_labels(self, count: int) -> list[Any]:
        """Raise a ValueError: there is no text without labels."""
        raise ValueError(
            f"Labels of {count} rows should be missing, but the labels of a text are its own words, those that are masked. "
            "Put all text into the training split, with datasets.concatenate_datasets for example."
        )


def _dataset(pairs: Sequence[tuple[np.ndarray, np.ndarray]], *, with_types: bool) -> datasets.Dataset:
    """A data set of rows (ids, labels)."""
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
