"""Collators of audio clips: stored waveforms to the inputs of student and teacher, padded to the longest clip."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from transformers import BatchFeature, ProcessorMixin, SequenceFeatureExtractor

from ..data.audio_files import resample
from ..data.collator import Batch, Collator, Row, pad, require_example_ids
from ..data.examples import EXAMPLE_ID
from ..models import LogMel
from ..signals.columns import FRAMES, SOFT_ITEMS
from ..signals.problem_kinds import MISSING

AUDIO = "audio"


class AudioCollator(Collator):
    """Makes the input of the student and, where it differs, that of the teacher from the same clips.

    Args:
        sampling_rate (`int`): Samples per second of the stored waves.
        extractors (`dict[str, feature extractor]`): Prefix -> feature extractor of a model: "" for the student's,
            "teacher_" for a teacher's (`SeparateInputs(teacher, "teacher_")`). Each gets the same waves, augmented or not.
        dtype (`torch.dtype`): Of labels.
        augmentation (`AudioAugmentation`, *optional*): Applied by the collator that `for_training()` returns, which makes
            the training batches of the trainer; never by this collator.

    Called with rows ("audio": bytes of float32, "labels", "example_id"), it returns:
        `dict[str, torch.Tensor]`: the output of the extractors, for most models input_values (batch, samples), float32, and
        attention_mask, int64; labels; example_id (batch,), int64.

    Raises:
        ValueError: Rows without example ids for an augmentation.
    """

    columns = (AUDIO, "labels", EXAMPLE_ID)

    def __init__(
        self,
        sampling_rate: int,
        extractors: Mapping[str, SequenceFeatureExtractor],
        *,
        dtype: torch.dtype = torch.int64,
        augmentation: Callable | None = None,
    ):
        self.sampling_rate, self.extractors, self.dtype = sampling_rate, dict(extractors), dtype
        self.augmentation = augmentation

    def __call__(self, rows: Sequence[Row]) -> Batch:
        waves, batch = stored_waves(rows), {}
        if self.augments:
            ids = [row.get(EXAMPLE_ID) for row in rows]
            require_example_ids(rows)
            waves = augment_waves(waves, self.augmentation, ids, self.epoch, self.sampling_rate)
        for prefix, extractor in self.extractors.items():
            inputs = [resample(wave, self.sampling_rate, extractor.sampling_rate) for wave in waves]
            batch |= {prefix + name: tensor for name, tensor in extract_features(inputs, extractor).items()}
        if EXAMPLE_ID in rows[0]:
            batch[EXAMPLE_ID] = torch.tensor([row[EXAMPLE_ID] for row in rows])
        return batch | self.labels_of(rows)

    def labels_of(self, rows: Sequence[Row]) -> Batch:
        """The labels of rows, and the masks that belong to them."""
        return (
            {"labels": torch.tensor([row["labels"] for row in rows], dtype=self.dtype)} if "labels" in rows[0] else {}
        )


class FrameCollator(AudioCollator):
    """The collator of clips with a label per frame.

    Rows have "labels", a list with the class of each frame, -100 where it is missing; the batch has them padded with -100,
    and "soft_items", bool of the same shape (batch, frames), True at the frames of the clip.
    """

    def labels_of(self, rows: Sequence[Row]) -> Batch:
        labels = pad([row["labels"] for row in rows], MISSING)
        lengths = torch.tensor([len(row["labels"]) for row in rows])
        return {"labels": labels, SOFT_ITEMS: _mask(lengths, labels.shape[1])}


class CtcCollator(AudioCollator):
    """The collator of clips with a transcript, for CTC.

    Rows have "length", samples of the clip, and "labels", a list of tokens, empty where the transcript is missing; the
    batch has the labels padded with -100, and "frames", bool, shape (batch, frames), True at the clip's frames of the front
    end.
    """

    columns = (AUDIO, "length", "labels", EXAMPLE_ID)

    def __init__(self, sampling_rate: int, extractors: Mapping[str, SequenceFeatureExtractor], **settings: Any):
        super().__init__(sampling_rate, extractors, **settings)
        self._front_end = LogMel(extractors[""].sampling_rate)

    def labels_of(self, rows: Sequence[Row]) -> Batch:
        rate = self.extractors[""].sampling_rate
        # Rounded up, as `resample` does.
        lengths = torch.tensor([-(-row["length"] * rate // self.sampling_rate) for row in rows])
        num_frames = self._front_end.num_frames(lengths)
        return {
            "labels": pad([row["labels"] for row in rows], MISSING, length=1),
            FRAMES: _mask(num_frames, int(num_frames.max())),
        }


class Seq2SeqSpeechCollator(AudioCollator):
    """The collator of clips with a transcript, for encoder-decoder models such as Whisper.

    Rows have "labels", a list of tokens from the start to the end of the text, empty where the transcript is missing. The
    batch has "decoder_input_ids", all tokens but the last, with their "decoder_attention_mask"; "labels", all but the
    first, -100 at padding; and "soft_items", bool, True at the labels. All are of shape (batch, tokens).

    Args:
        processor: Feature extractor and tokenizer.
        settings: Of `AudioCollator`.
    """

    def __init__(self, processor: ProcessorMixin, **settings: Any):
        extractor, tokenizer = processor.feature_extractor, processor.tokenizer
        super().__init__(extractor.sampling_rate, {"": extractor}, **settings)
        self._padding, self._first = tokenizer.pad_token_id, tokenizer.prefix_tokens[0]

    def labels_of(self, rows: Sequence[Row]) -> Batch:
        # Without a transcript the decoder's input is the first token.
        inputs = [row["labels"][:-1] if len(row["labels"]) > 1 else [self._first] for row in rows]
        decoder_input_ids = pad(inputs, self._padding)
        labels = pad([row["labels"][1:] for row in rows], MISSING, length=decoder_input_ids.shape[1])
        mask = _mask(torch.tensor([len(tokens) for tokens in inputs]), decoder_input_ids.shape[1]).long()
        return {
            "decoder_input_ids": decoder_input_ids,
            "decoder_attention_mask": mask,
            "labels": labels,
            SOFT_ITEMS: labels != MISSING,
        }


def _mask(lengths: torch.Tensor, size: int) -> torch.Tensor:
    """Mask of shape (batch, size), True at the first `lengths` positions of each row."""
    return torch.arange(size) < lengths.unsqueeze(1)


def extract_features(waves: Sequence[np.ndarray], extractor: SequenceFeatureExtractor) -> BatchFeature:
    """The output of a feature extractor for waves at its sampling rate, padded to the longest wave or, for models with
    inputs of one length (Whisper), to that length."""
    padding = "max_length" if hasattr(extractor, "chunk_length") else True
    return extractor(waves, sampling_rate=extractor.sampling_rate, padding=padding, return_tensors="pt")


def stored_waves(rows: Sequence[Row]) -> list[np.ndarray]:
    """The stored waves of rows, float32, shape (samples,)."""
    return [np.frombuffer(row[AUDIO], dtype=np.float32) for row in rows]


def augment_waves(
    waves: Sequence[np.ndarray],
    augmentation: Callable,
    ids: Sequence[int],
    epoch: int,
    sampling_rate: int,
) -> list[np.ndarray]:
    """Augment waves; their lengths do not change.

    Args:
        waves (`list` of `np.ndarray`): float32, shape (samples,).
        augmentation (`AudioAugmentation`): Applied to all of them at once.
        ids (`list[int]`): Example ids.
        epoch (`int`): From 0.
        sampling_rate (`int`): Samples per second.

    Returns:
        `list` of `np.ndarray`: float32, of the same shapes.
    """
    lengths = torch.tensor([len(wave) for wave in waves])
    padded = pad([wave.copy() for wave in waves], 0.0)
    augmented = augmentation(padded, lengths, torch.tensor(ids), epoch, sampling_rate)
    return [wave[:length].numpy() for wave, length in zip(augmented, lengths.tolist(), strict=True)]
