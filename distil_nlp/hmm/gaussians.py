"""A first alignment from nothing but clips and what was said in them: one Gaussian a state, trained from a flat start."""

import numpy as np
import torch
from scipy.fft import dct
from scipy.sparse import csr_array

from .alignment import forced_alignment
from .lexicon import SILENCE

_NUM_CEPSTRA = 13
_DELTA_REACH = 2
_LEAST_VARIANCE = 0.05  # of that of all frames together


def cepstra(features):
    """Log-mel features as a Gaussian with a diagonal covariance wants them: decorrelated, with their slopes.

    Args:
        features (`np.ndarray`): Shape (frames, bands).

    Returns:
        `np.ndarray` of float32, shape (frames, 39): 13 coefficients, brought to mean 0 over the clip, their slopes, and the
        slopes of these, over two frames each way.

    Reference: Davis and Mermelstein 1980; Furui 1986 for the slopes.
    """
    still = dct(features, axis=1, norm="ortho")[:, :_NUM_CEPSTRA]
    still = still - still.mean(axis=0)
    moving = _slopes(still)
    return np.concatenate([still, moving, _slopes(moving)], axis=1).astype(np.float32)


def _slopes(values):
    padded = np.pad(values, ((_DELTA_REACH, _DELTA_REACH), (0, 0)), mode="edge")
    steps = range(1, _DELTA_REACH + 1)
    size = len(values)
    total = sum(step * (padded[_DELTA_REACH + step :][:size] - padded[_DELTA_REACH - step :][:size]) for step in steps)
    return total / (2 * sum(step**2 for step in steps))


class GaussianAligner:
    """Says which frame belongs to which state, once it was fitted.

    Args:
        lexicon (`Lexicon`): Of the words.

    Attributes:
        log_stay (`torch.Tensor`): Shape (states,), log probability that a state is followed by itself.
    """

    def __init__(self, lexicon):
        self.lexicon = lexicon
        self.log_stay = torch.full((lexicon.num_states,), 0.5).log()
        self._means = self._variances = None

    def fit(self, clips, sentences, *, num_rounds=12):
        """Begin with states of equal length, then take turns: Gaussians of the frames of a state, best path.

        Args:
            clips (`list[np.ndarray]`): From `cepstra`, each of shape (frames, coefficients).
            sentences (`list[list[str]]`): The words of each.
            num_rounds (`int`): Turns.

        Returns:
            `list[np.ndarray]`: The last alignment, see `align`.
        """
        states = [_flat(len(clip), self.lexicon, words) for clip, words in zip(clips, sentences, strict=True)]
        for _ in range(num_rounds):
            self._estimate(clips, states)
            states = self.align(clips, sentences)
        return states

    def align(self, clips, sentences):
        """The state of every frame: a `forced_alignment` by the Gaussians."""
        return forced_alignment(
            lambda place: self._log_likelihoods(clips[place]),
            [len(clip) for clip in clips],
            sentences,
            self.lexicon,
            self.log_stay,
        )

    def _log_likelihoods(self, clip):
        # The squares multiplied out, as matrix products; in float64, because their difference is small.
        values, means, precisions = torch.from_numpy(clip).double(), self._means, 1 / self._variances
        constant = (means.square() * precisions + self._variances.log()).sum(-1)
        return -0.5 * (values.square() @ precisions.T - 2 * values @ (means * precisions).T + constant)

    def _estimate(self, clips, states):
        frames, states = np.concatenate(clips), np.concatenate(states)
        frames, states = frames[states >= 0], states[states >= 0]
        size = self.lexicon.num_states
        counts = np.bincount(states, minlength=size)
        belong = csr_array((np.ones(len(states)), (states, np.arange(len(states)))), shape=(size, len(states)))
        frames = frames.astype(np.float64)
        sums, squares = belong @ frames, belong @ frames**2
        few = counts < 2  # a state that nothing was aligned with looks like everything together
        seen = np.maximum(counts, 1)[:, None]
        means = np.where(few[:, None], frames.mean(0), sums / seen)
        least = _LEAST_VARIANCE * frames.var(0)
        variances = np.where(few[:, None], frames.var(0), np.maximum(squares / seen - means**2, least))
        self._means, self._variances = torch.from_numpy(means), torch.from_numpy(variances)
        # A state lasts 1 / (1 - stay) frames on average. Where the next frame is another state, it was left.
        left = np.bincount(states[:-1][states[:-1] != states[1:]], minlength=size)
        stay = 1 - (left + 1) / (counts + 2)
        self.log_stay = torch.from_numpy(stay).clamp(0.05, 0.95).log().float()


def _flat(num_frames, lexicon, words):
    """States of equal length: silence, the words, silence."""
    chain = (
        lexicon.chain(SILENCE) + [state for word in words for state in lexicon.chain(word)] + lexicon.chain(SILENCE)
    )
    return np.array(chain)[np.arange(num_frames) * len(chain) // max(num_frames, 1)]
