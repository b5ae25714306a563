"""Which kind of model a network becomes: that of its teacher, or the one it was saved as."""

from transformers import AutoConfig

from .audio import NetworkForAudioClassification, NetworkForAudioFrameClassification, NetworkForCTC
from .image import NetworkForImageClassification, NetworkForImageEmbedding

_KINDS = {
    kind.__name__: kind
    for kind in (
        NetworkForAudioClassification,
        NetworkForAudioFrameClassification,
        NetworkForCTC,
        NetworkForImageClassification,
        NetworkForImageEmbedding,
    )
}
# Kinds that look at the same input as a more common one are asked for by class, the common ones by what they read.
_BY_CLASS = (NetworkForImageEmbedding, NetworkForAudioFrameClassification, NetworkForCTC)
_BY_INPUT = {
    "pixel_values": NetworkForImageClassification,
    "input_values": NetworkForAudioClassification,
    "input_features": NetworkForAudioClassification,
}


def network_for(network, teacher, **own):
    """A network with random weights that reads what a teacher reads and answers as it does.

    Args:
        network (`str`): A registered name, with its size.
        teacher (`PreTrainedModel`): Its input, its labels.
        own: What of its input is another: `image_size`.

    Raises:
        ValueError: A teacher that reads neither pixels nor waves.
    """
    for kind in _BY_CLASS:
        if isinstance(teacher, kind):
            return kind.like(network, teacher, **own)
    if type(teacher).__name__.endswith("ForCTC"):
        return _with_tokens_of(teacher, network)
    reads = getattr(teacher, "main_input_name", None)
    if reads not in _BY_INPUT:
        raise ValueError(
            f"The network {network!r} looks at images or listens to sound, and the teacher, {type(teacher).__name__}, "
            f"reads {reads!r}. Name a student that reads it, too."
        )
    return _BY_INPUT[reads].like(network, teacher, **own)


def _with_tokens_of(teacher, network):
    """A model of transformers answers with its vocabulary, whatever its labels are: 2 of them where nobody named any."""
    config = teacher.config
    named = len(config.id2label) == config.vocab_size
    return NetworkForCTC.from_network(
        network,
        num_labels=config.vocab_size,
        id2label=config.id2label if named else None,
        problem_type=config.problem_type,
    )


def load_network(name_or_path):
    """A saved network as the kind of model it was saved as.

    Args:
        name_or_path (`str` or `Path`): A folder or a Hub id.

    Raises:
        TypeError: A model that is none of ours.
        OSError: Nothing is there.
    """
    saved_as = (AutoConfig.from_pretrained(name_or_path).architectures or [None])[0]
    if saved_as not in _KINDS:
        raise TypeError(f"{name_or_path} holds a {saved_as}, which is none of our networks ({', '.join(_KINDS)}).")
    return _KINDS[saved_as].from_pretrained(name_or_path)
