"""Base classes of the tasks on images and audio: rows contain encoded files, which models read through a processor."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import datasets
import numpy as np
import torch

from ..augmentation import AudioAugmentation, ImageAugmentation
from ..augmentation.copies import augmented_files
from ..collators.audio import AUDIO, augment_waves, extract_features, stored_waves
from ..data.columns import require_column
from ..data.images import input_shape, largest_input, preprocessor_of, same_crop
from ..internals.messages import listed, nearest, shown
from ..models import (
    feature_extractor_for,
    load_feature_extractor,
    load_image_processor,
    parse_network_name,
    resized_processor,
)
from ..models.sources import check_exists
from .base import Processor, Splits, Task

if TYPE_CHECKING:
    from torch import nn

    from ..collators.base import Collator
    from ..models.pixel_preprocessor import PixelPreprocessor


class FileTask(Task):
    """A task whose rows contain encoded files.

    Attributes:
        processor_kind (`str`): The kind of processor, for messages, such as "image processor".

    See `Task` for the others.
    """

    reads_tokens = False
    allows_other_tokenizers = True
    processor_kind: str

    def named_processor(self, name: str) -> Processor | None:
        """The processor of a network that is given by its registered name; None for any other name."""
        return None

    @abstractmethod
    def saved_processor(self, name_or_path: str, *, trust_remote_code: bool = False) -> Processor | None:
        """The processor saved beside a model, or None."""

    def load_processor(self, name_or_path: str, *, trust_remote_code: bool = False) -> Processor:
        """The processor of a model: of a network by its name, or saved beside the model."""
        processor = self.named_processor(str(name_or_path))
        if processor is None:
            processor = self.saved_processor(name_or_path, trust_remote_code=trust_remote_code)
        if processor is None:
            check_exists(name_or_path)
            raise ValueError(
                f"{name_or_path} has no {self.processor_kind} beside it (preprocessor_config.json), so its inputs cannot "
                f"be made. Save the one that it was trained with into its folder."
            )
        return processor

    def student_processor(
        self, student: str | None, teacher_processor: Processor, *, trust_remote_code: bool = False
    ) -> Processor:
        """The processor saved beside the student, or the teacher's."""
        own = None
        if student is not None and self.named_processor(str(student)) is None:
            own = self.saved_processor(student, trust_remote_code=trust_remote_code)
        return own or teacher_processor

    def same_input(self, processor: Processor, other: Processor) -> bool:
        return processor is other or processor.to_dict() == other.to_dict()


def augmentation_from_settings(
    settings: Mapping[str, Any],
    augmentation: type,
    example: str,
    defaults: Mapping[str, Any] | None = None,
    **fixed: Any,
) -> Any:
    """An augmentation from its settings in a recipe.

    Args:
        settings (`dict`): Fields of the augmentation.
        augmentation (`type`): A dataclass.
        example (`str`): For the message.
        defaults (`dict`, *optional*): Fields with another default in this task.
        fixed: Fields that the task sets.

    Raises:
        ValueError: No mapping; an unknown field; a value that the dataclass rejects.
    """
    known = [field.name for field in dataclasses.fields(augmentation) if field.name not in ("num_classes", *fixed)]
    for name in settings if isinstance(settings, dict) else [settings]:
        if name not in known or not isinstance(settings, dict):
            raise ValueError(
                f"augmentation is a mapping of {', '.join(known)}, such as {example}; got {shown(settings)}"
                f"{nearest(name, known)}."
            )
    return augmentation(**{**(defaults or {}), **fixed, **settings})


# ---- Images ----


