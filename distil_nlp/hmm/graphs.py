"""What may follow what: a sentence that is known, or any words after each other."""

from dataclasses import dataclass

import torch

from .lexicon import SILENCE

NEVER = float("-inf")


@dataclass(frozen=True)
class Graph:
    """Nodes that each emit a state, and what it costs to go from one to another.

    Args:
        states (`torch.LongTensor`): Shape (nodes,).
        before (`torch.LongTensor`): Shape (nodes, most ways), from where each node is reached.
        weights (`torch.Tensor`): Same shape, log weight of each way; minus infinity where a node has fewer.
        start, end (`torch.Tensor`): Shape (nodes,), log weight of beginning and of ending there.
        entered (`list[str or None]`): The word, or silence, that begins where a node is entered from another.
    """

    states: torch.Tensor
    before: torch.Tensor
    weights: torch.Tensor
    start: torch.Tensor
    end: torch.Tensor
    entered: list


class _Builder:
    def __init__(self, lexicon, log_stay):
        self.lexicon, self.states, self.entered, self.ways = lexicon, [], [], {}
        self.log_stay = log_stay.tolist()
        self.log_leave = torch.log1p(-log_stay.exp().clamp(max=1 - 1e-6)).tolist()

    def add(self, word):
        """A chain of nodes: `(first, last)`."""
        first = len(self.states)
        for state in self.lexicon.chain(word):
            node = len(self.states)
            self.entered.append(word if node == first else None)
            self.states.append(state)
            self.ways[node] = [(node, self.log_stay[state])]
            if node > first:
                self.join(node - 1, node)
        return first, len(self.states) - 1

    def leave(self, node):
        return self.log_leave[self.states[node]]

    def join(self, one, other, weight=0.0):
        self.ways[other].append((one, self.leave(one) + weight))

    def graph(self, starts, ends):
        """Args: nodes to begin and to end at, with their weights (`dict`)."""
        size, most = len(self.states), max(map(len, self.ways.values()))
        filled = [self.ways[node] + [(0, NEVER)] * (most - len(self.ways[node])) for node in range(size)]
        before = torch.tensor([[one for one, _ in ways] for ways in filled])
        weights = torch.tensor([[weight for _, weight in ways] for ways in filled])
        start = torch.tensor([starts.get(node, NEVER) for node in range(size)])
        end = torch.tensor([self.leave(node) + ends[node] if node in ends else NEVER for node in range(size)])
        return Graph(torch.tensor(self.states), before, weights, start, end, self.entered)


def sentence_graph(lexicon, words, log_stay):
    """The words in their order, with or without silence before, between and after them.

    Args:
        lexicon (`Lexicon`): Of the words.
        words (`list[str]`): What was said; nothing but silence where it is empty.
        log_stay (`torch.Tensor`): Shape (states,), log probability that a state is followed by itself.
    """
    build = _Builder(lexicon, log_stay)
    first_silence = build.add(SILENCE)
    starts, ends, silence = {first_silence[0]: 0.0}, {first_silence[1]: 0.0}, first_silence
    before = None  # the last word's last node
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


def word_loop(lexicon, log_stay, *, insertion_penalty=0.0):
    """Any words, any number of times, with or without silence between them.

    Args:
        lexicon (`Lexicon`): All its words are as likely.
        log_stay: See `sentence_graph`.
        insertion_penalty (`float`): Added to the log weight of every word that begins, usually below 0: the more negative,
            the fewer words.
    """
    build = _Builder(lexicon, log_stay)
    chains = {word: build.add(word) for word in (SILENCE, *lexicon.words)}
    costs = {word: 0.0 if word == SILENCE else float(insertion_penalty) for word in chains}
    for word, (_, last) in chains.items():
        for other, (first, _) in chains.items():
            if not word == other == SILENCE:
                build.join(last, first, costs[other])
    return build.graph({chains[word][0]: costs[word] for word in chains}, {last: 0.0 for _, last in chains.values()})
