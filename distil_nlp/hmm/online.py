"""The best path through a graph while scores arrive."""

import torch

from .decoding import Word, WordTracker
from .graphs import Graph

_COMMIT_EVERY = 50  # frames between two checks for final words, if many arrive at once


class OnlinePath:
    """Updates the best path frame by frame and tracks the words that later frames cannot change.

    Args:
        graph (`Graph`): Usually a `word_loop`.

    Reference: Brown et al. 1982, "Partial Traceback and Dynamic Programming": the past that all paths still alive have
    in common is final.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._best: torch.Tensor | None = None
        self._pasts = graph.states.new_zeros(0, len(graph.states))
        self._tracker = WordTracker(graph)  # of the final frames

    def accept_scores(self, scores: torch.Tensor) -> None:
        """Process the next frames: log-likelihoods of shape (frames, states)."""
        graph, nodes = self.graph, torch.arange(len(self.graph.states))
        for number, emitted in enumerate(scores[:, graph.states], 1):
            if self._best is None:
                self._best, self._pasts = graph.start + emitted, nodes.unsqueeze(0)
                continue
            reached, arc = (self._best[graph.predecessors] + graph.weights).max(dim=1)
            came_from = graph.predecessors.gather(1, arc.unsqueeze(1)).squeeze(1)
            # A row per frame that is not final: the node of the best path to each current node.
            self._pasts = torch.cat([self._pasts[:, came_from], nodes.unsqueeze(0)])
            # Only differences count; subtracting the maximum avoids large sums, which would lose precision.
            self._best = reached + emitted - reached.max()
            if number % _COMMIT_EVERY == 0:
                self._commit_shared_past()
        if len(scores):
            self._commit_shared_past()

    def _commit_shared_past(self) -> None:
        """Pass the past that all paths share to the word tracker, and drop it."""
        pasts = self._pasts[:, self._best.isfinite()]
        if pasts.shape[1] == 0:
            return
        final = int((pasts == pasts[:, :1]).all(dim=1).sum())  # paths that agree at a frame agree at all earlier ones
        for node in pasts[:final, 0].tolist():
            self._tracker.step(node)
        self._pasts = self._pasts[final:]

    def words(self) -> list[Word]:
        """Return the words so far that are final and complete."""
        return self._tracker.words

    def end(self) -> list[Word]:
        """End the path; return all words of the best path."""
        weights = None if self._best is None else self._best + self.graph.end
        if weights is not None and weights.isfinite().any():
            for node in self._pasts[:, weights.argmax()].tolist():
                self._tracker.step(node)
            self._tracker.close()
        self._best, self._pasts = None, self._pasts[:0]
        return self._tracker.words
