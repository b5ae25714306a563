"""What a model says about a data set: answers in the data set's order, whatever order was fastest."""

from contextlib import ExitStack, contextmanager

import numpy as np
import torch
from tqdm.auto import tqdm

from ..collators import as_collator
from ..data.examples import column_names, columns_to_collate, longest_first, with_columns
from ..metrics.base import rows_of
from ..signals.columns import CONTEXT_SPAN, LABELS
from ..signals.forward import accepted_columns, frame_logits

_SHOW_AFTER_S = 3.0  # a progress bar for less than this only flickers


def predict_logits(model, dataset, collator, **settings):
    """Logits of every example, in the order of the data set.

    Args:
        model, dataset, collator, settings: As for `predict`, `keep` excepted.

    Returns:
        `np.ndarray` of float32, shape (n, labels).

    Raises:
        ValueError: As `predict`; logits that are not one row an example.
    """
    return np.stack(predict(model, dataset, collator, keep=lambda logits, batch: rows_of(logits), **settings))


def predict(model, dataset, collator, *, keep, batch_size=64, device=None, columns=None, description="Predicting"):
    """What a model says about every example, in the order of the data set.

    Batches hold examples of similar length, the longest first: little padding, memory runs out at once or never, and
    the time left on the progress bar (shown after three seconds) errs on the long side. Dropout is off, no gradient
    is kept, and every module is in the mode it was in before when this returns or raises.

    Args:
        model (`torch.nn.Module` or callable): A module is called with keywords, never with labels, and returns what
            `signals.ask` can read. A callable, such as a teacher, gets the batch as one dictionary and returns
            logits or a thing that has `logits`.
        dataset (`datasets.Dataset` or list of dict): The examples, tokenized.
        collator (callable): list of examples -> batch, a dictionary of tensors.
        keep (callable): (logits, batch) -> a list with one entry an example of the batch, or an array of as many
            rows, on the CPU: `Evaluator.answers`. It sees the whole batch, labels included, beside the logits on
            their device, so what is large (logits for each token) need never be held for the whole data set.
        batch_size (`int`): Examples a batch.
        device (`torch.device`, *optional*): Where to run. A module goes there and comes back; by default it stays.
        columns (list of str, *optional*): What the collator sees. By default the columns that the model reads (the
            arguments of a module's `forward`, a callable's `columns`), labels, as in training, and where an answer
            may stand; all columns where
            the data set has none of these (raw images, say, which the collator turns into what the model reads).
        description (`str`): Stands before the progress bar.

    Returns:
        `list`: What `keep` gave for each example.

    Raises:
        ValueError: An empty data set; columns that it does not have; not one answer an example.
    """
    if len(dataset) == 0:
        raise ValueError(f"{description}: the data set is empty (0 examples), so there is nothing to predict.")
    dataset = with_columns(dataset, _columns_for(model, dataset, columns, collator))
    order = longest_first(dataset)
    answers = [None] * len(order)
    with (
        inference_mode(model, device) as speak,
        tqdm(total=len(order), desc=description, unit=" examples", delay=_SHOW_AFTER_S, leave=False) as progress,
    ):
        for start in range(0, len(order), batch_size):
            indices = order[start : start + batch_size]
            batch = collator([dataset[int(index)] for index in indices])
            logits = speak(batch)
            kept = keep(logits, _moved(batch, logits.device))
            if len(kept) != len(indices):
                raise ValueError(
                    f"{description}: there should be {len(indices)} answers, one for each example of the batch; got "
                    f"{len(kept)} from logits of shape {tuple(logits.shape)}. The model or `keep` joins or drops "
                    f"rows, so it is not known which answer belongs to which example."
                )
            for index, answer in zip(indices, kept, strict=True):
                answers[index] = answer
            progress.update(len(indices))
    return answers


@contextmanager
def inference_mode(model, device=None):
    """Lets a model speak for a while: eval mode, inference mode, one device; then everything is as it was.

    Args:
        model (`torch.nn.Module` or callable): See `predict`.
        device (`torch.device`, *optional*): Where to run; by default where the module's parameters are.

    Yields:
        A function from a batch (dictionary of tensors, anywhere) to the logits, a tensor on the device.
    """
    if not isinstance(model, torch.nn.Module):
        with torch.inference_mode():
            yield lambda batch: _said(model(_moved(_unlabeled(batch), device)))
        return
    home = device_of(model)
    device = home if device is None else torch.device(device)
    columns = accepted_columns(model)
    with ExitStack() as restore:
        for module in model.modules():
            # One by one: a frozen part may have been in eval mode inside a model that trains.
            restore.callback(setattr, module, "training", module.training)
        if device != home:
            restore.callback(model.to, home)
            model.to(device)
        model.eval()
        restore.enter_context(torch.inference_mode())
        yield lambda batch: frame_logits(model, _moved(batch, device), columns)


def device_of(model):
    """The device of a module's first parameter; the CPU where there is none, or for a callable."""
    parameters = getattr(model, "parameters", lambda: iter(()))
    first = next(parameters(), None)
    return torch.device("cpu") if first is None else first.device


def _unlabeled(batch):
    return {name: value for name, value in batch.items() if name not in LABELS}


def _moved(batch, device):
    if device is None:
        return batch
    return {name: value.to(device) if isinstance(value, torch.Tensor) else value for name, value in batch.items()}


def _said(answer):
    return getattr(answer, "logits", answer)


def _columns_for(model, dataset, columns, collator):
    if columns is not None:
        present = column_names(dataset)
        missing = [name for name in columns if name not in present]
        if missing:
            raise ValueError(f"The data set has no column {', '.join(missing)}; it has {', '.join(present)}.")
        return list(columns)
    accepted = accepted_columns(model) if isinstance(model, torch.nn.Module) else getattr(model, "columns", None)
    return columns_to_collate(dataset, accepted, others=(*LABELS, CONTEXT_SPAN, *as_collator(collator).columns))
