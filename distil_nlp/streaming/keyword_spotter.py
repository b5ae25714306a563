"""The class of a clip, known as soon as the clip ends."""

import torch

from ..models import NetworkForAudioClassification
from .frames import FrameStream
from .listener import Listener, WordTiming


class KeywordSpotter(Listener):
    """A keyword spotter: says which of its classes a clip is, as a list of one `WordTiming`.

    Args:
        model (`NetworkForAudioClassification`): Which answers frame by frame.
    """

    model_class = NetworkForAudioClassification

    def heard(self, logits, num_samples):
        best = int(logits.reshape(-1).argmax())
        return [WordTiming(self.model.config.id2label[best], 0.0, num_samples / self.sampling_rate)]

    def stream(self):
        return KeywordStream(self)


class KeywordStream:
    """Hears a clip as it comes, in pieces of any size. Make it with `KeywordSpotter.stream`.

    Attributes:
        logits (`torch.Tensor`): The mean of the answers to the frames so far, shape (classes,): after `end`, what the model
            says of the whole clip.
    """

    def __init__(self, spotter):
        self._spotter, self._frames = spotter, FrameStream(spotter.model)
        self._sum, self._num_frames, self._num_samples = torch.zeros(spotter.model.num_outputs), 0, 0

    @property
    def logits(self):
        return self._sum / max(self._num_frames, 1)

    def accept_waveform(self, samples):
        """The next samples; nothing is certain before the end.

        Args:
            samples (`np.ndarray`): Shape (any,), from -1 to 1.
        """
        self._num_samples += len(samples)
        self._take(self._frames.accept_waveform(samples))
        return []

    def end(self):
        """Nothing follows: the class, as a list of one `WordTiming`, or an empty list where there was no frame."""
        self._take(self._frames.end())
        if not self._num_frames:
            return []
        return self._spotter.heard(self.logits, self._num_samples)

    def _take(self, answers):
        if answers is not None:
            self._sum, self._num_frames = self._sum + answers.sum(0), self._num_frames + len(answers)
