"""Encoder-decoders that write down what they hear: Whisper's architecture in any size, and a tokenizer of the data."""

import copy
import json
import re

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from torch import nn
from transformers import (
    AutoModelForSpeechSeq2Seq,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperProcessor,
    WhisperTokenizer,
)

_SPEC = re.compile(r"whisper-(\d+)x(\d+)")
_HEAD_SIZE = 64  # as in every published one
_SAMPLING_RATE = 16000  # as in every published one; its mel bands reach to half of it
_FRAMES_A_SECOND = 50  # of the encoder: hops of 10 ms, halved
_MOST_TOKENS = 448  # of a text, as in every published one: the pipeline counts on it
_SPECIAL = ("<|startoftranscript|>", "<|en|>", "<|translate|>", "<|transcribe|>", "<|notimestamps|>")


def parse_whisper_name(spec):
    """Read the name of such a model: "whisper-2x64" gives `(2, 64)`, layers of encoder and decoder each, and their width.

    Returns:
        `tuple` or None where the name is another's.

    Raises:
        ValueError: No layer, or a width that is no multiple of the heads' 64 and no smaller even number.
    """
    found = _SPEC.fullmatch(spec) if isinstance(spec, str) else None
    if found is None:
        return None
    layers, width = map(int, found.groups())
    if layers < 1 or width < 2 or width % (_HEAD_SIZE if width > _HEAD_SIZE else 2):
        raise ValueError(
            f"{spec!r} should be whisper-LAYERSxWIDTH with a layer or more, and a width that heads of {_HEAD_SIZE} fill "
            f"(or an even one below {_HEAD_SIZE}), whisper-2x64 for example."
        )
    return layers, width


def make_whisper(spec, *, num_tokens, special, seconds, num_mels):
    """A model of Whisper's architecture with random weights.

    Args:
        spec (`str`): See `parse_whisper_name`.
        num_tokens (`int`): Of its tokenizer.
        special (`dict[str, int]`): pad_token_id, bos_token_id, eos_token_id and decoder_start_token_id.
        seconds (`float`): Of sound that it hears at once.
        num_mels (`int`): Bands of its features.

    Returns:
        `WhisperForConditionalGeneration` in train mode.

    Reference: Radford et al. 2023, "Robust Speech Recognition via Large-Scale Weak Supervision", section 2.2.
    """
    layers, width = parse_whisper_name(spec)
    heads = max(1, width // _HEAD_SIZE)
    config = WhisperConfig(
        vocab_size=num_tokens,
        num_mel_bins=num_mels,
        d_model=width,
        encoder_layers=layers,
        decoder_layers=layers,
        encoder_attention_heads=heads,
        decoder_attention_heads=heads,
        encoder_ffn_dim=4 * width,
        decoder_ffn_dim=4 * width,
        max_source_positions=round(seconds * _FRAMES_A_SECOND),
        max_target_positions=_MOST_TOKENS,
        suppress_tokens=None,
        begin_suppress_tokens=None,
        **special,
    )
    model = WhisperForConditionalGeneration(config).train()
    model.generation_config.max_length = _MOST_TOKENS
    return model


def whisper_processor(texts, seconds):
    """Feature extractor and tokenizer for such models.

    Args:
        texts (`list[str]`): What the tokenizer's pieces are made of, by byte-pair encoding, until each word is one or
            there are a thousand.
        seconds (`int`): Of sound that is heard at once; shorter clips are filled up with silence.

    Returns:
        `WhisperProcessor`
    """
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces = Tokenizer(models.BPE())
    pieces.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    pieces.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=1000, initial_alphabet=alphabet, show_progress=False)
    )
    made = json.loads(pieces.to_str())["model"]  # nothing else says the merges
    tokenizer = WhisperTokenizer(
        vocab=made["vocab"], merges=[tuple(merge) for merge in made["merges"]], pad_token="<|endoftext|>"
    )
    tokenizer.add_special_tokens({"extra_special_tokens": list(_SPECIAL)})
    tokenizer.set_prefix_tokens()
    return WhisperProcessor(WhisperFeatureExtractor(sampling_rate=_SAMPLING_RATE, chunk_length=seconds), tokenizer)


