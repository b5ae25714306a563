"""Sentences of a small vocabulary are heard by a DNN-HMM: every frame gets a state, and states make words."""

import logging
from functools import partial

import datasets
import numpy as np

from ..data.audio import wave_rows
from ..data.columns import first_split, row_location
from ..data.labels import SINGLE
from ..hmm import Decoder, GaussianAligner, Lexicon, cepstra, forced_alignment, log_state_prior
from ..metrics import HybridSpeechEvaluator
from ..metrics.classification import MISSING_LABEL
from .audio_task import highest_rate
from .base import add_ids
from .speech_task import SpeechTask, read_sentences

logger = logging.getLogger(__name__)


class HybridSpeechRecognition(SpeechTask):
    """Words of a closed vocabulary, one or many a clip. Make it with `from_splits`.

    The labels of frames are those of an alignment that needs nothing but what was said: a hidden Markov model of every
    word, with one Gaussian a state, trained from a flat start on the training split (`GaussianAligner`). Models learn to
    say the state of a frame, and a `Decoder` makes words of that. Nobody's network is asked for labels, so that a control
    without a teacher has labels that owe nothing to one.

    A teacher that was trained on other clips has other ideas of where a state begins. What it calls a state is then what
    all labels mean: the words are given, and it says which frame belongs to which of their states (`for_teacher`).

    Models are networks by name ("splicedmlp512", "streamcnn64") or folders of such.

    Attributes:
        text_column (`str`): What is said in a clip. Splits may lack it; their frames have no labels then.
        decoder (`hmm.Decoder`): Of the words of the training split.

    See `SpeechTask` for the others.
    """

    name = "hybrid-speech-recognition"
    pipeline_tag = "automatic-speech-recognition"
    problem_type = SINGLE
    fixed_augmentation = {"shift": 0.0}  # a frame has its label where it is

    def __init__(self, audio_column, text_column, sampling_rate, aligner, decoder):
        self.audio_column, self.text_column, self.sampling_rate = audio_column, text_column, sampling_rate
        self._aligner, self.decoder = aligner, decoder
        self.label_names, self.num_labels = decoder.lexicon.state_names, decoder.lexicon.num_states

    @property
    def auto_class(self):
        from ..models import (
            AutoAudioFrameClassifier,  # here, not above: who only looks at data need not wait for torch
        )

        return AutoAudioFrameClassifier(sampling_rate=self.sampling_rate)

    @classmethod
    def from_splits(
        cls,
        splits,
        *,
        audio_column=None,
        text_column=None,
        label_names=None,
        num_states=8,
        insertion_penalty=0.0,
    ):
        """Read the words off the data, and align the training split with them.

        Args:
            splits (`dict[str, datasets.Dataset]`): "train", "validation", and where given "test" and "unlabeled".
            audio_column, text_column (`str`, *optional*): Where the usual names do not settle it.
            label_names (`list[str]`, *optional*): The states of a teacher; they must be these.
            num_states (`int`): Of every word. It lasts at least so many frames.
            insertion_penalty (`float`): See `hmm.word_loop`.

        Raises:
            ValueError: Columns, clips or texts that cannot be used; most clips too short for their words.
        """
        more = "Clips of one word each, with a class label, become sentences by joined_clips."
        audio, text, rate, _ = read_sentences(splits, audio_column, text_column, more=(more,))
        train = first_split(splits, "train")
        sentences = [one.split() for one in train[text]]
        lexicon = Lexicon.whole_words([word for words in sentences for word in words], num_states=num_states)
        if label_names is not None and list(label_names) != lexicon.state_names:
            raise ValueError(
                f"The teacher says one of {len(label_names)} states ({', '.join(label_names[:4])}, ...), and the words of "
                f"the training split have {lexicon.num_states} ({', '.join(lexicon.state_names[:4])}, ...). Train on the "
                f"words that the teacher knows, with as many states each (num_states)."
            )
        aligner, rows = _ByGaussians(lexicon, rate), wave_rows(train, audio, "train", rate)
        _without_room(rows, sentences, lexicon, rate, train)
        states = np.concatenate(aligner.fit(rows, sentences))
        decoder = Decoder(
            lexicon, aligner.log_stay, log_state_prior(states, lexicon), insertion_penalty=insertion_penalty
        )
        return cls(audio, text, rate, aligner, decoder)

    def for_teacher(self, teacher, processor):
        """With the states, their durations and priors as a teacher knows them that was trained on other clips."""
        kept = getattr(teacher.config, "hmm", None)
        if kept is None:
            return self
        theirs = Decoder.from_dict({**kept, "insertion_penalty": self.decoder.insertion_penalty})
        aligner = _ByNetwork(teacher, processor, theirs)
        return type(self)(self.audio_column, self.text_column, self.sampling_rate, aligner, theirs)

    def config_labels(self):
        """Beside the names of the states, what makes words of them."""
        return {**super().config_labels(), "hmm": self.decoder.to_dict()}

    def prepare(self, split, processor, *, with_labels=True):
        """Rows of waves, with the state of every frame.

        Args:
            split (`datasets.Dataset`): With the column of sound; labels are missing where it has no text.
            processor: The feature extractor of the model that hears them.
            with_labels (`bool`): Off: the texts of the split are not read and count as missing.

        Returns:
            `datasets.Dataset` of as many rows: audio (bytes of float32 at the extractor's sampling rate), length (samples),
            labels (list of int, -100 where nothing is known), example_id.

        Raises:
            ValueError: A clip that cannot be read; a word that the training split does not have; most clips too short for
                their words. Where a few are, their frames have no labels and the log says so.
        """
        if processor.sampling_rate != self.sampling_rate:
            raise ValueError(
                f"A state belongs to a frame of {self.sampling_rate} Hz, the rate of the data, and a model hears "
                f"{processor.sampling_rate} Hz. Take models for {self.sampling_rate} Hz, or resample the data."
            )
        rows = wave_rows(split, self.audio_column, "given", processor.sampling_rate)
        if with_labels and self.text_column in split.column_names:
            sentences = [text.split() for text in split[self.text_column]]
            lost = _without_room(rows, sentences, self.decoder.lexicon, self.sampling_rate, split)
            if lost:
                logger.warning("%s These clips have no labels.", lost)
            labels = self._aligner(rows, sentences)
        else:
            labels = [np.full(length, MISSING_LABEL) for length in _num_frames(rows, self.sampling_rate)]
        feature = datasets.List(datasets.Value("int64"))
        return add_ids(rows.add_column("labels", [one.tolist() for one in labels], feature=feature))

    def collator_for(self, processor, others, *, augmentation=None):
        """A `FrameCollator`; `augmentation` (`dict`, *optional*) are settings of `AudioAugmentation` but for the shift."""
        from ..collators.audio import FrameCollator

        return FrameCollator(
            highest_rate(processor, others).sampling_rate,
            {"": processor, **others},
            augmentation=self.augmentation_from(augmentation),
        )

    def evaluator(self, prepared, raw=None, main_metric=None):
        """`HybridSpeechEvaluator` of the texts of `raw`, which must be given; see `Task.evaluator`."""
        if raw is None:
            raise ValueError(
                "Word errors are counted against what was said, which prepared rows do not hold: pass raw."
            )
        return HybridSpeechEvaluator([text.split() for text in raw[self.text_column]], self.decoder, main_metric)

    def loading_code(self, repo_id):
        return (
            f"import soundfile\nfrom distil_nlp.streaming import Recognizer\n\n"
            f'recognizer = Recognizer.from_pretrained("{repo_id}")\n'
            f"wave, rate = soundfile.read({self.example!r})  # one channel, at recognizer.sampling_rate\n"
            f"print(recognizer(wave))"
        )

    def usage_example(self, folder):
        return f"distil-nlp listen {folder} {self.example}"

    def labeled(self, prepared):
        return np.array([any(label != MISSING_LABEL for label in row) for row in prepared["labels"]], dtype=bool)

    def without_labels(self, prepared):
        missing = [[MISSING_LABEL] * len(row) for row in prepared["labels"]]
        return prepared.remove_columns("labels").add_column("labels", missing, feature=prepared.features["labels"])


