"""Hidden Markov models of words: what may follow what, the best path through it, and a first alignment from nothing."""

from .alignment import forced_alignment
from .decoding import Decoder, Word, decode, log_prior_of, words_on
from .gaussians import GaussianAligner, cepstra
from .graphs import Graph, sentence_graph, word_loop
from .lexicon import SILENCE, Lexicon
from .viterbi import best_paths

__all__ = [
    "SILENCE",
    "Decoder",
    "GaussianAligner",
    "Graph",
    "Lexicon",
    "Word",
    "best_paths",
    "cepstra",
    "decode",
    "forced_alignment",
    "log_prior_of",
    "sentence_graph",
    "word_loop",
    "words_on",
]
