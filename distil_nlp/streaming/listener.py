"""What all who hear have in common."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch

from .samples import samples_of


@dataclass(frozen=True)
class WordTiming:
    """A word that was heard.

    Args:
        word (`str`): Which.
        start, end (`float`): When, in seconds from the beginning.
    """

    word: str
    start: float
    end: float


class Listener(ABC):
    """A saved model that hears, a whole recording or piece by piece.

    Args:
        model (`AudioNetwork`): Of `model_class`.
    """

    model_class = None

    def __init__(self, model):
        self.model = model.eval()

    @classmethod
    def from_pretrained(cls, name_or_path):
        """From a folder or a Hub id."""
        return cls(cls.model_class.from_pretrained(name_or_path))

    @property
    def sampling_rate(self):
        """Samples a second that it hears."""
        return self.model.config.sampling_rate

    def __call__(self, wave):
        """What is heard in a wave.

        Args:
            wave (`np.ndarray`): Shape (samples,), from -1 to 1, at `sampling_rate`.

        Returns:
            `list[WordTiming]`.

        Raises:
            ValueError: No sound, see `samples_of`; nothing as long as a frame.
        """
        with torch.inference_mode():
            logits = self.model(input_values=samples_of(wave).unsqueeze(0)).logits.float()
        return self.heard(logits, len(wave))

    @abstractmethod
    def heard(self, logits, num_samples):
        """What the model's answer to one clip means, `list[WordTiming]`."""

    @abstractmethod
    def stream(self):
        """A stream that hears what comes, piece by piece.

        Raises:
            ValueError: A network that has to have heard a clip to its end.
        """
