"""More text for the teacher to speak about: rows that are there, joined and altered word by word."""

import datasets
import numpy as np

PER_TOKEN = ("input_ids", "token_type_ids", "attention_mask")
JOINED, MASKED, SWAPPED, DROPPED = 0.5, 0.1, 0.15, 0.1


def augmented_copies(rows, tokenizer, *, num_copies, seed=0, per_token=()):
    """Copies of tokenized rows, in which texts are joined, and tokens masked, swapped for another or left out.

    Half of the copies, chosen at random, go on with the text of another row where that makes none longer than the
    longest row. Then each token of the text is masked with probability 0.1, swapped for a token drawn from all the
    texts (frequent ones more often) with 0.15, left out with 0.1; special tokens stay. What such a row means nobody
    knows but the teacher, so the result goes through `Task.with_unlabeled`. They are for teachers that fit their
    training rows so well that what they say there is hardly more than the labels. A pair goes on in its second text.

    Args:
        rows (`datasets.Dataset`): From `Task.prepare`.
        tokenizer: The one `prepare` was given. Without a mask token, what would be masked is left out.
        num_copies (`int`): Copies of every row, 1 or more.
        seed (`int`): Same rows and seed, same copies.
        per_token (iterable of `str`): Columns with one value a token, beside the model's inputs: `Task.per_token`. Their
            values follow the tokens.

    Returns:
        `datasets.Dataset`: `num_copies` times as many rows, with the same columns; at least one token of every text
        that had one is left.

    Raises:
        ValueError: `num_copies` below 1.

    Reference: the masking of Tang et al. 2019, "Distilling Task-Specific Knowledge from BERT into Simple Neural
    Networks", section 3.3; swapping and leaving out after Wei and Zou 2019, "EDA".
    """
    if num_copies < 1:
        raise ValueError(f"num_copies must be 1 or more; got {num_copies!r}.")
    if len(rows) == 0:
        return rows
    generator = np.random.default_rng(seed)
    originals = FlatRows.of(rows, tokenizer.all_special_ids, per_token=per_token)
    copies = [originals.joined(generator).augment(tokenizer.mask_token_id, generator) for _ in range(num_copies)]
    return datasets.concatenate_datasets([copy.in_place_of(rows) for copy in copies])


class FlatRows:
    """Rows of tokens end to end.

    Args:
        columns (`dict[str, np.ndarray]`): One value per token.
        starts (`np.ndarray`): Where each row begins, and, last, where the last one ends.
        special (`np.ndarray` of bool): Which tokens are no text.
    """

    def __init__(self, columns, starts, special):
        self.columns, self.starts, self.special = columns, starts, special

    @classmethod
    def of(cls, rows, special_ids, *, per_token=()):
        """Of prepared rows: the model's inputs and, with `per_token`, more columns that have a value for each token."""
        per_token = [name for name in (*PER_TOKEN, *per_token) if name in rows.column_names]
        lists = rows.select_columns(per_token).with_format("numpy")[:]
        starts = np.cumsum([0, *map(len, lists["input_ids"])])
        columns = {name: np.concatenate(lists[name]) for name in per_token}
        return cls(columns, starts, np.isin(columns["input_ids"], special_ids))

    def joined(self, generator):
        """Half of the rows go on with the text of another: behind their own last token of text."""
        num_rows, longest = len(self.starts) - 1, np.diff(self.starts).max()
        texts = [start + np.flatnonzero(~self.special[start:end]) for start, end in self._spans()]
        partners = generator.integers(num_rows, size=num_rows)
        chosen = generator.random(num_rows) < JOINED
        places, segments, starts = [], [], [0]
        for row, (start, end) in enumerate(self._spans()):
            added = texts[partners[row]]
            if not chosen[row] or not len(texts[row]) or end - start + len(added) > longest:
                added = added[:0]
            last = texts[row][-1] if len(texts[row]) else start
            places += [np.arange(start, last + 1), added, np.arange(last + 1, end)]
            # What is added belongs to the segment it continues.
            segments += [places[-3], np.full(len(added), last), places[-1]]
            starts.append(starts[-1] + end - start + len(added))
        places, segments = np.concatenate(places), np.concatenate(segments)
        columns = {
            name: column[segments if name == "token_type_ids" else places] for name, column in self.columns.items()
        }
        return FlatRows(columns, np.array(starts), self.special[places])

    def augment(self, mask_token, generator):
        """Tokens of the text masked, swapped for others of the texts, or left out."""
        ids, text = self.columns["input_ids"].copy(), ~self.special
        chance = generator.random(len(ids))
        masked = text & (chance < MASKED)
        swapped = text & (MASKED <= chance) & (chance < MASKED + SWAPPED)
        dropped = text & (MASKED + SWAPPED <= chance) & (chance < MASKED + SWAPPED + DROPPED)
        if mask_token is None:
            dropped |= masked
        else:
            ids[masked] = mask_token
        if swapped.any():
            ids[swapped] = generator.choice(self.columns["input_ids"][text], swapped.sum())
        row = np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))
        kept = ~(dropped & ~self._first_of_the_lost(dropped, row))
        starts = np.concatenate([[0], np.cumsum(np.bincount(row[kept], minlength=len(self.starts) - 1))])
        columns = {name: column[kept] for name, column in {**self.columns, "input_ids": ids}.items()}
        return FlatRows(columns, starts, self.special[kept])

    def in_place_of(self, rows):
        """`rows` with these tokens instead of their own, a `datasets.Dataset` of the same columns."""
        table = {name: np.split(column, self.starts[1:-1]) for name, column in self.columns.items()}
        table["length"] = np.diff(self.starts)
        features = datasets.Features({name: rows.features[name] for name in table})
        tokens, others = datasets.Dataset.from_dict(table, features=features), rows.remove_columns(list(table))
        return datasets.concatenate_datasets([tokens, others], axis=1).select_columns(rows.column_names)

    def _first_of_the_lost(self, dropped, row):
        """The first token of every text that would lose all of its tokens."""
        text_left = np.zeros(len(self.starts) - 1, dtype=bool)
        text_left[row[~self.special & ~dropped]] = True
        places = np.flatnonzero(~self.special & ~text_left[row])
        _, first = np.unique(row[places], return_index=True)
        found = np.zeros(len(row), dtype=bool)
        found[places[first]] = True
        return found

    def _spans(self):
        return zip(self.starts[:-1], self.starts[1:], strict=True)
