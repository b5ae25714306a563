"""Word timings, the base class of recognizers, and the check of waveforms."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np
import torch

from ..models.loading import load_trained_model


@dataclass(frozen=True)
class WordTiming:
    """A recognized word and its time.

    Args:
        word (`str`): The word.
        start, end (`float`): Seconds from the beginning of the waveform.
    """

    word: str
    start: float
    end: float


class StreamingModel(ABC):
    """A saved audio model that processes a whole waveform, or a stream of chunks.

    Args:
        model (`AudioNetwork`): A model of the class `model_class`.
    """

    model_class: Any = None

    def __init__(self, model: Any) -> None:
        self.model = model.eval()

    @classmethod
    def from_pretrained(cls, name_or_path: str | PathLike[str]) -> "StreamingModel":
        """Load from a folder or a Hub id.

        Raises:
            ValueError: A part of its weights is missing or damaged.
        """
        return cls(load_trained_model(cls.model_class, name_or_path))

    @property
    def sampling_rate(self) -> int:
        """Samples per second of the model's input."""
        return self.model.config.sampling_rate

    def __call__(self, waveform: np.ndarray) -> list[WordTiming]:
        """Recognize a whole waveform.

        Args:
            waveform (`np.ndarray`): Shape (samples,), from -1 to 1, at `sampling_rate`.

        Returns:
            `list[WordTiming]`.

        Raises:
            ValueError: The waveform is invalid, see `as_waveform`, or shorter than a frame.
        """
        with torch.inference_mode():
            logits = self.model(input_values=as_waveform(waveform).unsqueeze(0)).logits.float()
        return self.word_timings(logits, len(waveform))

    @abstractmethod
    def word_timings(self, logits: torch.Tensor, num_samples: int) -> list[WordTiming]:
        """Decode the logits of one waveform."""

    @abstractmethod
    def stream(self) -> Any:
        """Start a stream with `accept_waveform(samples)` and `end()`, both of which return a `list[WordTiming]`.

        Raises:
            ValueError: The network needs the whole waveform.
        """


def as_waveform(samples: np.ndarray | Sequence[float]) -> torch.Tensor:
    """Check samples and convert them to a tensor.

    Args:
        samples (`np.ndarray` or sequence of `float`): Shape (samples,), from -1 to 1.

    Returns:
        `torch.Tensor` of float32, of the same shape.

    Raises:
        ValueError: Several channels, integers, or numbers that are not finite.
    """
    samples = np.asarray(samples)
    if samples.ndim != 1 or samples.dtype.kind != "f":
        raise ValueError(
            f"A waveform is one channel of floats from -1 to 1, shape (samples,); got {samples.dtype} of shape "
            f"{samples.shape}. Average channels, and divide 16-bit integers by 32768."
        )
    if not np.isfinite(samples).all():
        raise ValueError(
            f"{int((~np.isfinite(samples)).sum())} of {len(samples)} samples are not finite (NaN or infinity), and one of "
            f"them would make all later outputs NaN. Remove or replace them."
        )
    return torch.from_numpy(samples.astype(np.float32))
