"""Registry of plain networks: a config refers to a network by its registered name and contains no code."""

import importlib
import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import torch
from torch import nn

from ...internals.messages import nearest, shown

_Network = TypeVar("_Network", bound=type[nn.Module])

_NETWORKS: dict[str, type[nn.Module]] = {}
# Name to the module of this package that registers it.
_BUILT_IN = {
    "resnet": "resnet",
    "mobilenetv2": "mobilenet",
    "mobilefacenet": "mobilefacenet",
    "cnn": "cnn",
    "streamcnn": "acoustic",
    "splicedmlp": "acoustic",
}
_MAX_SIZE = 100_000  # of depth, width and hidden size: the deepest network in use has a thousand layers
# resnet20, resnet8x4, mobilenetv2x0.5: a name, then the value of one option, then x and the width.
_NAME_WITH_SIZE = re.compile(r"(?P<name>[a-z_]\w*?)(?P<size>\d+)?(?:x(?P<width>\d+(?:\.\d+)?))?")


def register_network(network: _Network, *, name: str | None = None, size: str | None = None) -> _Network:
    """Register a network under a name, so that a saved model can refer to it.

    A config contains the network's name and arguments, no code. Before a model is loaded, the module that registers its
    network must be imported; a downloaded file can therefore run no code.

    Args:
        network (`type`): A subclass of `nn.Module`, created as `network(**options)`. Over images, it is called with
            `pixel_values` of shape (batch, channels, height, width) and returns logits of shape (batch, classes); if its
            `__init__` has arguments `num_labels`, `num_channels` or `image_size`, it gets those of the config. Over sound,
            see `AudioNetwork`; the arguments are `num_labels` and `num_mels`.
        name (`str`, *optional*): Default: the class's name in lower case.
        size (`str`, *optional*): The option set by a number after the name: "depth" makes "resnet20" depth 20.

    Returns:
        `type`: `network`, so that this works as a decorator, too.

    Raises:
        ValueError: The name belongs to another network, or is not a valid name.
    """
    name = (name or network.__name__).lower()
    registered = _NETWORKS.get(name)
    is_built_in = name in _BUILT_IN and network.__module__ != f"{__package__}.{_BUILT_IN[name]}"
    if is_built_in or (registered is not None and not _same_class(registered, network)):
        owner = (
            f"the network {registered.__qualname__} of {registered.__module__}" if registered else "a built-in network"
        )
        raise ValueError(f"The name {shown(name)} belongs to {owner}. Register yours under another: name='...'.")
    if not re.fullmatch(r"[a-z_]\w*", name):
        raise ValueError(f"The name of a network must be a word that begins with a letter; got {shown(name)}.")
    network.network_name, network.size_option = name, size
    _NETWORKS[name] = network
    return network


def _same_class(network: type[nn.Module], other: type[nn.Module]) -> bool:
    """Whether two classes have one name and one module; a script has its own and "__main__"."""
    modules = {network.__module__, other.__module__}
    in_script = not modules.isdisjoint(("__main__", "__mp_main__"))
    return network.__qualname__ == other.__qualname__ and (len(modules) == 1 or in_script)


def channels_last(pixel_values: torch.Tensor) -> torch.Tensor:
    """The same images in channels-last memory format, in which convolutions are fastest; later modules keep it.

    After a convolution `view` then fails and `flatten` or `reshape` is needed, so each network calls this itself.
    """
    return pixel_values.contiguous(memory_format=torch.channels_last)


def find_network(name: str) -> type[nn.Module]:
    """The class registered under a name.

    Raises:
        ValueError: There is none; the message explains how to register one.
    """
    if name not in _NETWORKS and name in _BUILT_IN:
        importlib.import_module(f".{_BUILT_IN[name]}", __package__)
    if name not in _NETWORKS:
        known = sorted({*_NETWORKS, *_BUILT_IN})
        raise ValueError(
            f"No network is registered as {shown(name)}{nearest(name, known)}. Known: {', '.join(known)}. To use a "
            f"network of your own, import the module that calls register_network before you load the model."
        )
    return _NETWORKS[name]


def import_line(config: Mapping[str, Any]) -> str | None:
    """Import statements needed before transformers can load a model with this config; None where none are needed.

    Args:
        config (`dict`): Content of the model's config.json.
    """
    name = config.get("network")
    if not str(config.get("model_type")).startswith("distil_nlp") or name is None:
        return None
    module = find_network(name).__module__
    if module.startswith(f"{__package__}."):
        return "import distil_nlp.models  # registers the network with transformers"
    module = "your_networks" if module == "__main__" else module
    return f"import distil_nlp.models\n\nimport {module}  # it registers the network {shown(name)}"


def parse_network_name(name: str) -> tuple[str, dict[str, Any]] | None:
    """Parse a network's name with its size: "resnet8x4" gives `("resnet", {"depth": 8, "width": 4.0})`.

    Args:
        name (`str`): A registered name, optionally a number for its size option, optionally "x" and a width.

    Returns:
        `(registered name, options)`, or None where it is not a network's name.
    """
    for stem, options in _splits(name):
        if stem in _NETWORKS or stem in _BUILT_IN:
            network = find_network(stem)
            size = options.pop("size", None)
            if size is not None and network.size_option is None:
                continue
            return stem, ({network.size_option: size} if size is not None else {}) | options
    return None


def _splits(name: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every way to split off size and width, the longest stem first: a name may end in a digit itself (mobilenetv2)."""
    if not isinstance(name, str) or not _NAME_WITH_SIZE.fullmatch(name):
        return
    yield name, {}
    stem, _, width = name.rpartition("x")
    if stem and re.fullmatch(r"\d+(\.\d+)?", width):
        yield stem, {"width": float(width)}
        if match := re.fullmatch(r"(.*?\D)(\d+)", stem):
            yield match[1], {"size": int(match[2]), "width": float(width)}
    if match := re.fullmatch(r"(.*?\D)(\d+)", name):
        yield match[1], {"size": int(match[2])}


def make_network(name: str, options: Mapping[str, Any], **of_config: Any) -> nn.Module:
    """Create a network by its registered name, with random weights from torch's global generator.

    Args:
        name (`str`), options (`dict`): The network, and arguments of its `__init__`.
        of_config: `num_labels` and other config values, passed where the `__init__` has an argument of that name.

    Raises:
        ValueError: The name is not registered, or the network has no such option.
    """
    for option, value in options.items():
        if isinstance(value, (int, float)) and value > _MAX_SIZE:
            raise ValueError(
                f"{option} of the network {shown(name)} is at most {_MAX_SIZE:,}; got {value:,}. Choose a smaller one."
            )
    network = find_network(name)
    parameters = inspect.signature(network.__init__).parameters
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    arguments = {**{key: value for key, value in of_config.items() if key in parameters}, **options}
    for key in arguments:
        if key not in parameters and not takes_any:
            listed = ", ".join(parameter for parameter in parameters if parameter != "self")
            raise ValueError(
                f"The network {shown(name)} has no option {shown(key)}{nearest(key, parameters)}. Options: "
                f"{listed or 'none'}."
            )
    return network(**arguments)
