"""Predictions of a model for a data set, in the data set's order."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from tqdm.auto import tqdm

from ..data.collator import as_collator
from ..data.examples import column_names, columns_to_collate, longest_first, with_columns
from ..internals.messages import listed
from ..internals.numbers import COUNT
from ..metrics.base import rows_of
from ..models.weights import device_of, is_offloaded
from ..signals.columns import CONTEXT_SPAN, LABELS
from ..signals.finite import NonFiniteError, describe_values, examples_of, undefined_items
from ..signals.forward import accepted_columns, frame_logits
from ..signals.problem_kinds import problem_kind_of
from ..signals.wrappers import config_of

_SHOW_AFTER_S = 3.0  # a progress bar for less than this only flickers


def predict_logits(model: torch.nn.Module | Callable, dataset: Any, collator: Callable, **settings: Any) -> np.ndarray:
    """Logits of every example, in the order of the data set.

    Args:
        model, dataset, collator, settings: As for `predict`, except `keep`.

    Returns:
        `np.ndarray` of float32, shape (n, labels).

    Raises:
        ValueError: As for `predict`; logits that are not one row for each example.
    """
    return np.stack(predict(model, dataset, collator, keep=lambda logits, batch: rows_of(logits), **settings))


def predict(
    model: torch.nn.Module | Callable,
    dataset: Any,
    collator: Callable,
    *,
    keep: Callable[[torch.Tensor, dict[str, Any]], Sequence | np.ndarray],
    batch_size: int = 64,
    device: torch.device | str | None = None,
    columns: Sequence[str] | None = None,
    description: str = "Predicting",
) -> list:
    """Predictions of a model for every example, in the order of the data set.

    Batches contain examples of similar length, the longest first. So there is little padding, and a batch that does not
    fit in memory fails at the start; the progress bar (shown after three seconds) overestimates the remaining time.
    Dropout is off, no gradient is computed, and the mode of every module is restored when this returns or raises.

    Args:
        model (`torch.nn.Module` or callable): A module is called with keywords, without labels (see
            `signals.forward`). A callable, such as a teacher, gets the batch as one dictionary and returns logits or
            an object with the attribute `logits`.
        dataset (`datasets.Dataset` or list of dict): The examples, tokenized.
        collator (callable): list of examples -> batch, a dictionary of tensors.
        keep (`Callable`): (logits, batch) -> a list with one entry for each example of the batch, or an array of as many
            rows, on the CPU: `Evaluator.answers`. It gets the whole batch, labels included, and the logits on
            their device, so that large values (logits for each token) are never stored for the whole data set.
        batch_size (`int`): Examples per batch.
        device (`torch.device`, *optional*): A module is moved there and back. Default: the device it is on.
        columns (list of str, *optional*): Columns given to the collator. Default: those that the model reads (the
            arguments of a module's `forward`, a callable's `columns`), labels, as in training, the span where an
            answer may be, and the collator's own; all columns if the data set has none of these.
        description (`str`): Label of the progress bar.

    Returns:
        `list`: The result of `keep` for each example.

    Raises:
        ValueError: An empty data set; columns that it does not have; not exactly one prediction for each example.
        NonFiniteError: NaN or infinity in place of a prediction.
    """
    _check_settings(dataset, batch_size, description)
    dataset = with_columns(dataset, _columns_for(model, dataset, columns, collator))
    order = longest_first(dataset)
    predictions: list = [None] * len(order)
    with (
        inference_mode(model, device) as compute_logits,
        tqdm(total=len(order), desc=description, unit=" examples", delay=_SHOW_AFTER_S, leave=False) as progress,
    ):
        for start in range(0, len(order), batch_size):
            indices = order[start : start + batch_size]
            batch = collator([dataset[int(index)] for index in indices])
            logits = compute_logits(batch)
            batch = _moved(batch, logits.device)
            _check_finite(model, logits, batch, indices, description)
            batch_predictions = keep(logits, batch)
            _check_count(batch_predictions, len(indices), logits, description)
            for index, prediction in zip(indices, batch_predictions, strict=True):
                predictions[index] = prediction
            progress.update(len(indices))
    return predictions


def _check_settings(dataset: Any, batch_size: int, description: str) -> None:
    COUNT.check(batch_size, "batch_size")
    if not hasattr(dataset, "__len__"):
        raise ValueError(
            f"{description}: predictions are made in order of length, and {type(dataset).__name__} has no length. Pass a "
            f"data set with one: datasets.Dataset.from_list([*stream])."
        )
    if len(dataset) == 0:
        raise ValueError(f"{description}: the data set is empty (0 examples), so there is nothing to predict.")


def _check_finite(
    model: torch.nn.Module | Callable,
    logits: torch.Tensor,
    batch: dict[str, Any],
    indices: Sequence[int] | np.ndarray,
    description: str,
) -> None:
    """Raise a NonFiniteError for logits without a prediction: the largest of NaN would count as a class."""
    config = config_of(model) if isinstance(model, torch.nn.Module) else None
    undefined = undefined_items(logits, batch, problem_kind_of(config, batch))
    if undefined.any():
        examples = [int(indices[row]) for row in examples_of(undefined, batch)]
        raise NonFiniteError(
            f"{description}: the model returns {describe_values(logits[undefined])} for example {min(examples)} of the "
            f"data set ({len(examples)} of {len(indices)} in its batch), so no metric would have a meaning. "
            f"Check its weights, and the example; of a model in half precision, run it in float32."
        )


def _check_count(
    predictions: Sequence | np.ndarray, num_examples: int, logits: torch.Tensor, description: str
) -> None:
    if len(predictions) != num_examples:
        raise ValueError(
            f"{description}: there should be {num_examples} predictions, one for each example of the batch; got "
            f"{len(predictions)} from logits of shape {tuple(logits.shape)}. The model or `keep` joins or drops rows, so "
            f"predictions cannot be matched with examples."
        )


@contextmanager
def inference_mode(
    model: torch.nn.Module | Callable, device: torch.device | str | None = None
) -> Iterator[Callable[[dict[str, Any]], torch.Tensor]]:
    """A model in evaluation mode and inference mode on one device; everything is restored at the end.

    Args:
        model (`torch.nn.Module` or callable): See `predict`.
        device (`torch.device`, *optional*): Default: the device of the module's parameters.

    Yields:
        A function from a batch (dictionary of tensors, anywhere) to the logits, a tensor on the device.
    """
    if not isinstance(model, torch.nn.Module):
        with torch.inference_mode():
            yield lambda batch: _logits(model(_moved(_unlabeled(batch), device)))
        return
    home = device_of(model)
    device = home if device is None or is_offloaded(model) else torch.device(device)
    columns = accepted_columns(model)
    with ExitStack() as restore:
        for module in model.modules():
            # Module by module: a frozen part may be in evaluation mode inside a model in training mode.
            restore.callback(setattr, module, "training", module.training)
        if device != home:
            restore.callback(model.to, home)
            model.to(device)
        model.eval()
        restore.enter_context(torch.inference_mode())
        yield lambda batch: frame_logits(model, _moved(batch, device), columns)


def _unlabeled(batch: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in batch.items() if name not in LABELS}


def _moved(batch: dict[str, Any], device: torch.device | str | None) -> dict[str, Any]:
    if device is None:
        return batch
    return {name: value.to(device) if isinstance(value, torch.Tensor) else value for name, value in batch.items()}


def _logits(output: Any) -> torch.Tensor:
    return getattr(output, "logits", output)


def _columns_for(
    model: torch.nn.Module | Callable, dataset: Any, columns: Sequence[str] | None, collator: Callable
) -> list[str]:
    if columns is not None:
        present = column_names(dataset)
        missing = [name for name in columns if name not in present]
        if missing:
            raise ValueError(f"The data set has no column {listed(missing)}; it has {listed(present)}.")
        return list(columns)
    accepted = accepted_columns(model) if isinstance(model, torch.nn.Module) else getattr(model, "columns", None)
    return columns_to_collate(dataset, accepted, others=(*LABELS, CONTEXT_SPAN, *as_collator(collator).columns))
