"""What tasks on sound have in common: one wave for all models, of which each hears what it does."""

import datasets

from ..data.columns import require_column
from .file_task import FileTask, made_from


class AudioTask(FileTask):
    """A task whose models hear waves.

    Attributes:
        audio_column (`str`): Encoded files.
        sampling_rate (`int`): What a network that is given by name hears: the rate of the data.

    See `FileTask` for the others.
    """

    example = "clip.wav"
    processor_kind = "feature extractor"
    supports_augmentation = augmentation_keeps_labels = True
    fixed_augmentation = {}  # fields of `AudioAugmentation` that are not the user's to set

    @classmethod
    def arrange_splits(cls, splits, *, label_column=None, held_out_speakers=None, speaker_column="speaker"):
        """Speakers kept for the comparison, where that is asked for.

        Args:
            splits (`dict[str, datasets.Dataset]`): As they came.
            label_column (`str`, *optional*): Not needed here.
            held_out_speakers (`list[str]`, *optional*): Leave them out of training; the test split becomes all their clips,
                of all splits but the unlabeled one, and nobody else's.
            speaker_column (`str`): Whose clip it is.

        Raises:
            ValueError: A speaker of whom there is no clip to compare on, or nobody left to train on.
        """
        return splits if held_out_speakers is None else _without(splits, held_out_speakers, speaker_column)

    def named_processor(self, name):
        from ..models import feature_extractor_for, parse_network_name

        return feature_extractor_for(self.sampling_rate) if parse_network_name(name) is not None else None

    def saved_processor(self, name_or_path, *, trust_remote_code=False):
        from ..models import load_feature_extractor

        return load_feature_extractor(name_or_path, trust_remote_code=trust_remote_code)

    def prepare_for(self, split, processor, others, **settings):
        # Waves for all, at the highest rate that anybody hears; the collator makes of them what each of them reads.
        return self.prepare(split, highest_rate(processor, others), **settings)

    def augment(self, rows, processor, others, *, num_copies, augmentation=None):
        """Copies of prepared rows, altered as `AudioAugmentation` does without a word, or as `augmentation` says."""
        from ..augmentation.copies import augmented_files
        from ..collators.audio import AUDIO, augment_waves, stored_waves

        rate, augmentation = (
            feature_extractor_of(highest_rate(processor, others)).sampling_rate,
            self.augmentation_from(augmentation or {}),
        )

        def alter(clips, ids, epoch):
            return augment_waves(stored_waves([{AUDIO: one} for one in clips]), augmentation, ids, epoch, rate)

        return augmented_files(rows, AUDIO, alter, num_copies=num_copies)

    def augmentation_from(self, settings):
        """A `AudioAugmentation` by settings as YAML holds them; None where there are none."""
        from ..augmentation import AudioAugmentation

        if settings is None:
            return None
        return made_from(settings, AudioAugmentation, "{noise: 0.8, time_mask: 0.2}", **self.fixed_augmentation)

    def collator(self, processor):
        """The collator of rows for one model, see `collator_for`."""
        return self.collator_for(processor, {})

    def speed_batch(self, processor, models, batch_size):
        """A second of noise."""
        import numpy as np

        from ..collators.audio import extract_features

        processor = feature_extractor_of(processor)
        rate = processor.sampling_rate
        waves = list(np.random.default_rng(0).normal(scale=0.1, size=(batch_size, rate)).astype(np.float32))
        return dict(extract_features(waves, processor))


def highest_rate(processor, others):
    """Of feature extractors the one with the highest sampling rate."""
    return max([processor, *others.values()], key=lambda one: feature_extractor_of(one).sampling_rate)


def feature_extractor_of(processor):
    """The feature extractor of a processor, which may be one itself."""
    return getattr(processor, "feature_extractor", processor)


def _without(splits, speakers, column):
    """Splits to train on without these speakers, test with all their clips of which it is known what they are."""
    known = {}
    for split in splits.values():
        require_column(column, split.column_names, "speaker_column")
        feature = split.features.get(column)
        names = feature.int2str(split[column]) if isinstance(feature, datasets.ClassLabel) else list(split[column])
        known[id(split)] = [str(name) for name in names]
    everybody = sorted({name for names in known.values() for name in names})
    if strange := [one for one in speakers if one not in everybody]:
        raise ValueError(
            f"held_out_speakers names {strange[0]!r}, who is not among the {len(everybody)} speakers of the data "
            f"({', '.join(everybody[:10])})."
        )
    if not set(everybody) - set(speakers):
        raise ValueError(f"held_out_speakers names all {len(everybody)} speakers, and nobody is left to train on.")
    apart = [
        split.select([row for row, name in enumerate(known[id(split)]) if name in speakers])
        for name, split in splits.items()
        if name != "unlabeled"
    ]
    if not any(map(len, apart)):
        raise ValueError(
            f"held_out_speakers names {', '.join(speakers)}, of whom there are unlabeled clips only, so nothing could be "
            f"compared on them. Name speakers of the labeled splits."
        )
    rest = {
        name: split.select([row for row, one in enumerate(known[id(split)]) if one not in speakers])
        for name, split in splits.items()
        if name != "test"
    }
    return {**rest, "test": datasets.concatenate_datasets(apart)}
