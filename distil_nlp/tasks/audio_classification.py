"""A clip of sound gets a class, several classes, or a score: keywords, for example."""

from .base import add_ids, add_labels
from .classification import ClassificationTask, check_problem_type
from .columns import first_split, label_column_of
from .file_task import FileTask, made_from
from .labels import read_labels
from .sound import listen_to, wave_rows


class AudioClassification(FileTask, ClassificationTask):
    """Classification of clips. Make it with `from_splits`.

    Models are whatever `AutoModelForAudioClassification` loads, or networks by name ("streamcnn64").

    Attributes:
        audio_column (`str`): Encoded files.
        sampling_rate (`int`): What a network that is given by name hears: the rate of the data.

    See `ClassificationTask` for the others.
    """

    name = "audio-classification"
    example = "clip.wav"
    processor_is = "feature extractor"
    may_be_altered = copies_keep_labels = True

    def __init__(self, audio_column, label_column, code, *, sampling_rate):
        super().__init__(label_column, code)
        self.audio_column, self.sampling_rate = audio_column, sampling_rate

    @property
    def preset_for_a_gap(self):
        """As for images."""
        return "dist" if self.problem_type == "single_label_classification" and self.num_labels > 2 else None

    @property
    def auto_class(self):
        from ..adapters import AudioClassifiers  # here, not above: who only looks at data need not wait for torch

        return AudioClassifiers(sampling_rate=self.sampling_rate)

    @classmethod
    def from_splits(cls, splits, *, audio_column=None, label_column=None, problem_type=None, label_names=None):
        """Read columns, classes and the kind of sound off the data.

        Args:
            splits (`dict[str, datasets.Dataset]`): "train", "validation", and where given "test" and "unlabelled".
            audio_column (`str`, *optional*): Where neither features nor the usual names settle it.
            label_column (`str`, *optional*), problem_type, label_names (*optional*): As for `TextClassification`.

        Raises:
            ValueError: Columns, clips or labels that cannot be used; says which, where, and what to do.
        """
        check_problem_type(problem_type)
        whole = getattr(splits, "whole", splits)
        audio, rate = listen_to(splits, audio_column)
        label = label_column_of(whole, label_column)
        reference = first_split(whole, "train", "validation", "test")
        code = read_labels(reference, label, problem_type=problem_type, label_names=label_names)
        task = cls(audio, label, code, sampling_rate=rate)
        task.check_labels(splits)
        return task

    def named_processor(self, name):
        from ..adapters import extractor_for, read_spec

        return extractor_for(self.sampling_rate) if read_spec(name) is not None else None

    def saved_processor(self, name_or_path, *, trust_remote_code=False):
        from ..adapters import load_feature_extractor

        return load_feature_extractor(name_or_path, trust_remote_code=trust_remote_code)

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

    def prepare_for(self, split, processor, others, **settings):
        # Waves for all, at the highest rate that anybody hears; the collator makes of them what each of them reads.
        return self.prepare(split, _sharpest(processor, others), **settings)

    def collator(self, processor):
        """An `AudioCollator`: the extractor's input, labels, example_id."""
        return self.collator_for(processor, {})

    def collator_for(self, processor, others, *, augmentation=None):
        """The collator of rows for several models.

        Args:
            processor, others: See `Task.collator_for`.
            augmentation (`dict`, *optional*): Settings of `SoundAugmentation` for batches to train on.
        """
        import torch  # here, not above: who only looks at data need not wait for it

        from .audio_collator import AudioCollator

        return AudioCollator(
            _sharpest(processor, others).sampling_rate,
            {"": processor, **others},
            dtype=torch.int64 if self.problem_type == "single_label_classification" else torch.float32,
            augmentation=None if augmentation is None else _augmentation(augmentation),
        )

    def altered(self, rows, processor, others, *, num_copies, augmentation=None):
        """Copies of prepared rows, shifted and with noise (or as `augmentation` says), with their labels."""
        from .altered_files import altered_files
        from .audio_collator import AUDIO, altered_waves, waves_of

        rate, augmentation = _sharpest(processor, others).sampling_rate, _augmentation(augmentation or {})

        def alter(clips, ids, epoch):
            return altered_waves(waves_of([{AUDIO: one} for one in clips]), augmentation, ids, epoch, rate)

        return altered_files(rows, AUDIO, alter, num_copies=num_copies)

    def speed_batch(self, processor, models, batch_size):
        """A second of noise."""
        import numpy as np

        rate = processor.sampling_rate
        waves = list(np.random.default_rng(0).normal(scale=0.1, size=(batch_size, rate)).astype(np.float32))
        return dict(processor(waves, sampling_rate=rate, padding=True, return_tensors="pt"))

    def in_use(self, folder):
        return f"import transformers, distil_nlp.adapters; {super().in_use(folder)}"


def _augmentation(settings):
    from ..views import SoundAugmentation

    return made_from(settings, SoundAugmentation, "{shift: 0.1, noise: 0.8}")


def _sharpest(processor, others):
    return max([processor, *others.values()], key=lambda one: one.sampling_rate)