class ImageTask(FileTask):
    """A task whose models take pixels. All models share the pixels of an image; the collator makes each model's input.

    Attributes:
        image_column (`str`): Column of the encoded files.

    See `FileTask` for the others.
    """

    example = "image.png"
    processor_kind = "image processor"

    def saved_processor(self, name_or_path: str, *, trust_remote_code: bool = False) -> Processor | None:
        return load_image_processor(name_or_path, trust_remote_code=trust_remote_code)

    def student_processor(
        self,
        student: str | None,
        teacher_processor: Processor,
        *,
        student_image_size: int | None = None,
        trust_remote_code: bool = False,
    ) -> Processor:
        """The processor saved beside the student, or the teacher's; resized to `student_image_size` where given.

        Raises:
            ValueError: A processor that takes another part of an image in another size.
        """
        processor = super().student_processor(student, teacher_processor, trust_remote_code=trust_remote_code)
        if student_image_size is None:
            return processor
        resized = resized_processor(processor, student_image_size)
        if not same_crop(processor, resized):
            raise ValueError(
                f"student_image_size={student_image_size}: {type(processor).__name__} with size {dict(resized.size)} shows "
                f"another part of an image than with {dict(processor.size)}, so the student would be used on other images "
                f"than it is trained on. Leave student_image_size out, or save another processor beside the model: "
                f"ViTImageProcessor(size={{'height': 224, 'width': 224}}), with the same image_mean and image_std."
            )
        return resized

    def prepare_for(
        self, split: datasets.Dataset, processor: Processor, others: Mapping[str, Processor], **settings: Any
    ) -> datasets.Dataset:
        # Pixels in the size of the largest model, for all; the collator makes each model's input from them.
        return self.prepare(split, largest_input([processor, *others.values()]), **settings)

    def speed_batch(
        self, processor: Processor, models: Sequence[nn.Module], batch_size: int
    ) -> dict[str, torch.Tensor]:
        generator = torch.Generator().manual_seed(0)
        return {"pixel_values": torch.randn(batch_size, *input_shape(processor), generator=generator)}


def image_inputs(
    processor: Processor, others: Mapping[str, Processor]
) -> tuple[tuple[int, int, int], dict[str, PixelPreprocessor]]:
    """Shape of the stored images, and the pixel preprocessor of each model by its prefix.

    Args:
        processor, others: See `Task.collator_for`.
    """
    processors = {"": processor, **others}
    preprocessors = {prefix: preprocessor_of(each) for prefix, each in processors.items()}
    return input_shape(largest_input(processors.values())), preprocessors


def image_augmentation(
    settings: Mapping[str, Any],
    *,
    num_classes: int,
    example: str = "{flip: 0.5, crop_padding: 4}",
    defaults: Mapping[str, Any] | None = None,
) -> ImageAugmentation:
    """An `ImageAugmentation` from its settings in a recipe, see `augmentation_from_settings`."""
    return augmentation_from_settings(settings, ImageAugmentation, example, defaults, num_classes=num_classes)


# ---- Audio ----


