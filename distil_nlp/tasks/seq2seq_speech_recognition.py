"""What is said in a clip is written down, token after token, by an encoder-decoder such as Whisper."""

import math

import datasets

from ..data.audio import open_clips, wave_rows
from ..data.columns import row_location
from ..metrics import Seq2SeqSpeechEvaluator
from .audio_task import feature_extractor_of
from .base import add_ids
from .speech_task import TranscriptTask, read_sentences

_MOST_SECONDS = 30  # that Whisper hears at once
_MOST_TOKENS = 448  # of a text, those that come first included, as in every published model
_FIRST_TOKENS = 8  # at most, the one that ends a text included
_TIMED_TOKENS = 16
_FEW_TOKENS = 2000  # of which a cache can keep all numbers


class Seq2SeqSpeechRecognition(TranscriptTask):
    """Sound to text with models that are shown what was written so far, and say the next token. Make it with `from_splits`.

    A student learns from what its teacher writes, see `Task.generates_text`, and from what it thinks of the other tokens.

    Models are Hub ids or folders, or a size of Whisper's architecture ("whisper-2x64", random weights), whose tokenizer is
    made of the training texts and which hears as much at once as the longest clip has.

    Attributes:
        text_column (`str`): What is said in a clip. Splits may lack it.

    See `TranscriptTask` for the others.
    """

    name = "seq2seq-speech-recognition"
    pipeline_tag = "automatic-speech-recognition"
    problem_type = "single_label_classification"  # of every token
    processor_kind = "processor"
    generates_text = True

    def __init__(self, audio_column, text_column, sampling_rate, texts, splits, *, language=None):
        self.audio_column, self.text_column, self.sampling_rate = audio_column, text_column, sampling_rate
        self.language, self._texts, self._splits = language, texts, splits
        self._named_processor = self._tokenizer = None
        self.most_tokens = min(_MOST_TOKENS - _FIRST_TOKENS, self._longest_text())

    @property
    def auto_class(self):
        from ..models import AutoSpeechSeq2Seq  # here, not above: who only looks at data need not wait for torch

        return AutoSpeechSeq2Seq(self._made_processor, self.language)

    @property
    def cache_format(self):
        few = self._named_processor is not None and len(self._named_processor.tokenizer) <= _FEW_TOKENS
        return "float32" if few else "sampled"

    @classmethod
    def from_splits(cls, splits, *, audio_column=None, text_column=None, label_names=None, language=None):
        """Read the columns off the data.

        Args:
            splits (`dict[str, datasets.Dataset]`): "train", "validation", and where given "test" and "unlabeled".
            audio_column, text_column (`str`, *optional*): Where the usual names do not settle it.
            label_names (`list[str]`, *optional*): Not needed here.
            language (`str`, *optional*): Of the texts, "en". Models of several languages need it.

        Raises:
            ValueError: Columns, clips or texts that cannot be used.
        """
        audio, text, rate, texts = read_sentences(splits, audio_column, text_column)
        return cls(audio, text, rate, texts, splits, language=language)

    def config_labels(self):
        """Tokens are no labels: nothing."""
        return {}

    def named_processor(self, name):
        from ..models import parse_whisper_name

        return None if parse_whisper_name(name) is None else self._made_processor()

    def _made_processor(self):
        from ..models import whisper_processor

        if self._named_processor is None:
            self._named_processor = whisper_processor(self._texts, min(math.ceil(self._longest()), _MOST_SECONDS))
        return self._named_processor

    def _longest(self):
        """Seconds of the longest clip of all splits."""
        column = self.audio_column
        clips = (clip for name, split in self._splits.items() for clip in open_clips(split, column, name))
        return max(len(wave) / rate for wave, rate in clips)

    def _longest_text(self):
        """Tokens that are enough for every text of all splits; no bound where there are clips whose text nobody knows."""
        if "unlabeled" in self._splits:
            return math.inf
        column = self.text_column
        known = [self._texts, *(split[column] for split in self._splits.values() if column in split.column_names)]
        # No tokenizer makes more of a text than its bytes, beside the tokens that every text begins and ends with.
        return _FIRST_TOKENS + max(len(text.encode()) for texts in known for text in texts)

    def saved_processor(self, name_or_path, *, trust_remote_code=False):
        from transformers import AutoProcessor

        try:
            processor = AutoProcessor.from_pretrained(name_or_path, trust_remote_code=trust_remote_code)
        except (OSError, ValueError):
            return None
        if self.language is not None:
            processor.tokenizer.set_prefix_tokens(language=self.language, task="transcribe")
        return processor

    def same_input(self, processor, other):
        return processor is other or (
            feature_extractor_of(processor).to_dict() == feature_extractor_of(other).to_dict()
            and processor.tokenizer.get_vocab() == other.tokenizer.get_vocab()
        )

    def prepare(self, split, processor, *, with_labels=True):
        """Rows of waves and tokens.

        Args:
            split (`datasets.Dataset`): With the column of sound; labels are missing where it has no text.
            processor: Feature extractor and tokenizer of the model that hears them.
            with_labels (`bool`): Off: the texts of the split are not read and count as missing.

        Returns:
            `datasets.Dataset` of as many rows: audio (bytes of float32 at the extractor's sampling rate), length (samples),
            labels (list of int, from the token that begins a text to the one that ends it; empty where nothing is known),
            example_id.

        Raises:
            ValueError: A clip that cannot be read, or that is longer than the model hears at once; a text that is longer
                than it can write.
        """
        self._tokenizer = processor.tokenizer  # all models of a comparison share it
        rows = wave_rows(split, self.audio_column, "given", feature_extractor_of(processor).sampling_rate)
        _check_lengths(rows["length"], feature_extractor_of(processor), split)
        known = with_labels and self.text_column in split.column_names
        texts = split[self.text_column] if known else [None] * len(rows)
        return self._with_labels(rows, _tokens_of(texts, processor, split))

    def with_texts(self, rows, texts, processor):
        """Rows with other texts, None where nothing is known, and the ids 0, 1, ..."""
        return self._with_labels(rows, _tokens_of(texts, processor, rows))

    def _with_labels(self, rows, labels):
        rows = rows.remove_columns([name for name in ("labels", "example_id") if name in rows.column_names])
        return add_ids(rows.add_column("labels", labels, feature=datasets.List(datasets.Value("int64"))))

    def texts_of(self, rows, processor):
        """The texts of prepared rows, None where nothing is known."""
        return [
            processor.tokenizer.decode(row, skip_special_tokens=True) if len(row) else None for row in rows["labels"]
        ]

    def collator_for(self, processor, others, *, augmentation=None):
        """A `Seq2SeqSpeechCollator`; `augmentation` (`dict`, *optional*) are settings of `AudioAugmentation`."""
        from ..collators.audio import Seq2SeqSpeechCollator

        if others:
            raise ValueError(
                f"Models of {self.name} read the same tokens and features; got {1 + len(others)} different processors. "
                f"Take a student of the teacher's family."
            )
        return Seq2SeqSpeechCollator(processor, augmentation=self.augmentation_from(augmentation))

    def predictor(self, model, *, timed=False):
        """The model, asked to write; for timing so many tokens that all models write as many."""
        from ..models import GreedyGenerator

        return (
            GreedyGenerator(model, _TIMED_TOKENS, fixed_length=True)
            if timed
            else GreedyGenerator(model, self.most_tokens)
        )

    def evaluator(self, prepared, raw=None, main_metric=None):
        """`Seq2SeqSpeechEvaluator` of the texts of `raw`, which must be given; see `Task.evaluator`."""
        if raw is None:
            raise ValueError("What is written is judged against the texts, which prepared rows do not hold: pass raw.")
        return Seq2SeqSpeechEvaluator(list(raw[self.text_column]), self._read, main_metric)

    def _read(self, tokens):
        return self._tokenizer.decode(tokens, skip_special_tokens=True)


def _tokens_of(texts, processor, split):
    """The tokens of each text, from the one that begins it to the one that ends it; a ValueError where a model has no
    positions for so many."""
    found = [[] if text is None else processor.tokenizer(" ".join(text.split())).input_ids for text in texts]
    for row, tokens in enumerate(found):
        if len(tokens) > _MOST_TOKENS:
            raise ValueError(
                f"{row_location(split, 'given', row)} has a text of {len(tokens)} tokens, and a model writes "
                f"{_MOST_TOKENS} at most, those that every text begins and ends with included: it has no positions for "
                f"more. Cut the clip, with its text, or leave the row out."
            )
    return found


def _check_lengths(lengths, hears, split):
    """transformers would cut a clip off where the model's sound ends, and leave the text."""
    most = hears.chunk_length * hears.sampling_rate
    for row, length in enumerate(lengths):
        if length > most:
            raise ValueError(
                f"{row_location(split, 'given', row)} lasts {length / hears.sampling_rate:.1f} s, and the model hears "
                f"{hears.chunk_length} s at once: the rest would be cut off and the text would not. Cut the clip, with its "
                f"text, or leave the row out."
            )
