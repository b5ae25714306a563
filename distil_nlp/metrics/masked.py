"""How well a model fills in masked words."""

import numpy as np

from .base import Evaluator


class MaskedTokenEvaluator(Evaluator):
    """Judges a model over a vocabulary by the words it was not shown.

    An answer holds, for each masked position of a row, the negative log-likelihood of the word in nats and the word
    that the model would have put there, shape (masked positions, 2). A fact is what a row adds: the sum of the
    negative log-likelihoods, the number of masked positions, and how many of the model's words are right. Draws of
    the bootstrap keep rows whole.

    Metrics are perplexity, exp of the mean negative log-likelihood over all masked positions (lower is better), and
    accuracy, the share of masked positions where the most probable word is the right one.

    Args:
        labels (`list` of lists of `int`): For each row the word at each position; -100 where none is masked.
        main_metric (`str`, *optional*): "accuracy" to decide by it.

    Raises:
        ValueError: No row, or one without a masked position; an unknown metric.
    """

    def __init__(self, labels, main_metric=None):
        self._words = [words[words >= 0] for words in map(np.asarray, labels)]
        empty = [row for row, words in enumerate(self._words) if len(words) == 0]
        if empty or not self._words:
            raise ValueError(
                f"Every row should have a masked position, the only thing a model is judged by; row "
                f"{empty[0] if empty else 0} of {len(self._words)} has none. Make them with "
                f"`MaskedLanguageModeling.prepare`, which sees to it."
            )
        super().__init__(
            ["perplexity", "accuracy"],
            num_rows=len(self._words),
            num_examples=len(self._words),
            main_metric=main_metric,
        )

    def answers(self, logits, batch):
        """Two numbers for each masked position.

        Args:
            logits (`torch.Tensor`): At the masked positions alone, in the order of rows, shape (num_masked, vocabulary).
            batch (`dict`): With `positions` (batch, sequence) and the words there as `labels` (num_masked,).

        Returns:
            `list` of `np.ndarray`, one for each row of the batch, shape (masked positions of the row, 2).
        """
        logits = logits.float()
        loss = logits.logsumexp(dim=-1) - logits.gather(-1, batch["labels"].unsqueeze(-1)).squeeze(-1)
        said = np.column_stack([loss.double().cpu().numpy(), logits.argmax(dim=-1).cpu().numpy()])
        return np.split(said, np.cumsum(batch["positions"].sum(dim=1).cpu().numpy())[:-1])

    def statistics(self, answers):
        facts = np.zeros((self.num_rows, 3))
        for row, (said, words) in enumerate(zip(answers, self._words, strict=True)):
            if len(said) != len(words):
                raise ValueError(f"Row {row} has {len(words)} masked positions and {len(said)} answers.")
            facts[row] = said[:, 0].sum(), len(words), (said[:, 1] == words).sum()
        if np.isnan(facts).any():
            facts[:] = np.nan
        return facts

    def compute(self, name, facts):
        loss, count, right = facts.sum(axis=0)
        return float(np.exp(loss / count) if name == "perplexity" else right / count)

    def agreement(self, ours, theirs):
        """Share of masked positions where both would put the same word."""
        ours, theirs = np.concatenate(ours), np.concatenate(theirs)
        if np.isnan(ours).any() or np.isnan(theirs).any():
            return float("nan")
        return float(np.mean(ours[:, 1] == theirs[:, 1]))
