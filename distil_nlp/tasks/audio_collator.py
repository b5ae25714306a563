"""Rows of waves become a batch for student and teacher, padded to the longest clip."""

import numpy as np
import torch

from ..examples import KEY
from .sound import resampled

AUDIO = "audio"


class AudioCollator:
    """Clips as the student hears them and, where it hears them otherwise, as the teacher does.

    Args:
        sampling_rate (`int`): Of the stored waves.
        extractors (`dict[str, feature extractor]`): Prefix to what makes a model's input of waves: "" for the student's,
            "teacher_" for a teacher's (`OwnColumns(teacher, "teacher_")`). All are made of the same waves.
        dtype (`torch.dtype`): Of labels.

    Attributes:
        reads (`tuple[str]`): Columns that must reach it.

    Called with rows ("audio": bytes of float32, "labels", "example_id"), it returns:
        `dict[str, torch.Tensor]`: what the extractors make, of most models input_values (batch, samples), float32, and
        attention_mask, int64; labels; example_id (batch,), int64.
    """

    reads = (AUDIO, "labels", KEY)

    def __init__(self, sampling_rate, extractors, *, dtype=torch.int64):
        self.sampling_rate, self.extractors, self.dtype = sampling_rate, dict(extractors), dtype

    def __call__(self, rows):
        waves = [np.frombuffer(row[AUDIO], dtype=np.float32) for row in rows]
        batch = {}
        for prefix, extractor in self.extractors.items():
            heard = [resampled(wave, self.sampling_rate, extractor.sampling_rate) for wave in waves]
            made = extractor(heard, sampling_rate=extractor.sampling_rate, padding=True, return_tensors="pt")
            batch |= {prefix + name: tensor for name, tensor in made.items()}
        for name, dtype in (("labels", self.dtype), (KEY, torch.int64)):
            if name in rows[0]:
                batch[name] = torch.tensor([row[name] for row in rows], dtype=dtype)
        return batch
