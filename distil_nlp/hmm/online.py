"""The best path while frames are still coming in."""

import torch

from .decoding import WordTracker

_OFTEN = 50  # frames after which to look, where many come at once


class OnlinePath:
    """Takes scores as they come, and knows which words nothing that follows can change.

    Args:
        graph (`Graph`): A `word_loop`, usually.

    Reference: Brown et al. 1982, "Partial Traceback and Dynamic Programming": where all paths that are still alive have one
    past in common, it is final.
    """

    def __init__(self, graph):
        self.graph = graph
        self._best, self._pasts = None, graph.states.new_zeros(0, len(graph.states))
        self._tracker = WordTracker(graph)  # has gone along the frames that are final

    def take(self, scores):
        """The next frames: log likelihoods of shape (frames, states)."""
        graph, itself = self.graph, torch.arange(len(self.graph.states))
        for number, emitted in enumerate(scores[:, graph.states], 1):
            if self._best is None:
                self._best, self._pasts = graph.start + emitted, itself.unsqueeze(0)
                continue
            reached, way = (self._best[graph.before] + graph.weights).max(dim=1)
            came_from = graph.before.gather(1, way.unsqueeze(1)).squeeze(1)
            # Row by row, for frames that are not final: where the best path to each node was.
            self._pasts = torch.cat([self._pasts[:, came_from], itself.unsqueeze(0)])
            # Only differences count, and a long sum would lose them.
            self._best = reached + emitted - reached.max()
            if number % _OFTEN == 0:
                self._settle()
        if len(scores):
            self._settle()

    def _settle(self):
        """Go along the past that all paths share, and forget it."""
        pasts = self._pasts[:, self._best.isfinite()]
        if pasts.shape[1] == 0:
            return
        final = int((pasts == pasts[:, :1]).all(dim=1).sum())  # who agree on a frame agree on those before it
        for node in pasts[:final, 0].tolist():
            self._tracker.step(node)
        self._pasts = self._pasts[final:]

    def words(self):
        """The words so far that are final and over, `list[Word]`."""
        return self._tracker.words

    def end(self):
        """Nothing follows: all words of the best path, `list[Word]`."""
        weights = None if self._best is None else self._best + self.graph.end
        if weights is not None and weights.isfinite().any():
            for node in self._pasts[:, weights.argmax()].tolist():
                self._tracker.step(node)
            self._tracker.close()
        self._best, self._pasts = None, self._pasts[:0]
        return self._tracker.words
