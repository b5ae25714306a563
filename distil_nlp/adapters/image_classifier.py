"""Any network that maps pixels to logits, as a model that Trainer, the Hub and pipelines know."""

import inspect

import torch
from transformers import AutoConfig, AutoModelForImageClassification, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import ImageClassifierOutputWithNoAttention
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES

from .networks import find_network, make_network, read_spec, register_network


class NetworkConfig(PreTrainedConfig):
    """Which network, made how, for which images.

    Args:
        network (`str`): A name given to `register_network`.
        options (`dict`): What its class is made with. Numbers, strings, lists: it goes into config.json.
        num_channels (`int`): 1 for grey images, 3 for colours.
        image_size (`int` or `list[int]`): Pixels, or height and width.
        feature_paths (`list[str]`, *optional*): Modules that end a stage, for terms that listen to stages by number.
    """

    model_type = "distil_nlp_network"

    network: str = "resnet"
    options: dict | None = None
    num_channels: int = 3
    image_size: int | list[int] = 32
    feature_paths: list[str] | None = None


class NetworkForImageClassification(PreTrainedModel):
    """A plain network under `save_pretrained`, `from_pretrained`, `push_to_hub` and `pipeline("image-classification")`.

    Make one with `from_network` or from a `NetworkConfig`. The network itself is the attribute `network`. To load a saved
    one, import `distil_nlp.adapters` first, and for a network of your own the module that registers it.

    Buffers are saved whether or not the network calls them persistent: transformers 5 fills those that are not in the
    file with whatever the memory holds.
    """

    config_class = NetworkConfig
    base_model_prefix = "network"
    main_input_name = "pixel_values"
    input_modalities = ("image",)
    accepts_loss_kwargs = False
    own_settings = ()  # of the config, beside what every network has

    def __init__(self, config):
        super().__init__(config)
        self.network = make_network(
            config.network,
            config.options or {},
            num_labels=self.num_outputs,
            num_channels=config.num_channels,
            image_size=config.image_size,
        )
        for module in self.network.modules():
            module._non_persistent_buffers_set.clear()
            module._is_hf_initialized = not any(one.is_meta for one in module.parameters(recurse=False))
        self.post_init()

    @property
    def num_outputs(self):
        """Width of what the network answers."""
        return self.config.num_labels

    @classmethod
    def from_network(
        cls,
        network,
        *,
        image_size,
        num_channels=3,
        num_labels=None,
        id2label=None,
        problem_type="single_label_classification",
        feature_paths=None,
        **options,
    ):
        """Make one with random weights.

        Args:
            network (`str` or `type`): A registered name, with its size where it has one ("resnet20", "resnet8x4"); or a
                subclass of `nn.Module`, which is registered by its own name.
            image_size (`int` or `(int, int)`): Pixels, or height and width.
            num_channels (`int`): 1 or 3.
            num_labels (`int`, *optional*), id2label (`dict[int, str]` or `list[str]`, *optional*): The classes; one of
                them.
            problem_type (`str`): transformers' word for what the labels are.
            feature_paths (`list[str]`, *optional*): See `NetworkConfig`.
            options: What the network is made with.

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
        size = image_size if isinstance(image_size, int) else list(image_size)
        own = {key: options.pop(key) for key in cls.own_settings if key in options}
        config = cls.config_class(
            network=name,
            options={**of_name, **options},
            num_channels=num_channels,
            image_size=size,
            feature_paths=feature_paths,
            problem_type=problem_type,
            **own,
            **{key: value for key, value in labels.items() if value is not None},
        )
        model = cls(config)
        _check_answer(model)
        return model

    def forward(self, pixel_values, labels=None, **kwargs):
        """Logits of shape (batch, classes) for pixels of shape (batch, channels, height, width)."""
        logits = self.answer(pixel_values)
        loss = None if labels is None else self.loss_function(labels, logits, self.config)
        return ImageClassifierOutputWithNoAttention(loss=loss, logits=logits)

    def answer(self, pixel_values):
        """What the network says, shape (batch, num_outputs)."""
        channels = self.config.num_channels
        if pixel_values.dim() != 4 or pixel_values.shape[1] != channels:
            raise ValueError(
                f"Images of shape (batch, {channels}, height, width) are expected; got {tuple(pixel_values.shape)}. The "
                f"image processor saved beside the model makes them so."
            )
        return self.network(pixel_values)

    def _init_weights(self, module):
        # Only weights that no checkpoint holds come here (a head for other labels): torch's own start.
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()


def _named(network):
    if isinstance(network, str):
        return read_spec(network) or (find_network(network).network_name, {})
    if not isinstance(network, type) or not issubclass(network, torch.nn.Module):
        raise ValueError(
            f"A network is a name, or a class of modules that can be made anew when the model is loaded; got "
            f"{type(network).__name__}. Give the class and its arguments, and copy weights with "
            f"`model.network.load_state_dict(module.state_dict())`."
        )
    if "network_name" not in vars(network):
        register_network(network)
    return network.network_name, {}


def _check_answer(model):
    """Refuse now what would fail when the model is trained or loaded again."""
    for name, module in model.network.named_modules():
        loose = [key for key, value in vars(module).items() if isinstance(value, torch.Tensor)]
        if loose:
            raise ValueError(
                f"{type(model.network).__name__} holds tensors that are neither parameters nor buffers ("
                f"{', '.join(f'{name}.{key}'.lstrip('.') for key in loose)}), so they would be lost when it is saved. "
                f"Register them: self.register_buffer({loose[0]!r}, ...)."
            )
    config = model.config
    height, width = (config.image_size,) * 2 if isinstance(config.image_size, int) else config.image_size
    was_training = model.training
    with torch.no_grad(), torch.random.fork_rng():
        answer = model.eval().network(torch.zeros(2, config.num_channels, height, width))
    model.train(was_training)
    shape = tuple(answer.shape) if isinstance(answer, torch.Tensor) else type(answer).__name__
    if shape != (2, model.num_outputs):
        raise ValueError(
            f"{type(model.network).__name__} should answer 2 images of {config.num_channels} x {height} x {width} with "
            f"logits of shape (2, {model.num_outputs}), num_labels of them each; it gave {shape}. Does its __init__ take "
            f"num_labels, and does forward return logits?"
        )


def register_models():
    """Make transformers' auto classes and pipelines know these models; done when `distil_nlp.adapters` is imported."""
    AutoConfig.register(NetworkConfig.model_type, NetworkConfig, exist_ok=True)
    AutoModelForImageClassification.register(NetworkConfig, NetworkForImageClassification, exist_ok=True)
    # The pipeline only warns about models that are not in this table, and works.
    MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES[NetworkConfig.model_type] = NetworkForImageClassification.__name__


