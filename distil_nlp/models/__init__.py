"""Wraps plain networks as transformers models. Importing it registers them with the auto classes of transformers."""

from .audio import (
    AudioNetworkConfig,
    AutoAudioClassifier,
    AutoAudioFrameClassifier,
    AutoCTC,
    NetworkForAudioClassification,
    NetworkForAudioFrameClassification,
    NetworkForCTC,
    feature_extractor_for,
    load_feature_extractor,
    register_audio_models,
)
from .auto import load_network, network_for
from .image import (
    AutoImageClassifier,
    AutoImageEmbedder,
    ImageEmbedderConfig,
    ImageNetworkConfig,
    NetworkForImageClassification,
    NetworkForImageEmbedding,
    register_image_models,
)
from .image_processor import (
    NetworkImageProcessor,
    image_processor_for,
    load_image_processor,
    register_image_processor,
    resized_processor,
)
from .log_mel import LogMel
from .networks import import_line, parse_network_name, register_network
from .whisper import AutoSpeechSeq2Seq, GreedyGenerator, parse_whisper_name, whisper_for, whisper_processor

register_audio_models()
register_image_models()
register_image_processor()

__all__ = [
    "AutoAudioClassifier",
    "AutoAudioFrameClassifier",
    "AudioNetworkConfig",
    "AutoCTC",
    "AutoImageClassifier",
    "ImageEmbedderConfig",
    "AutoImageEmbedder",
    "ImageNetworkConfig",
    "LogMel",
    "NetworkForAudioClassification",
    "NetworkForAudioFrameClassification",
    "NetworkForCTC",
    "NetworkForImageClassification",
    "NetworkForImageEmbedding",
    "NetworkImageProcessor",
    "AutoSpeechSeq2Seq",
    "GreedyGenerator",
    "feature_extractor_for",
    "import_line",
    "load_feature_extractor",
    "load_image_processor",
    "load_network",
    "network_for",
    "image_processor_for",
    "parse_network_name",
    "parse_whisper_name",
    "resized_processor",
    "register_network",
    "whisper_for",
    "whisper_processor",
]
