"""Wraps plain networks as transformers models: base classes of the config, the model and the loader."""

import inspect
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel

from ..internals.messages import shown
from .networks import find_network, make_network, parse_network_name, register_network


class NetworkConfig(PreTrainedConfig):
    """Configuration of a registered network.

    Args:
        network (`str`): A name given to `register_network`.
        options (`dict`): Arguments of the network's `__init__`: numbers, strings, lists, as config.json can contain.
        feature_paths (`list[str]`, *optional*): Modules that end a stage, for terms that refer to stages by number.
    """

    network: str = "resnet"
    options: dict | None = None
    feature_paths: list[str] | None = None


class NetworkModel(PreTrainedModel):
    """A plain network with `save_pretrained`, `from_pretrained`, `push_to_hub` and pipelines.

    The network itself is the attribute `network`. To load a saved model, import `distil_nlp.models` first, and for a
    network of your own the module that registers it.

    Buffers are saved even if the network registers them as non-persistent: transformers 5 leaves those that are not in
    the file uninitialized.

    A subclass defines the arguments that its networks take from the config (`network_kwargs`) and a check of their
    outputs (`check_outputs`).
    """

    base_model_prefix = "network"
    accepts_loss_kwargs = False
    extra_settings: ClassVar[tuple[str, ...]] = ()  # config entries of the subclass, besides those of every network

    def __init__(self, config: NetworkConfig):
        super().__init__(config)
        self.build_modules(config)
        for module in self.network.modules():
            module._non_persistent_buffers_set.clear()
            module._is_hf_initialized = not any(parameter.is_meta for parameter in module.parameters(recurse=False))
        self.post_init()

    def build_modules(self, config: NetworkConfig) -> None:
        """Create the submodules."""
        of_config = {"num_labels": self.num_outputs, **self.network_kwargs(config)}
        self.network = make_network(config.network, config.options or {}, **of_config)

    @classmethod
    def network_kwargs(cls, config: NetworkConfig) -> dict[str, Any]:
        """Config values that are passed to the network's `__init__` where it has an argument of that name."""
        return {}

    def check_outputs(self) -> None:
        """Run one zero input and check the output shape.

        Raises:
            ValueError: The network returns outputs of another shape or type.
        """
        raise NotImplementedError

    def sample_inputs(self, batch_size: int) -> dict[str, torch.Tensor]:
        """Random inputs of `forward`, tensors by the names of its arguments."""
        raise NotImplementedError

    def dynamic_dims(self, marker: Any) -> dict[int, Any]:
        """Dimensions of an input that may have any size: dimension -> `marker`."""
        return {0: marker}

    @property
    def num_outputs(self) -> int:
        """Width of the network's outputs."""
        return self.config.num_labels

    @classmethod
    def from_settings(
        cls,
        network: str | type[nn.Module],
        *,
        num_labels: int | None = None,
        id2label: dict[int, str] | list[str] | None = None,
        problem_type: str | None,
        options: dict[str, Any],
        **settings: Any,
    ) -> "NetworkModel":
        """Build a model with random weights; the shared part of every subclass's `from_network`.

        Args:
            network (`str` or `type`): A registered name, with its size where it has one ("resnet20", "resnet8x4"); or a
                subclass of `nn.Module`, which is registered under its own name.
            num_labels (`int`, *optional*), id2label (`dict[int, str]` or `list[str]`, *optional*): The classes; give
                one of the two.
            problem_type (`str`): As in transformers' configs.
            options (`dict`): Arguments of the network's `__init__`, and the `extra_settings` of the subclass.
            settings: Further entries of the config.

        Raises:
            ValueError: The network cannot be built, run or saved: wrong options, logits of another shape, tensors that
                are neither parameters nor buffers.
        """
        name, size_options = _name_and_options(network)
        if id2label is not None and not isinstance(id2label, dict):
            id2label = dict(enumerate(id2label))
        labels = {"num_labels": num_labels} if id2label is None else {"id2label": id2label}
        if id2label is not None:
            labels["label2id"] = {label: index for index, label in id2label.items()}
        extra = {key: options[key] for key in cls.extra_settings if key in options}
        config = cls.config_class(
            network=name,
            options={**size_options, **{key: value for key, value in options.items() if key not in extra}},
            problem_type=problem_type,
            **settings,
            **extra,
            **{key: value for key, value in labels.items() if value is not None},
        )
        model = cls(config)
        _check_tensors(model.network)
        was_training = model.training
        try:
            with torch.no_grad(), torch.random.fork_rng():
                model.eval().check_outputs()
        except (RuntimeError, TypeError, IndexError) as error:
            reason = str(error).splitlines()[0]
            raise ValueError(
                f"The network {shown(name)} does not run in a {cls.__name__}, on {cls.input_modalities[0]} input: "
                f"{reason}. Is it built for that input?"
            ) from error
        return model.train(was_training)

    def _init_weights(self, module: nn.Module) -> None:
        # Called only for weights that the checkpoint lacks (a head for other labels): torch's default initialization.
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()


