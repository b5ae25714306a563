"""What tasks on sentences that are spoken have in common: how sentences come to be, and what they are called."""

from .audio_task import AudioTask
from .columns import find_label_column
from .file_columns import SOUND, find_file_column
from .joined_clips import join_clips

TEXTS = ("text", "sentence", "transcription", "transcript")


class SpokenTask(AudioTask):
    """A task of which each row holds a sentence, as sound and as text. See `AudioTask` for its attributes."""

    @classmethod
    def arranged(
        cls, splits, *, label_column=None, joined_clips=None, held_out_speakers=None, speaker_column="speaker"
    ):
        """Splits of single words as splits of sentences, and speakers kept for the comparison.

        Args:
            splits (`dict[str, datasets.Dataset]`): As they came.
            label_column (`str`, *optional*): Of single words, by default "label" or "labels".
            joined_clips (`int`, *optional*): Join clips of one word each to sentences of up to so many, see `join_clips`.
            held_out_speakers, speaker_column: See `AudioTask.arranged`.

        Raises:
            ValueError: A speaker that is not in the data, or nobody left to train on; fewer than one word.
        """
        splits = super().arranged(splits, held_out_speakers=held_out_speakers, speaker_column=speaker_column)
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
                audio_column=find_file_column(split, SOUND),
                label_column=find_label_column(split.column_names, label_column),
                most=joined_clips,
                speaker_column=speaker_column if speaker_column in split.column_names else None,
            )
            for name, split in splits.items()
        }
