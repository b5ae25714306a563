"""Checks of the data sets of a trainer, and messages for rows of which no batch can be made."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from transformers import TrainingArguments
from transformers.debug_utils import DebugOption
from transformers.trainer_utils import has_length

from ..data.pairs import INPUT, named_rows
from ..internals.messages import listed, shown
from ..objectives import Objective
from ..signals.taps import TapError
from ..signals.wrappers import config_of, unwrapped

_LIMITS = ("vocab_size", "type_vocab_size", "max_position_embeddings", "image_size", "num_channels")
# Errors of a collator that gets rows of another kind than it reads.
_CAUSES = (ArithmeticError, AttributeError, LookupError, NotImplementedError, RuntimeError, TypeError, ValueError)


def check_types(model: Any, objective: Any, kwargs: Mapping[str, Any]) -> None:
    """Raise for arguments of a trainer that are of another type than it needs.

    Args:
        model, objective: The trainer's.
        kwargs (`dict`): Its other arguments.

    Raises:
        TypeError, ValueError: See the messages.
    """
    if model is not None and not isinstance(model, nn.Module):
        raise TypeError(f"model must be the student, a torch.nn.Module; got {type(model).__name__}. Load it first.")
    if objective is not None and not isinstance(objective, Objective):
        raise TypeError(
            f"objective must be an Objective; got {type(objective).__name__}. Write `Objective([term, ...])`, or "
            f"`objective_from(...)` for the settings of a recipe."
        )
    if kwargs.get("compute_metrics") is not None and not callable(kwargs["compute_metrics"]):
        raise TypeError(f"compute_metrics must be a function of predictions; got {shown(kwargs['compute_metrics'])}.")
    check_dataset(kwargs.get("train_dataset"), "train_dataset", may_be_empty=False)
    if kwargs.get("eval_dataset") is not None:
        for name, dataset in named_datasets(kwargs["eval_dataset"]).items():
            check_dataset(dataset, "eval_dataset" if name == "eval" else f"eval_dataset[{shown(name)}]")


def with_named_rows(model: nn.Module | None, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The data sets of the arguments; rows (input, label) get the name of the student's input, and "labels"."""
    name = getattr(unwrapped(model), "main_input_name", INPUT) if isinstance(model, nn.Module) else INPUT
    found = {}
    for key in ("train_dataset", "eval_dataset"):
        given = kwargs.get(key)
        if type(given) is dict:
            found[key] = {one: named_rows(dataset, name) for one, dataset in given.items()}
        elif given is not None:
            found[key] = named_rows(given, name)
    return found


def named_datasets(dataset: Any) -> dict[str, Any]:
    """The data sets of an evaluation by name; a single one under the name "eval"."""
    if not isinstance(dataset, dict):
        return {"eval": dataset}
    if not dataset:
        raise ValueError(f"A dictionary of evaluation data sets should have one or more; got {shown(dataset)}.")
    return dataset


def check_dataset(dataset: Any, name: str, *, may_be_empty: bool = True) -> None:
    """Raise for a data set that has no rows, or is of a class that is none.

    Args:
        dataset: A `datasets.Dataset`, a data set of PyTorch, a list of dictionaries, or a stream.
        name (`str`): Name of the argument.
        may_be_empty (`bool`): Accept a data set without rows.

    Raises:
        TypeError: Several data sets in a dictionary, a table of pandas, a name, a data loader.
        ValueError: There are no rows.
    """
    if dataset is None:
        return
    way_out = _way_out(dataset, name)
    if way_out is not None:
        raise TypeError(
            f"{name} must be one data set: a datasets.Dataset, a data set of PyTorch or a list of dictionaries; got "
            f"{type(dataset).__name__}. {way_out}"
        )
    if not may_be_empty and has_length(dataset) and len(dataset) == 0:
        raise ValueError(
            f"{name} has no rows ({type(dataset).__name__} of length 0). Check how it was filtered or split."
        )


