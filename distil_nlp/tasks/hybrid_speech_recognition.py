"""Task: hybrid speech recognition (DNN-HMM): a network classifies frames into states, a decoder makes words of them."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import datasets
import numpy as np
import torch
from transformers import PreTrainedModel

from ..collators.audio import FrameCollator, extract_features, stored_waves
from ..data.audio import wave_rows
from ..data.columns import first_split, row_location
from ..data.labels import SINGLE
from ..hmm import Decoder, GaussianAligner, Lexicon, cepstra, forced_alignment, log_state_prior
from ..internals.messages import listed, quoted, shown
from ..metrics import HybridSpeechEvaluator
from ..metrics.classification import MISSING_LABEL
from ..models import AutoAudioFrameClassifier, LogMel
from .base import Processor, Splits, add_ids
from .file_base import highest_rate
from .speech_base import SpeechTask, read_sentences

logger = logging.getLogger(__name__)


class HybridSpeechRecognition(SpeechTask):
    """Words of a closed vocabulary, one or more per clip. Make it with `from_splits`.

    The labels of frames come from an alignment that needs only the transcripts: a hidden Markov model of each word, with
    one Gaussian per state, trained from a flat start on the training split (`GaussianAligner`). Models learn the state of
    each frame, and a `Decoder` makes words of the states. No network contributes to the labels, so those of a control
    without a teacher are independent of any teacher.

    A teacher that was trained on other clips has other boundaries of states. Then the labels of all rows are a forced
    alignment by the teacher: the transcripts are given, and the teacher assigns their states to frames (`for_teacher`).

    Models are networks by name ("splicedmlp512", "streamcnn64") or folders of such.

    Attributes:
        decoder (`hmm.Decoder`): Decoder of the words of the training split.

    See `SpeechTask` for the others.
    """

    name = "hybrid-speech-recognition"
    pipeline_tag = "automatic-speech-recognition"
    problem_type = SINGLE
    fixed_augmentation = {"shift": 0.0}  # a shift would separate frames from their labels

    def __init__(
        self, audio_column: str, text_column: str, sampling_rate: int, aligner: _Aligner, decoder: Decoder
    ) -> None:
        self.audio_column, self.text_column, self.sampling_rate = audio_column, text_column, sampling_rate
        self._aligner, self.decoder = aligner, decoder
        self.label_names, self.num_labels = decoder.lexicon.state_names, decoder.lexicon.num_states

    @property
    def auto_class(self) -> AutoAudioFrameClassifier:
        return AutoAudioFrameClassifier(sampling_rate=self.sampling_rate)

    @classmethod
    def from_splits(
        cls,
        splits: Splits,
        *,
        audio_column: str | None = None,
        text_column: str | None = None,
        label_names: Sequence[str] | None = None,
        num_states: int = 8,
        insertion_penalty: float = 0.0,
    ) -> HybridSpeechRecognition:
        """Create the task: infer columns and words from the data, and align the training split with its words.

        Args:
            splits (`dict[str, datasets.Dataset]`): "train", "validation", and where given "test" and "unlabeled".
            audio_column, text_column (`str`, *optional*): Where the usual names are ambiguous.
            label_names (`list[str]`, *optional*): The states of a teacher; they must equal those of the data.
            num_states (`int`): States of each word, which lasts at least as many frames.
            insertion_penalty (`float`): See `hmm.word_loop`.

        Raises:
            ValueError: Columns, clips or texts that cannot be used; most clips too short for their words.
        """
        more = "Clips of one word each, with a class label, become sentences by joined_clips."
        audio, text, rate, _ = read_sentences(splits, audio_column, text_column, more=(more,))
        train = first_split(splits, "train")
        sentences = [sentence.split() for sentence in train[text]]
        lexicon = Lexicon.whole_words([word for words in sentences for word in words], num_states=num_states)
        if label_names is not None and list(label_names) != lexicon.state_names:
            raise ValueError(
                f"The teacher has {len(label_names)} states ({listed(label_names, 4)}), and the words of the "
                f"training split have {lexicon.num_states} ({listed(lexicon.state_names, 4)}), so their logits do "
                f"not correspond. Train on the teacher's words, with as many states each (num_states)."
            )
        aligner, rows = _GaussianStates(lexicon, rate), wave_rows(train, audio, "train", rate)
        _check_lengths(rows, sentences, lexicon, rate, train)
        states = np.concatenate(aligner.fit(rows, sentences))
        decoder = Decoder(
            lexicon, aligner.log_stay, log_state_prior(states, lexicon), insertion_penalty=insertion_penalty
        )
        return cls(audio, text, rate, aligner, decoder)

    def for_teacher(self, teacher: PreTrainedModel, processor: Processor) -> HybridSpeechRecognition:
        """The task with labels aligned by the teacher, and with the durations and priors of states in its config."""
        saved = getattr(teacher.config, "hmm", None)
        if saved is None:
            return self
        decoder = Decoder.from_dict({**saved, "insertion_penalty": self.decoder.insertion_penalty})
        aligner = _NetworkStates(teacher, processor, decoder)
        return type(self)(self.audio_column, self.text_column, self.sampling_rate, aligner, decoder)

    def config_labels(self) -> dict[str, Any]:
        """The label fields of a model config, and the decoder's settings."""
        return {**super().config_labels(), "hmm": self.decoder.to_dict()}

    def prepare(self, split: datasets.Dataset, processor: Processor, *, with_labels: bool = True) -> datasets.Dataset:
        """Rows of waveforms, with the state of each frame.

        Args:
            split (`datasets.Dataset`): With the audio column; labels are missing where it has no text.
            processor: The model's feature extractor.
            with_labels (`bool`): False: the texts of the split are not read and count as missing.

        Returns:
            `datasets.Dataset` of as many rows: audio (bytes of float32 at the extractor's sampling rate), length (samples),
            labels (list of int, -100 where the state is unknown), example_id.

        Raises:
            ValueError: A clip that cannot be read; a word that the training split does not have; most clips too short for
                their words. Where a few are, their frames have no labels, and a warning is logged.
        """
        if processor.sampling_rate != self.sampling_rate:
            raise ValueError(
                f"A state is the label of a frame at {self.sampling_rate} Hz, the rate of the data, and the model takes "
                f"{processor.sampling_rate} Hz. Take models for {self.sampling_rate} Hz, or resample the data."
            )
        rows = wave_rows(split, self.audio_column, "given", processor.sampling_rate)
        if with_labels and self.text_column in split.column_names:
            sentences = [text.split() for text in split[self.text_column]]
            too_short = _check_lengths(rows, sentences, self.decoder.lexicon, self.sampling_rate, split)
            if too_short:
                logger.warning("%s These clips have no labels.", too_short)
            labels = self._aligner(rows, sentences)
        else:
            labels = [np.full(length, MISSING_LABEL) for length in _num_frames(rows, self.sampling_rate)]
        feature = datasets.List(datasets.Value("int64"))
        return add_ids(rows.add_column("labels", [states.tolist() for states in labels], feature=feature))

    def collator_for(
        self,
        processor: Processor,
        others: Mapping[str, Processor],
        *,
        augmentation: Mapping[str, Any] | None = None,
    ) -> FrameCollator:
        """A `FrameCollator`; `augmentation` (`dict`, *optional*) are settings of `AudioAugmentation` except the shift."""
        return FrameCollator(
            highest_rate(processor, others).sampling_rate,
            {"": processor, **others},
            augmentation=self.augmentation_from(augmentation),
        )

    def evaluator(
        self, prepared: datasets.Dataset, raw: datasets.Dataset | None = None, main_metric: str | None = None
    ) -> HybridSpeechEvaluator:
        """A `HybridSpeechEvaluator` of the texts of `raw`, which must be given; see `Task.evaluator`."""
        return HybridSpeechEvaluator([text.split() for text in self.references(raw)], self.decoder, main_metric)

    def loading_code(self, repo_id: str) -> str:
        return (
            f"import soundfile\nfrom distil_nlp.streaming import Recognizer\n\n"
            f"recognizer = Recognizer.from_pretrained({quoted(repo_id)})\n"
            f"wave, rate = soundfile.read({self.example!r})  # one channel, at recognizer.sampling_rate\n"
            f"print(recognizer(wave))"
        )

    def usage_example(self, folder: str | Path) -> str:
        return shlex.join(["distil-nlp", "listen", str(folder), self.example])

    def labeled(self, prepared: datasets.Dataset) -> np.ndarray:
        return np.array([any(label != MISSING_LABEL for label in row) for row in prepared["labels"]], dtype=bool)

    def without_labels(self, prepared: datasets.Dataset) -> datasets.Dataset:
        missing = [[MISSING_LABEL] * len(row) for row in prepared["labels"]]
        return prepared.remove_columns("labels").add_column("labels", missing, feature=prepared.features["labels"])


