"""Sound altered for training: operations on whole batches of waves, each a pure function of seed, epoch and example."""

import functools
from dataclasses import dataclass

import numpy as np
import torch
from transformers.audio_utils import hertz_to_mel, mel_to_hertz

from .random import uniform

_QUIETEST, _LOUDEST = 30.0, 5.0  # decibels of a clip over its noise


@dataclass(frozen=True)
class SoundAugmentation:
    """Waves altered at random for training, whole batches at once.

    In this order: shift, noise, a stretch of time silenced, a band of frequencies taken out. All of it is done to the wave,
    not to features, so every model that hears it, whatever its front end, hears the same. Every random choice is a pure
    function of seed, epoch and example id: a resumed run, more processes or loader workers, batches cut otherwise give the
    same sound.

    Args:
        shift (`float`): Seconds by which a clip begins earlier or later, at most; what moves out is lost, silence follows.
        noise (`float`): Probability of white noise, 5 to 30 decibels below the clip.
        time_mask (`float`): Longest share of a clip that is silenced; 0 leaves it out.
        frequency_mask (`float`): Widest share of the mel scale that is taken out; 0 leaves it out.
        seed (`int`): Same seed, same sound.

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
            raise ValueError(f"shift is a number of seconds, 0 or more; got {self.shift!r}.")
        if not 0 <= self.noise <= 1:
            raise ValueError(f"noise is a probability, 0 to 1; got {self.noise!r}.")
        for name in ("time_mask", "frequency_mask"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} is a share, 0 to less than 1; got {getattr(self, name)!r}.")

    def __call__(self, waves, lengths, example_ids, epoch, sampling_rate):
        """The clips of a batch as they are heard in an epoch.

        Args:
            waves (`torch.Tensor`): Shape (batch, samples), float32, 0 where a clip is padded at its end.
            lengths (`torch.LongTensor`): Shape (batch,), samples of each clip. They stay what they are.
            example_ids (`torch.LongTensor`): Shape (batch,).
            epoch (`int`): From 0.
            sampling_rate (`int`): Samples a second.

        Returns:
            `torch.Tensor` of the shape of `waves`.
        """
        ids = np.asarray(example_ids)
        draw = functools.partial(uniform, self.seed, int(epoch), ids)
        inside = torch.arange(waves.shape[1]) < lengths.unsqueeze(1)
        if self.shift:
            waves = _shifted(
                waves, torch.from_numpy(_signed(draw("shift")) * self.shift * sampling_rate).long(), inside
            )
        if self.noise:
            waves = waves + self._noise(waves, lengths, draw) * inside
        if self.time_mask:
            share = draw("silence") * self.time_mask
            starts, ends = (_of_clips(place * lengths.numpy()) for place in _stretch(share, draw("silence from")))
            places = torch.arange(waves.shape[1])
            waves = waves.masked_fill((places >= starts) & (places < ends), 0)
        if self.frequency_mask:
            waves = self._without_band(waves, lengths, draw, sampling_rate)
        return waves

    def _noise(self, waves, lengths, draw):
        """White noise as loud as each clip allows, or none. Each clip takes its own part of a long one."""
        size = waves.shape[1]
        places = torch.from_numpy((draw("hiss place") * _LONG).astype(np.int64))
        noise = _hiss(self.seed, _LONG + (1 << (size - 1).bit_length()))[places.unsqueeze(1) + torch.arange(size)]
        power = waves.square().sum(1) / lengths.clamp(min=1)
        decibels = _LOUDEST + torch.from_numpy(draw("hiss level")).float() * (_QUIETEST - _LOUDEST)
        loud = (power * 10 ** (-decibels / 10)).sqrt() * torch.from_numpy(draw("hiss") < self.noise)
        return noise * loud.unsqueeze(1)

    def _without_band(self, waves, lengths, draw, sampling_rate):
        """Clip by clip, because what a Fourier transform finds depends on the length it is given."""
        highest = hertz_to_mel(sampling_rate / 2, mel_scale="htk")
        edges = _stretch(draw("band") * self.frequency_mask, draw("band from"))
        low, high = (mel_to_hertz(edge * highest, mel_scale="htk") for edge in edges)
        found = torch.zeros_like(waves)
        for place, length in enumerate(lengths.tolist()):
            spectrum = torch.fft.rfft(waves[place, :length])
            frequencies = torch.linspace(0, sampling_rate / 2, len(spectrum))
            spectrum[(frequencies >= low[place]) & (frequencies < high[place])] = 0
            found[place, :length] = torch.fft.irfft(spectrum, n=length)
        return found


# Samples of which clips take their noise: longer than most, so that no two begin at the same place.
_LONG = 1 << 17


@functools.lru_cache(maxsize=4)
def _hiss(seed, size):
    """Noise of variance 1. Longer ones begin as shorter ones do: a clip's noise does not depend on its batch."""
    first, second = (uniform(seed, 0, np.arange(size), name) for name in ("hiss radius", "hiss angle"))
    return torch.from_numpy(np.sqrt(-2 * np.log(1 - first)) * np.cos(2 * np.pi * second)).float()  # Box and Muller


def _shifted(waves, shifts, inside):
    """Each clip later by its shift (earlier where that is negative), silence where nothing is."""
    places = torch.arange(waves.shape[1]) - shifts.unsqueeze(1)
    there = (places >= 0) & (places < waves.shape[1])
    return waves.gather(1, places.clamp(0, waves.shape[1] - 1)) * (there & inside)


def _stretch(share, place):
    """Where a stretch of this share of everything begins and ends, 0 to 1."""
    start = place * (1 - share)
    return start, start + share


def _signed(draws):
    return 2 * draws - 1


def _of_clips(values):
    """One value for each clip as a tensor that meets waves: shape (batch, 1)."""
    return torch.from_numpy(np.asarray(values, dtype=np.float64)).unsqueeze(1)
