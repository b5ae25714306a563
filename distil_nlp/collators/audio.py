"""Rows of waves become a batch for student and teacher, padded to the longest clip."""

import numpy as np
import torch

from ..data.audio_files import resampled
from ..data.examples import EXAMPLE_ID
from ..models import LogMel
from ..signals.columns import FRAMES, SOFT_ITEMS
from .epochs import EpochAware

AUDIO = "audio"


class AudioCollator:
    """Clips as the student hears them and, where it hears them otherwise, as the teacher does.

    Args:
        sampling_rate (`int`): Of the stored waves.
        extractors (`dict[str, feature extractor]`): Prefix to what makes a model's input of waves: "" for the student's,
            "teacher_" for a teacher's (`SeparateInputs(teacher, "teacher_")`). All are made of the same waves.
        dtype (`torch.dtype`): Of labels.
        augmentation (`SoundAugmentation`, *optional*): For batches to train on. This collator never applies it; the one in
            `for_training` always does, and the trainer makes its training batches with that.

    Attributes:
        for_training (`AudioCollator` or None): None without an augmentation.
        reads (`tuple[str]`): Columns that must reach it.

    Called with rows ("audio": bytes of float32, "labels", "example_id"), it returns:
        `dict[str, torch.Tensor]`: what the extractors make, of most models input_values (batch, samples), float32, and
        attention_mask, int64; labels; example_id (batch,), int64.
    """

    reads = (AUDIO, "labels", EXAMPLE_ID)
    for_training = None

    def __init__(self, sampling_rate, extractors, *, dtype=torch.int64, augmentation=None):
        self.sampling_rate, self.extractors, self.dtype = sampling_rate, dict(extractors), dtype
        self.augmentation = augmentation
        if augmentation is not None:
            self.for_training = _Augmenting(self)

    def __call__(self, rows, *, alter=None):
        waves, batch = waves_of(rows), {}
        if alter is not None:
            waves = alter(waves, [row.get(EXAMPLE_ID) for row in rows])
        for prefix, extractor in self.extractors.items():
            heard = [resampled(wave, self.sampling_rate, extractor.sampling_rate) for wave in waves]
            made = features_of(heard, extractor)
            batch |= {prefix + name: tensor for name, tensor in made.items()}
        if EXAMPLE_ID in rows[0]:
            batch[EXAMPLE_ID] = torch.tensor([row[EXAMPLE_ID] for row in rows])
        return batch | self.labels_of(rows)

    def labels_of(self, rows):
        """The columns that say what is to be learned."""
        return (
            {"labels": torch.tensor([row["labels"] for row in rows], dtype=self.dtype)} if "labels" in rows[0] else {}
        )


class FrameCollator(AudioCollator):
    """Clips of which each frame has a label.

    Rows have "labels", a list with the class of each frame, -100 where it is not known; the batch has them padded, and
    beside them "soft_items", bool of the same shape (batch, frames), True where there is a frame.
    """

    def labels_of(self, rows):
        lengths = torch.tensor([len(row["labels"]) for row in rows])
        labels = torch.full((len(rows), int(lengths.max())), -100)
        for place, row in enumerate(rows):
            labels[place, : len(row["labels"])] = torch.as_tensor(row["labels"])
        return {"labels": labels, SOFT_ITEMS: torch.arange(labels.shape[1]) < lengths.unsqueeze(1)}


