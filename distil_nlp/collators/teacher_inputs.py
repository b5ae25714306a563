"""One text in the tokens of several tokenizers: rows joined, batches padded group by group."""

import datasets

from ..data.examples import EXAMPLE_ID, TOKENS


def with_separate_inputs(rows, others):
    """Prepared rows, beside the tokens that other tokenizers made of the same texts.

    Args:
        rows (`datasets.Dataset`): Prepared with the student's tokenizer.
        others (`dict[str, datasets.Dataset]`): Prefix to the same split, prepared with a teacher's tokenizer. Its tokens
            are added as `prefix + "input_ids"` and so on, the names that an `SeparateInputs(teacher, prefix)` reads.

    Returns:
        `datasets.Dataset` of as many rows.

    Raises:
        ValueError: Rows that are not of the same examples.
    """
    parts = [rows]
    for prefix, other in others.items():
        if list(other[EXAMPLE_ID]) != list(rows[EXAMPLE_ID]):
            raise ValueError(
                f"The rows of {prefix!r} must be of the same examples in the same order; got {len(other)} rows beside "
                f"{len(rows)}, with other example ids. Prepare the same split with both tokenizers."
            )
        names = [name for name in TOKENS if name in other.column_names]
        parts.append(other.select_columns(names).rename_columns({name: prefix + name for name in names}))
    return datasets.concatenate_datasets(parts, axis=1)


class SeparateInputsCollator:
    """Pads each group of columns with the collator of its own tokenizer.

    Args:
        collator (callable): For the columns without a prefix, `task.collator(tokenizer)`.
        others (`dict[str, callable]`): Prefix to the collator of that tokenizer.

    Called with rows from `with_separate_inputs`, it returns:
        `dict[str, torch.Tensor]`: What `collator` makes, and what the others make under their prefixed names.

    Raises:
        ValueError: A prefix that another one begins with: it would take the other's columns for its own.
    """

    def __init__(self, collator, others):
        for prefix in others:
            if clash := [other for other in others if other != prefix and other.startswith(prefix)]:
                raise ValueError(
                    f"The prefix {prefix!r} is the beginning of {clash[0]!r}, so its columns cannot be told apart. Take "
                    f"prefixes such as 'teacher_1_' and 'teacher_2_'."
                )
        self.collator, self.others = collator, dict(others)

    def __call__(self, rows):
        prefixes = tuple(self.others)
        batch = dict(self.collator([_without(row, prefixes) for row in rows]))
        for prefix, collate in self.others.items():
            own = [_under(row, prefix) for row in rows]
            if own[0]:
                batch |= {prefix + name: tensor for name, tensor in collate(own).items()}
        return batch


def _without(row, prefixes):
    return {name: value for name, value in row.items() if not name.startswith(prefixes)}


def _under(row, prefix):
    return {name.removeprefix(prefix): value for name, value in row.items() if name.startswith(prefix)}
