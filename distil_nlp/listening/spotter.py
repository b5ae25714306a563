"""The class of a clip, known as soon as the clip ends."""

import torch

from ..adapters import NetworkForAudioClassification
from .frames import FrameStream
from .recogniser import Heard


class Spotter:
    """A keyword spotter: says which of its classes a clip is, at any time of it.

    Args:
        model (`NetworkForAudioClassification`): Which answers frame by frame.
    """

    def __init__(self, model):
        self.model = model.eval()

    @classmethod
    def from_pretrained(cls, name_or_path):
        """From a folder or a Hub id."""
        return cls(NetworkForAudioClassification.from_pretrained(name_or_path))

    @property
    def sampling_rate(self):
        """Samples a second that it hears."""
        return self.model.config.sampling_rate

    def __call__(self, wave):
        """The class of a wave, as a list of one `Heard`.

        Args:
            wave (`np.ndarray`): Shape (samples,), from -1 to 1, at `sampling_rate`.
        """
        with torch.inference_mode():
            logits = self.model(input_values=torch.as_tensor(wave, dtype=torch.float32).unsqueeze(0)).logits[0]
        return self.named(logits, len(wave))

    def named(self, logits, num_samples):
        """The best class of a clip as a list of one `Heard`."""
        return [Heard(self.model.config.id2label[int(logits.argmax())], 0.0, num_samples / self.sampling_rate)]

    def stream(self):
        """A `SpotterStream` that hears what comes, piece by piece.

        Raises:
            ValueError: A network that has to have heard a clip to its end.
        """
        return SpotterStream(self)


class SpotterStream:
    """Hears a clip as it comes, in pieces of any size. Make it with `Spotter.stream`.

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

    def hear(self, samples):
        """The next samples; nothing is certain before the end.

        Args:
            samples (`np.ndarray`): Shape (any,), from -1 to 1.
        """
        self._num_samples += len(samples)
        self._take(self._frames.hear(samples))
        return []

    def end(self):
        """Nothing follows: the class, as a list of one `Heard`."""
        self._take(self._frames.end())
        return self._spotter.named(self.logits, self._num_samples)

    def _take(self, answers):
        if answers is not None:
            self._sum, self._num_frames = self._sum + answers.sum(0), self._num_frames + len(answers)
