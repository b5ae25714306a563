"""Word and character error rates of transcripts, whatever kind of model made them."""

import sys
import unicodedata

import numpy as np
import pytest
import torch

from distil_nlp.metrics import CtcSpeechEvaluator, Seq2SeqSpeechEvaluator, plain_text, word_errors
from distil_nlp.signals.frames import align_to_frames


@pytest.mark.parametrize(
    ("reference", "hypothesis", "errors"),
    [("a b c", "a b c", 0), ("a b c", "a c", 1), ("a b", "a x b", 1), ("a b", "b a", 2), ("", "a b", 2), ("a", "", 1)],
)
def test_word_errors_are_the_fewest_substitutions_deletions_and_insertions(reference, hypothesis, errors):
    assert (
        word_errors(reference.split(), hypothesis.split())
        == errors
        == word_errors(hypothesis.split(), reference.split())
    )


def slow_word_errors(reference, hypothesis):
    """Levenshtein distance by dynamic programming."""
    costs = list(range(len(hypothesis) + 1))
    for row, word in enumerate(reference, 1):
        diagonal, costs[0] = costs[0], row
        for column, other in enumerate(hypothesis, 1):
            best = min(costs[column] + 1, costs[column - 1] + 1, diagonal + (word != other))
            diagonal, costs[column] = costs[column], best
    return costs[-1]


@pytest.mark.parametrize(
    "alphabet", [["ho", "hi", "he"], "abc", [-1, 0, 1, 2]], ids=["words", "characters", "numbers"]
)
def test_word_errors_equal_a_slow_plain_version(alphabet):
    draw = np.random.default_rng(0)
    for _ in range(200):
        reference, hypothesis = (
            [alphabet[i] for i in draw.integers(len(alphabet), size=draw.integers(12))] for _ in "rh"
        )
        assert word_errors(reference, hypothesis) == slow_word_errors(reference, hypothesis)


def test_a_missing_rapidfuzz_is_an_error_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "rapidfuzz.distance", None)
    with pytest.raises(
        ImportError, match=r'Word errors are counted with rapidfuzz .*pip install "distil-nlp\[audio\]"'
    ):
        word_errors(["ho"], ["hi"])


def test_events_that_are_not_speech_are_no_words():
    assert plain_text("[noise] Well (laughs), yes <unk> ok") == "well yes ok"
    assert plain_text("a [b") == "a b" and plain_text("[x (y) z] a") == "a"
    evaluator = CtcSpeechEvaluator(
        ["ho [ih] hi", "(oh)"], lambda tokens: "".join("ehio []"[token] for token in tokens)
    )
    statistics = evaluator.statistics([np.array([1, 3, 4, 1, 2, 4, 5, 0, 6]), np.array([], dtype=int)])  # "ho hi [e]"
    assert evaluator.scores(statistics) == {"wer": 0, "cer": 0, "sentences": 1}
    with pytest.raises(ValueError, match="none of the 1 texts has a word"):
        CtcSpeechEvaluator(["[noise]"], str)


def test_errors_are_counted_in_words_and_in_characters():
    evaluator = CtcSpeechEvaluator(["ho hi", "he"], lambda tokens: "".join("ehio "[token] for token in tokens))
    statistics = evaluator.statistics([np.array([1, 3, 4, 1, 0]), np.array([1, 0])])  # "ho he", "he"
    assert evaluator.scores(statistics) == {"wer": 1 / 3, "cer": 1 / 7, "sentences": 0.5}


def test_case_and_punctuation_are_ignored():
    assert plain_text("  Don't STOP, now!") == "don't stop now"
    assert plain_text("don\N{RIGHT SINGLE QUOTATION MARK}t") == "don't"
    assert plain_text(unicodedata.normalize("NFD", "Les élèves")) == plain_text("les élèves") == "les élèves"
    evaluator = Seq2SeqSpeechEvaluator(["Don't stop now.", "hi"], lambda tokens: ["don't stop", "ho, hi"][tokens[0]])
    statistics = evaluator.statistics([np.array([0]), np.array([1])])
    assert evaluator.compute("wer", statistics) == 2 / 4 and evaluator.compute("sentences", statistics) == 0.0


def test_outputs_past_the_end_of_a_clip_are_ignored_with_a_stride_of_several_frames():
    evaluator = CtcSpeechEvaluator(["ho", "h"], lambda tokens: "".join("-ho"[token] for token in tokens))
    paths = torch.tensor([[1, 0, 2], [1, 0, 2]])  # the last output of the second clip is padding
    frames = torch.arange(6) < torch.tensor([[6], [4]])
    logits = align_to_frames(9.0 * torch.nn.functional.one_hot(paths, 3), 6, 2.0)
    assert [row.tolist() for row in evaluator.answers(logits, {"frames": frames})] == [[1, 2], [1]]
