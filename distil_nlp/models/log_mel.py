"""The log-mel front end: the logarithm of the energy in frequency bands, frame by frame."""

import torch
from torch import nn
from transformers.audio_utils import mel_filter_bank

from ..internals.messages import shown

# Added to the energy of a band, because log(0) is -inf. For waveforms in -1 to 1 it is far below a microphone's noise.
_FLOOR = 1e-6
# Approximate mean and deviation of close-talking speech: they only bring the features near 0 and 1.
_MEAN, _STD = -5.0, 4.0


class LogMel(nn.Module):
    """Log-mel features as part of the model, so that training, saved files, exports and serving share one front end.

    No frame reaches beyond the clip, so a frame can be computed as soon as its last sample is available, and the frames of
    a clip do not depend on its padding.

    Args:
        sampling_rate (`int`): In Hz.
        num_mels (`int`): Bands.
        window (`float`), hop (`float`): Length of a frame, and distance between frames, in seconds.

    Raises:
        ValueError: Bands so narrow that some contain no frequency of the spectrum; a hop of less than a sample.

    The bands are those of `transformers.audio_utils.mel_filter_bank` from 20 Hz to half the sampling rate, on the HTK
    scale.
    """

    def __init__(
        self, sampling_rate: int = 16000, num_mels: int = 40, window: float = 0.032, hop: float = 0.010
    ) -> None:
        super().__init__()
        self.sampling_rate, self.num_mels = sampling_rate, num_mels
        self.frame_length, self.hop_length = round(window * sampling_rate), round(hop * sampling_rate)
        if self.hop_length < 1:
            raise ValueError(f"hop must be at least one sample; got {shown(hop)} s at {sampling_rate} Hz.")
        bins = self.frame_length // 2 + 1
        filters = mel_filter_bank(bins, num_mels, 20.0, sampling_rate / 2, sampling_rate, norm=None, mel_scale="htk")
        if empty := int((filters.sum(0) == 0).sum()):
            raise ValueError(
                f"{empty} of {num_mels} bands contain no frequency: a frame of {self.frame_length} samples has {bins} "
                f"of them, up to {sampling_rate // 2} Hz. Use fewer bands or longer frames."
            )
        self.register_buffer("filters", torch.as_tensor(filters, dtype=torch.float32))
        self.register_buffer("window", torch.hann_window(self.frame_length, dtype=torch.float32))

    def num_frames(self, num_samples: int | torch.Tensor) -> int | torch.Tensor:
        """Number of whole frames in clips of `num_samples` samples, an int or a tensor."""
        frames = (num_samples - self.frame_length) // self.hop_length + 1
        return frames.clamp(min=0) if isinstance(frames, torch.Tensor) else max(frames, 0)

    def forward(self, waves: torch.Tensor, mask: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """Log-mel features, and the mask of valid frames.

        Args:
            waves (`torch.Tensor`): Shape (batch, samples), from -1 to 1.
            mask (`torch.Tensor`, *optional*): Same shape, 0 where a shorter clip is padded at its end.

        Returns:
            `(torch.Tensor, torch.BoolTensor)` of shapes (batch, frames, bands), 0 in padding, and (batch, frames).

        Raises:
            ValueError: Another shape, or fewer samples than a frame has.
        """
        if waves.dim() != 2 or waves.shape[1] < self.frame_length:
            raise ValueError(
                f"Waveforms must have shape (batch, samples), with at least the {self.frame_length} samples of a frame "
                f"({self.frame_length / self.sampling_rate:.3f} s at {self.sampling_rate} Hz); got {tuple(waves.shape)}."
            )
        # The spectrum of bfloat16 samples would be noise, so the input is cast and autocast is off.
        waves, window, filters = (
            tensor.to(torch.float64 if self.filters.dtype == torch.float64 else torch.float32)
            for tensor in (waves, self.window, self.filters)
        )
        with torch.autocast(waves.device.type, enabled=False):
            spectrum = torch.stft(
                waves, self.frame_length, self.hop_length, window=window, center=False, return_complex=True
            )
            power = torch.view_as_real(spectrum).square().sum(-1).transpose(1, 2)
            features = ((power @ filters + _FLOOR).log() - _MEAN) / _STD
        if mask is None:
            return features, features.new_ones(features.shape[:2], dtype=torch.bool)
        frames = torch.arange(features.shape[1], device=waves.device)
        frame_mask = frames < self.num_frames(mask.long().sum(-1)).unsqueeze(-1)
        return features.masked_fill(~frame_mask.unsqueeze(-1), 0), frame_mask
