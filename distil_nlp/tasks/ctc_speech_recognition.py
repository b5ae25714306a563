"""What is said in a clip is written down, letter by letter: connectionist temporal classification (CTC)."""

import json
import re
import tempfile
from pathlib import Path

import datasets

from ..data.audio import wave_rows
from ..data.columns import listed, row_location
from ..metrics import CtcSpeechEvaluator
from ..signals.problem_kinds import CTC
from .audio_task import feature_extractor_of, highest_rate
from .base import add_ids
from .speech_task import TranscriptTask, read_sentences

_BLANK, _SPACE, _UNKNOWN = "<pad>", "|", "<unk>"
_SPECIAL = re.compile(r"<.+>")


class CtcSpeechRecognition(TranscriptTask):
    """Sound to text with models that say a letter or a blank for every frame. Make it with `from_splits`.

    Models are networks by name ("streamcnn64"), with a vocabulary of the letters of the training texts, and those that
    `AutoModelForCTC` loads (Wav2Vec2, HuBERT), with the letters of their own tokenizer, of which token 0 is the blank.

    Attributes:
        text_column (`str`): What is said in a clip, as it is to be written. Splits may lack it.
        label_names (`list[str]`): The tokens, the blank first.

    See `SpeechTask` for the others.
    """

    name = "automatic-speech-recognition"
    problem_type = CTC

    def __init__(self, audio_column, text_column, sampling_rate, tokens, *, spelt=str):
        self.audio_column, self.text_column, self.sampling_rate = audio_column, text_column, sampling_rate
        self.label_names, self.num_labels = tokens, len(tokens)
        self._spelt = spelt  # a text in the tokens' case

    @property
    def auto_class(self):
        from ..models import AutoCTC  # here, not above: who only looks at data need not wait for torch

        return AutoCTC(sampling_rate=self.sampling_rate)

    @classmethod
    def from_splits(cls, splits, *, audio_column=None, text_column=None, label_names=None):
        """Read columns and letters off the data.

        Args:
            splits (`dict[str, datasets.Dataset]`): "train", "validation", and where given "test" and "unlabeled".
            audio_column, text_column (`str`, *optional*): Where the usual names do not settle it.
            label_names (`list[str]`, *optional*): The tokens of a teacher, in its order. Where it knows letters of one case
                only, texts are written in that.

        Raises:
            ValueError: Columns, clips or texts that cannot be used; a teacher without a token that the texts need, or whose
                first token is no blank.
        """
        audio, text, rate, texts = read_sentences(splits, audio_column, text_column)
        letters = sorted({letter for one in texts for letter in one} - {" ", _SPACE})
        if label_names is None:
            return cls(audio, text, rate, [_BLANK, _UNKNOWN, _SPACE, *letters])
        tokens = list(label_names)
        if tokens[0] != _BLANK or not {_UNKNOWN, _SPACE} <= set(tokens):
            raise ValueError(
                f"A teacher's tokens should begin with {_BLANK}, the blank, and hold {_UNKNOWN} and {_SPACE}, which stands "
                f"between words; this one's are {listed(tokens)}. Token 0 is taken for the blank everywhere, so it would "
                f"teach something else. Take a teacher whose tokenizer has them, as facebook/wav2vec2-base-960h."
            )
        for spelt in (str, str.upper, str.lower):
            if set(map(spelt, letters)) <= set(tokens):
                return cls(audio, text, rate, tokens, spelt=spelt)
        missing = [letter for letter in letters if letter not in tokens]
        raise ValueError(
            f"The teacher's tokens ({listed(tokens, 6)}) should hold all letters of the texts, in one case at least; it "
            f"lacks {listed(missing)}. Take out of the texts what the teacher cannot write."
        )

    def config_labels(self):
        """transformers has no word for the problem, and its config takes no other."""
        labels = super().config_labels()
        del labels["problem_type"]
        return labels

    def named_processor(self, name):
        from transformers import Wav2Vec2Processor

        extractor = super().named_processor(name)
        return None if extractor is None else Wav2Vec2Processor(extractor, self._tokenizer())

    def saved_processor(self, name_or_path, *, trust_remote_code=False):
        from transformers import AutoProcessor

        try:
            return AutoProcessor.from_pretrained(name_or_path, trust_remote_code=trust_remote_code)
        except (OSError, ValueError):
            return None

    def same_input(self, processor, other):
        return processor is other or feature_extractor_of(processor).to_dict() == feature_extractor_of(other).to_dict()

    def output_names(self, processor):
        vocabulary = processor.tokenizer.get_vocab()
        return sorted(vocabulary, key=vocabulary.get)

    def _tokenizer(self):
        from transformers import Wav2Vec2CTCTokenizer

        with tempfile.TemporaryDirectory() as folder:  # it reads its letters from a file
            file = Path(folder) / "vocab.json"
            file.write_text(
                json.dumps({token: place for place, token in enumerate(self.label_names)}), encoding="utf-8"
            )
            return Wav2Vec2CTCTokenizer(
                str(file),
                pad_token=_BLANK,
                unk_token=_UNKNOWN,
                word_delimiter_token=_SPACE,
                bos_token=None,
                eos_token=None,
            )

    def prepare(self, split, processor, *, with_labels=True):
        """Rows of waves and letters.

        Args:
            split (`datasets.Dataset`): With the column of sound; labels are missing where it has no text.
            processor: Feature extractor and tokenizer of the model that hears them.
            with_labels (`bool`): Off: the texts of the split are not read and count as missing.

        Returns:
            `datasets.Dataset` of as many rows: audio (bytes of float32 at the extractor's sampling rate), length (samples),
            labels (list of int, empty where nothing is known), example_id.

        Raises:
            ValueError: A clip that cannot be read, or that has fewer frames than its text needs.
        """
        rows = wave_rows(split, self.audio_column, "given", feature_extractor_of(processor).sampling_rate)
        labels = [[] for _ in range(len(rows))]
        if with_labels and self.text_column in split.column_names:
            ids = {token: place for place, token in enumerate(self.label_names)}
            ids[" "], unknown = ids[_SPACE], ids[_UNKNOWN]
            texts = [self._spelt(" ".join(text.split())) for text in split[self.text_column]]
            labels = [[ids.get(letter, unknown) for letter in text] for text in texts]
            self._check_room(rows["length"], labels, split, feature_extractor_of(processor).sampling_rate)
        return add_ids(rows.add_column("labels", labels, feature=datasets.List(datasets.Value("int64"))))

    def _check_room(self, lengths, labels, split, rate):
        """A letter said twice needs a blank between."""
        from ..models import LogMel

        front_end = LogMel(rate)
        for row, (length, label) in enumerate(zip(lengths, labels, strict=True)):
            needed = len(label) + sum(one == other for one, other in zip(label, label[1:], strict=False))
            if front_end.num_frames(length) < needed:
                raise ValueError(
                    f"{row_location(split, 'given', row)} has {front_end.num_frames(length)} frames, and its text "
                    f"{split[self.text_column][row]!r} needs {needed}, one a letter. Is the text of another clip? Remove "
                    f"the row, or mend the text."
                )

    def collator_for(self, processor, others, *, augmentation=None):
        """A `CtcCollator`; `augmentation` (`dict`, *optional*) are settings of `AudioAugmentation`."""
        from ..collators.audio import CtcCollator

        return CtcCollator(
            feature_extractor_of(highest_rate(processor, others)).sampling_rate,
            {
                "": feature_extractor_of(processor),
                **{prefix: feature_extractor_of(one) for prefix, one in others.items()},
            },
            augmentation=self.augmentation_from(augmentation),
        )

    def evaluator(self, prepared, raw=None, main_metric=None):
        """`CtcSpeechEvaluator` of the texts of `raw`, which must be given; see `Task.evaluator`."""
        if raw is None:
            raise ValueError("Transcripts are compared with the texts, which prepared rows do not contain: pass raw.")
        return CtcSpeechEvaluator([self._spelt(text) for text in raw[self.text_column]], self._written, main_metric)

    def _written(self, tokens):
        letters = [self.label_names[token] for token in tokens]
        return "".join(" " if letter == _SPACE else letter for letter in letters if not _SPECIAL.fullmatch(letter))

    def usage_example(self, folder):
        return f"import transformers, distil_nlp.models; {super().usage_example(folder)}"