def _check_lengths(
    rows: datasets.Dataset,
    sentences: Sequence[Sequence[str]],
    lexicon: Lexicon,
    sampling_rate: int,
    split: datasets.Dataset,
) -> str:
    """Describe the clips that are too short for their words, whose states last a frame or more; "" if none is.

    Raises:
        ValueError: Most clips are too short; a word that is not in the lexicon.
    """
    lengths, short = _num_frames(rows, sampling_rate), []
    for row, (length, words) in enumerate(zip(lengths, sentences, strict=True)):
        try:
            needed = sum(len(lexicon.chain(word)) for word in words)
        except ValueError as error:
            raise ValueError(f"{row_location(split, 'given', row)}: {error}") from None
        if length < needed:
            short.append(
                (row, f"has {length} frames, and the states of {shown(' '.join(words))} last {needed} at least")
            )
    if not short:
        return ""
    row, reason = short[0]
    location = row_location(split, "given", row)
    message = f"{len(short)} of {len(rows)} clips are too short for their words: {location} {reason}."
    if 2 * len(short) > len(rows):
        raise ValueError(f"{message} They cannot be aligned. Set fewer states per word (num_states).")
    return message


class _Aligner(Protocol):
    """Assigns states to frames."""

    def __call__(self, rows: datasets.Dataset, sentences: Sequence[Sequence[str]]) -> Sequence[np.ndarray]:
        """The states of the frames of prepared rows."""


