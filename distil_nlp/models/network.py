"""A plain network under transformers' roof: made by name, saved, loaded, whatever it looks at."""

import inspect

import torch
from transformers import PreTrainedConfig, PreTrainedModel

from .networks import find_network, make_network, parse_network_name, register_network


class NetworkConfig(PreTrainedConfig):
    """Which network, made how.

    Args:
        network (`str`): A name given to `register_network`.
        options (`dict`): What its class is made with. Numbers, strings, lists: it goes into config.json.
        feature_paths (`list[str]`, *optional*): Modules that end a stage, for terms that listen to stages by number.
    """

    network: str = "resnet"
    options: dict | None = None
    feature_paths: list[str] | None = None


class NetworkModel(PreTrainedModel):
    """A plain network under `save_pretrained`, `from_pretrained`, `push_to_hub` and a pipeline.

    The network itself is the attribute `network`. To load a saved one, import `distil_nlp.models` first, and for a
    network of your own the module that registers it.

    Buffers are saved whether or not the network calls them persistent: transformers 5 fills those that are not in the
    file with whatever the memory holds.

    A subclass says what its networks are made for (`made_for`) and how they are tried (`try_out`).
    """

    base_model_prefix = "network"
    accepts_loss_kwargs = False
    own_settings = ()  # of the config, beside what every network has

    def __init__(self, config):
        super().__init__(config)
        self.assemble(config)
        for module in self.network.modules():
            module._non_persistent_buffers_set.clear()
            module._is_hf_initialized = not any(one.is_meta for one in module.parameters(recurse=False))
        self.post_init()

    def assemble(self, config):
        """Make the parts."""
        of_config = {"num_labels": self.num_outputs, **self.made_for(config)}
        self.network = make_network(config.network, config.options or {}, **of_config)

    @classmethod
    def made_for(cls, config):
        """What of the config a network may ask for, by the names of its arguments."""
        return {}

    def try_out(self):
        """Ask the network once about nothing, and refuse an answer of another shape than everybody expects."""
        raise NotImplementedError

    def sample_inputs(self, batch_size):
        """Noise that the model can be asked about, `dict` of tensors by the names of the arguments of `forward`."""
        raise NotImplementedError

    def free_sizes(self, free):
        """Which dimensions of an input may be of any size: `dict` of dimension to `free`."""
        return {0: free}

    @property
    def num_outputs(self):
        """Width of what the network answers."""
        return self.config.num_labels

    @classmethod
    def from_settings(cls, network, *, num_labels=None, id2label=None, problem_type, options, **settings):
        """Make one with random weights: what the `from_network` of every kind ends in.

        Args:
            network (`str` or `type`): A registered name, with its size where it has one ("resnet20", "resnet8x4"); or a
                subclass of `nn.Module`, which is registered by its own name.
            num_labels (`int`, *optional*), id2label (`dict[int, str]` or `list[str]`, *optional*): The classes; one of
                them.
            problem_type (`str`): transformers' word for what the labels are.
            options (`dict`): What the network is made with, and the `own_settings` of the kind.
            settings: Of its config.

        Raises:
            ValueError: A network that cannot be made, saved or asked: another shape of logits, tensors that are neither
                parameters nor buffers.
        """
        name, of_name = _named(network)
        if id2label is not None and not isinstance(id2label, dict):
            id2label = dict(enumerate(id2label))
        labels = {"num_labels": num_labels} if id2label is None else {"id2label": id2label}
        if id2label is not None:
            labels["label2id"] = {label: place for place, label in id2label.items()}
        own = {key: options[key] for key in cls.own_settings if key in options}
        config = cls.config_class(
            network=name,
            options={**of_name, **{key: value for key, value in options.items() if key not in own}},
            problem_type=problem_type,
            **settings,
            **own,
            **{key: value for key, value in labels.items() if value is not None},
        )
        model = cls(config)
        _check_tensors(model.network)
        was_training = model.training
        try:
            with torch.no_grad(), torch.random.fork_rng():
                model.eval().try_out()
        except (RuntimeError, TypeError, IndexError) as error:
            reason = str(error).splitlines()[0]
            raise ValueError(
                f"The network {name!r} cannot be asked by a {cls.__name__}, about {cls.input_modalities[0]}: {reason}. Is "
                f"it made for that?"
            ) from error
        return model.train(was_training)

    def _init_weights(self, module):
        # Only weights that no checkpoint holds come here (a head for other labels): torch's own start.
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()


class NetworkLoader:
    """Loads models of a kind as an auto class does, and makes those of a network's name, with random weights.

    Args:
        settings: Of `from_network`, for networks.
    """

    auto_class = network_class = None

    def __init__(self, **settings):
        self.settings = settings

    def from_pretrained(self, name, *, output_loading_info=False, **kwargs):
        """A Hub id, a folder, or the name of a network: "resnet20", "resnet8x4", "mobilenetv2x0.5"."""
        if parse_network_name(str(name)) is None:
            return self.auto_class.from_pretrained(name, output_loading_info=output_loading_info, **kwargs)
        taken = inspect.signature(self.network_class.from_network).parameters
        labels = {key: value for key, value in kwargs.items() if key in taken and key != "label2id"}
        if "id2label" in labels:
            labels.pop("num_labels", None)
        model = self.network_class.from_network(name, **self.settings, **labels)
        model.to(kwargs.get("dtype") or torch.float32)
        fresh = {"missing_keys": {key for key, _ in model.named_parameters()}, "mismatched_keys": set()}
        return (model, fresh) if output_loading_info else model


def _named(network):
    if isinstance(network, str):
        return parse_network_name(network) or (find_network(network).network_name, {})
    if not isinstance(network, type) or not issubclass(network, torch.nn.Module):
        raise ValueError(
            f"A network is a name, or a class of modules that can be made anew when the model is loaded; got "
            f"{type(network).__name__}. Give the class and its arguments, and copy weights with "
            f"`model.network.load_state_dict(module.state_dict())`."
        )
    if "network_name" not in vars(network):
        register_network(network)
    return network.network_name, {}


def _check_tensors(network):
    """Refuse a network that would not be the same when it is loaded again."""
    for name, module in network.named_modules():
        loose = [key for key, value in vars(module).items() if isinstance(value, torch.Tensor)]
        if loose:
            raise ValueError(
                f"{type(network).__name__} holds tensors that are neither parameters nor buffers ("
                f"{', '.join(f'{name}.{key}'.lstrip('.') for key in loose)}), so they would be lost when it is saved. "
                f"Register them: self.register_buffer({loose[0]!r}, ...)."
            )
