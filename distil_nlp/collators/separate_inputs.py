"""Texts in the tokens of several tokenizers: joined rows, and batches padded per tokenizer."""

import copy
from collections.abc import Callable, Mapping, Sequence

import datasets

from ..data.collator import Batch, Collator, Row, as_collator
from ..data.examples import EXAMPLE_ID, TOKENS
from ..internals.messages import shown


def with_separate_inputs(rows: datasets.Dataset, others: Mapping[str, datasets.Dataset]) -> datasets.Dataset:
    """Prepared rows with further columns: the tokens of the same texts from other tokenizers.

    Args:
        rows (`datasets.Dataset`): Prepared with the student's tokenizer.
        others (`dict[str, datasets.Dataset]`): Prefix -> the same split, prepared with a teacher's tokenizer. Its tokens
            are added as `prefix + "input_ids"` and so on, the columns of a `SeparateInputs(teacher, prefix)`.

    Returns:
        `datasets.Dataset` of as many rows.

    Raises:
        ValueError: Rows of different examples.
    """
    parts = [rows]
    for prefix, other in others.items():
        if list(other[EXAMPLE_ID]) != list(rows[EXAMPLE_ID]):
            raise ValueError(
                f"The rows of {shown(prefix)} must be of the same examples in the same order; got {len(other)} rows beside "
                f"{len(rows)}, with other example ids. Prepare the same split with both tokenizers."
            )
        names = [name for name in TOKENS if name in other.column_names]
        parts.append(other.select_columns(names).rename_columns({name: prefix + name for name in names}))
    return datasets.concatenate_datasets(parts, axis=1)


class SeparateInputsCollator(Collator):
    """Pads each group of columns with the collator of its own tokenizer.

    Args:
        collator (callable): For the columns without a prefix, `task.collator(tokenizer)`.
        others (`dict[str, callable]`): Prefix -> the collator of that tokenizer.

    Called with rows from `with_separate_inputs`, it returns:
        `dict[str, torch.Tensor]`: The batch of `collator`, and those of the others under their prefixed names.

    Raises:
        ValueError: A prefix that another prefix begins with: their columns could not be told apart.
    """

    def __init__(self, collator: Callable, others: Mapping[str, Callable]):
        for prefix in others:
            if clash := [other for other in others if other != prefix and other.startswith(prefix)]:
                raise ValueError(
                    f"The prefix {shown(prefix)} is the beginning of {shown(clash[0])}, so its columns cannot be told "
                    f"apart. Take prefixes such as 'teacher_1_' and 'teacher_2_'."
                )
        self.collator = as_collator(collator)
        self.others = {prefix: as_collator(other) for prefix, other in others.items()}
        self.columns = self.collator.columns

    @property
    def augments(self) -> bool:
        """Whether a collator of the group applies its augmentation."""
        return any(collator.augments for collator in self._collators())

    def for_training(self) -> "SeparateInputsCollator":
        """The collator for training batches, with the training collators of the group; without an augmentation, itself."""
        trained = [collator.for_training() for collator in self._collators()]
        if all(new is old for new, old in zip(trained, self._collators(), strict=True)):
            return self
        training = copy.copy(self)
        training.collator, training.others = trained[0], dict(zip(self.others, trained[1:], strict=True))
        return training

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the batches that follow in every collator of the group."""
        for collator in self._collators():
            collator.set_epoch(epoch)

    def _collators(self) -> list[Collator]:
        return [self.collator, *self.others.values()]

    def __call__(self, rows: Sequence[Row]) -> Batch:
        prefixes = tuple(self.others)
        batch = dict(self.collator([_without(row, prefixes) for row in rows]))
        for prefix, collator in self.others.items():
            other_rows = [_prefixed(row, prefix) for row in rows]
            if other_rows[0]:
                if collator.augments:  # which depends on the example
                    other_rows = [
                        {**own, EXAMPLE_ID: row.get(EXAMPLE_ID)} for own, row in zip(other_rows, rows, strict=True)
                    ]
                other_batch = collator(other_rows)
                batch |= {prefix + name: tensor for name, tensor in other_batch.items() if name != EXAMPLE_ID}
        return batch


def _without(row: Row, prefixes: tuple[str, ...]) -> Row:
    """The columns of a row that begin with none of the prefixes."""
    return {name: value for name, value in row.items() if not name.startswith(prefixes)}


def _prefixed(row: Row, prefix: str) -> Row:
    """The columns of a row that begin with a prefix, without it."""
    return {name.removeprefix(prefix): value for name, value in row.items() if name.startswith(prefix)}
