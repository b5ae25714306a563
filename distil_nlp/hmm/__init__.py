"""Hidden Markov models of words: graphs, Viterbi decoding, and alignment."""

from .decoding import Decoder, Word, decode, log_state_prior, words_on_path
from .gaussians import GaussianAligner, cepstra
from .graphs import Graph, sentence_graph, word_loop
from .lexicon import SILENCE, Lexicon
from .viterbi import best_paths, forced_alignment

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
    "log_state_prior",
    "sentence_graph",
    "word_loop",
    "words_on_path",
]
