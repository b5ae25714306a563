"""Encoder-decoders for speech recognition: Whisper's architecture in any size, with a tokenizer trained on the data."""

import copy
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from torch import nn
from transformers import (
    AutoModelForSpeechSeq2Seq,
    PreTrainedModel,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperProcessor,
    WhisperTokenizer,
)

from ..internals.messages import shown
from .network import with_loading_info

_NAME = re.compile(r"whisper-(\d+)x(\d+)")
_HEAD_SIZE = 64  # as in every published model
_SAMPLING_RATE = 16000  # as in every published model; its mel bands reach to half of it
_FRAMES_PER_SECOND = 50  # of the encoder: hops of 10 ms, halved
_MAX_TOKENS = 448  # per text, as in every published model: the pipeline relies on it
_SPECIAL_TOKENS = ("<|startoftranscript|>", "<|en|>", "<|translate|>", "<|transcribe|>", "<|notimestamps|>")
_TOKEN_IDS = ("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id")


def parse_whisper_name(name: str) -> tuple[int, int] | None:
    """Parse a model's name: "whisper-2x64" gives `(2, 64)`, the layers of encoder and decoder each, and their width.

    Returns:
        `(layers, width)`, or None where it is not such a name.

    Raises:
        ValueError: No layer, or a width that is neither a multiple of the head size 64 nor an even number below it.
    """
    match = _NAME.fullmatch(name) if isinstance(name, str) else None
    if match is None:
        return None
    layers, width = map(int, match.groups())
    if layers < 1 or width < 2 or width % (_HEAD_SIZE if width > _HEAD_SIZE else 2):
        raise ValueError(
            f"Expected whisper-LAYERSxWIDTH with one layer or more and a width that is a multiple of {_HEAD_SIZE} (or an "
            f"even number below it), whisper-2x64 for example; got {shown(name)}."
        )
    return layers, width


def make_whisper(
    name: str, *, num_tokens: int, token_ids: Mapping[str, int], seconds: float, num_mels: int
) -> WhisperForConditionalGeneration:
    """Build a model of Whisper's architecture with random weights.

    Args:
        name (`str`): See `parse_whisper_name`.
        num_tokens (`int`): Size of the vocabulary.
        token_ids (`dict[str, int]`): pad_token_id, bos_token_id, eos_token_id and decoder_start_token_id.
        seconds (`float`): Length of its input window.
        num_mels (`int`): Bands of its features.

    Returns:
        `WhisperForConditionalGeneration` in train mode.

    Reference: Radford et al. 2023, "Robust Speech Recognition via Large-Scale Weak Supervision", section 2.2.
    """
    layers, width = parse_whisper_name(name)
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
        max_source_positions=round(seconds * _FRAMES_PER_SECOND),
        max_target_positions=_MAX_TOKENS,
        suppress_tokens=None,
        begin_suppress_tokens=None,
        **token_ids,
    )
    model = WhisperForConditionalGeneration(config).train()
    model.generation_config.max_length = _MAX_TOKENS
    return model


def whisper_processor(texts: Sequence[str], seconds: int) -> WhisperProcessor:
    """Build the feature extractor and the tokenizer of a model by name.

    Args:
        texts (`list[str]`): The tokenizer is trained on them by byte-pair encoding, until each word is one token or the
            vocabulary has a thousand.
        seconds (`int`): Length of the input window; shorter clips are padded with silence.
    """
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=1000, initial_alphabet=alphabet, show_progress=False)
    )
    trained = json.loads(bpe.to_str())["model"]  # the merges have no accessor
    tokenizer = WhisperTokenizer(
        vocab=trained["vocab"], merges=[tuple(merge) for merge in trained["merges"]], pad_token="<|endoftext|>"
    )
    tokenizer.add_special_tokens({"extra_special_tokens": list(_SPECIAL_TOKENS)})
    tokenizer.set_prefix_tokens()
    return WhisperProcessor(WhisperFeatureExtractor(sampling_rate=_SAMPLING_RATE, chunk_length=seconds), tokenizer)


