"""The labels of a batch, in the form in which terms and evaluators read them."""

from collections.abc import Mapping

import torch

from .columns import SPAN_LABELS
from .problem_kinds import MISSING, ProblemKind


def given_labels(batch: Mapping[str, torch.Tensor]) -> torch.Tensor | tuple[torch.Tensor, ...] | None:
    """The labels of a batch as the collator makes them, a tuple where they are in two columns; None without labels."""
    if "labels" in batch or not all(name in batch for name in SPAN_LABELS):
        return batch.get("labels")
    return tuple(batch[name] for name in SPAN_LABELS)


def read_labels(batch: Mapping[str, torch.Tensor], kind: ProblemKind) -> Mapping[str, torch.Tensor]:
    """A batch with the labels of its logits.

    Labels are int64 (truth values and shorter integers, too), or floats for kinds with such labels; those of questions may
    be in two columns, `start_positions` and `end_positions`, missing where they are outside of the text, as in
    transformers; those of causal language models are moved to the positions whose logits predict them.

    Args:
        batch (`Mapping[str, torch.Tensor]`): As the collator makes it.
        kind (`ProblemKind`): Of the student.

    Returns:
        `Mapping[str, torch.Tensor]`: A copy, or `batch` itself where nothing has to be changed.
    """
    labels = given_labels(batch)
    if labels is None:
        return batch
    if isinstance(labels, tuple):
        labels = _inside_text(torch.stack([column.flatten() for column in labels], dim=1), batch)
    if not labels.is_floating_point():
        labels = labels.float() if kind.float_labels else labels.long()
    labels = kind.align(labels)
    return batch if labels is batch.get("labels") else {**batch, "labels": labels}


def _inside_text(positions: torch.Tensor, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Positions in texts, missing where a text has no token: behind its end, or in its padding."""
    mask = batch.get("attention_mask")
    if mask is None or mask.dim() != 2:
        return positions
    is_token = mask.bool().gather(1, positions.clamp(0, mask.shape[1] - 1))
    return positions.masked_fill(~is_token | (positions < 0) | (positions >= mask.shape[1]), MISSING)