class CtcCollator(AudioCollator):
    """Clips of which it is known what is said in them.

    Rows have "length" and "labels", a list of tokens, empty where nothing is known; the batch has them padded with -100,
    and beside them "frames", bool, shape (batch, frames): where there is a frame of the front end.
    """

    def __init__(self, sampling_rate, extractors, **settings):
        super().__init__(sampling_rate, extractors, **settings)
        self._front_end = LogMel(extractors[""].sampling_rate)

    reads = (AUDIO, "length", "labels", EXAMPLE_ID)

    def labels_of(self, rows):
        most = max(1, *(len(row["labels"]) for row in rows))
        labels = torch.full((len(rows), most), -100)
        for place, row in enumerate(rows):
            labels[place, : len(row["labels"])] = torch.as_tensor(row["labels"], dtype=torch.int64)
        rate = self.extractors[""].sampling_rate
        # Rounded up, as `resampled` does.
        lengths = torch.tensor([-(-row["length"] * rate // self.sampling_rate) for row in rows])
        frames = self._front_end.num_frames(lengths)
        return {"labels": labels, FRAMES: torch.arange(int(frames.max())) < frames.unsqueeze(1)}


class WrittenCollator(AudioCollator):
    """Clips of which a model writes down what is said in them.

    Rows have "labels", a list of tokens from the one that begins a text to the one that ends it, empty where nothing is
    known. The batch has "decoder_input_ids", all but the last of them, with their "decoder_attention_mask", and "labels",
    all but the first, -100 in padding; and beside them "soft_items", bool, True where there is one. All are of shape
    (batch, tokens).

    Args:
        processor: Feature extractor and tokenizer.
    """

    def __init__(self, processor, **settings):
        extractor, tokenizer = processor.feature_extractor, processor.tokenizer
        super().__init__(extractor.sampling_rate, {"": extractor}, **settings)
        self._padding, self._first = tokenizer.pad_token_id, tokenizer.prefix_tokens[0]

    def labels_of(self, rows):
        most = max(1, *(len(row["labels"]) - 1 for row in rows))
        said, next_ones = torch.full((len(rows), most), self._padding), torch.full((len(rows), most), -100)
        said[:, 0] = self._first
        counts = torch.tensor([max(len(row["labels"]) - 1, 1) for row in rows])
        shown = (torch.arange(most) < counts.unsqueeze(1)).long()
        for place, tokens in enumerate(torch.as_tensor(row["labels"], dtype=torch.int64) for row in rows):
            said[place, : max(len(tokens) - 1, 0)] = tokens[:-1]
            next_ones[place, : max(len(tokens) - 1, 0)] = tokens[1:]
        soft = next_ones != -100
        return {"decoder_input_ids": said, "decoder_attention_mask": shown, "labels": next_ones, SOFT_ITEMS: soft}


class _Augmenting(EpochAware):
    """What an `AudioCollator` with an augmentation leaves to training: the same, of altered waves."""

    def __init__(self, plain):
        super().__init__()
        self.plain = plain

    @property
    def reads(self):
        return self.plain.reads

    def __call__(self, rows):
        return self.plain(rows, alter=self._altered)

    def _altered(self, waves, ids):
        self.need_ids(ids[0])
        return altered_waves(waves, self.plain.augmentation, ids, self.epoch, self.plain.sampling_rate)


def features_of(waves, extractor):
    """What a feature extractor makes of waves at its sampling rate: as long as the longest, where the model allows it."""
    padding = "max_length" if hasattr(extractor, "chunk_length") else True
    return extractor(waves, sampling_rate=extractor.sampling_rate, padding=padding, return_tensors="pt")


def waves_of(rows):
    """The waves of rows as they are stored, `list` of `np.ndarray` of float32, shape (samples,)."""
    return [np.frombuffer(row[AUDIO], dtype=np.float32) for row in rows]


def altered_waves(waves, augmentation, ids, epoch, sampling_rate):
    """Waves as a `SoundAugmentation` shows them in an epoch, each as long as it was."""
    lengths = torch.tensor([len(wave) for wave in waves])
    padded = torch.zeros(len(waves), int(lengths.max()))
    for place, wave in enumerate(waves):
        padded[place, : len(wave)] = torch.from_numpy(wave.copy())
    found = augmentation(padded, lengths, torch.tensor(ids), epoch, sampling_rate)
    return [one[:length].numpy() for one, length in zip(found, lengths.tolist(), strict=True)]
