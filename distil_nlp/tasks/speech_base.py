"""Base classes of the speech recognition tasks: rows contain a spoken sentence, as audio and as text."""

from __future__ import annotations

from collections.abc import Sequence

import datasets
import numpy as np
from transformers import AutoProcessor

from ..data.audio import audio_format
from ..data.columns import check_texts, find_column, find_label_column, first_split
from ..data.concatenated_clips import join_clips
from ..data.file_columns import AUDIO_FILES, find_file_column
from ..internals.imports import import_extra
from ..internals.messages import shown
from ..models.sources import load_saved
from .base import Processor, Splits
from .file_base import AudioTask

TEXTS = ("text", "sentence", "transcription", "transcript")  # usual names of the text column


class SpeechTask(AudioTask):
    """A task whose rows contain a sentence, as audio and as text.

    Attributes:
        text_column (`str`): Column of the transcript. Splits may lack it.

    See `AudioTask` for the others.
    """

    text_column: str

    @classmethod
    def arrange_splits(
        cls,
        splits: Splits,
        *,
        label_column: str | None = None,
        joined_clips: int | None = None,
        held_out_speakers: Sequence[str] | None = None,
        speaker_column: str = "speaker",
    ) -> Splits:
        """Join clips of single words to sentences, and hold out speakers for the comparison, if asked for.

        Args:
            splits (`dict[str, datasets.Dataset]`): As loaded.
            label_column (`str`, *optional*): Of single words, by default "label" or "labels".
            joined_clips (`int`, *optional*): Join clips of one word each to sentences of up to this many, see `join_clips`.
            held_out_speakers, speaker_column: See `AudioTask.arrange_splits`.

        Raises:
            ValueError: A speaker that is not in the data, or no speaker left to train on; fewer than one word.
        """
        splits = super().arrange_splits(splits, held_out_speakers=held_out_speakers, speaker_column=speaker_column)
        if joined_clips is None:
            return splits
        if joined_clips < 1:
            raise ValueError(
                f"joined_clips is the number of words of the longest sentence, 1 or more; got {shown(joined_clips)}."
            )
        return {
            name: join_clips(
                split,
                name,
                audio_column=find_file_column(split, AUDIO_FILES),
                label_column=None if name == "unlabeled" else find_label_column(split.column_names, label_column),
                max_words=joined_clips,
                speaker_column=speaker_column if speaker_column in split.column_names else None,
            )
            for name, split in splits.items()
        }

    def references(self, raw: datasets.Dataset | None) -> list[str]:
        """The transcripts of a raw split; a ValueError where it is missing."""
        if raw is None:
            raise ValueError(
                f"Word errors are counted against the transcripts, which prepared rows do not contain; got "
                f"raw={shown(raw)}. Pass raw, the split before `prepare`."
            )
        return list(raw[self.text_column])


class TranscriptTask(SpeechTask):
    """A task whose models predict tokens: the labels of a row are a list of tokens, empty where the text is unknown."""

    def saved_processor(self, name_or_path: str, *, trust_remote_code: bool = False) -> Processor | None:
        # No files: another kind of processor may be saved there.
        return load_saved(AutoProcessor, name_or_path, kind="processor", files=(), trust_remote_code=trust_remote_code)

    def labeled(self, prepared: datasets.Dataset) -> np.ndarray:
        return np.array([len(row) > 0 for row in prepared["labels"]], dtype=bool)

    def without_labels(self, prepared: datasets.Dataset) -> datasets.Dataset:
        missing: list[list[int]] = [[] for _ in range(len(prepared))]
        return prepared.remove_columns("labels").add_column("labels", missing, feature=prepared.features["labels"])


def read_sentences(
    splits: Splits, audio_column: str | None = None, text_column: str | None = None, *, more: Sequence[str] = ()
) -> tuple[str, str, int, list[str]]:
    """Find the columns of audio and text, and check the texts and a few clips.

    Args:
        splits (`dict[str, datasets.Dataset]`): See `Task.from_splits`; of subsets, the whole splits are read.
        audio_column, text_column (`str`, *optional*): Where the usual names are ambiguous.
        more (`tuple[str]`): Further sentences of the message where there is no such column.

    Returns:
        `(audio_column, text_column, sampling_rate, texts)`: texts (`list[str]`) of the whole training split, or of the
        first split that has any.

    Raises:
        ValueError: Columns, clips or texts that cannot be used.
        ImportError: rapidfuzz is missing, which the word error rate needs.
    """
    import_extra("word_errors")  # checked before training rather than at the first comparison
    audio, rate = audio_format(splits, audio_column)
    reference = first_split(getattr(splits, "whole", splits), "train", "validation", "test")
    text = find_column(reference.column_names, TEXTS, text_column, "text_column", *more)
    for name, split in splits.items():
        if text in split.column_names and name != "unlabeled":
            check_texts(split, name, (text,))
    return audio, text, rate, list(reference[text])
