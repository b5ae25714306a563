"""What tasks on sentences that are spoken have in common: how sentences come to be, and what they are called."""

import numpy as np

from ..data.audio import audio_format
from ..data.columns import check_texts, find_column, find_label_column, first_split
from ..data.concatenated_clips import join_clips
from ..data.file_columns import AUDIO_FILES, find_file_column
from ..internals.imports import import_extra
from .audio_task import AudioTask

TEXTS = ("text", "sentence", "transcription", "transcript")


class SpeechTask(AudioTask):
    """A task of which each row holds a sentence, as sound and as text. See `AudioTask` for its attributes."""

    @classmethod
    def arrange_splits(
        cls, splits, *, label_column=None, joined_clips=None, held_out_speakers=None, speaker_column="speaker"
    ):
        """Splits of single words as splits of sentences, and speakers kept for the comparison.

        Args:
            splits (`dict[str, datasets.Dataset]`): As they came.
            label_column (`str`, *optional*): Of single words, by default "label" or "labels".
            joined_clips (`int`, *optional*): Join clips of one word each to sentences of up to so many, see `join_clips`.
            held_out_speakers, speaker_column: See `AudioTask.arrange_splits`.

        Raises:
            ValueError: A speaker that is not in the data, or nobody left to train on; fewer than one word.
        """
        splits = super().arrange_splits(splits, held_out_speakers=held_out_speakers, speaker_column=speaker_column)
        if joined_clips is None:
            return splits
        if joined_clips < 1:
            raise ValueError(
                f"joined_clips is the number of words of the longest sentence, 1 or more; got {joined_clips}."
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


class TranscriptTask(SpeechTask):
    """A task whose models write tokens: prepared rows have a list of them, empty where nobody knows what is said."""

    def labeled(self, prepared):
        return np.array([len(row) > 0 for row in prepared["labels"]], dtype=bool)

    def without_labels(self, prepared):
        missing = [[] for _ in range(len(prepared))]
        return prepared.remove_columns("labels").add_column("labels", missing, feature=prepared.features["labels"])


def read_sentences(splits, audio_column=None, text_column=None, *, more=()):
    """What a data set of sentences is, after a look at its columns, its texts and a few clips.

    Args:
        splits (`dict[str, datasets.Dataset]`): See `Task.from_splits`; of subsets, the whole is looked at.
        audio_column, text_column (`str`, *optional*): Where the usual names do not settle it.
        more (`tuple[str]`): What else to tell who has no such column.

    Returns:
        `(audio_column, text_column, sampling_rate, texts)`: texts (`list[str]`) of the whole training split, or of the
        first that has any.

    Raises:
        ValueError: Columns, clips or texts that cannot be used.
    """
    import_extra("word_errors")  # now, rather than at the first comparison
    audio, rate = audio_format(splits, audio_column)
    reference = first_split(getattr(splits, "whole", splits), "train", "validation", "test")
    text = find_column(reference.column_names, TEXTS, text_column, "text_column", *more)
    for name, split in splits.items():
        if text in split.column_names and name != "unlabeled":
            check_texts(split, name, (text,))
    return audio, text, rate, list(reference[text])
