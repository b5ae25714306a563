"""Task: sentence embeddings, whose cosines are the similarity of texts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import datasets
import numpy as np

from ..collators.text import PairCollator
from ..data.columns import check_texts, find_label_column, find_text_columns, source_rows, source_split
from ..data.labels import column_values, read_labels
from ..data.tokenization import clamp_max_length
from ..internals.messages import listed, quoted, shown
from ..metrics import SimilarityEvaluator, similarity_metrics
from ..models.sentence_encoder import SentenceEncoder
from .base import Splits, Task, add_ids, add_labels

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


_SCORED = ("train", "validation", "test")


class SentenceEmbeddings(Task):
    """Embeddings of texts, evaluated on pairs with a gold similarity score. Make it with `from_splits`.

    An example is a pair of texts. For texts without a score, single or in pairs, the targets are the teacher's embeddings;
    two consecutive single texts make a pair.

    Attributes:
        text_columns (`tuple[str]`): The two columns of the scored pairs.
        label_column (`str` or None): Column of the score; splits may lack it.
        score_range (`tuple[float]`): The smallest and the largest score of the training split (of validation where
            there is none), which become 0 and 1: the target of the cosine.

    See `Task` for the others.
    """

    name = "sentence-similarity"
    allows_other_tokenizers = True
    problem_type = "embedding"
    example = ["A man is playing a guitar.", "Somebody makes music."]

    def __init__(self, text_columns: Sequence[str], label_column: str, score_range: tuple[float, float]) -> None:
        self.text_columns, self.label_column, self.score_range = tuple(text_columns), label_column, score_range

    @property
    def auto_class(self) -> type[SentenceEncoder]:
        """`SentenceEncoder`."""
        return SentenceEncoder

    @classmethod
    def from_splits(
        cls,
        splits: Splits,
        *,
        text_column: str | None = None,
        text_pair_column: str | None = None,
        label_column: str | None = None,
    ) -> SentenceEmbeddings:
        """Create the task: infer columns and score range from the data, and reject data that would fail after training.

        Args:
            splits (`dict[str, datasets.Dataset]`): Pairs with a score in "validation", and where given in "test" and
                "train"; "train" may lack the score, and "unlabeled" may be single texts.
            text_column, text_pair_column (`str`, *optional*): The two columns of a pair, where the usual names
                are ambiguous. A split that lacks one of them is searched for the usual names.
            label_column (`str`, *optional*): By default "label" or "labels".

        Raises:
            ValueError: Columns, texts or scores that cannot be used. The message names the column or row.
        """
        whole = getattr(splits, "whole", splits)
        scored = [name for name in _SCORED if name in whole]
        if not scored:
            raise ValueError(
                f"Embeddings are evaluated on pairs with a score, in a split validation or test; got {listed(splits)}. Set "
                f"validation_file."
            )
        # The last of them has scored pairs most reliably: the training split may be plain text.
        texts = find_text_columns(whole[scored[-1]].column_names, text_column, text_pair_column)
        if len(texts) != 2:
            raise ValueError(
                f"The {scored[-1]} split has one text per row, column {shown(texts[0])}; a similarity needs two texts "
                f"and a score. Set text_column and text_pair_column. Plain texts are for train_file or unlabeled_file."
            )
        label = find_label_column(whole[scored[-1]].column_names, label_column)
        if label in texts:
            raise ValueError(
                f"Column {shown(label)} is named as both text and score. Set text_column and label_column."
            )
        task = cls(texts, label, (0.0, 1.0))
        for name, split in splits.items():
            check_texts(split, name, task._texts_of(split))
            if name == "validation" and label not in split.column_names:
                raise ValueError(
                    f"The validation split has no column {shown(label)}, which has the scores in the {scored[-1]} split, "
                    f"so it has no metric. Its columns are {listed(split.column_names)}. Add the scores, or set "
                    f"label_column."
                )
        task.score_range = task._range_of(whole, scored)
        for name in scored:
            task._scores(splits[name], name)
        return task

    def prepare(
        self,
        split: datasets.Dataset,
        tokenizer: PreTrainedTokenizerBase,
        *,
        max_length: int = 128,
        with_labels: bool = True,
    ) -> datasets.Dataset:
        """Tokenized pairs, not padded.

        Args:
            split (`datasets.Dataset`): Pairs, or single texts, of which every two consecutive ones make a pair; a
                single text left at the end is paired with the first.
            tokenizer: The tokenizer of both student and teacher, which take the same ids.
            max_length (`int`): Tokens of a text, special ones included; longer texts are truncated at the end.
            with_labels (`bool`): False: the scores of the split are not read and count as missing.

        Returns:
            `datasets.Dataset` of one row per pair: input_ids, attention_mask and the tokenizer's other columns, each a
            list of two lists; labels, the score between 0 and 1 (NaN where missing; outside where it lies outside
            `score_range`); length: tokens of the longer text; example_id: the row's number.

        Raises:
            ValueError: A `max_length` that leaves no tokens for text; texts or scores that cannot be used.
        """
        columns = self._texts_of(split)
        check_texts(split, "given", columns)
        texts = [split.with_format(None)[name][:] for name in columns]
        if len(texts) == 1:
            (single,) = texts
            texts = [single[0::2], single[1::2] + single[: len(single) % 2]]
        max_length = clamp_max_length(max_length, tokenizer)
        pairs = datasets.Dataset.from_dict({"first": texts[0], "second": texts[1]})
        rows = pairs.map(
            lambda part: _tokens(part, tokenizer, max_length),
            batched=True,
            remove_columns=pairs.column_names,
            keep_in_memory=True,
            load_from_cache_file=False,
            new_fingerprint=f"{split._fingerprint}-pairs-{max_length}",
            desc="Tokenizing",
        )
        scored = with_labels and len(columns) == 2 and self.label_column in split.column_names
        scores = self._scores(split, "given") if scored else self.missing_labels(len(rows))
        return add_ids(add_labels(rows, scores))

    def collator(self, tokenizer: PreTrainedTokenizerBase, *, pad_to_multiple_of: int | None = None) -> PairCollator:
        """The collator of prepared pairs."""
        return PairCollator(tokenizer, pad_to_multiple_of=pad_to_multiple_of)

    def evaluator(
        self, prepared: datasets.Dataset, raw: datasets.Dataset | None = None, main_metric: str | None = None
    ) -> SimilarityEvaluator:
        """A `SimilarityEvaluator` of the scores of the pairs, see `Task.evaluator`."""
        return SimilarityEvaluator(np.asarray(prepared["labels"]), main_metric)

    def compute_metrics(self) -> Callable:
        """A function for `Trainer(compute_metrics=)`: both correlations."""
        return similarity_metrics

    def config_labels(self) -> dict[str, Any]:
        """Empty: there are no classes."""
        return {}

    def labeled(self, prepared: datasets.Dataset) -> np.ndarray:
        return ~np.isnan(np.asarray(prepared["labels"], dtype=np.float64))

    def missing_labels(self, count: int) -> list[float]:
        return [float("nan")] * count

    def usage_example(self, folder: str | Path) -> str:
        return (
            f"from sentence_transformers import SentenceTransformer; "
            f"SentenceTransformer({quoted(folder)}).encode({self.example!r})"
        )

    def _texts_of(self, split: datasets.Dataset) -> tuple[str, ...]:
        """The text columns of a split: those of the scored pairs, else those with a usual name."""
        if set(self.text_columns) <= set(split.column_names):
            return self.text_columns
        return find_text_columns(split.column_names)

    def _range_of(self, splits: Splits, scored: Sequence[str]) -> tuple[float, float]:
        name = next(name for name in scored if self.label_column in splits[name].column_names)
        scores = np.array(self._scores(splits[name], name))
        present = scores[~np.isnan(scores)]
        if len(present) == 0 or np.ptp(present) == 0:
            content = f"the one score {present[0]:g}" if len(present) else "no score"
            raise ValueError(
                f"Column {shown(self.label_column)} of the {name} split has {content} in all its {len(scores)} rows, so "
                f"no pair is more similar than another. Set label_column to a score."
            )
        return float(present.min()), float(present.max())

    def _scores(self, split: datasets.Dataset, split_name: str) -> list[float]:
        """Scores scaled by `score_range`; missing ones, and those of a split without the column, are NaN."""
        if self.label_column not in split.column_names:
            return self.missing_labels(len(split))
        encoder = read_labels(split, self.label_column, problem_type="regression")
        values, name = column_values(split, self.label_column), source_split(split, split_name)
        scores = encoder.encode(values, name, rows=source_rows(split))
        low, high = self.score_range
        return [(score - low) / (high - low) for score in scores]


def _tokens(part: Mapping[str, list[str]], tokenizer: PreTrainedTokenizerBase, max_length: int) -> dict[str, list]:
    first, second = (tokenizer(part[name], truncation=True, max_length=max_length) for name in ("first", "second"))
    rows = {name: [list(pair) for pair in zip(first[name], second[name], strict=True)] for name in first}
    return {**rows, "length": [max(map(len, pair)) for pair in rows["input_ids"]]}
