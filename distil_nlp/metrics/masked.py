"""Metrics of language models: perplexity and accuracy at the masked positions, or of the next tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from .base import Evaluator

if TYPE_CHECKING:
    import torch


class MaskedTokenEvaluator(Evaluator):
    """Evaluates a model over a vocabulary at the masked positions.

    An answer contains, for each masked position of a row, the negative log-likelihood of the masked token in nats and the
    predicted token, shape (masked positions, 2). The statistics of a row are the sum of the negative log-likelihoods,
    the number of masked positions, and the number of correct predictions. Bootstrap samples keep rows whole.

    The metrics are perplexity, exp of the mean negative log-likelihood over all masked positions (lower is better), and
    accuracy, the share of masked positions where the most probable token is the masked one.

    Args:
        labels (`list` of lists of `int`): For each row the masked token at each position; -100 where none is masked.
        main_metric (`str`, *optional*): "accuracy" as the main metric.

    Raises:
        ValueError: No row, or one without a masked position; an unknown metric.
    """

    def __init__(self, labels: Sequence[Sequence[int]], main_metric: str | None = None) -> None:
        self._tokens = [tokens[tokens >= 0] for tokens in map(np.asarray, labels)]
        empty = [row for row, tokens in enumerate(self._tokens) if len(tokens) == 0]
        if empty or not self._tokens:
            raise ValueError(
                f"Every row should have a masked position, because the metrics are over these alone; row "
                f"{empty[0] if empty else 0} of {len(self._tokens)} has none. Make the rows with "
                f"`MaskedLanguageModeling.prepare`, which masks at least one token of each."
            )
        super().__init__(
            ["perplexity", "accuracy"],
            num_rows=len(self._tokens),
            num_examples=len(self._tokens),
            main_metric=main_metric,
        )

    def answers(self, logits: torch.Tensor, batch: Mapping[str, torch.Tensor]) -> list[np.ndarray]:
        """Negative log-likelihood and predicted token of each masked position.

        Args:
            logits (`torch.Tensor`): At the masked positions alone, in the order of rows, shape (num_masked, vocabulary).
            batch (`dict`): With `positions` (batch, sequence) and the masked tokens as `labels` (num_masked,).

        Returns:
            `list` of `np.ndarray`, one for each row of the batch, shape (masked positions of the row, 2).
        """
        logits = logits.float()
        loss = logits.logsumexp(dim=-1) - logits.gather(-1, batch["labels"].unsqueeze(-1)).squeeze(-1)
        predictions = np.column_stack([loss.double().cpu().numpy(), logits.argmax(dim=-1).cpu().numpy()])
        return np.split(predictions, np.cumsum(batch["positions"].sum(dim=1).cpu().numpy())[:-1])

    def statistics(self, answers: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
        statistics = np.zeros((self.num_rows, 3))
        for row, (answer, tokens) in enumerate(zip(answers, self._tokens, strict=True)):
            if len(answer) != len(tokens):
                raise ValueError(
                    f"Row {row} has {len(tokens)} masked positions and {len(answer)} answers. Are the answers of another "
                    f"split, or of other masks?"
                )
            statistics[row] = answer[:, 0].sum(), len(tokens), (answer[:, 1] == tokens).sum()
        if np.isnan(statistics).any():
            statistics[:] = np.nan
        return statistics

    def compute(self, name: str, statistics: np.ndarray) -> float:
        loss, count, correct = statistics.sum(axis=0)
        return float(np.exp(loss / count) if name == "perplexity" else correct / count)

    def agreement(
        self, student_answers: Sequence[np.ndarray] | np.ndarray, teacher_answers: Sequence[np.ndarray] | np.ndarray
    ) -> float:
        """Share of masked positions where both predict the same token."""
        student, teacher = np.concatenate(student_answers), np.concatenate(teacher_answers)
        if np.isnan(student).any() or np.isnan(teacher).any():
            return float("nan")
        return float(np.mean(student[:, 1] == teacher[:, 1]))


class NextTokenEvaluator(MaskedTokenEvaluator):
    """Evaluates a causal language model: perplexity and accuracy of the next tokens, see `MaskedTokenEvaluator`.

    Args:
        labels (`list` of lists of `int`): For each row the next token at each position; -100 where it does not count.
    """

    def answers(self, logits: torch.Tensor, batch: Mapping[str, torch.Tensor]) -> list[np.ndarray]:
        """As of `MaskedTokenEvaluator`.

        Args:
            logits (`torch.Tensor`): At every position, shape (batch, sequence, vocabulary).
            batch (`dict`): With the next tokens as `labels`, shape (batch, sequence).
        """
        positions = batch["labels"] >= 0
        return super().answers(logits[positions], {"positions": positions, "labels": batch["labels"][positions]})
