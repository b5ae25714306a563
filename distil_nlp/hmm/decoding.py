"""What was said, and when: words on the best path."""

from dataclasses import dataclass

from .lexicon import SILENCE
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


def words_on(path, graph):
    """The words a path goes through.

    Args:
        path (`list[int]`): Nodes, frame by frame, as far as they are 0 or more.
        graph (`Graph`): Whose nodes they are.

    Returns:
        `list[Word]`, silence left out.
    """
    heard, before = [], None
    path = [node for node in path if node >= 0]
    for frame, node in enumerate(path):
        if node != before and graph.entered[node] is not None:
            heard.append([graph.entered[node], frame, frame])
        heard[-1][2] = frame
        before = node
    return [Word(*one) for one in heard if one[0] != SILENCE]


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