class NetworkLoader:
    """Loads models as an auto class does, and builds those given by a network's name with random weights.

    Args:
        settings: Arguments of `from_network`, used for networks given by name.
    """

    auto_class: ClassVar[type]
    network_class: ClassVar[type[NetworkModel]]

    def __init__(self, **settings: Any):
        self.settings = settings

    def from_pretrained(
        self, name: str | Path, *, output_loading_info: bool = False, **kwargs: Any
    ) -> PreTrainedModel | tuple[PreTrainedModel, dict[str, Any]]:
        """Load a Hub id or a folder, or build a network by name: "resnet20", "resnet8x4", "mobilenetv2x0.5"."""
        if parse_network_name(str(name)) is None:
            return self.auto_class.from_pretrained(name, output_loading_info=output_loading_info, **kwargs)
        parameters = inspect.signature(self.network_class.from_network).parameters
        labels = {key: value for key, value in kwargs.items() if key in parameters and key != "label2id"}
        if "id2label" in labels:
            labels.pop("num_labels", None)
        model = self.network_class.from_network(name, **self.settings, **labels)
        return with_loading_info(model.to(kwargs.get("dtype") or torch.float32), output_loading_info)


def with_loading_info(
    model: PreTrainedModel, output_loading_info: bool
) -> PreTrainedModel | tuple[PreTrainedModel, dict[str, Any]]:
    """A model with random weights as `from_pretrained` returns it; in its loading info all parameters are missing keys."""
    if not output_loading_info:
        return model
    names = {key for key, _ in model.named_parameters()}
    return model, {"built_by_name": True, "missing_keys": names, "mismatched_keys": set()}


def _name_and_options(network: str | type[nn.Module]) -> tuple[str, dict[str, Any]]:
    if isinstance(network, str):
        return parse_network_name(network) or (find_network(network).network_name, {})
    if not isinstance(network, type) or not issubclass(network, nn.Module):
        raise ValueError(
            f"network must be a registered name or a subclass of nn.Module, because it is built again when the model is "
            f"loaded; got {type(network).__name__}. Pass the class and its arguments, and copy weights with "
            f"`model.network.load_state_dict(module.state_dict())`."
        )
    if "network_name" not in vars(network):
        register_network(network)
    return network.network_name, {}


def _check_tensors(network: nn.Module) -> None:
    """Raise if the network has tensors that `save_pretrained` would lose."""
    for name, module in network.named_modules():
        unregistered = [key for key, value in vars(module).items() if isinstance(value, torch.Tensor)]
        if unregistered:
            raise ValueError(
                f"{type(network).__name__} has tensors that are neither parameters nor buffers ("
                f"{', '.join(f'{name}.{key}'.lstrip('.') for key in unregistered)}), so they would be lost when it is "
                f"saved. Register them: self.register_buffer({shown(unregistered[0])}, ...)."
            )
