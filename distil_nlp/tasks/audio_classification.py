"""Task: classification or regression of audio clips, such as keywords."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
import torch

from ..collators.audio import AudioCollator
from ..data.audio import audio_format, wave_rows
from ..data.labels import LabelEncoder
from ..models import AutoAudioClassifier
from ..signals.problem_kinds import problem_kind
from .base import Processor, Splits, add_ids, add_labels
from .classification_base import ClassificationTask, check_problem_type, read_label_column
from .file_base import AudioTask, highest_rate


class AudioClassification(AudioTask, ClassificationTask):
    """Classification of clips. Make it with `from_splits`.

    Models are those that `AutoModelForAudioClassification` loads, or networks by name ("streamcnn64").

    See `AudioTask` and `ClassificationTask` for its attributes.
    """

    name = "audio-classification"

    def __init__(self, audio_column: str, label_column: str, encoder: LabelEncoder, *, sampling_rate: int) -> None:
        super().__init__(label_column, encoder)
        self.audio_column, self.sampling_rate = audio_column, sampling_rate

    @property
    def auto_class(self) -> AutoAudioClassifier:
        return AutoAudioClassifier(sampling_rate=self.sampling_rate)

    @classmethod
    def from_splits(
        cls,
        splits: Splits,
        *,
        audio_column: str | None = None,
        label_column: str | None = None,
        problem_type: str | None = None,
        label_names: Sequence[str] | None = None,
    ) -> AudioClassification:
        """Create the task: infer columns, classes and sampling rate from the data.

        Args:
            splits (`dict[str, datasets.Dataset]`): "train", "validation", and where given "test" and "unlabeled".
            audio_column (`str`, *optional*): Where features and the usual names are ambiguous.
            label_column (`str`, *optional*), problem_type, label_names (*optional*): As for `TextClassification`.

        Raises:
            ValueError: Columns, clips or labels that cannot be used. The message names the column or row.
        """
        check_problem_type(problem_type)
        audio, rate = audio_format(splits, audio_column)
        label, encoder = read_label_column(getattr(splits, "whole", splits), label_column, problem_type, label_names)
        task = cls(audio, label, encoder, sampling_rate=rate)
        task.check_labels(splits)
        return task

    def prepare(self, split: datasets.Dataset, processor: Processor, *, with_labels: bool = True) -> datasets.Dataset:
        """Rows of waveforms.

        Args:
            split (`datasets.Dataset`): With the audio column; labels are missing where it has no label column.
            processor: The model's feature extractor.
            with_labels (`bool`): False: the labels of the split are not read and count as missing.

        Returns:
            `datasets.Dataset` of as many rows: audio (bytes of float32 at the extractor's sampling rate), length (samples),
            labels, example_id.

        Raises:
            ValueError: A clip that cannot be read; labels that cannot be used.
        """
        rows = wave_rows(split, self.audio_column, "given", processor.sampling_rate)
        return add_ids(add_labels(rows, self.labels_of(split, with_labels=with_labels)))

    def collator_for(
        self,
        processor: Processor,
        others: Mapping[str, Processor],
        *,
        augmentation: Mapping[str, Any] | None = None,
    ) -> AudioCollator:
        """The collator of rows for several models.

        Args:
            processor, others: See `Task.collator_for`.
            augmentation (`dict`, *optional*): Settings of `AudioAugmentation` for training batches.
        """
        return AudioCollator(
            highest_rate(processor, others).sampling_rate,
            {"": processor, **others},
            dtype=torch.float32 if problem_kind(self.problem_type).float_labels else torch.int64,
            augmentation=self.augmentation_from(augmentation),
        )

    def usage_example(self, folder: str | Path) -> str:
        return f"import transformers, distil_nlp.models; {super().usage_example(folder)}"
