"""Wraps plain networks over log-mel features as transformers models: clip and frame classifiers, CTC."""

import inspect
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoFeatureExtractor,
    AutoModelForAudioClassification,
    AutoModelForAudioFrameClassification,
    AutoModelForCTC,
    PreTrainedModel,
    Wav2Vec2FeatureExtractor,
)
from transformers.feature_extraction_utils import FeatureExtractionMixin
from transformers.modeling_outputs import CausalLMOutput, SequenceClassifierOutput, TokenClassifierOutput
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING_NAMES,
    MODEL_FOR_CTC_MAPPING_NAMES,
)

from .log_mel import LogMel
from .network import NetworkConfig, NetworkLoader, NetworkModel
from .sources import load_saved

_BLANK_LOGIT = 30.0  # of the blank in padding, where the other logits are 0
_SAMPLING_RATE = 16000  # of transformers' audio models, whose configs do not contain it


class AudioNetworkConfig(NetworkConfig):
    """Configuration of a network over sound.

    Args:
        sampling_rate (`int`): In Hz.
        num_mels (`int`), window (`float`), hop (`float`): Of the front end, see `LogMel`.
        hmm (`dict`, *optional*): The decoder of a model whose outputs are HMM states, see `hmm.Decoder`.

    See `NetworkConfig` for the others.
    """

    model_type = "distil_nlp_audio_network"

    network: str = "streamcnn"
    sampling_rate: int = 16000
    num_mels: int = 40
    window: float = 0.032
    hop: float = 0.010
    hmm: dict | None = None
    pad_token_id: int | None = 0  # where the outputs are tokens: the blank

    @property
    def inputs_to_logits_ratio(self) -> int:
        """Samples per output frame. transformers' pipeline needs it to split long clips and for timestamps."""
        return round(self.hop * self.sampling_rate)


