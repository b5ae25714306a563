"""Words of a whole recording."""

from dataclasses import dataclass

import torch

from ..adapters import NetworkForAudioFrameClassification
from ..hmm import Decoder
from .stream import Stream


@dataclass(frozen=True)
class Heard:
    """A word that was heard.

    Args:
        word (`str`): Which.
        start, end (`float`): When, in seconds from the beginning.
    """

    word: str
    start: float
    end: float


class Recogniser:
    """A DNN-HMM, or a student of one: hears words of a closed vocabulary.

    Args:
        model (`NetworkForAudioFrameClassification`): Whose config has `hmm`.

    Raises:
        ValueError: A model that knows nothing of words.
    """

    def __init__(self, model):
        kept = getattr(model.config, "hmm", None)
        if kept is None:
            raise ValueError(
                f"{type(model).__name__} has no `hmm` in its config, so nothing says which words its "
                f"{model.config.num_labels} classes make. Models of the task hybrid-speech-recognition have it."
            )
        self.model, self.decoder = model.eval(), Decoder.from_dict(kept)

    @classmethod
    def from_pretrained(cls, name_or_path):
        """From a folder or a Hub id."""
        return cls(NetworkForAudioFrameClassification.from_pretrained(name_or_path))

    @property
    def sampling_rate(self):
        """Samples a second that it hears."""
        return self.model.config.sampling_rate

    def __call__(self, wave):
        """The words of a wave.

        Args:
            wave (`np.ndarray`): Shape (samples,), from -1 to 1, at `sampling_rate`.

        Returns:
            `list[Heard]`.
        """
        with torch.inference_mode():
            logits = self.model(input_values=torch.as_tensor(wave, dtype=torch.float32).unsqueeze(0)).logits
        words = self.decoder(logits, torch.tensor([logits.shape[1]]))[0]
        return [self.timed(word) for word in words]

    def timed(self, word):
        """A `Word`, whose frames are counted, as a `Heard`."""
        front_end = self.model.front_end
        end = word.last * front_end.hop_length + front_end.frame_length
        return Heard(word.word, word.first * front_end.hop_length / self.sampling_rate, end / self.sampling_rate)

    def stream(self):
        """A `Stream` that hears what comes, piece by piece.

        Raises:
            ValueError: A network that has to have heard a clip to its end.
        """
        return Stream(self)
