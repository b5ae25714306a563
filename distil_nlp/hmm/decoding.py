"""Decoding: the words on the best path, with their frames."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch

from .graphs import Graph, word_loop
from .lexicon import SILENCE, Lexicon
from .viterbi import best_paths


@dataclass(frozen=True)
class Word:
    """A decoded word.

    Args:
        word (`str`): The word.
        first, last (`int`): Index of its first and of its last frame (included).
    """

    word: str
    first: int
    last: int


class WordTracker:
    """Collects the words along a path, without silence.

    Args:
        graph (`Graph`): Graph of the path's nodes.

    Attributes:
        words (`list[Word]`): Complete words: another word or silence was entered after each.
    """

    def __init__(self, graph: Graph) -> None:
        self.words: list[Word] = []
        self._graph = graph
        self._entered, self._first, self._frame = SILENCE, 0, -1
        self._previous: int | None = None

    def step(self, node: int) -> None:
        """Add the node of the next frame."""
        entered = self._graph.entered[node]
        if node != self._previous and entered is not None:
            self.close()
            self._entered, self._first = entered, self._frame + 1
        self._frame += 1
        self._previous = node

    def close(self) -> None:
        """End the path and complete the last word."""
        if self._entered != SILENCE:
            self.words.append(Word(self._entered, self._first, self._frame))
        self._entered = SILENCE


def words_on_path(path: Iterable[int], graph: Graph) -> list[Word]:
    """Return the words along a path, without silence.

    Args:
        path (`list[int]`): Node of each frame; negative numbers are padding.
        graph (`Graph`): Graph of these nodes.
    """
    tracker = WordTracker(graph)
    for node in path:
        if node >= 0:
            tracker.step(node)
    tracker.close()
    return tracker.words


def decode(scores: torch.Tensor, lengths: torch.Tensor, graph: Graph) -> list[list[Word]]:
    """Decode the words of a batch of clips.

    Args:
        scores, lengths (`torch.Tensor`): See `best_paths`.
        graph (`Graph`): Usually a `word_loop`.

    Returns:
        `list[list[Word]]`. Empty for a clip that is too short for any path.
    """
    nodes, weights = best_paths(scores, lengths, graph)
    possible = weights.isfinite().tolist()
    return [
        words_on_path(path, graph) if is_path else [] for path, is_path in zip(nodes.tolist(), possible, strict=True)
    ]


def log_state_prior(states: np.ndarray, lexicon: Lexicon) -> torch.Tensor:
    """Log probability of each state in an alignment, with add-one smoothing.

    Args:
        states (`np.ndarray`): States of frames, shape (frames,), -100 where unknown.
        lexicon (`Lexicon`): Lexicon of the states.

    Returns:
        `torch.Tensor` of shape (states,), natural logarithms.
    """
    counts = torch.bincount(torch.from_numpy(states[states >= 0]), minlength=lexicon.num_states) + 1
    return (counts / counts.sum()).log()


class Decoder:
    """Decodes a model's logits of states to words.

    Args:
        lexicon (`Lexicon`): Words and states; the model's classes are the states.
        log_stay, log_prior (`torch.Tensor`): Shape (states,): log probability of each state's self-loop, and log prior of
            each state in the model's training data.
        insertion_penalty (`float`): See `word_loop`.

    The model's posterior of a state divided by the state's prior is, up to a constant, the likelihood of the frame given
    the state: Bourlard and Morgan 1994, "Connectionist Speech Recognition", chapter 7.
    """

    def __init__(
        self,
        lexicon: Lexicon,
        log_stay: torch.Tensor,
        log_prior: torch.Tensor,
        *,
        insertion_penalty: float = 0.0,
    ) -> None:
        self.lexicon, self.log_stay, self.log_prior = lexicon, log_stay, log_prior
        self.insertion_penalty = float(insertion_penalty)
        self.graph = word_loop(lexicon, log_stay, insertion_penalty=insertion_penalty)

    def scores(self, logits: torch.Tensor) -> torch.Tensor:
        """Log-likelihoods up to a constant, from logits of shape (..., states)."""
        return logits.float().log_softmax(-1) - self.log_prior.to(logits.device)

    def __call__(self, logits: torch.Tensor, lengths: torch.Tensor) -> list[list[Word]]:
        """Decode logits of shape (batch, frames, states); `lengths` are the frames of each clip."""
        return decode(self.scores(logits), lengths, self.graph)

    def to_dict(self) -> dict:
        """Return a JSON-ready dict for config.json."""
        return {
            "lexicon": self.lexicon.to_dict(),
            "log_stay": [round(value, 4) for value in self.log_stay.tolist()],
            "log_prior": [round(value, 4) for value in self.log_prior.tolist()],
            "insertion_penalty": self.insertion_penalty,
        }

    @classmethod
    def from_dict(cls, settings: Mapping) -> "Decoder":
        """Rebuild a decoder from the result of `to_dict`."""
        return cls(
            Lexicon.from_dict(settings["lexicon"]),
            torch.tensor(settings["log_stay"]),
            torch.tensor(settings["log_prior"]),
            insertion_penalty=settings["insertion_penalty"],
        )
