"""Any network that maps sound to answers, as a model that Trainer, the Hub and pipelines know."""

import inspect

import torch
from transformers import (
    AutoConfig,
    AutoFeatureExtractor,
    AutoModelForAudioClassification,
    AutoModelForAudioFrameClassification,
    AutoModelForCTC,
    Wav2Vec2FeatureExtractor,
)
from transformers.modeling_outputs import CausalLMOutput, SequenceClassifierOutput, TokenClassifierOutput
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING_NAMES,
    MODEL_FOR_CTC_MAPPING_NAMES,
)

from .log_mel import LogMel
from .network import NetworkConfig, NetworkLoader, NetworkModel

_SURE = 30.0  # a logit that leaves nothing to the others
_SAMPLING_RATE = 16000  # of transformers' audio models, which say none


class AudioNetworkConfig(NetworkConfig):
    """Which network, made how, for which sound.

    Args:
        sampling_rate (`int`): Samples a second.
        num_mels (`int`), window (`float`), hop (`float`): Of the front end, see `LogMel`.
        hmm (`dict`, *optional*): Of a model that answers states of words: what makes words of them, see `hmm.Decoder`.

    See `NetworkConfig` for the others.
    """

    model_type = "distil_nlp_audio_network"

    network: str = "streamcnn"
    sampling_rate: int = 16000
    num_mels: int = 40
    window: float = 0.032
    hop: float = 0.010
    hmm: dict | None = None
    pad_token_id: int | None = 0  # where the answers are tokens: the blank

    @property
    def inputs_to_logits_ratio(self):
        """Samples from one answer to the next, by which transformers' pipeline cuts long clips and dates letters."""
        return round(self.hop * self.sampling_rate)


