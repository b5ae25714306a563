"""The best path while frames are still coming in."""

import torch

from .decoding import WordTracker


class OnlinePath:
    """Takes scores as they come, and knows which words nothing that follows can change.

    Args:
        graph (`Graph`): A `word_loop`, usually.

    Reference: Brown et al. 1982, "Partial Traceback and Dynamic Programming": where all paths that are still alive have one
    past in common, it is final.
    """

    def __init__(self, graph):
        self.graph = graph
        self._best, self._back = None, []  # back: of the frames that are not final
        self._tracker = WordTracker(graph)  # has gone along those that are

    def take(self, scores):
        """The next frames: log likelihoods of shape (frames, states)."""
        graph = self.graph
        for emitted in scores[:, graph.states]:
            if self._best is None:
                self._best = graph.start + emitted
                continue
            reached, way = (self._best[graph.before] + graph.weights).max(dim=1)
            self._back.append(graph.before.gather(1, way.unsqueeze(1)).squeeze(1))
            # Only differences count, and a long sum would lose them.
            self._best = reached + emitted - reached.max()
        self._settle()

    def _settle(self):
        """Go along the past that all paths share, and forget it."""
        alive = torch.nonzero(self._best.isfinite()).flatten() if self._best is not None else []
        for place in range(len(self._back) - 1, -1, -1):
            alive = self._back[place][alive].unique()
            if len(alive) == 1:
                for node in [*self._trace(int(alive), self._back[:place]), int(alive)]:
                    self._tracker.step(node)
                self._back = self._back[place + 1 :]
                return

    @staticmethod
    def _trace(node, back):
        """The nodes before `node`, the earliest first."""
        path = []
        for came_from in reversed(back):
            node = int(came_from[node])
            path.append(node)
        return path[::-1]

    def words(self):
        """The words so far that are final and over, `list[Word]`."""
        return self._tracker.words

    def end(self):
        """Nothing follows: all words of the best path, `list[Word]`."""
        weights = None if self._best is None else self._best + self.graph.end
        if weights is not None and weights.isfinite().any():
            last = int(weights.argmax())
            for node in [*self._trace(last, self._back), last]:
                self._tracker.step(node)
            self._tracker.close()
        self._best, self._back = None, []
        return self._tracker.words