class _GaussianStates:
    """Alignment by Gaussians, on features of the models' front end, with the same frames."""

    def __init__(self, lexicon: Lexicon, sampling_rate: int) -> None:
        self._front_end, self._aligner = LogMel(sampling_rate), GaussianAligner(lexicon)

    @property
    def log_stay(self) -> np.ndarray:
        return self._aligner.log_stay

    def fit(self, rows: datasets.Dataset, sentences: Sequence[Sequence[str]]) -> Sequence[np.ndarray]:
        """Train the Gaussians from a flat start; the states of the frames of prepared rows."""
        return self._aligner.fit(self._cepstra_of(rows), sentences)

    def __call__(self, rows: datasets.Dataset, sentences: Sequence[Sequence[str]]) -> Sequence[np.ndarray]:
        return self._aligner.align(self._cepstra_of(rows), sentences)

    def _cepstra_of(self, rows: datasets.Dataset) -> list[np.ndarray]:
        waves = (torch.frombuffer(bytearray(clip), dtype=torch.float32) for clip in rows["audio"])
        return [cepstra(self._front_end(wave.unsqueeze(0))[0][0].numpy()) for wave in waves]


class _NetworkStates:
    """Forced alignment by the outputs of a trained network, with the durations and priors of its `Decoder`."""

    def __init__(self, model: PreTrainedModel, processor: Processor, decoder: Decoder) -> None:
        self._model, self._processor, self._decoder = model.eval(), processor, decoder

    def __call__(self, rows: datasets.Dataset, sentences: Sequence[Sequence[str]]) -> Sequence[np.ndarray]:
        decoder, lengths = self._decoder, _num_frames(rows, self._processor.sampling_rate)
        return forced_alignment(
            partial(self._log_likelihoods, rows), lengths, sentences, decoder.lexicon, decoder.log_stay
        )

    def _log_likelihoods(self, rows: datasets.Dataset, row: int) -> torch.Tensor:
        inputs = extract_features(stored_waves([rows[row]]), self._processor).to(self._model.device)
        with torch.inference_mode():
            return self._decoder.scores(self._model(**inputs).logits[0].cpu())


def _num_frames(rows: datasets.Dataset, sampling_rate: int) -> list[int]:
    """Number of frames of each prepared row in the models' front end."""
    front_end = LogMel(sampling_rate)
    return [front_end.num_frames(length) for length in rows["length"]]