class AutoSpeechSeq2Seq:
    """Loads speech recognition encoder-decoders, or builds one by name ("whisper-2x64") for a processor.

    Args:
        make_processor (callable): Returns the `WhisperProcessor` of a model built by name; called only then.
        language (`str`, *optional*): "en": language that a multilingual model, and its students, transcribe from now on.
            It must not be set for a monolingual model. It must be set for a multilingual model whose generation config
            has none: the model would guess the language of each clip, and start its texts with tokens other than those
            that students are trained on.
    """

    def __init__(self, make_processor: Callable[[], WhisperProcessor], language: str | None = None):
        self.make_processor, self.language = make_processor, language

    def from_pretrained(
        self, name: str | Path, *, output_loading_info: bool = False, **kwargs: Any
    ) -> PreTrainedModel | tuple[PreTrainedModel, dict[str, Any]]:
        """Load a Hub id or a folder, or build a model by name: "whisper-2x64"."""
        if parse_whisper_name(str(name)) is None:
            loaded = AutoModelForSpeechSeq2Seq.from_pretrained(name, output_loading_info=output_loading_info, **kwargs)
            self._set_language(name, loaded[0] if output_loading_info else loaded)
            return loaded
        processor = self.make_processor()
        tokenizer, extractor = processor.tokenizer, processor.feature_extractor
        model = make_whisper(
            name,
            num_tokens=len(tokenizer),
            token_ids={
                "pad_token_id": tokenizer.pad_token_id,
                "bos_token_id": tokenizer.bos_token_id,
                "eos_token_id": tokenizer.eos_token_id,
                "decoder_start_token_id": tokenizer.convert_tokens_to_ids(_SPECIAL_TOKENS[0]),
            },
            seconds=extractor.chunk_length,
            num_mels=extractor.feature_size,
        ).to(kwargs.get("dtype") or torch.float32)
        self._set_language(name, model)
        return with_loading_info(model, output_loading_info)

    def _set_language(self, name: str | Path, model: PreTrainedModel) -> None:
        generation = model.generation_config
        is_multilingual = getattr(generation, "is_multilingual", False)
        if self.language is None:
            if is_multilingual and getattr(generation, "language", None) is None:
                raise ValueError(
                    f"{name} is multilingual and has no language set, so it would guess one for each clip and start its "
                    f"texts with tokens other than those of the training texts. Set it: language=en (--language en), for "
                    f"example."
                )
            return
        if not is_multilingual:
            raise ValueError(
                f"language={shown(self.language)} is for multilingual models, and {name} has one language only. Leave it "
                f"out."
            )
        generation.language, generation.task = self.language, "transcribe"


def whisper_for(name: str, teacher: PreTrainedModel) -> WhisperForConditionalGeneration:
    """Build a model by name with random weights and a teacher's features, input window, vocabulary and generation."""
    config = teacher.config
    model = make_whisper(
        name,
        num_tokens=config.vocab_size,
        token_ids={token: getattr(config, token) for token in _TOKEN_IDS},
        seconds=config.max_source_positions / _FRAMES_PER_SECOND,
        num_mels=config.num_mel_bins,
    )
    model.generation_config = copy.deepcopy(teacher.generation_config)
    return model


class GreedyGenerator(nn.Module):
    """Wraps an encoder-decoder so that calling it generates tokens by greedy search, instead of scoring given tokens.

    Args:
        model (`PreTrainedModel`): With `generate`. Its own generation config stays unchanged.
        max_length (`int`): Tokens after which generation stops.
        fixed_length (`bool`): Generate exactly `max_length` tokens, for timing.
    """

    def __init__(self, model: PreTrainedModel, max_length: int, *, fixed_length: bool = False):
        super().__init__()
        self.model, self.config = model, model.config
        self._generation = copy.deepcopy(model.generation_config)
        self._generation.update(max_length=max_length, do_sample=False, num_beams=1)
        if fixed_length:
            self._generation.update(min_length=max_length)

    def forward(self, input_features: torch.Tensor) -> torch.Tensor:
        """Tokens of shape (batch, length of the longest), int64, for features of shape (batch, bands, frames)."""
        return self.model.generate(
            input_features=input_features.to(self.model.dtype),
            attention_mask=torch.ones_like(input_features[:, 0], dtype=torch.long),
            generation_config=self._generation,
        )
