"""Recognition of words by a DNN-HMM, of a whole waveform or a stream."""

import numpy as np
import torch

from ..hmm import Decoder, Word
from ..hmm.online import OnlinePath
from ..models import NetworkForAudioFrameClassification
from .base import StreamingModel, WordTiming
from .frames import FrameStream


class Recognizer(StreamingModel):
    """A DNN-HMM, or a student of one: recognizes words of a closed vocabulary.

    Args:
        model (`NetworkForAudioFrameClassification`): Its config has `hmm`.

    Raises:
        ValueError: The config has no `hmm`.
    """

    model_class = NetworkForAudioFrameClassification

    def __init__(self, model: NetworkForAudioFrameClassification) -> None:
        decoder = getattr(model.config, "hmm", None)
        if decoder is None:
            raise ValueError(
                f"{type(model).__name__} has no `hmm` in its config, so its {model.config.num_labels} classes cannot be "
                f"decoded to words. Models of the task hybrid-speech-recognition have it."
            )
        super().__init__(model)
        self.decoder = Decoder.from_dict(decoder)

    def word_timings(self, logits: torch.Tensor, num_samples: int) -> list[WordTiming]:
        words = self.decoder(logits, torch.tensor([logits.shape[1]]))[0]
        return [self.word_timing(word) for word in words]

    def word_timing(self, word: Word) -> WordTiming:
        """Convert the frames of a `Word` to seconds."""
        front_end = self.model.front_end
        end = word.last * front_end.hop_length + front_end.frame_length
        return WordTiming(word.word, word.first * front_end.hop_length / self.sampling_rate, end / self.sampling_rate)

    def stream(self) -> "RecognizerStream":
        return RecognizerStream(self)


class RecognizerStream:
    """Recognizes words from chunks of any size, each as soon as no later sample can change it.

    The words equal those of the whole waveform: features, outputs and the best path are computed once per frame, from
    the state of the past. Made by `Recognizer.stream`.

    Args:
        recognizer (`Recognizer`): Its network must support streams, see `FrameStream`.

    Raises:
        ValueError: The network does not support streams.
    """

    def __init__(self, recognizer: Recognizer) -> None:
        self._recognizer, self._frames = recognizer, FrameStream(recognizer.model)
        self._path = OnlinePath(recognizer.decoder.graph)
        self._num_returned = 0

    def accept_waveform(self, samples: np.ndarray) -> list[WordTiming]:
        """Process the next samples; return the words that are final now and were not returned before.

        Args:
            samples (`np.ndarray`): Shape (any,), from -1 to 1.
        """
        self._add(self._frames.accept_waveform(samples))
        return self._new(self._path.words())

    def end(self) -> list[WordTiming]:
        """End the stream; return the remaining words."""
        self._add(self._frames.end())
        return self._new(self._path.end())

    def _add(self, outputs: torch.Tensor | None) -> None:
        if outputs is not None:
            self._path.accept_scores(self._recognizer.decoder.scores(outputs))

    def _new(self, words: list[Word]) -> list[WordTiming]:
        new, self._num_returned = words[self._num_returned :], max(self._num_returned, len(words))
        return [self._recognizer.word_timing(word) for word in new]
