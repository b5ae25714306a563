"""Lexicon, graphs and best paths, compared with an exhaustive search."""

import itertools
import json

import pytest
import torch

from distil_nlp.hmm import (
    SILENCE,
    Decoder,
    Lexicon,
    Word,
    best_paths,
    decode,
    sentence_graph,
    word_loop,
    words_on_path,
)

LEXICON = Lexicon({"ja": ["j", "a"], "a": ["a"]}, {SILENCE: 1, "j": 1, "a": 2})
STAY = torch.tensor([0.5, 0.3, 0.6, 0.2]).log()


def scores(num_clips, num_frames, seed=0):
    return 3 * torch.randn(num_clips, num_frames, LEXICON.num_states, generator=torch.Generator().manual_seed(seed))


def weight_of(path, clip, graph):
    """The log weight of a path of nodes, arc by arc."""
    total = graph.start[path[0]] + clip[0, graph.states[path[0]]] + graph.end[path[-1]]
    for frame, (one, other) in enumerate(itertools.pairwise(path), 1):
        arcs = [
            weight for node, weight in zip(graph.predecessors[other], graph.weights[other], strict=True) if node == one
        ]
        total = total + max(arcs, default=torch.tensor(float("-inf"))) + clip[frame, graph.states[other]]
    return total


def test_states_are_numbered_by_unit_and_shared_by_words():
    assert LEXICON.state_names == ["<sil>.0", "j.0", "a.0", "a.1"]
    assert (LEXICON.chain("ja"), LEXICON.chain("a"), LEXICON.chain(SILENCE)) == ([1, 2, 3], [2, 3], [0])
    assert Lexicon.from_dict(LEXICON.to_dict()) == LEXICON


def test_whole_words_are_sorted():
    one, other = (Lexicon.whole_words(words, num_states=2) for words in (["b", "a", "b"], ["a", "b"]))
    assert one == other and one.state_names[3:] == ["a.0", "a.1", "b.0", "b.1"]


@pytest.mark.parametrize("words", [["ja"], ["a"], []])
def test_the_best_path_has_the_largest_weight_of_all_paths(words):
    graph = sentence_graph(LEXICON, words, STAY)
    clips = scores(2, 6)
    nodes, weights = best_paths(clips, torch.tensor([6, 6]), graph)
    for clip, path, weight in zip(clips, nodes, weights, strict=True):
        every = itertools.product(range(len(graph.states)), repeat=6)
        best = max((weight_of(one, clip, graph) for one in every if graph.start[one[0]].isfinite()), key=float)
        torch.testing.assert_close(weight, best)
        torch.testing.assert_close(weight_of(path.tolist(), clip, graph), best)


def test_long_clips_have_the_same_path_in_float32_and_float64():
    clip = scores(1, 3000) - 200  # likelihoods of many dimensions are far below 1: large sums
    graph = word_loop(LEXICON, STAY)
    (short, _), (long, _) = (best_paths(one, torch.tensor([3000]), graph) for one in (clip, clip.double()))
    assert torch.equal(short, long)


def test_batching_does_not_change_the_paths():
    sentences = [["ja"], ["a", "ja", "a"], ["a"]]
    graphs = [sentence_graph(LEXICON, words, STAY) for words in sentences]
    clips, lengths = scores(3, 12), torch.tensor([7, 12, 4])
    nodes, weights = best_paths(clips, lengths, graphs)
    for place, (graph, length) in enumerate(zip(graphs, lengths, strict=True)):
        alone, weight = best_paths(clips[place : place + 1, :length], lengths[place : place + 1], graph)
        assert torch.equal(nodes[place, :length], alone[0]) and (nodes[place, length:] == -1).all()
        torch.testing.assert_close(weights[place], weight[0])


def test_a_sentence_graph_has_its_words_in_order_with_optional_silence():
    graph = sentence_graph(LEXICON, ["ja", "a"], STAY)
    clip = torch.full((1, 9, 4), -9.0)
    for frame, state in enumerate([1, 2, 3, 0, 0, 2, 3, 3, 0]):
        clip[0, frame, state] = 0
    nodes, _ = best_paths(clip, torch.tensor([9]), graph)
    assert words_on_path(nodes[0].tolist(), graph) == [Word("ja", 0, 2), Word("a", 5, 7)]
    assert graph.states[nodes[0]].tolist() == [1, 2, 3, 0, 0, 2, 3, 3, 0]


def test_silence_between_words_is_optional():
    graph = sentence_graph(LEXICON, ["ja", "a"], STAY)
    nodes, weights = best_paths(scores(1, 5), torch.tensor([5]), graph)  # five frames are their five states
    assert weights.isfinite().all() and graph.states[nodes[0]].tolist() == [1, 2, 3, 2, 3]


def test_a_decoder_divides_posteriors_by_the_prior():
    prior = torch.tensor([0.7, 0.1, 0.1, 0.1]).log()
    decoder = Decoder(LEXICON, STAY, prior, insertion_penalty=-2.0)
    logits = scores(1, 3)
    torch.testing.assert_close(decoder.scores(logits), logits.log_softmax(-1) - prior)
    again = Decoder.from_dict(json.loads(json.dumps(decoder.to_dict(), sort_keys=True)))  # as a config is saved
    assert (again.lexicon, again.insertion_penalty) == (LEXICON, -2.0)
    torch.testing.assert_close(again.scores(logits), decoder.scores(logits), rtol=0, atol=1e-3)
    # Logits equal to the prior carry no information.
    assert decoder.scores(prior.expand(1, 2, 4)).abs().max() < 1e-6


def test_a_clip_shorter_than_its_words_has_no_path():
    graph = sentence_graph(LEXICON, ["ja", "ja"], STAY)
    _, weights = best_paths(scores(1, 5), torch.tensor([5]), graph)
    assert weights.item() == float("-inf")
    assert decode(torch.zeros(1, 1, 4), torch.tensor([1]), sentence_graph(LEXICON, ["ja"], STAY)) == [[]]


def test_repeated_words_are_decoded_and_a_penalty_gives_fewer_words():
    clip = torch.full((1, 8, 4), -9.0)
    for frame, state in enumerate([2, 3, 2, 3, 0, 1, 2, 3]):
        clip[0, frame, state] = 0
    words = {}
    for penalty in (0.0, -100.0):
        loop = word_loop(LEXICON, STAY, insertion_penalty=penalty)
        words[penalty] = [word.word for word in decode(clip, torch.tensor([8]), loop)[0]]
    assert words[0.0] == ["a", "a", "ja"] and len(words[-100.0]) < 3


@pytest.mark.parametrize(
    ("words", "lengths", "complaint"),
    [
        ({}, {SILENCE: 1}, "at least one word"),
        ({SILENCE: [SILENCE]}, {SILENCE: 1}, "reserved for silence"),
        ({"a": []}, {SILENCE: 1}, "'a' should be a list of units"),
        ({"a": ["b"]}, {SILENCE: 1}, "'b' has no length"),
        ({"a": ["a"]}, {"a": 2}, "number of states"),
        ({"a": ["a"]}, {SILENCE: 1, "a": 0}, "number of states"),
    ],
)
def test_an_unusable_lexicon_is_rejected(words, lengths, complaint):
    with pytest.raises(ValueError, match=complaint):
        Lexicon(words, lengths)


def test_an_unknown_word_is_rejected_by_name():
    with pytest.raises(ValueError, match="'no' is not among the 2 of the lexicon"):
        sentence_graph(LEXICON, ["a", "no"], STAY)
