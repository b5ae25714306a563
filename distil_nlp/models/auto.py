"""Builds a network for a teacher, and loads a saved network, with the model class that fits."""

from pathlib import Path
from typing import Any, cast

from transformers import AutoConfig, PreTrainedModel

from ..internals.messages import shown
from .audio import NetworkForAudioClassification, NetworkForAudioFrameClassification, NetworkForCTC
from .image import NetworkForImageClassification, NetworkForImageEmbedding
from .loading import load_trained_model
from .network import NetworkModel
from .sources import check_source

_MODEL_CLASSES = {
    model_class.__name__: model_class
    for model_class in (
        NetworkForAudioClassification,
        NetworkForAudioFrameClassification,
        NetworkForCTC,
        NetworkForImageClassification,
        NetworkForImageEmbedding,
    )
}
# Classes that share their input with a more common one are recognized by the teacher's class, the others by its input.
_BY_CLASS = (NetworkForImageEmbedding, NetworkForAudioFrameClassification, NetworkForCTC)
_BY_INPUT = {
    "pixel_values": NetworkForImageClassification,
    "input_values": NetworkForAudioClassification,
    "input_features": NetworkForAudioClassification,
}


def network_for(network: str, teacher: PreTrainedModel, **settings: Any) -> NetworkModel:
    """Build a network with random weights and with a teacher's kind of input, task and labels.

    Args:
        network (`str`): A registered name, with its size.
        teacher (`PreTrainedModel`): Only its class and config are read.
        settings: Differences from the teacher's input: `image_size`.

    Raises:
        ValueError: The teacher takes neither pixels nor waveforms.
    """
    for model_class in _BY_CLASS:
        if isinstance(teacher, model_class):
            return model_class.for_teacher(network, teacher, **settings)
    if type(teacher).__name__.endswith("ForCTC"):
        return _ctc_network_for(teacher, network)
    input_name = getattr(teacher, "main_input_name", None)
    if input_name not in _BY_INPUT:
        raise ValueError(
            f"The network {shown(network)} takes images or sound, and the teacher, {type(teacher).__name__}, takes "
            f"{shown(input_name)}. Choose a student with the teacher's input."
        )
    return _BY_INPUT[input_name].for_teacher(network, teacher, **settings)


def _ctc_network_for(teacher: PreTrainedModel, network: str) -> NetworkForCTC:
    """The outputs of transformers' CTC models are their vocabulary; their id2label is often the default of 2 labels."""
    config = teacher.config
    has_labels = len(config.id2label) == config.vocab_size
    return NetworkForCTC.from_network(
        network,
        num_labels=config.vocab_size,
        id2label=config.id2label if has_labels else None,
        problem_type=config.problem_type,
    )


def load_network(name_or_path: str | Path) -> NetworkModel:
    """Load a saved network with the model class it was saved from.

    Args:
        name_or_path (`str` or `Path`): A folder or a Hub id.

    Raises:
        TypeError: The model is not a `NetworkModel`.
        OSError: There is no model.
        ValueError: A part of its weights is missing or damaged.
    """
    check_source(name_or_path)
    architecture = (AutoConfig.from_pretrained(name_or_path, trust_remote_code=False).architectures or [None])[0]
    if architecture not in _MODEL_CLASSES:
        raise TypeError(
            f"{name_or_path} contains a {architecture}, which is not a network of distil_nlp.models "
            f"({', '.join(_MODEL_CLASSES)}). Load it with the auto classes of transformers."
        )
    return cast(NetworkModel, load_trained_model(_MODEL_CLASSES[architecture], name_or_path))
