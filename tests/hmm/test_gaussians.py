"""Alignment of clips and their words from a flat start."""

import numpy as np

from distil_nlp.hmm import GaussianAligner, Lexicon, cepstra

LEXICON = Lexicon.whole_words(["one", "two"], num_states=2, silence_states=1)


def clips_and_truth(num_clips=60, seed=0):
    """Clips with a noisy point per state, their sentences, and the true state of each frame."""
    draw = np.random.default_rng(seed)
    places = 4 * draw.normal(size=(LEXICON.num_states, 6))
    clips, sentences, truth = [], [], []
    for _ in range(num_clips):
        words = [str(word) for word in draw.choice(["one", "two"], size=draw.integers(1, 4))]
        chain = [0]
        for word in words:
            chain += [*LEXICON.chain(word), *([0] if draw.random() < 0.5 else [])]
        states = np.concatenate([[state] * draw.integers(3, 9) for state in chain])
        clips.append((places[states] + draw.normal(size=(len(states), 6))).astype(np.float32))
        sentences.append(words)
        truth.append(states)
    return clips, sentences, truth


def test_the_true_states_are_found_from_a_flat_start():
    clips, sentences, truth = clips_and_truth()
    aligner = GaussianAligner(LEXICON)
    alignment = aligner.fit(clips, sentences)
    accuracy = np.mean(np.concatenate(alignment) == np.concatenate(truth))
    assert accuracy > 0.97
    # A state lasts 5.5 frames on average (silence, sometimes twice in a row, longer).
    assert np.allclose(aligner.log_stay[1:].exp(), 1 - 1 / 5.5, atol=0.05)
    again = GaussianAligner(LEXICON).fit(clips, sentences)
    assert all(np.array_equal(one, other) for one, other in zip(alignment, again, strict=True))


def test_new_clips_are_aligned_and_a_clip_too_short_is_unknown():
    clips, sentences, truth = clips_and_truth()
    aligner = GaussianAligner(LEXICON)
    aligner.fit(clips[:40], sentences[:40])
    alignment = aligner.align([*clips[40:], clips[0][:3]], [*sentences[40:], ["one", "two"]])
    assert np.mean(np.concatenate(alignment[:-1]) == np.concatenate(truth[40:])) > 0.97
    assert alignment[-1].tolist() == [-100] * 3


def test_cepstra_do_not_depend_on_the_loudness():
    features = np.random.default_rng(0).normal(size=(20, 40)).astype(np.float32)
    coefficients = cepstra(features)
    assert coefficients.shape == (20, 39) and coefficients.dtype == np.float32
    np.testing.assert_allclose(cepstra(features + 3), coefficients, atol=1e-4)
    steady = np.repeat(features[:1], 20, axis=0) + np.arange(20)[:, None] * np.eye(40)[0]
    slope = cepstra(steady)[:, 13:26]
    np.testing.assert_allclose(slope[2:-2], np.repeat(slope[5:6], 16, axis=0), atol=1e-5)
