"""The best path while frames are still coming in."""

import torch

from .decoding import words_on


class OnlinePath:
    """Takes scores as they come, and knows which words nothing that follows can change.

    Args:
        graph (`Graph`): A `word_loop`, usually.

    Reference: Brown et al. 1982, "Partial Traceback and Dynamic Programming": where all paths that are still alive have one
    past in common, it is final.
    """

    def __init__(self, graph):
        self.graph = graph
        self._best, self._back, self._final = None, [], []  # back: of the frames that are not final

    @property
    def num_frames(self):
        """Frames taken so far."""
        return len(self._final) + len(self._back) + (self._best is not None)

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
        """Move the past that all paths share to what is final."""
        alive = torch.nonzero(self._best.isfinite()).flatten() if self._best is not None else []
        for place in range(len(self._back) - 1, -1, -1):
            alive = self._back[place][alive].unique()
            if len(alive) == 1:
                self._final += self._trace(int(alive), self._back[:place]) + [int(alive)]
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

    def words(self, *, ended=False):
        """The words so far.

        Args:
            ended (`bool`): Nothing follows: all words of the best path. Otherwise those that are final and over.

        Returns:
            `list[Word]`.
        """
        if not ended or self._best is None:
            words = words_on(self._final, self.graph)
            return words if not words or words[-1].last < len(self._final) - 1 else words[:-1]
        weights = self._best + self.graph.end
        if not weights.isfinite().any():
            return []
        last = int(weights.argmax())
        return words_on(self._final + self._trace(last, self._back) + [last], self.graph)