class AudioTask(FileTask):
    """A task whose models take waveforms. All models share the waveform of a clip; the collator makes each model's input.

    Attributes:
        audio_column (`str`): Column of the encoded files.
        sampling_rate (`int`): Sampling rate in Hz of networks that are given by name: the rate of the data.

    See `FileTask` for the others.
    """

    example = "clip.wav"
    processor_kind = "feature extractor"
    supports_augmentation = augmentation_keeps_labels = True
    fixed_augmentation: Mapping[str, Any] = {}  # fields of `AudioAugmentation` that users cannot set

    @classmethod
    def arrange_splits(
        cls,
        splits: Splits,
        *,
        label_column: str | None = None,
        held_out_speakers: Sequence[str] | None = None,
        speaker_column: str = "speaker",
    ) -> Splits:
        """Hold out speakers for the comparison, if asked for.

        Args:
            splits (`dict[str, datasets.Dataset]`): As loaded.
            label_column (`str`, *optional*): Unused here.
            held_out_speakers (`list[str]`, *optional*): Exclude them from training; the test split becomes all their clips,
                of all splits except the unlabeled one, and contains no other clips.
            speaker_column (`str`): Speaker of each clip.

        Raises:
            ValueError: A speaker without a clip to compare on, or no speaker left to train on.
        """
        return splits if held_out_speakers is None else _hold_out_speakers(splits, held_out_speakers, speaker_column)

    def named_processor(self, name: str) -> Processor | None:
        return feature_extractor_for(self.sampling_rate) if parse_network_name(name) is not None else None

    def saved_processor(self, name_or_path: str, *, trust_remote_code: bool = False) -> Processor | None:
        return load_feature_extractor(name_or_path, trust_remote_code=trust_remote_code)

    def prepare_for(
        self, split: datasets.Dataset, processor: Processor, others: Mapping[str, Processor], **settings: Any
    ) -> datasets.Dataset:
        # Waveforms at the highest sampling rate, for all; the collator makes each model's input from them.
        return self.prepare(split, highest_rate(processor, others), **settings)

    def augment(
        self,
        rows: datasets.Dataset,
        processor: Processor,
        others: Mapping[str, Processor],
        *,
        num_copies: int,
        augmentation: Mapping[str, Any] | None = None,
    ) -> datasets.Dataset:
        """Copies of prepared rows, augmented by `AudioAugmentation` with its defaults or with the settings given."""
        rate = feature_extractor_of(highest_rate(processor, others)).sampling_rate
        audio_augmentation = self.augmentation_from(augmentation or {})

        def augment(clips: list[bytes], ids: list[int], epoch: int) -> list[np.ndarray]:
            waves = stored_waves([{AUDIO: clip} for clip in clips])
            return augment_waves(waves, audio_augmentation, ids, epoch, rate)

        return augmented_files(rows, AUDIO, augment, num_copies=num_copies)

    def augmentation_from(self, settings: Mapping[str, Any] | None) -> AudioAugmentation | None:
        """An `AudioAugmentation` from its settings in a recipe; None without settings."""
        if settings is None:
            return None
        example = "{noise: 0.8, time_mask: 0.2}"
        return augmentation_from_settings(settings, AudioAugmentation, example, **self.fixed_augmentation)

    def collator(self, processor: Processor) -> Collator:
        """The collator of rows for a single model, see `collator_for`."""
        return self.collator_for(processor, {})

    def speed_batch(
        self, processor: Processor, models: Sequence[nn.Module], batch_size: int
    ) -> dict[str, torch.Tensor]:
        """A batch of one second of noise for timing models."""
        extractor = feature_extractor_of(processor)
        shape = (batch_size, extractor.sampling_rate)
        waves = list(np.random.default_rng(0).normal(scale=0.1, size=shape).astype(np.float32))
        return dict(extract_features(waves, extractor))


def highest_rate(processor: Processor, others: Mapping[str, Processor]) -> Processor:
    """The processor with the highest sampling rate."""
    return max([processor, *others.values()], key=lambda each: feature_extractor_of(each).sampling_rate)


def feature_extractor_of(processor: Processor) -> Any:
    """The feature extractor of a processor, which may be a feature extractor itself."""
    return getattr(processor, "feature_extractor", processor)


def _hold_out_speakers(splits: Splits, held_out: Sequence[str], column: str) -> dict[str, datasets.Dataset]:
    """Splits without these speakers, and as the test split all their clips except the unlabeled ones."""
    speakers = {}
    for name, split in splits.items():
        require_column(column, split.column_names, "speaker_column")
        feature = split.features.get(column)
        values = feature.int2str(split[column]) if isinstance(feature, datasets.ClassLabel) else list(split[column])
        speakers[name] = [str(value) for value in values]
    known = sorted({speaker for values in speakers.values() for speaker in values})
    if unknown := [speaker for speaker in held_out if speaker not in known]:
        raise ValueError(
            f"held_out_speakers contains {shown(unknown[0])}, which is not among the {len(known)} speakers of the data "
            f"({', '.join(known[:10])})."
        )
    if not set(known) - set(held_out):
        raise ValueError(f"held_out_speakers contains all {len(known)} speakers, so no clip is left to train on.")
    test = [
        split.select([row for row, speaker in enumerate(speakers[name]) if speaker in held_out])
        for name, split in splits.items()
        if name != "unlabeled"
    ]
    if not any(map(len, test)):
        raise ValueError(
            f"held_out_speakers contains {listed(held_out)}, with unlabeled clips only, so models cannot be compared "
            f"on them. Name speakers of the labeled splits."
        )
    rest = {
        name: split.select([row for row, speaker in enumerate(speakers[name]) if speaker not in held_out])
        for name, split in splits.items()
        if name != "test"
    }
    return {**rest, "test": datasets.concatenate_datasets(test)}
