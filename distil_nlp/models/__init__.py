"""Other worlds under the contracts of this one. Importing it makes the auto classes of transformers know its models."""

from .audio import (
    AudioNetworkConfig,
    AutoAudioClassifier,
    AutoAudioFrameClassifier,
    AutoCTC,
    NetworkForAudioClassification,
    NetworkForAudioFrameClassification,
    NetworkForCTC,
    extractor_for,
    load_feature_extractor,
    register_audio_models,
)
from .auto import load_network, network_for
from .image_classifier import AutoImageClassifier, ImageNetworkConfig, NetworkForImageClassification, register_models
from .image_embedder import AutoImageEmbedder, ImageEmbedderConfig, NetworkForImageEmbedding, register_embedders
from .image_processor import NetworkImageProcessor, load_image_processor, processor_for, register_processor, resized
from .log_mel import LogMel
from .networks import import_line, read_spec, register_network
from .whisper import AutoSpeechSeq2Seq, GreedyGenerator, read_whisper, whisper_for, whisper_processor

register_audio_models()
register_models()
register_embedders()
register_processor()

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
    "extractor_for",
    "import_line",
    "load_feature_extractor",
    "load_image_processor",
    "load_network",
    "network_for",
    "processor_for",
    "read_spec",
    "read_whisper",
    "resized",
    "register_network",
    "whisper_for",
    "whisper_processor",
]