class AutoSpeechSeq2Seq:
    """Loads encoder-decoders that write down what they hear; of a name ("whisper-2x64"), for a processor.

    Args:
        make_processor (callable): Gives the `WhisperProcessor` of a model that is given by name; asked only then.
        language (`str`, *optional*): "en": what a model of several languages hears and writes from now on, and its
            students, too. A model of one language is refused with it, and one of several without, unless it was told
            before: it would guess the language of each clip, and write after other tokens than students are taught to.
    """

    def __init__(self, make_processor, language=None):
        self.make_processor, self.language = make_processor, language

    def from_pretrained(self, name, *, output_loading_info=False, **kwargs):
        """A Hub id, a folder, or a name: "whisper-2x64"."""
        if parse_whisper_name(str(name)) is None:
            found = AutoModelForSpeechSeq2Seq.from_pretrained(name, output_loading_info=output_loading_info, **kwargs)
            self._settle_language(name, found[0] if output_loading_info else found)
            return found
        processor = self.make_processor()
        tokenizer, hears = processor.tokenizer, processor.feature_extractor
        model = make_whisper(
            name,
            num_tokens=len(tokenizer),
            special={
                "pad_token_id": tokenizer.pad_token_id,
                "bos_token_id": tokenizer.bos_token_id,
                "eos_token_id": tokenizer.eos_token_id,
                "decoder_start_token_id": tokenizer.convert_tokens_to_ids(_SPECIAL[0]),
            },
            seconds=hears.chunk_length,
            num_mels=hears.feature_size,
        ).to(kwargs.get("dtype") or torch.float32)
        fresh = {"missing_keys": {key for key, _ in model.named_parameters()}, "mismatched_keys": set()}
        self._settle_language(name, model)
        return (model, fresh) if output_loading_info else model

    def _settle_language(self, name, model):
        generation = model.generation_config
        knows_several = getattr(generation, "is_multilingual", False)
        if self.language is None:
            if knows_several and getattr(generation, "language", None) is None:
                raise ValueError(
                    f"{name} knows several languages and would guess one for each clip: what it writes then begins with "
                    f"other tokens than the texts that are learned. Say which it is: language=en (--language en), for "
                    f"example."
                )
            return
        if not knows_several:
            raise ValueError(
                f"language={self.language!r} is for models of several languages, which are told what to write, and "
                f"{name} knows one only. Leave it out."
            )
        generation.language, generation.task = self.language, "transcribe"


def whisper_for(spec, teacher):
    """A model by name with random weights that hears and writes as a teacher does."""
    config = teacher.config
    names = ("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id")
    model = make_whisper(
        spec,
        num_tokens=config.vocab_size,
        special={name: getattr(config, name) for name in names},
        seconds=config.max_source_positions / _FRAMES_A_SECOND,
        num_mels=config.num_mel_bins,
    )
    model.generation_config = copy.deepcopy(teacher.generation_config)
    return model


class GreedyGenerator(nn.Module):
    """An encoder-decoder that is asked to write, where the model itself says what it thinks of tokens that it is shown.

    Args:
        model (`PreTrainedModel`): With `generate`. Kept as it is; its best token is taken each time (greedy search).
        most_tokens (`int`): It is stopped there.
        exactly (`bool`): Write so many, neither more nor fewer: for timing.
    """

    def __init__(self, model, most_tokens, *, exactly=False):
        super().__init__()
        self.model, self.config = model, model.config
        self._generation = copy.deepcopy(model.generation_config)
        self._generation.update(max_length=most_tokens, do_sample=False, num_beams=1)
        if exactly:
            self._generation.update(min_length=most_tokens)

    def forward(self, input_features):
        """Tokens of shape (batch, most written), int64, for features of shape (batch, bands, frames)."""
        return self.model.generate(
            input_features=input_features.to(self.model.dtype),
            attention_mask=torch.ones_like(input_features[:, 0], dtype=torch.long),
            generation_config=self._generation,
        )
