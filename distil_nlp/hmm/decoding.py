"""What was said, and when: words on the best path."""

from dataclasses import dataclass

import torch

from .graphs import word_loop
from .lexicon import SILENCE, Lexicon
from .viterbi import best_paths


@dataclass(frozen=True)
class Word:
    """A word that was heard.

    Args:
        word (`str`): Which.
        first, last (`int`): Its first and its last frame.
    """

    word: str
    first: int
    last: int


class WordTracker:
    """Goes along a path and notes its words, silence left out.

    Args:
        graph (`Graph`): Whose nodes the path has.

    Attributes:
        words (`list[Word]`): That are over: something else was entered after them.
    """

    def __init__(self, graph):
        self.words, self._graph = [], graph
        self._entered, self._first, self._frame, self._before = SILENCE, 0, -1, None

    def step(self, node):
        """The node of the next frame."""
        entered = self._graph.entered[node]
        if node != self._before and entered is not None:
            self.close()
            self._entered, self._first = entered, self._frame + 1
        self._frame += 1
        self._before = node

    def close(self):
        """Nothing follows: the last word is over, too."""
        if self._entered != SILENCE:
            self.words.append(Word(self._entered, self._first, self._frame))
        self._entered = SILENCE


def words_on(path, graph):
    """The words a path goes through.

    Args:
        path (`list[int]`): Nodes, frame by frame, as far as they are 0 or more.
        graph (`Graph`): Whose nodes they are.

    Returns:
        `list[Word]`, silence left out.
    """
    tracker = WordTracker(graph)
    for node in path:
        if node >= 0:
            tracker.step(node)
    tracker.close()
    return tracker.words


def decode(scores, lengths, graph):
    """The words of many clips.

    Args:
        scores, lengths: See `best_paths`.
        graph (`Graph`): A `word_loop`, usually.

    Returns:
        `list[list[Word]]`. A clip that is too short for any word or silence has none.
    """
    nodes, weights = best_paths(scores, lengths, graph)
    possible = weights.isfinite().tolist()
    return [words_on(path, graph) if is_path else [] for path, is_path in zip(nodes.tolist(), possible, strict=True)]


def log_prior_of(states, lexicon):
    """Log probability of each state in an alignment, one occurrence of each added.

    Args:
        states (`np.ndarray`): States of frames, -100 where nothing is known.
        lexicon (`Lexicon`): Of the states.
    """
    counts = torch.bincount(torch.from_numpy(states[states >= 0]), minlength=lexicon.num_states) + 1
    return (counts / counts.sum()).log()


class Decoder:
    """Makes words of what a model says about states.

    Args:
        lexicon (`Lexicon`): Words and states; the model's classes are the states.
        log_stay, log_prior (`torch.Tensor`): Shape (states,): log probability that a state is followed by itself, and of
            the state in the data that the model was trained on.
        insertion_penalty (`float`): See `word_loop`.

    A model says how likely a state is given the sound; divided by how likely the state is anyway, that is, up to a
    constant, how likely the sound is given the state: Bourlard and Morgan 1994, "Connectionist Speech Recognition",
    chapter 7.
    """

    def __init__(self, lexicon, log_stay, log_prior, *, insertion_penalty=0.0):
        self.lexicon, self.log_stay, self.log_prior = lexicon, log_stay, log_prior
        self.insertion_penalty = float(insertion_penalty)
        self.graph = word_loop(lexicon, log_stay, insertion_penalty=insertion_penalty)

    def scores(self, logits):
        """Log likelihoods up to a constant, from logits of shape (..., states)."""
        return logits.float().log_softmax(-1) - self.log_prior.to(logits.device)

    def __call__(self, logits, lengths):
        """The words of clips, `list[list[Word]]`: logits of shape (batch, frames, states), frames of each clip."""
        return decode(self.scores(logits), lengths, self.graph)

    def to_dict(self):
        """As config.json keeps it."""
        return {
            "lexicon": self.lexicon.to_dict(),
            "log_stay": [round(value, 4) for value in self.log_stay.tolist()],
            "log_prior": [round(value, 4) for value in self.log_prior.tolist()],
            "insertion_penalty": self.insertion_penalty,
        }

    @classmethod
    def from_dict(cls, kept):
        """From what `to_dict` gave."""
        return cls(
            Lexicon.from_dict(kept["lexicon"]),
            torch.tensor(kept["log_stay"]),
            torch.tensor(kept["log_prior"]),
            insertion_penalty=kept["insertion_penalty"],
        )
