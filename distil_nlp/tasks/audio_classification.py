"""A clip of sound gets a class, several classes, or a score: keywords, for example."""

from ..data.audio import audio_format, wave_rows
from ..data.columns import first_split, label_column_of
from ..data.labels import read_labels
from ..signals.problem_kinds import problem_kind
from .audio_task import AudioTask, highest_rate
from .base import add_ids, add_labels
from .classification import ClassificationTask, check_problem_type


class AudioClassification(AudioTask, ClassificationTask):
    """Classification of clips. Make it with `from_splits`.

    Models are whatever `AutoModelForAudioClassification` loads, or networks by name ("streamcnn64").

    See `AudioTask` and `ClassificationTask` for its attributes.
    """

    name = "audio-classification"

    def __init__(self, audio_column, label_column, code, *, sampling_rate):
        super().__init__(label_column, code)
        self.audio_column, self.sampling_rate = audio_column, sampling_rate

    @property
    def auto_class(self):
        from ..models import AutoAudioClassifier  # here, not above: who only looks at data need not wait for torch

        return AutoAudioClassifier(sampling_rate=self.sampling_rate)

    @classmethod
    def from_splits(cls, splits, *, audio_column=None, label_column=None, problem_type=None, label_names=None):
        """Read columns, classes and the kind of sound off the data.

        Args:
            splits (`dict[str, datasets.Dataset]`): "train", "validation", and where given "test" and "unlabeled".
            audio_column (`str`, *optional*): Where neither features nor the usual names settle it.
            label_column (`str`, *optional*), problem_type, label_names (*optional*): As for `TextClassification`.

        Raises:
            ValueError: Columns, clips or labels that cannot be used; says which, where, and what to do.
        """
        check_problem_type(problem_type)
        whole = getattr(splits, "whole", splits)
        audio, rate = audio_format(splits, audio_column)
        label = label_column_of(whole, label_column)
        reference = first_split(whole, "train", "validation", "test")
        code = read_labels(reference, label, problem_type=problem_type, label_names=label_names)
        task = cls(audio, label, code, sampling_rate=rate)
        task.check_labels(splits)
        return task

    def prepare(self, split, processor, *, with_labels=True):
        """Rows of waves.

        Args:
            split (`datasets.Dataset`): With the column of sound; labels are missing where it has no label column.
            processor: The feature extractor of the model that hears them.
            with_labels (`bool`): Off: the labels of the split are not read and count as missing.

        Returns:
            `datasets.Dataset` of as many rows: audio (bytes of float32 at the extractor's sampling rate), length (samples),
            labels, example_id.

        Raises:
            ValueError: A clip that cannot be read; labels that cannot be used.
        """
        rows = wave_rows(split, self.audio_column, "given", processor.sampling_rate)
        return add_ids(add_labels(rows, self.labels_of(split, with_labels=with_labels)))

    def collator_for(self, processor, others, *, augmentation=None):
        """The collator of rows for several models.

        Args:
            processor, others: See `Task.collator_for`.
            augmentation (`dict`, *optional*): Settings of `AudioAugmentation` for batches to train on.
        """
        import torch  # here, not above: who only looks at data need not wait for it

        from ..collators.audio import AudioCollator

        return AudioCollator(
            highest_rate(processor, others).sampling_rate,
            {"": processor, **others},
            dtype=torch.float32 if problem_kind(self.problem_type).float_labels else torch.int64,
            augmentation=self.augmentation_from(augmentation),
        )

    def usage_example(self, folder):
        return f"import transformers, distil_nlp.models; {super().usage_example(folder)}"
