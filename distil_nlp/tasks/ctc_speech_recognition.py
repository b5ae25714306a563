"""Task: speech recognition with connectionist temporal classification (CTC)."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
from transformers import Wav2Vec2CTCTokenizer, Wav2Vec2Processor

from ..collators.audio import CtcCollator
from ..data.audio import wave_rows
from ..data.columns import row_location
from ..internals.messages import listed, shown
from ..metrics import CtcSpeechEvaluator
from ..models import AutoCTC, LogMel
from ..signals.problem_kinds import CTC
from .base import Processor, Splits, add_ids
from .file_base import feature_extractor_of, highest_rate
from .speech_base import TranscriptTask, read_sentences

_BLANK, _SPACE, _UNKNOWN = "<pad>", "|", "<unk>"
_SPECIAL = re.compile(r"<.+>")


class CtcSpeechRecognition(TranscriptTask):
    """Speech to text with models that predict a character or a blank for each frame. Make it with `from_splits`.

    Models are networks by name ("streamcnn64"), with a vocabulary of the characters of the training texts, and those that
    `AutoModelForCTC` loads (Wav2Vec2, HuBERT), with the characters of their own tokenizer, where token 0 is the blank.

    Attributes:
        label_names (`list[str]`): The tokens, the blank first.

    See `SpeechTask` for the others.
    """

    name = "automatic-speech-recognition"
    problem_type = CTC

    def __init__(
        self,
        audio_column: str,
        text_column: str,
        sampling_rate: int,
        tokens: list[str],
        *,
        change_case: Callable[[str], str] = str,
    ) -> None:
        self.audio_column, self.text_column, self.sampling_rate = audio_column, text_column, sampling_rate
        self.label_names, self.num_labels = tokens, len(tokens)
        self._change_case = change_case  # to the case of the tokens

    @property
    def auto_class(self) -> AutoCTC:
        return AutoCTC(sampling_rate=self.sampling_rate)

    @classmethod
    def from_splits(
        cls,
        splits: Splits,
        *,
        audio_column: str | None = None,
        text_column: str | None = None,
        label_names: Sequence[str] | None = None,
    ) -> CtcSpeechRecognition:
        """Create the task: infer columns and characters from the data.

        Args:
            splits (`dict[str, datasets.Dataset]`): "train", "validation", and where given "test" and "unlabeled".
            audio_column, text_column (`str`, *optional*): Where the usual names are ambiguous.
            label_names (`list[str]`, *optional*): The tokens of a teacher, in its order. Where it has letters of a single
                case, texts are converted to that case.

        Raises:
            ValueError: Columns, clips or texts that cannot be used; a teacher that lacks a token of the texts, or whose
                first token is not the blank.
        """
        audio, text, rate, texts = read_sentences(splits, audio_column, text_column)
        letters = sorted({letter for transcript in texts for letter in transcript} - {" ", _SPACE})
        if label_names is None:
            return cls(audio, text, rate, [_BLANK, _UNKNOWN, _SPACE, *letters])
        tokens = list(label_names)
        if tokens[0] != _BLANK or not {_UNKNOWN, _SPACE} <= set(tokens):
            raise ValueError(
                f"A teacher's tokens should begin with {_BLANK}, the blank, and contain {_UNKNOWN} and {_SPACE}, which "
                f"separates words; got {listed(tokens)}. Token 0 is the blank everywhere, so this teacher's outputs would "
                f"have another meaning. Take a teacher whose tokenizer has them, such as facebook/wav2vec2-base-960h."
            )
        for change_case in (str, str.upper, str.lower):
            if set(map(change_case, letters)) <= set(tokens):
                return cls(audio, text, rate, tokens, change_case=change_case)
        missing = [letter for letter in letters if letter not in tokens]
        raise ValueError(
            f"The teacher's tokens ({listed(tokens, 6)}) should contain all characters of the texts, in one case at least; "
            f"it lacks {listed(missing)}. Remove these characters from the texts."
        )

    def config_labels(self) -> dict[str, Any]:
        """The label fields of a model config, without a problem type: transformers has none for CTC."""
        labels = super().config_labels()
        del labels["problem_type"]
        return labels

    def named_processor(self, name: str) -> Processor | None:
        extractor = super().named_processor(name)
        return None if extractor is None else Wav2Vec2Processor(extractor, self._tokenizer())

    def same_input(self, processor: Processor, other: Processor) -> bool:
        return processor is other or feature_extractor_of(processor).to_dict() == feature_extractor_of(other).to_dict()

    def output_names(self, processor: Processor) -> list[str]:
        vocabulary = processor.tokenizer.get_vocab()
        return sorted(vocabulary, key=vocabulary.get)

    def _tokenizer(self) -> Wav2Vec2CTCTokenizer:
        with tempfile.TemporaryDirectory() as folder:  # the tokenizer reads its vocabulary from a file
            file = Path(folder) / "vocab.json"
            vocabulary = {token: index for index, token in enumerate(self.label_names)}
            file.write_text(json.dumps(vocabulary), encoding="utf-8")
            return Wav2Vec2CTCTokenizer(
                str(file),
                pad_token=_BLANK,
                unk_token=_UNKNOWN,
                word_delimiter_token=_SPACE,
                bos_token=None,
                eos_token=None,
            )

    def prepare(self, split: datasets.Dataset, processor: Processor, *, with_labels: bool = True) -> datasets.Dataset:
        """Rows of waveforms and characters.

        Args:
            split (`datasets.Dataset`): With the audio column; labels are missing where it has no text.
            processor: Feature extractor and tokenizer of the model.
            with_labels (`bool`): False: the texts of the split are not read and count as missing.

        Returns:
            `datasets.Dataset` of as many rows: audio (bytes of float32 at the extractor's sampling rate), length (samples),
            labels (list of int, empty where the text is unknown), example_id.

        Raises:
            ValueError: A clip that cannot be read, or that has fewer frames than its text needs.
        """
        rows = wave_rows(split, self.audio_column, "given", feature_extractor_of(processor).sampling_rate)
        labels: list[list[int]] = [[] for _ in range(len(rows))]
        if with_labels and self.text_column in split.column_names:
            ids = {token: index for index, token in enumerate(self.label_names)}
            ids[" "], unknown = ids[_SPACE], ids[_UNKNOWN]
            texts = [self._change_case(" ".join(text.split())) for text in split[self.text_column]]
            labels = [[ids.get(letter, unknown) for letter in text] for text in texts]
            self._check_lengths(rows["length"], labels, split, feature_extractor_of(processor).sampling_rate)
        return add_ids(rows.add_column("labels", labels, feature=datasets.List(datasets.Value("int64"))))

    def _check_lengths(
        self, lengths: Sequence[int], labels: Sequence[Sequence[int]], split: datasets.Dataset, rate: int
    ) -> None:
        """Check that each clip has a frame for each character and for each blank between equal characters."""
        front_end = LogMel(rate)
        for row, (length, label) in enumerate(zip(lengths, labels, strict=True)):
            needed = len(label) + sum(first == second for first, second in zip(label, label[1:], strict=False))
            if front_end.num_frames(length) < needed:
                raise ValueError(
                    f"{row_location(split, 'given', row)} has {front_end.num_frames(length)} frames, and its text "
                    f"{shown(split[self.text_column][row])} needs {needed}, one per character. Is the text of another "
                    f"clip? Remove the row, or correct the text."
                )

    def collator_for(
        self,
        processor: Processor,
        others: Mapping[str, Processor],
        *,
        augmentation: Mapping[str, Any] | None = None,
    ) -> CtcCollator:
        """A `CtcCollator`; `augmentation` (`dict`, *optional*) are settings of `AudioAugmentation`."""
        processors = {"": processor, **others}
        return CtcCollator(
            feature_extractor_of(highest_rate(processor, others)).sampling_rate,
            {prefix: feature_extractor_of(each) for prefix, each in processors.items()},
            augmentation=self.augmentation_from(augmentation),
        )

    def evaluator(
        self, prepared: datasets.Dataset, raw: datasets.Dataset | None = None, main_metric: str | None = None
    ) -> CtcSpeechEvaluator:
        """A `CtcSpeechEvaluator` of the texts of `raw`, which must be given; see `Task.evaluator`."""
        return CtcSpeechEvaluator(list(map(self._change_case, self.references(raw))), self._decode, main_metric)

    def _decode(self, tokens: Sequence[int]) -> str:
        letters = [self.label_names[token] for token in tokens]
        return "".join(" " if letter == _SPACE else letter for letter in letters if not _SPECIAL.fullmatch(letter))

    def usage_example(self, folder: str | Path) -> str:
        return f"import transformers, distil_nlp.models; {super().usage_example(folder)}"
