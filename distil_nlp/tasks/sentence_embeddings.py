"""Every text gets a vector, and how alike two texts are is the cosine of theirs."""

import datasets
import numpy as np

from ..data.columns import check_texts, find_label_column, find_text_columns, listed, source_rows, source_split
from ..data.labels import column_values, read_labels
from ..data.tokenization import clamp_max_length
from ..metrics import SimilarityEvaluator, similarity_metrics
from .base import Task, add_ids, add_labels

_SCORED = ("train", "validation", "test")


class SentenceEmbeddings(Task):
    """Embeddings of texts, judged on pairs with a score. Make it with `from_splits`.

    An example is a pair of texts. Text without a score, single or in pairs, is learned from by what the teacher makes
    of it; two single texts in a row make a pair.

    Attributes:
        text_columns (`tuple[str]`): The two of the scored pairs.
        label_column (`str` or None): The score's; splits may lack it.
        score_range (`tuple[float]`): The smallest and the largest score of the training split (of validation where
            there is none), which become 0 and 1: what a cosine should be.

    See `Task` for the others.
    """

    name = "sentence-similarity"
    allows_other_tokenizers = True
    problem_type = "embedding"
    example = ["A man is playing a guitar.", "Somebody makes music."]

    def __init__(self, text_columns, label_column, score_range):
        self.text_columns, self.label_column, self.score_range = tuple(text_columns), label_column, score_range

    @property
    def auto_class(self):
        """`SentenceEncoder`."""
        # Here, not above: who only looks at data need not wait for torch.
        from ..models.sentence_encoder import SentenceEncoder

        return SentenceEncoder

    @classmethod
    def from_splits(cls, splits, *, text_column=None, text_pair_column=None, label_column=None):
        """Read columns and the range of the scores off the data; refuse now what would fail after training.

        Args:
            splits (`dict[str, datasets.Dataset]`): Pairs with a score in "validation", and where given in "test" and
                "train"; "train" may lack the score, and "unlabeled" may be single texts.
            text_column, text_pair_column (`str`, *optional*): The two of a pair, where the usual names do not settle
                it. In a split that has not both, the usual names are looked for.
            label_column (`str`, *optional*): By default "label" or "labels".

        Raises:
            ValueError: Columns, texts or scores that cannot be used; says which, where, and what to do.
        """
        whole = getattr(splits, "whole", splits)
        scored = [name for name in _SCORED if name in whole]
        if not scored:
            raise ValueError(
                f"Embeddings are judged on pairs with a score, in a split validation or test; got {listed(splits)}."
            )
        # The last of them is the surest to be scored pairs: what is trained on may be plain text.
        texts = find_text_columns(whole[scored[-1]].column_names, text_column, text_pair_column)
        if len(texts) != 2:
            raise ValueError(
                f"The {scored[-1]} split has one text a row, column {texts[0]!r}; how alike two texts are needs two and "
                f"a score. Set text_column and text_pair_column. Plain texts are for train_file or unlabeled_file."
            )
        label = find_label_column(whole[scored[-1]].column_names, label_column)
        if label in texts:
            raise ValueError(f"Column {label!r} is named as both text and score. Set text_column and label_column.")
        task = cls(texts, label, (0.0, 1.0))
        for name, split in splits.items():
            check_texts(split, name, task._texts_of(split))
            if name == "validation" and label not in split.column_names:
                raise ValueError(
                    f"The validation split has no column {label!r}, where the scores are in the {scored[-1]} split. Its "
                    f"columns are {listed(split.column_names)}. Without scores nothing can be measured."
                )
        task.score_range = task._range_of(whole, scored)
        for name in scored:
            task._scores(splits[name], name)
        return task

    def prepare(self, split, tokenizer, *, max_length=128, with_labels=True):
        """Tokenized pairs, not padded.

        Args:
            split (`datasets.Dataset`): Pairs, or single texts, of which each two in a row make a pair; an odd one at
                the end is paired with the first.
            tokenizer: Student and teacher read the same ids, so it is the tokenizer of both.
            max_length (`int`): Tokens of a text, special ones included; longer texts are cut at the end.
            with_labels (`bool`): Off: the scores of the split are not read and count as missing.

        Returns:
            `datasets.Dataset` of one row a pair: input_ids, attention_mask and what else the tokenizer makes, each a
            list of two lists; labels, the score between 0 and 1 (NaN where missing; outside where it lies outside
            `score_range`); length: tokens of the longer text; example_id: the row's number.

        Raises:
            ValueError: A `max_length` without room for text; texts or scores that cannot be used.
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

    def collator(self, tokenizer, *, pad_to_multiple_of=None):
        """A function from a list of prepared pairs to a batch of tensors, see `PairCollator`."""
        from ..collators.text import PairCollator

        return PairCollator(tokenizer, pad_to_multiple_of=pad_to_multiple_of)

    def evaluator(self, prepared, raw=None, main_metric=None):
        """A `SimilarityEvaluator` to the scores of the pairs, see `Task.evaluator`."""
        return SimilarityEvaluator(np.asarray(prepared["labels"]), main_metric)

    def compute_metrics(self):
        """A function for `Trainer(compute_metrics=)`: both correlations."""
        return similarity_metrics

    def config_labels(self):
        """Nothing: there are no classes, and how an encoder pools is its own."""
        return {}

    def labeled(self, prepared):
        return ~np.isnan(np.asarray(prepared["labels"], dtype=np.float64))

    def missing_labels(self, count):
        return [float("nan")] * count

    def usage_example(self, folder):
        return (
            f"from sentence_transformers import SentenceTransformer; "
            f'SentenceTransformer("{folder}").encode({self.example!r})'
        )

    def _texts_of(self, split):
        """The text columns of a split: those of the scored pairs, else whatever goes by a usual name."""
        if set(self.text_columns) <= set(split.column_names):
            return self.text_columns
        return find_text_columns(split.column_names)

    def _range_of(self, splits, scored):
        name = next(name for name in scored if self.label_column in splits[name].column_names)
        scores = np.array(self._scores(splits[name], name))
        found = scores[~np.isnan(scores)]
        if len(found) == 0 or np.ptp(found) == 0:
            what = f"the one score {found[0]:g}" if len(found) else "no score"
            raise ValueError(
                f"Column {self.label_column!r} of the {name} split has {what} in all its {len(scores)} rows, so no pair "
                f"is more alike than another. Set label_column to a score."
            )
        return float(found.min()), float(found.max())

    def _scores(self, split, split_name):
        """Scores by `score_range`; missing ones, and those of a split without the column, are NaN."""
        if self.label_column not in split.column_names:
            return self.missing_labels(len(split))
        code = read_labels(split, self.label_column, problem_type="regression")
        values, name = column_values(split, self.label_column), source_split(split, split_name)
        scores = code.encode(values, name, rows=source_rows(split))
        low, high = self.score_range
        return [(score - low) / (high - low) for score in scores]


def _tokens(part, tokenizer, max_length):
    first, second = (tokenizer(part[name], truncation=True, max_length=max_length) for name in ("first", "second"))
    rows = {name: [list(pair) for pair in zip(first[name], second[name], strict=True)] for name in first}
    return {**rows, "length": [max(map(len, pair)) for pair in rows["input_ids"]]}
