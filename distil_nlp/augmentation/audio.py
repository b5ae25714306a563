"""Augmentation of audio clips: operations on whole batches of waves, each a pure function of seed, epoch and example."""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from transformers.audio_utils import hertz_to_mel, mel_to_hertz

from ..internals.messages import shown
from .counter_rng import uniform

_SNR = (5.0, 30.0)  # signal-to-noise ratios in decibels


@dataclass(frozen=True)
class AudioAugmentation:
    """Alters waves at random for training, whole batches at once.

    In this order: shift, noise, a time mask (silence), a frequency mask (a missing band). All of it is done to the wave,
    not to features, so all models get the same clips, whatever their front ends. Every random choice is a pure function of
    seed, epoch and example id: a resumed run, another number of processes or loader workers, and other batches give the
    same clips.

    Args:
        shift (`float`): Longest time in seconds by which a clip begins earlier or later; what moves out is lost, silence
            fills the gap.
        noise (`float`): Probability of white noise, 5 to 30 decibels below the clip.
        time_mask (`float`): Longest share of a clip that is silenced; 0: none.
        frequency_mask (`float`): Widest share of the mel scale that is removed; 0: none.
        seed (`int`): The same seed gives the same clips.

    Raises:
        ValueError: A setting out of its range.

    References: Kim et al. 2021, "Broadcasted Residual Learning for Efficient Keyword Spotting", section 3.2 (shift of up to
    100 ms, noise with probability 0.8); Park et al. 2019, "SpecAugment", section 2, there on features.
    """

    shift: float = 0.1
    noise: float = 0.8
    time_mask: float = 0.0
    frequency_mask: float = 0.0
    seed: int = 0

    def __post_init__(self):
        if not 0 <= self.shift < float("inf"):
            raise ValueError(f"shift is a number of seconds, 0 or more; got {shown(self.shift)}.")
        if not 0 <= self.noise <= 1:
            raise ValueError(f"noise is a probability, 0 to 1; got {shown(self.noise)}.")
        for name in ("time_mask", "frequency_mask"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} is a share, 0 to less than 1; got {shown(getattr(self, name))}.")

    def __call__(
        self,
        waves: torch.Tensor,
        lengths: torch.Tensor,
        example_ids: torch.Tensor,
        epoch: int,
        sampling_rate: int,
    ) -> torch.Tensor:
        """The augmented clips of a batch in an epoch.

        Args:
            waves (`torch.Tensor`): Shape (batch, samples), float32, padded with 0 on the right.
            lengths (`torch.LongTensor`): Shape (batch,), samples of each clip. They do not change.
            example_ids (`torch.LongTensor`): Shape (batch,).
            epoch (`int`): From 0.
            sampling_rate (`int`): Samples per second.

        Returns:
            `torch.Tensor` of the shape of `waves`.
        """
        ids = np.asarray(example_ids)
        draw = functools.partial(uniform, self.seed, int(epoch), ids)
        is_inside = torch.arange(waves.shape[1]) < lengths.unsqueeze(1)
        if self.shift:
            shifts = (2 * draw("shift") - 1) * self.shift * sampling_rate
            waves = _shifted(waves, torch.from_numpy(shifts).long(), is_inside)
        if self.noise:
            waves = waves + self._noise(waves, lengths, draw) * is_inside
        if self.time_mask:
            edges = _random_interval(draw("time mask") * self.time_mask, draw("time mask start"))
            starts, ends = (torch.from_numpy(edge * lengths.numpy()).unsqueeze(1) for edge in edges)
            positions = torch.arange(waves.shape[1])
            waves = waves.masked_fill((positions >= starts) & (positions < ends), 0)
        if self.frequency_mask:
            waves = self._without_band(waves, lengths, draw, sampling_rate)
        return waves

    def _noise(self, waves: torch.Tensor, lengths: torch.Tensor, draw: Callable) -> torch.Tensor:
        """White noise for some of the clips, scaled to a random signal-to-noise ratio: a random part of one long noise."""
        size = waves.shape[1]
        starts = torch.from_numpy((draw("audio noise start") * _NUM_STARTS).astype(np.int64))
        long_noise = _white_noise(self.seed, _NUM_STARTS + (1 << (size - 1).bit_length()))
        noise = long_noise[starts.unsqueeze(1) + torch.arange(size)]
        power = waves.square().sum(1) / lengths.clamp(min=1)
        decibels = _SNR[0] + torch.from_numpy(draw("audio noise level")).float() * (_SNR[1] - _SNR[0])
        has_noise = torch.from_numpy(draw("audio noise") < self.noise)
        amplitude = (power * 10 ** (-decibels / 10)).sqrt() * has_noise
        return noise * amplitude.unsqueeze(1)

    def _without_band(
        self, waves: torch.Tensor, lengths: torch.Tensor, draw: Callable, sampling_rate: int
    ) -> torch.Tensor:
        """Waves without a random band of frequencies. Clip by clip: a Fourier transform depends on the clip's length."""
        highest = hertz_to_mel(sampling_rate / 2, mel_scale="htk")
        edges = _random_interval(draw("frequency mask") * self.frequency_mask, draw("frequency mask start"))
        low, high = (mel_to_hertz(edge * highest, mel_scale="htk") for edge in edges)
        masked = torch.zeros_like(waves)
        for index, length in enumerate(lengths.tolist()):
            spectrum = torch.fft.rfft(waves[index, :length])
            frequencies = torch.linspace(0, sampling_rate / 2, len(spectrum))
            spectrum[(frequencies >= low[index]) & (frequencies < high[index])] = 0
            masked[index, :length] = torch.fft.irfft(spectrum, n=length)
        return masked


# Number of samples of the long noise at which the noise of a clip may start: so many that two clips rarely share one.
_NUM_STARTS = 1 << 17


@functools.lru_cache(maxsize=4)
def _white_noise(seed: int, size: int) -> torch.Tensor:
    """Normal noise of variance 1, shape (size,), by Box and Muller.

    Its beginning does not depend on `size`, so the noise of a clip does not depend on its batch.
    """
    radius, angle = (
        uniform(seed, 0, np.arange(size), purpose) for purpose in ("audio noise radius", "audio noise angle")
    )
    return torch.from_numpy(np.sqrt(-2 * np.log(1 - radius)) * np.cos(2 * np.pi * angle)).float()


def _shifted(waves: torch.Tensor, shifts: torch.Tensor, is_inside: torch.Tensor) -> torch.Tensor:
    """Each clip later by its shift in samples (earlier where it is negative), silence in the gap."""
    positions = torch.arange(waves.shape[1]) - shifts.unsqueeze(1)
    has_source = (positions >= 0) & (positions < waves.shape[1])
    return waves.gather(1, positions.clamp(0, waves.shape[1] - 1)) * (has_source & is_inside)


def _random_interval(share: np.ndarray, position: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Start and end, 0 to 1, of intervals of length `share`; `position`, 0 to 1, is between the leftmost and rightmost."""
    start = position * (1 - share)
    return start, start + share
