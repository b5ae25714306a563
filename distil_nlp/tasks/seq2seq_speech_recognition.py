"""Task: speech recognition with encoder-decoders such as Whisper, which generate the text token by token."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import datasets
from torch import nn

from ..collators.audio import Seq2SeqSpeechCollator
from ..data.audio import open_clips, wave_rows
from ..data.columns import row_location
from ..metrics import Seq2SeqSpeechEvaluator
from ..models import AutoSpeechSeq2Seq, GreedyGenerator, parse_whisper_name, whisper_processor
from .base import Processor, Splits, add_ids
from .file_base import feature_extractor_of
from .speech_base import TranscriptTask, read_sentences

_MAX_SECONDS = 30  # input length of Whisper
_MAX_TOKENS = 448  # of a text, the first ones included, as in every published model
_NUM_SPECIAL_TOKENS = 8  # at most, at the beginning and the end of a text
_TIMED_TOKENS = 16
_SMALL_VOCABULARY = 2000  # up to this size, a cache stores all logits


class Seq2SeqSpeechRecognition(TranscriptTask):
    """Speech to text with models that predict the next token from the audio and the text so far. Use `from_splits`.

    A student is trained on the texts that its teacher generates, see `Task.generates_text`, and on the teacher's
    distribution of each token.

    Models are Hub ids or folders, or a size of Whisper's architecture ("whisper-2x64", random weights), whose tokenizer is
    trained on the training texts and whose input length is that of the longest clip.

    See `TranscriptTask` for its attributes.
    """

    name = "seq2seq-speech-recognition"
    pipeline_tag = "automatic-speech-recognition"
    problem_type = "single_label_classification"  # of every token
    processor_kind = "processor"
    generates_text = True

    def __init__(
        self,
        audio_column: str,
        text_column: str,
        sampling_rate: int,
        texts: list[str],
        splits: Splits,
        *,
        language: str | None = None,
    ) -> None:
        self.audio_column, self.text_column, self.sampling_rate = audio_column, text_column, sampling_rate
        self.language, self._texts, self._splits = language, texts, splits
        self._new_processor = self._tokenizer = None
        self.max_new_tokens = min(_MAX_TOKENS - _NUM_SPECIAL_TOKENS, self._longest_text())

    @property
    def auto_class(self) -> AutoSpeechSeq2Seq:
        return AutoSpeechSeq2Seq(self._make_processor, self.language)

    @property
    def cache_format(self) -> str:
        small = self._new_processor is not None and len(self._new_processor.tokenizer) <= _SMALL_VOCABULARY
        return "float32" if small else "sampled"

    @classmethod
    def from_splits(
        cls,
        splits: Splits,
        *,
        audio_column: str | None = None,
        text_column: str | None = None,
        label_names: Sequence[str] | None = None,
        language: str | None = None,
    ) -> Seq2SeqSpeechRecognition:
        """Create the task: infer its columns from the data.

        Args:
            splits (`dict[str, datasets.Dataset]`): "train", "validation", and where given "test" and "unlabeled".
            audio_column, text_column (`str`, *optional*): Where the usual names are ambiguous.
            label_names (`list[str]`, *optional*): Unused here.
            language (`str`, *optional*): Language of the texts, such as "en". Multilingual models need it.

        Raises:
            ValueError: Columns, clips or texts that cannot be used.
        """
        audio, text, rate, texts = read_sentences(splits, audio_column, text_column)
        return cls(audio, text, rate, texts, splits, language=language)

    def config_labels(self) -> dict[str, Any]:
        """Empty: the tokens of a vocabulary are not labels."""
        return {}

    def named_processor(self, name: str) -> Processor | None:
        return None if parse_whisper_name(name) is None else self._make_processor()

    def _make_processor(self) -> Processor:
        if self._new_processor is None:
            seconds = min(math.ceil(self._longest_clip()), _MAX_SECONDS)
            self._new_processor = whisper_processor(self._texts, seconds)
        return self._new_processor

    def _longest_clip(self) -> float:
        """Seconds of the longest clip of all splits."""
        column = self.audio_column
        clips = (clip for name, split in self._splits.items() for clip in open_clips(split, column, name))
        return max(len(wave) / rate for wave, rate in clips)

    def _longest_text(self) -> int | float:
        """Tokens that are enough for every text of all splits; infinity with unlabeled clips, whose texts are unknown."""
        if "unlabeled" in self._splits:
            return math.inf
        column = self.text_column
        columns = [self._texts, *(split[column] for split in self._splits.values() if column in split.column_names)]
        # Without special tokens, a tokenizer makes at most as many tokens of a text as the text has bytes.
        return _NUM_SPECIAL_TOKENS + max(len(text.encode()) for texts in columns for text in texts)

    def saved_processor(self, name_or_path: str, *, trust_remote_code: bool = False) -> Processor | None:
        processor = super().saved_processor(name_or_path, trust_remote_code=trust_remote_code)
        if processor is not None and self.language is not None:
            processor.tokenizer.set_prefix_tokens(language=self.language, task="transcribe")
        return processor

    def same_input(self, processor: Processor, other: Processor) -> bool:
        return processor is other or (
            feature_extractor_of(processor).to_dict() == feature_extractor_of(other).to_dict()
            and processor.tokenizer.get_vocab() == other.tokenizer.get_vocab()
        )

    def prepare(self, split: datasets.Dataset, processor: Processor, *, with_labels: bool = True) -> datasets.Dataset:
        """Rows of waveforms and tokens.

        Args:
            split (`datasets.Dataset`): With the audio column; labels are missing where it has no text.
            processor: Feature extractor and tokenizer of the model.
            with_labels (`bool`): False: the texts of the split are not read and count as missing.

        Returns:
            `datasets.Dataset` of as many rows: audio (bytes of float32 at the extractor's sampling rate), length (samples),
            labels (list of int, from the token that begins a text to the one that ends it; empty where the text is
            unknown), example_id.

        Raises:
            ValueError: A clip that cannot be read, or that is longer than the model's input; a text that is longer than
                the model's output.
        """
        self._tokenizer = processor.tokenizer  # all models of a comparison share it
        rows = wave_rows(split, self.audio_column, "given", feature_extractor_of(processor).sampling_rate)
        _check_lengths(rows["length"], feature_extractor_of(processor), split)
        has_texts = with_labels and self.text_column in split.column_names
        texts = split[self.text_column] if has_texts else [None] * len(rows)
        return self._with_labels(rows, _tokens_of(texts, processor, split))

    def with_texts(
        self, rows: datasets.Dataset, texts: Sequence[str | None], processor: Processor
    ) -> datasets.Dataset:
        """Rows with other texts, None where the text is unknown, and the ids 0, 1, ..."""
        return self._with_labels(rows, _tokens_of(texts, processor, rows))

    def _with_labels(self, rows: datasets.Dataset, labels: list[list[int]]) -> datasets.Dataset:
        rows = rows.remove_columns([name for name in ("labels", "example_id") if name in rows.column_names])
        return add_ids(rows.add_column("labels", labels, feature=datasets.List(datasets.Value("int64"))))

    def texts_of(self, rows: datasets.Dataset, processor: Processor) -> list[str | None]:
        """The texts of prepared rows, None where the text is unknown."""
        return [
            processor.tokenizer.decode(row, skip_special_tokens=True) if len(row) else None for row in rows["labels"]
        ]

    def collator_for(
        self,
        processor: Processor,
        others: Mapping[str, Processor],
        *,
        augmentation: Mapping[str, Any] | None = None,
    ) -> Seq2SeqSpeechCollator:
        """A `Seq2SeqSpeechCollator`; `augmentation` (`dict`, *optional*) are settings of `AudioAugmentation`."""
        if others:
            raise ValueError(
                f"Models of {self.name} need the same tokens and features; got {1 + len(others)} different processors. "
                f"Take a student of the teacher's family."
            )
        return Seq2SeqSpeechCollator(processor, augmentation=self.augmentation_from(augmentation))

    def predictor(self, model: nn.Module, *, timed: bool = False) -> GreedyGenerator:
        """Greedy generation with the model; `timed`, of a fixed number of tokens, the same for all models."""
        if timed:
            return GreedyGenerator(model, _TIMED_TOKENS, fixed_length=True)
        return GreedyGenerator(model, self.max_new_tokens)

    def evaluator(
        self, prepared: datasets.Dataset, raw: datasets.Dataset | None = None, main_metric: str | None = None
    ) -> Seq2SeqSpeechEvaluator:
        """A `Seq2SeqSpeechEvaluator` of the texts of `raw`, which must be given; see `Task.evaluator`."""
        return Seq2SeqSpeechEvaluator(self.references(raw), self._decode, main_metric)

    def _decode(self, tokens: Sequence[int]) -> str:
        return self._tokenizer.decode(tokens, skip_special_tokens=True)


def _tokens_of(texts: Sequence[str | None], processor: Processor, split: datasets.Dataset) -> list[list[int]]:
    """The tokens of each text, special ones included, empty for None.

    Raises:
        ValueError: A text with more tokens than a model has positions.
    """
    tokens = [[] if text is None else processor.tokenizer(" ".join(text.split())).input_ids for text in texts]
    for row, of_row in enumerate(tokens):
        if len(of_row) > _MAX_TOKENS:
            raise ValueError(
                f"{row_location(split, 'given', row)} has a text of {len(of_row)} tokens, and a model generates "
                f"{_MAX_TOKENS} at most, special tokens included: it has no positions for more. Cut the clip, with its "
                f"text, or leave the row out."
            )
    return tokens


def _check_lengths(lengths: Sequence[int], extractor: Any, split: datasets.Dataset) -> None:
    """Raise a ValueError for a clip longer than the model's input: transformers would truncate it but not its text."""
    longest = extractor.chunk_length * extractor.sampling_rate
    for row, length in enumerate(lengths):
        if length > longest:
            raise ValueError(
                f"{row_location(split, 'given', row)} lasts {length / extractor.sampling_rate:.1f} s, and the model's "
                f"input is {extractor.chunk_length} s: the rest would be cut off and the text would not. Cut the clip, "
                f"with its text, or leave the row out."
            )