class AudioNetwork(NetworkModel):
    """A plain network behind a front end that turns waves into log-mel features.

    The network is called with features of shape (batch, frames, bands), 0 in padding, and answers (batch, frames,
    num_labels), or once a clip, (batch, num_labels). Where its `forward` takes `mask`, it is told which frames are there, a
    bool tensor of shape (batch, frames).
    """

    config_class = AudioNetworkConfig
    main_input_name = "input_values"
    input_modalities = ("audio",)
    _keep_in_fp32_modules_strict = ["front_end"]  # whatever the weights are loaded as

    def assemble(self, config):
        super().assemble(config)
        self.front_end = LogMel(config.sampling_rate, config.num_mels, config.window, config.hop)
        self._takes_mask = "mask" in inspect.signature(self.network.forward).parameters

    @classmethod
    def made_for(cls, config):
        return {"num_mels": config.num_mels}

    @classmethod
    def from_network(
        cls,
        network,
        *,
        sampling_rate=16000,
        num_mels=40,
        num_labels=None,
        id2label=None,
        problem_type="single_label_classification",
        feature_paths=None,
        hmm=None,
        **options,
    ):
        """Make one with random weights.

        Args:
            sampling_rate (`int`), num_mels (`int`): Samples a second; bands of the front end.
            feature_paths (`list[str]`, *optional*), hmm (`dict`, *optional*): See `AudioNetworkConfig`.
            options: What the network is made with.

        See `NetworkModel.from_settings` for the others, and for what is refused.
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
    def like(cls, network, teacher):
        """One with random weights for the sound and the labels of a teacher."""
        config = teacher.config
        return cls.from_network(
            network,
            sampling_rate=getattr(config, "sampling_rate", None) or _SAMPLING_RATE,
            id2label=config.id2label,
            problem_type=config.problem_type,
            hmm=getattr(config, "hmm", None),
        )

    def answer(self, input_values, attention_mask=None):
        """What the network says.

        Args:
            input_values (`torch.Tensor`): Waves of shape (batch, samples), from -1 to 1.
            attention_mask (`torch.Tensor`, *optional*): Same shape, 0 in padding.

        Returns:
            `(torch.Tensor, torch.BoolTensor)`: the answer, (batch, frames, num_outputs) or (batch, num_outputs); which
            frames are there, (batch, frames).
        """
        features, heard = self.front_end(input_values, attention_mask)
        features = features.to(next(self.network.parameters()).dtype)
        return self.network(features, **({"mask": heard} if self._takes_mask else {})), heard

    def sample_inputs(self, batch_size):
        samples = self.front_end.frame_length + (10 * batch_size + 7) * self.front_end.hop_length
        waves = 0.1 * torch.randn(batch_size, samples, generator=torch.Generator().manual_seed(batch_size))
        mask = torch.ones(batch_size, samples, dtype=torch.long)
        mask[-1, samples - 5 * self.front_end.hop_length :] = 0
        return {"input_values": waves * mask, "attention_mask": mask}

    def free_sizes(self, free):
        return {0: free, 1: free}

    def check_answer(self, once_a_clip):
        """Ask about silence; the shape must be that of an answer a frame or, where that is allowed, once a clip."""
        frames = 7
        samples = self.front_end.frame_length + (frames - 1) * self.front_end.hop_length
        answer, _ = self.answer(torch.zeros(2, samples))
        shape = tuple(answer.shape) if isinstance(answer, torch.Tensor) else type(answer).__name__
        wanted = [(2, frames, self.num_outputs), *([(2, self.num_outputs)] if once_a_clip else [])]
        if shape not in wanted:
            raise ValueError(
                f"{type(self.network).__name__} should answer 2 clips of {frames} frames with "
                f"{' or '.join(map(str, wanted))}, num_labels of them each; it gave {shape}. Does its __init__ take "
                f"num_labels, and does forward return logits?"
            )


class NetworkForAudioClassification(AudioNetwork):
    """A clip gets a class: the mean of the answers to its frames. For `pipeline("audio-classification")`, too."""

    def forward(self, input_values, attention_mask=None, labels=None, **kwargs):
        """Logits of shape (batch, classes) for waves of shape (batch, samples). A clip without a whole frame gets zeros."""
        answer, heard = self.answer(input_values, attention_mask)
        if answer.dim() == 3:
            heard = heard.unsqueeze(-1)
            # Whatever the network says in padding, nan included, is not part of it.
            answer = answer.masked_fill(~heard, 0).sum(1) / heard.sum(1).clamp(min=1)
        loss = None if labels is None else self.loss_function(labels, answer, self.config)
        return SequenceClassifierOutput(loss=loss, logits=answer)

    def try_out(self):
        self.check_answer(once_a_clip=True)


class NetworkForAudioFrameClassification(AudioNetwork):
    """Every frame gets a class: what an acoustic model says of the states of a hidden Markov model."""

    def forward(self, input_values, attention_mask=None, **kwargs):
        """Logits of shape (batch, frames, classes) for waves of shape (batch, samples)."""
        answer, _ = self.answer(input_values, attention_mask)
        return TokenClassifierOutput(logits=answer)

    def try_out(self):
        self.check_answer(once_a_clip=False)


class NetworkForCTC(AudioNetwork):
    """Every frame gets a token or a blank, token 0: for `pipeline("automatic-speech-recognition")`, too."""

    def forward(self, input_values, attention_mask=None, **kwargs):
        """Logits of shape (batch, frames, tokens) for waves of shape (batch, samples). Padding says blank."""
        answer, heard = self.answer(input_values, attention_mask)
        blank = torch.zeros_like(answer)
        blank[..., 0] = _SURE
        return CausalLMOutput(logits=torch.where(heard.unsqueeze(-1), answer, blank))

    def try_out(self):
        self.check_answer(once_a_clip=False)


class AutoAudioClassifier(NetworkLoader):
    """Loads models that classify clips; of a network's name, for sound of `sampling_rate`."""

    auto_class, network_class = AutoModelForAudioClassification, NetworkForAudioClassification


class AutoAudioFrameClassifier(NetworkLoader):
    """Loads models that classify frames; of a network's name, for sound of `sampling_rate`."""

    auto_class, network_class = AutoModelForAudioFrameClassification, NetworkForAudioFrameClassification


class AutoCTC(NetworkLoader):
    """Loads models that say tokens and blanks; of a network's name, for sound of `sampling_rate`."""

    auto_class, network_class = AutoModelForCTC, NetworkForCTC


def feature_extractor_for(sampling_rate):
    """The feature extractor of a network that hears waves: transformers' own for waves, which pads and tells where."""
    return Wav2Vec2FeatureExtractor(sampling_rate=sampling_rate, do_normalize=False, return_attention_mask=True)


def load_feature_extractor(name_or_path, *, trust_remote_code=False):
    """The feature extractor of a Hub id or folder, or None where there is none."""
    try:
        return AutoFeatureExtractor.from_pretrained(name_or_path, trust_remote_code=trust_remote_code)
    except (OSError, ValueError):
        return None


def register_audio_models():
    """Make transformers' auto classes and pipelines know these models; done when `distil_nlp.models` is imported."""
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
