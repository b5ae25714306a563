"""Keyword spotting: the class of a clip, available as soon as the clip ends."""

import numpy as np
import torch

from ..models import NetworkForAudioClassification
from .base import StreamingModel, WordTiming
from .frames import FrameStream


class KeywordSpotter(StreamingModel):
    """Classifies a clip; the result is a list of one `WordTiming`.

    Args:
        model (`NetworkForAudioClassification`): A model with one output per frame.
    """

    model_class = NetworkForAudioClassification

    def word_timings(self, logits: torch.Tensor, num_samples: int) -> list[WordTiming]:
        best = int(logits.reshape(-1).argmax())
        return [WordTiming(self.model.config.id2label[best], 0.0, num_samples / self.sampling_rate)]

    def stream(self) -> "KeywordStream":
        return KeywordStream(self)


class KeywordStream:
    """Classifies a clip from chunks of any size. Made by `KeywordSpotter.stream`.

    Attributes:
        logits (`torch.Tensor`): Mean of the outputs of all frames so far, shape (classes,). After `end` it equals the
            model's logits of the whole clip.
    """

    def __init__(self, spotter: KeywordSpotter) -> None:
        self._spotter, self._frames = spotter, FrameStream(spotter.model)
        self._sum, self._num_frames, self._num_samples = torch.zeros(spotter.model.num_outputs), 0, 0

    @property
    def logits(self) -> torch.Tensor:
        return self._sum / max(self._num_frames, 1)

    def accept_waveform(self, samples: np.ndarray) -> list[WordTiming]:
        """Process the next samples; return an empty list, because the class is known at the end.

        Args:
            samples (`np.ndarray`): Shape (any,), from -1 to 1.
        """
        self._num_samples += len(samples)
        self._add(self._frames.accept_waveform(samples))
        return []

    def end(self) -> list[WordTiming]:
        """End the stream; return the class as a list of one `WordTiming`, or an empty list without any frame."""
        self._add(self._frames.end())
        if not self._num_frames:
            return []
        return self._spotter.word_timings(self.logits, self._num_samples)

    def _add(self, outputs: torch.Tensor | None) -> None:
        if outputs is not None:
            self._sum, self._num_frames = self._sum + outputs.sum(0), self._num_frames + len(outputs)
