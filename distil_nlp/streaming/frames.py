"""Outputs of a network for each frame of a stream."""

from typing import Any

import numpy as np
import torch

from .base import as_waveform


class FrameStream:
    """Computes a network's output for every frame once, from samples in chunks of any size.

    The outputs equal those for the whole waveform.

    Args:
        model (`AudioNetwork`): Its network has `step` and `lookahead`, such as `StreamCnn` and `SplicedMlp`.

    Raises:
        ValueError: The network has no `step` or no `lookahead`.
    """

    def __init__(self, model: Any) -> None:
        network = model.network
        if not (hasattr(network, "step") and hasattr(network, "lookahead")):
            raise ValueError(
                f"{type(network).__name__} cannot process a stream, because it has no `step` and `lookahead`. Process the "
                f"whole waveform, or use a network that has them (streamcnn64)."
            )
        self._network, self._front_end = network, model.front_end
        self._dtype, self._has_ended = next(network.parameters()).dtype, False
        self._samples = torch.zeros(0)  # of frames that are not complete
        self._past = None
        self._num_skipped = network.lookahead  # outputs for positions before the first frame

    def accept_waveform(self, samples: np.ndarray) -> torch.Tensor | None:
        """Process the next samples; return the outputs of the frames that are complete.

        Args:
            samples (`np.ndarray`): Shape (any,), from -1 to 1.

        Returns:
            `torch.Tensor` of float32, shape (frames, outputs), or None without new frames.

        Raises:
            ValueError: The samples are invalid, see `as_waveform`, or the stream has ended.
        """
        self._check_open()
        self._samples = torch.cat([self._samples, as_waveform(samples)])
        num_frames = self._front_end.num_frames(len(self._samples))
        if not num_frames:
            return None
        with torch.inference_mode():
            features, _ = self._front_end(self._samples.unsqueeze(0))
            self._samples = self._samples[num_frames * self._front_end.hop_length :]
            return self._outputs(features)

    def end(self) -> torch.Tensor | None:
        """End the stream; return the outputs of the remaining frames, or None."""
        self._check_open()
        self._has_ended = True
        with torch.inference_mode():
            lookahead = self._network.lookahead
            return self._outputs(torch.zeros(1, lookahead, self._front_end.num_mels)) if lookahead else None

    def _check_open(self) -> None:
        if self._has_ended:
            raise ValueError(
                f"This stream has ended, with {len(self._samples)} samples of an incomplete frame. Start a new stream for "
                f"further samples."
            )

    def _outputs(self, features: torch.Tensor) -> torch.Tensor | None:
        outputs, self._past = self._network.step(features.to(self._dtype), self._past)
        skipped = min(self._num_skipped, outputs.shape[1])
        self._num_skipped -= skipped
        return outputs[0, skipped:].float() if outputs.shape[1] > skipped else None