def _way_out(dataset: Any, name: str) -> str | None:
    """How the data could be passed; None for a data set."""
    if isinstance(dataset, Mapping):
        keys = listed([str(key) for key in dataset])
        if any(isinstance(column, list) for column in dataset.values()):
            return f"Its keys are {keys}. Make rows of columns with `datasets.Dataset.from_dict(...)`."
        return f"Its keys are {keys}; pass one of them, such as {name}=data[{shown(next(iter(dataset), 'train'))}]."
    if isinstance(dataset, (str, bytes)) or hasattr(dataset, "__fspath__"):
        return f"Load it first: `datasets.load_dataset({shown(str(dataset))})[...]`."
    if isinstance(dataset, torch.utils.data.DataLoader):
        return "Pass the data set in it; the trainer makes the batches."
    if hasattr(dataset, "iloc"):
        return "Convert it with `datasets.Dataset.from_pandas(...)`."
    if not hasattr(dataset, "__getitem__") and not hasattr(dataset, "__iter__"):
        return "It has neither rows by number (`__getitem__`) nor rows in order (`__iter__`)."
    return None


@contextmanager
def explained_collating(collator: Any, columns: Sequence[Any] | None) -> Iterator[None]:
    """Context in which an error of a data collator is raised with the rows that it got and the way out.

    Args:
        collator (`Callable`): For its name.
        columns: Names of the columns; None for rows that are no dictionaries.
    """
    try:
        yield
    except _CAUSES as error:
        got = "rows that are no dictionaries" if columns is None else f"the columns {listed(columns)}"
        raise ValueError(
            f"The data collator ({type(collator).__name__}) made no batch of {got}: {str(error).rstrip('.')}. Texts, "
            f"images and words are prepared first, such as `dataset.map(lambda row: tokenizer(row['text'], "
            f"truncation=True))`; texts of different lengths need a collator that pads (processing_class=tokenizer), "
            f"labels of every token DataCollatorForTokenClassification, rows without names a collator of your own."
        ) from error


@contextmanager
def explained_forward(name: str, model: nn.Module | None, batch: Mapping[str, Any]) -> Iterator[None]:
    """Context in which an error inside of a model is raised with the shapes of the batch and the limits of the model.

    Args:
        name (`str`): Of the model.
        model (`nn.Module`, *optional*): Its config has the limits.
        batch (`Mapping[str, torch.Tensor]`): The columns.
    """
    try:
        yield
    except (torch.OutOfMemoryError, TapError):
        raise
    except (IndexError, RuntimeError) as error:
        config = None if model is None else config_of(model)
        limits = [f"{limit}={getattr(config, limit)}" for limit in _LIMITS if getattr(config, limit, None) is not None]
        shapes = [f"{column} {tuple(value.shape)}" for column, value in batch.items() if hasattr(value, "shape")]
        ids = batch.get("input_ids")
        largest = f", largest token {int(ids.max())}" if isinstance(ids, torch.Tensor) and ids.numel() else ""
        raise ValueError(
            f"{name} failed on the first rows ({listed(shapes)}{largest}): {str(error).rstrip('.')}. Its config has "
            f"{', '.join(limits) or 'no limits'}: tokens must be below vocab_size, texts no longer than "
            f"max_position_embeddings (truncation=True), images of its size and channels."
        ) from error


@contextmanager
def explained_debug(args: TrainingArguments) -> Iterator[None]:
    """Context in which an error of `debug="underflow_overflow"`, which cannot read truth values, is explained."""
    try:
        yield
    except NotImplementedError as error:
        if DebugOption.UNDERFLOW_OVERFLOW not in args.debug or "abs" not in str(error):
            raise
        raise ValueError(
            f"debug='underflow_overflow' of transformers cannot read attention masks of truth values ({error}). Load the "
            f"student with attn_implementation='eager', whose masks are numbers."
        ) from error