class ImageClassifiers:
    """Loads image classifiers as an auto class does, and makes those of a network's name, with random weights.

    Args:
        num_channels (`int`), image_size (`(int, int)`): Of the images, for networks.
    """

    auto_class, network_class = AutoModelForImageClassification, NetworkForImageClassification

    def __init__(self, num_channels, image_size):
        self.num_channels, self.image_size = num_channels, image_size

    def from_pretrained(self, name, *, output_loading_info=False, **kwargs):
        """A Hub id, a folder, or the name of a network: "resnet20", "resnet8x4", "mobilenetv2x0.5"."""
        if read_spec(str(name)) is None:
            return self.auto_class.from_pretrained(name, output_loading_info=output_loading_info, **kwargs)
        taken = inspect.signature(self.network_class.from_network).parameters
        labels = {key: value for key, value in kwargs.items() if key in taken and key != "label2id"}
        if "id2label" in labels:
            labels.pop("num_labels", None)
        model = self.network_class.from_network(
            name, image_size=self.image_size, num_channels=self.num_channels, **labels
        )
        model.to(kwargs.get("dtype") or torch.float32)
        fresh = {"missing_keys": {key for key, _ in model.named_parameters()}, "mismatched_keys": set()}
        return (model, fresh) if output_loading_info else model
