"""Alignment of clips and their words without a model: one Gaussian per state, trained from a flat start."""

from collections.abc import Sequence

import numpy as np
import torch
from scipy.fft import dct
from scipy.sparse import csr_array

from .lexicon import SILENCE, Lexicon
from .viterbi import forced_alignment

_NUM_CEPSTRA = 13
_DELTA_REACH = 2
_MIN_VARIANCE = 0.05  # fraction of the variance of all frames


def cepstra(features: np.ndarray) -> np.ndarray:
    """Mel-frequency cepstral coefficients with deltas: decorrelated, for Gaussians with diagonal covariance.

    Args:
        features (`np.ndarray`): Log-mel features, shape (frames, bands).

    Returns:
        `np.ndarray` of float32, shape (frames, 39): 13 coefficients with mean 0 over the clip, their deltas, and the deltas
        of these, over two frames on each side.

    Reference: Davis and Mermelstein 1980; Furui 1986 for the deltas.
    """
    coefficients = dct(features, axis=1, norm="ortho")[:, :_NUM_CEPSTRA]
    coefficients = coefficients - coefficients.mean(axis=0)
    deltas = _deltas(coefficients)
    return np.concatenate([coefficients, deltas, _deltas(deltas)], axis=1).astype(np.float32)


def _deltas(values: np.ndarray) -> np.ndarray:
    padded = np.pad(values, ((_DELTA_REACH, _DELTA_REACH), (0, 0)), mode="edge")
    steps = range(1, _DELTA_REACH + 1)
    size = len(values)
    total = sum(step * (padded[_DELTA_REACH + step :][:size] - padded[_DELTA_REACH - step :][:size]) for step in steps)
    return total / (2 * sum(step**2 for step in steps))


class GaussianAligner:
    """Aligns frames with states by one Gaussian per state, after `fit`.

    Args:
        lexicon (`Lexicon`): Lexicon of the words.

    Attributes:
        log_stay (`torch.Tensor`): Shape (states,), log probability of each state's self-loop.
    """

    def __init__(self, lexicon: Lexicon) -> None:
        self.lexicon = lexicon
        self.log_stay = torch.full((lexicon.num_states,), 0.5).log()
        self._means: torch.Tensor | None = None
        self._variances: torch.Tensor | None = None

    def fit(
        self, clips: Sequence[np.ndarray], sentences: Sequence[Sequence[str]], *, num_rounds: int = 12
    ) -> list[np.ndarray]:
        """Fit Gaussians by Viterbi training: start with states of equal length, then alternate estimation and alignment.

        Args:
            clips (`list[np.ndarray]`): Results of `cepstra`, each of shape (frames, coefficients).
            sentences (`list[list[str]]`): The words of each clip.
            num_rounds (`int`): Number of rounds.

        Returns:
            `list[np.ndarray]`: The last alignment, see `align`.
        """
        states = [_flat(len(clip), self.lexicon, words) for clip, words in zip(clips, sentences, strict=True)]
        for _ in range(num_rounds):
            self._estimate(clips, states)
            states = self.align(clips, sentences)
        return states

    def align(self, clips: Sequence[np.ndarray], sentences: Sequence[Sequence[str]]) -> list[np.ndarray]:
        """Return the state of every frame of each clip: a `forced_alignment` with the Gaussians."""
        return forced_alignment(
            lambda index: self._log_likelihoods(clips[index]),
            [len(clip) for clip in clips],
            sentences,
            self.lexicon,
            self.log_stay,
        )

    def _log_likelihoods(self, clip: np.ndarray) -> torch.Tensor:
        # The expanded square as matrix products; in float64, because the difference of the terms is small.
        values, means, precisions = torch.from_numpy(clip).double(), self._means, 1 / self._variances
        constant = (means.square() * precisions + self._variances.log()).sum(-1)
        return -0.5 * (values.square() @ precisions.T - 2 * values @ (means * precisions).T + constant)

    def _estimate(self, clips: Sequence[np.ndarray], alignment: Sequence[np.ndarray]) -> None:
        frames, states = np.concatenate(clips), np.concatenate(alignment)
        frames, states = frames[states >= 0], states[states >= 0]
        size = self.lexicon.num_states
        counts = np.bincount(states, minlength=size)
        one_hot = csr_array((np.ones(len(states)), (states, np.arange(len(states)))), shape=(size, len(states)))
        frames = frames.astype(np.float64)
        sums, squares = one_hot @ frames, one_hot @ frames**2
        few = counts < 2  # a state with fewer than two frames gets mean and variance of all frames
        divisors = np.maximum(counts, 1)[:, None]
        means = np.where(few[:, None], frames.mean(0), sums / divisors)
        floor = _MIN_VARIANCE * frames.var(0)
        variances = np.where(few[:, None], frames.var(0), np.maximum(squares / divisors - means**2, floor))
        self._means, self._variances = torch.from_numpy(means), torch.from_numpy(variances)
        # A state lasts 1 / (1 - stay) frames on average. It is left where the next frame has another state.
        left = np.bincount(states[:-1][states[:-1] != states[1:]], minlength=size)
        stay = 1 - (left + 1) / (counts + 2)
        self.log_stay = torch.from_numpy(stay).clamp(0.05, 0.95).log().float()


def _flat(num_frames: int, lexicon: Lexicon, words: Sequence[str]) -> np.ndarray:
    """Flat start: states of equal length, of silence, the words, and silence."""
    chain = (
        lexicon.chain(SILENCE) + [state for word in words for state in lexicon.chain(word)] + lexicon.chain(SILENCE)
    )
    return np.array(chain)[np.arange(num_frames) * len(chain) // max(num_frames, 1)]
