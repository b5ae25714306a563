"""Graphs of states: of a known sentence, or of any sequence of words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from .lexicon import SILENCE, Lexicon

NEVER = float("-inf")


@dataclass(frozen=True)
class Graph:
    """Nodes that each emit a state, and weighted arcs between them.

    Args:
        states (`torch.LongTensor`): State of each node, shape (nodes,).
        predecessors (`torch.LongTensor`): Shape (nodes, max arcs), the nodes with an arc to each node.
        weights (`torch.Tensor`): Same shape, log weight of each arc; -inf for padding.
        start, end (`torch.Tensor`): Shape (nodes,), log weight of starting and of ending at each node.
        entered (`list[str or None]`): The word, or silence, that begins at each node; None for later nodes of a word.
    """

    states: torch.Tensor
    predecessors: torch.Tensor
    weights: torch.Tensor
    start: torch.Tensor
    end: torch.Tensor
    entered: list[str | None]


class _Builder:
    def __init__(self, lexicon: Lexicon, log_stay: torch.Tensor) -> None:
        self.lexicon = lexicon
        self.states: list[int] = []
        self.entered: list[str | None] = []
        self.arcs: dict[int, list[tuple[int, float]]] = {}  # node -> (predecessor, log weight)
        self.log_stay = log_stay.tolist()
        self.log_leave = torch.log1p(-log_stay.exp().clamp(max=1 - 1e-6)).tolist()

    def add(self, word: str) -> tuple[int, int]:
        """Add the chain of nodes of a word; return its first and last node."""
        first = len(self.states)
        for state in self.lexicon.chain(word):
            node = len(self.states)
            self.entered.append(word if node == first else None)
            self.states.append(state)
            self.arcs[node] = [(node, self.log_stay[state])]
            if node > first:
                self.join(node - 1, node)
        return first, len(self.states) - 1

    def leave(self, node: int) -> float:
        """Log probability of leaving the state of a node."""
        return self.log_leave[self.states[node]]

    def join(self, node: int, next_node: int, weight: float = 0.0) -> None:
        """Add an arc between two nodes."""
        self.arcs[next_node].append((node, self.leave(node) + weight))

    def graph(self, starts: Mapping[int, float], ends: Mapping[int, float]) -> Graph:
        """Build the graph; `starts` and `ends` map nodes to the log weight of starting and ending there."""
        size, max_arcs = len(self.states), max(map(len, self.arcs.values()))
        padded = [self.arcs[node] + [(0, NEVER)] * (max_arcs - len(self.arcs[node])) for node in range(size)]
        predecessors = torch.tensor([[predecessor for predecessor, _ in arcs] for arcs in padded])
        weights = torch.tensor([[weight for _, weight in arcs] for arcs in padded])
        start = torch.tensor([starts.get(node, NEVER) for node in range(size)])
        end = torch.tensor([self.leave(node) + ends[node] if node in ends else NEVER for node in range(size)])
        return Graph(torch.tensor(self.states), predecessors, weights, start, end, self.entered)


def sentence_graph(lexicon: Lexicon, words: Sequence[str], log_stay: torch.Tensor) -> Graph:
    """Graph of words in their order, with optional silence before, between and after them.

    Args:
        lexicon (`Lexicon`): Lexicon with the words.
        words (`list[str]`): The words of the clip; an empty list is silence.
        log_stay (`torch.Tensor`): Shape (states,), log probability of each state's self-loop.
    """
    build = _Builder(lexicon, log_stay)
    first_silence = build.add(SILENCE)
    starts, ends, silence = {first_silence[0]: 0.0}, {first_silence[1]: 0.0}, first_silence
    before = None  # last node of the previous word
    for word in words:
        first, last = build.add(word)
        build.join(silence[1], first)
        if before is None:
            starts[first] = 0.0
        else:
            build.join(before, first)
        silence = build.add(SILENCE)
        build.join(last, silence[0])
        before, ends = last, {last: 0.0, silence[1]: 0.0}
    return build.graph(starts, ends)


def word_loop(lexicon: Lexicon, log_stay: torch.Tensor, *, insertion_penalty: float = 0.0) -> Graph:
    """Graph of any sequence of words, with optional silence between them.

    Args:
        lexicon (`Lexicon`): Lexicon; all its words are equally likely.
        log_stay (`torch.Tensor`): See `sentence_graph`.
        insertion_penalty (`float`): Added to the log weight at the beginning of every word. More negative values give
            fewer words.
    """
    build = _Builder(lexicon, log_stay)
    chains = {word: build.add(word) for word in (SILENCE, *lexicon.words)}
    costs = {word: 0.0 if word == SILENCE else float(insertion_penalty) for word in chains}
    for word, (_, last) in chains.items():
        for other, (first, _) in chains.items():
            if not word == other == SILENCE:
                build.join(last, first, costs[other])
    return build.graph({chains[word][0]: costs[word] for word in chains}, {last: 0.0 for _, last in chains.values()})
