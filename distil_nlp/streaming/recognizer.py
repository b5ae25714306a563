"""Words of a whole recording."""

import torch

from ..hmm import Decoder
from ..models import NetworkForAudioFrameClassification
from .listener import Listener, WordTiming
from .stream import Stream


class Recognizer(Listener):
    """A DNN-HMM, or a student of one: hears words of a closed vocabulary.

    Args:
        model (`NetworkForAudioFrameClassification`): Whose config has `hmm`.

    Raises:
        ValueError: A model that knows nothing of words.
    """

    model_class = NetworkForAudioFrameClassification

    def __init__(self, model):
        kept = getattr(model.config, "hmm", None)
        if kept is None:
            raise ValueError(
                f"{type(model).__name__} has no `hmm` in its config, so nothing says which words its "
                f"{model.config.num_labels} classes make. Models of the task hybrid-speech-recognition have it."
            )
        super().__init__(model)
        self.decoder = Decoder.from_dict(kept)

    def heard(self, logits, num_samples):
        words = self.decoder(logits, torch.tensor([logits.shape[1]]))[0]
        return [self.timed(word) for word in words]

    def timed(self, word):
        """A `Word`, whose frames are counted, as a `WordTiming`."""
        front_end = self.model.front_end
        end = word.last * front_end.hop_length + front_end.frame_length
        return WordTiming(word.word, word.first * front_end.hop_length / self.sampling_rate, end / self.sampling_rate)

    def stream(self):
        return Stream(self)