class AudioNetwork(NetworkModel):
    """A plain network behind a front end that turns waveforms into log-mel features.

    The network is called with features of shape (batch, frames, bands), 0 in padding, and returns logits of shape
    (batch, frames, num_labels), or for a whole clip (batch, num_labels). If its `forward` has an argument `mask`, it
    receives the mask of valid frames, a bool tensor of shape (batch, frames).
    """

    config_class = AudioNetworkConfig
    main_input_name = "input_values"
    input_modalities = ("audio",)
    _keep_in_fp32_modules_strict = ["front_end"]  # in every precision of the other weights

    def build_modules(self, config: AudioNetworkConfig) -> None:
        super().build_modules(config)
        self.front_end = LogMel(config.sampling_rate, config.num_mels, config.window, config.hop)
        self._takes_mask = "mask" in inspect.signature(self.network.forward).parameters

    @classmethod
    def network_kwargs(cls, config: AudioNetworkConfig) -> dict[str, Any]:
        return {"num_mels": config.num_mels}

    @classmethod
    def from_network(
        cls,
        network: str | type[nn.Module],
        *,
        sampling_rate: int = 16000,
        num_mels: int = 40,
        num_labels: int | None = None,
        id2label: dict[int, str] | list[str] | None = None,
        problem_type: str | None = "single_label_classification",
        feature_paths: list[str] | None = None,
        hmm: dict[str, Any] | None = None,
        **options: Any,
    ) -> "AudioNetwork":
        """Build a model with random weights.

        Args:
            sampling_rate (`int`), num_mels (`int`): In Hz; bands of the front end.
            feature_paths (`list[str]`, *optional*), hmm (`dict`, *optional*): See `AudioNetworkConfig`.
            options: Arguments of the network's `__init__`.

        See `NetworkModel.from_settings` for the others, and for errors.
        """
        return cls.from_settings(
            network,
            num_labels=num_labels,
            id2label=id2label,
            problem_type=problem_type,
            options=options,
            sampling_rate=sampling_rate,
            num_mels=num_mels,
            feature_paths=feature_paths,
            hmm=hmm,
        )

    @classmethod
    def for_teacher(cls, network: str, teacher: PreTrainedModel) -> "AudioNetwork":
        """Build a model with random weights and with the sampling rate and the labels of a teacher."""
        config = teacher.config
        return cls.from_network(
            network,
            sampling_rate=getattr(config, "sampling_rate", None) or _SAMPLING_RATE,
            id2label=config.id2label,
            problem_type=config.problem_type,
            hmm=getattr(config, "hmm", None),
        )

    def network_outputs(
        self, input_values: torch.Tensor, attention_mask: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Outputs of the network, and the mask of valid frames.

        Args:
            input_values (`torch.Tensor`): Waveforms of shape (batch, samples), from -1 to 1.
            attention_mask (`torch.Tensor`, *optional*): Same shape, 0 in padding.

        Returns:
            `(torch.Tensor, torch.BoolTensor)`: outputs, (batch, frames, num_outputs) or (batch, num_outputs); mask,
            (batch, frames).
        """
        features, frame_mask = self.front_end(input_values, attention_mask)
        features = features.to(next(self.network.parameters()).dtype)
        return self.network(features, **({"mask": frame_mask} if self._takes_mask else {})), frame_mask

    def sample_inputs(self, batch_size: int) -> dict[str, torch.Tensor]:
        samples = self.front_end.frame_length + (10 * batch_size + 7) * self.front_end.hop_length
        waves = 0.1 * torch.randn(batch_size, samples, generator=torch.Generator().manual_seed(batch_size))
        mask = torch.ones(batch_size, samples, dtype=torch.long)
        mask[-1, samples - 5 * self.front_end.hop_length :] = 0
        return {"input_values": waves * mask, "attention_mask": mask}

    def dynamic_dims(self, marker: Any) -> dict[int, Any]:
        return {0: marker, 1: marker}

    def check_outputs(self) -> None:
        self._check_output_shape(allow_clip_logits=False)

    def _check_output_shape(self, *, allow_clip_logits: bool) -> None:
        """Run two silent clips: the network must return logits per frame or, where that is allowed, per clip."""
        frames = 7
        samples = self.front_end.frame_length + (frames - 1) * self.front_end.hop_length
        outputs, _ = self.network_outputs(torch.zeros(2, samples))
        shape = tuple(outputs.shape) if isinstance(outputs, torch.Tensor) else type(outputs).__name__
        expected = [(2, frames, self.num_outputs), *([(2, self.num_outputs)] if allow_clip_logits else [])]
        if shape not in expected:
            raise ValueError(
                f"{type(self.network).__name__} should return logits of shape {' or '.join(map(str, expected))} for 2 "
                f"clips of {frames} frames, num_labels of them each; got {shape}. Does its __init__ take num_labels, and "
                f"does forward return logits?"
            )


class NetworkForAudioClassification(AudioNetwork):
    """Classifies clips by the mean of the logits of their frames. Works with `pipeline("audio-classification")`."""

    def forward(
        self,
        input_values: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> SequenceClassifierOutput:
        """Logits of shape (batch, classes) for waveforms of shape (batch, samples); 0 for a clip without a whole frame."""
        logits, frame_mask = self.network_outputs(input_values, attention_mask)
        if logits.dim() == 3:
            frame_mask = frame_mask.unsqueeze(-1)
            # masked_fill, not a product: logits in padding may be nan
            logits = logits.masked_fill(~frame_mask, 0).sum(1) / frame_mask.sum(1).clamp(min=1)
        loss = None if labels is None else self.loss_function(labels, logits, self.config)
        return SequenceClassifierOutput(loss=loss, logits=logits)

    def check_outputs(self) -> None:
        self._check_output_shape(allow_clip_logits=True)


class NetworkForAudioFrameClassification(AudioNetwork):
    """Classifies every frame: an acoustic model of the states of a hidden Markov model."""

    def forward(
        self, input_values: torch.Tensor, attention_mask: torch.Tensor | None = None, **kwargs: Any
    ) -> TokenClassifierOutput:
        """Logits of shape (batch, frames, classes) for waveforms of shape (batch, samples)."""
        logits, _ = self.network_outputs(input_values, attention_mask)
        return TokenClassifierOutput(logits=logits)


class NetworkForCTC(AudioNetwork):
    """Predicts a token or the blank (token 0) for every frame. Works with `pipeline("automatic-speech-recognition")`."""

    def forward(
        self, input_values: torch.Tensor, attention_mask: torch.Tensor | None = None, **kwargs: Any
    ) -> CausalLMOutput:
        """Logits of shape (batch, frames, tokens) for waveforms of shape (batch, samples). Padding is the blank."""
        logits, frame_mask = self.network_outputs(input_values, attention_mask)
        blank = torch.zeros_like(logits)
        blank[..., 0] = _BLANK_LOGIT
        return CausalLMOutput(logits=torch.where(frame_mask.unsqueeze(-1), logits, blank))


class AutoAudioClassifier(NetworkLoader):
    """Loads audio classifiers, or builds one from a network's name, for sound of `sampling_rate`."""

    auto_class, network_class = AutoModelForAudioClassification, NetworkForAudioClassification


class AutoAudioFrameClassifier(NetworkLoader):
    """Loads audio frame classifiers, or builds one from a network's name, for sound of `sampling_rate`."""

    auto_class, network_class = AutoModelForAudioFrameClassification, NetworkForAudioFrameClassification


class AutoCTC(NetworkLoader):
    """Loads CTC models, or builds one from a network's name, for sound of `sampling_rate`."""

    auto_class, network_class = AutoModelForCTC, NetworkForCTC


def feature_extractor_for(sampling_rate: int) -> Wav2Vec2FeatureExtractor:
    """Feature extractor of an audio network: transformers' own for waveforms, which pads and returns a mask."""
    return Wav2Vec2FeatureExtractor(sampling_rate=sampling_rate, do_normalize=False, return_attention_mask=True)


def load_feature_extractor(
    name_or_path: str | Path, *, trust_remote_code: bool = False
) -> FeatureExtractionMixin | None:
    """Load the feature extractor of a Hub id or folder, or return None where there is none.

    Raises:
        ValueError, ConnectionError: See `load_saved`.
    """
    return load_saved(
        AutoFeatureExtractor,
        name_or_path,
        kind="feature extractor",
        files=("preprocessor_config.json",),
        trust_remote_code=trust_remote_code,
    )


def register_audio_models() -> None:
    """Register the audio models with transformers' auto classes and pipelines, when `distil_nlp.models` is imported."""
    AutoConfig.register(AudioNetworkConfig.model_type, AudioNetworkConfig, exist_ok=True)
    AutoModelForAudioClassification.register(AudioNetworkConfig, NetworkForAudioClassification, exist_ok=True)
    AutoModelForCTC.register(AudioNetworkConfig, NetworkForCTC, exist_ok=True)
    MODEL_FOR_CTC_MAPPING_NAMES[AudioNetworkConfig.model_type] = NetworkForCTC.__name__
    AutoModelForAudioFrameClassification.register(
        AudioNetworkConfig, NetworkForAudioFrameClassification, exist_ok=True
    )
    AutoFeatureExtractor.register(AudioNetworkConfig, Wav2Vec2FeatureExtractor, exist_ok=True)
    MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING_NAMES[AudioNetworkConfig.model_type] = (
        NetworkForAudioClassification.__name__
    )