def _without_room(rows, sentences, lexicon, sampling_rate, split):
    """A sentence about the clips that are too short for their words, each of whose states lasts a frame; "" if none is.

    Raises:
        ValueError: Most of them are; a word that is not in the lexicon.
    """
    lengths, short = _num_frames(rows, sampling_rate), []
    for row, (length, words) in enumerate(zip(lengths, sentences, strict=True)):
        try:
            needed = sum(len(lexicon.chain(word)) for word in words)
        except ValueError as error:
            raise ValueError(f"{row_location(split, 'given', row)}: {error}") from None
        if length < needed:
            short.append((row, f"has {length} frames, and the states of {' '.join(words)!r} last {needed} at least"))
    if not short:
        return ""
    row, reason = short[0]
    location = row_location(split, "given", row)
    found = f"{len(short)} of {len(rows)} clips are too short for their words: {location} {reason}."
    if 2 * len(short) > len(rows):
        raise ValueError(f"{found} Nothing could be learned from them. Set fewer states a word (num_states).")
    return found


class _ByGaussians:
    """Aligns by Gaussians, on features of the models' front end: frame by frame the same."""

    def __init__(self, lexicon, sampling_rate):
        from ..models import LogMel

        self._front_end, self._aligner = LogMel(sampling_rate), GaussianAligner(lexicon)

    @property
    def log_stay(self):
        return self._aligner.log_stay

    def fit(self, rows, sentences):
        """The states of the frames of prepared rows, from a flat start."""
        return self._aligner.fit(self._cepstra_of(rows), sentences)

    def __call__(self, rows, sentences):
        """The states of the frames of prepared rows, `list` of `np.ndarray`."""
        return self._aligner.align(self._cepstra_of(rows), sentences)

    def _cepstra_of(self, rows):
        import torch

        waves = (torch.frombuffer(bytearray(one), dtype=torch.float32) for one in rows["audio"])
        return [cepstra(self._front_end(wave.unsqueeze(0))[0][0].numpy()) for wave in waves]


class _ByNetwork:
    """Aligns by what a trained network says of each frame, with the durations and priors of its `Decoder`."""

    def __init__(self, model, processor, decoder):
        self._model, self._processor, self._decoder = model.eval(), processor, decoder

    def __call__(self, rows, sentences):
        """The states of the frames of prepared rows, `list` of `np.ndarray`."""
        decoder, lengths = self._decoder, _num_frames(rows, self._processor.sampling_rate)
        return forced_alignment(
            partial(self._log_likelihoods, rows), lengths, sentences, decoder.lexicon, decoder.log_stay
        )

    def _log_likelihoods(self, rows, place):
        import torch

        from ..collators.audio import extract_features, stored_waves

        inputs = extract_features(stored_waves([rows[place]]), self._processor).to(self._model.device)
        with torch.inference_mode():
            return self._decoder.scores(self._model(**inputs).logits[0].cpu())


def _num_frames(rows, sampling_rate):
    """Frames that the models' front end makes of each prepared row, `list[int]`."""
    from ..models import LogMel

    front_end = LogMel(sampling_rate)
    return [front_end.num_frames(length) for length in rows["length"]]
