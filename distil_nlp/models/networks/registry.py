"""Plain networks under a name: what a config can say instead of code."""

import importlib
import inspect
import re

import torch

from ...internals.messages import nearest

_NETWORKS = {}
# Name to the file that registers it.
_BUILT_IN = {
    "resnet": "resnet",
    "mobilenetv2": "mobilenet",
    "mobilefacenet": "mobilefacenet",
    "cnn": "cnn",
    "streamcnn": "acoustic",
    "splicedmlp": "acoustic",
}
# resnet20, resnet8x4, mobilenetv2x0.5: a name, then the value of one option, then x and the width.
_SPEC = re.compile(r"(?P<name>[a-z_]\w*?)(?P<size>\d+)?(?:x(?P<width>\d+(?:\.\d+)?))?")


def register_network(network, *, name=None, size=None):
    """Make a network known by name, so that a saved model can say which one it holds.

    A config names its network and gives the arguments; it holds no code. Whoever loads the model must have imported the
    module that registers the network, which is why a foreign file can run nothing.

    Args:
        network (`type`): A subclass of `nn.Module`, made as `network(**options)`. Of images: called with `pixel_values` of
            shape (batch, channels, height, width), it answers logits of shape (batch, classes); where its `__init__` takes
            `num_labels`, `num_channels` or `image_size`, it is given those of the config. Of sound: see `AudioNetwork`;
            `num_labels` and `num_mels`.
        name (`str`, *optional*): Default: the class's name in lower case.
        size (`str`, *optional*): The option that a number after the name sets: "depth" makes "resnet20" depth 20.

    Returns:
        `type`: `network`, so that this is a decorator, too.

    Raises:
        ValueError: The name is another network's, or no name.
    """
    name = (name or network.__name__).lower()
    known = _NETWORKS.get(name)
    ships = name in _BUILT_IN and network.__module__ != f"{__package__}.{_BUILT_IN[name]}"
    if ships or (known is not None and known.__qualname__ != network.__qualname__):
        owner = f"the network {known.__qualname__}'s" if known else "that of a network that ships here"
        raise ValueError(f"The name {name!r} is {owner} already. Register yours by another: name='...'.")
    if not re.fullmatch(r"[a-z_]\w*", name):
        raise ValueError(f"The name of a network is a word that begins with a letter; got {name!r}.")
    network.network_name, network.size_option = name, size
    _NETWORKS[name] = network
    return network


def channels_last(pixel_values):
    """The same images in the layout in which convolutions are quickest; the modules after them keep it.

    Who writes `view` after a convolution needs `flatten` or `reshape` instead, so networks ask for it themselves.
    """
    return pixel_values.contiguous(memory_format=torch.channels_last)


def find_network(name):
    """The class registered by a name.

    Raises:
        ValueError: There is none; the message says how one comes to be known.
    """
    if name not in _NETWORKS and name in _BUILT_IN:
        importlib.import_module(f".{_BUILT_IN[name]}", __package__)
    if name not in _NETWORKS:
        known = sorted({*_NETWORKS, *_BUILT_IN})
        raise ValueError(
            f"No network is registered as {name!r}{nearest(name, known)}. Known: {', '.join(known)}. A network of your own "
            f"is known once its module is imported and has called register_network; import it before you load the model."
        )
    return _NETWORKS[name]


def import_line(config):
    """The line of Python after which transformers knows a model with this config; None where it knows it anyway.

    Args:
        config (`dict`): What config.json of the model holds.
    """
    name = config.get("network")
    if not str(config.get("model_type")).startswith("distil_nlp") or name is None:
        return None
    home = find_network(name).__module__
    if home.startswith(f"{__package__}."):
        return "import distil_nlp.models  # transformers then knows the network"
    home = "your_networks" if home == "__main__" else home
    return f"import distil_nlp.models\n\nimport {home}  # it registers the network {name!r}"


def parse_network_name(spec):
    """Read a network's name with its size: "resnet8x4" gives `("resnet", {"depth": 8, "width": 4.0})`.

    Args:
        spec (`str`): A registered name, then perhaps a number for its size option, then perhaps "x" and a width.

    Returns:
        `(name, options)`, or None where it is no network's name.
    """
    for name, options in _readings(spec):
        if name in _NETWORKS or name in _BUILT_IN:
            network = find_network(name)
            size = options.pop("size", None)
            if size is not None and network.size_option is None:
                continue
            return name, ({network.size_option: size} if size is not None else {}) | options
    return None


def _readings(spec):
    """A name may end in a number of its own, as mobilenetv2 does: the longest name first."""
    if not isinstance(spec, str) or not _SPEC.fullmatch(spec):
        return
    yield spec, {}
    stem, _, width = spec.rpartition("x")
    if stem and re.fullmatch(r"\d+(\.\d+)?", width):
        yield stem, {"width": float(width)}
        if found := re.fullmatch(r"(.*?\D)(\d+)", stem):
            yield found[1], {"size": int(found[2]), "width": float(width)}
    if found := re.fullmatch(r"(.*?\D)(\d+)", spec):
        yield found[1], {"size": int(found[2])}


def make_network(name, options, **of_config):
    """A network by its registered name, with random weights from torch's global generator.

    Args:
        name (`str`), options (`dict`): Which network, made with what.
        of_config: `num_labels` and what else the config knows, for a network that takes it.

    Raises:
        ValueError: A name that is not registered; options it does not take.
    """
    network = find_network(name)
    taken = inspect.signature(network.__init__).parameters
    free = any(one.kind is one.VAR_KEYWORD for one in taken.values())
    given = {**{key: value for key, value in of_config.items() if key in taken}, **options}
    for key in given:
        if key not in taken and not free:
            listed = ", ".join(one for one in taken if one != "self")
            raise ValueError(
                f"The network {name!r} takes no {key!r}{nearest(key, taken)}. It takes {listed or 'nothing'}."
            )
    return network(**given)
