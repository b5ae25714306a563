"""Where each architecture keeps its layers and what is in them. One row an architecture; everyone reads this table."""

from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class Encoder:
    """What we must know of an architecture to choose among its layers, to listen to them or to change its width.

    Args:
        layers (`str`): Path of the layer list from the base model.
        attention (`tuple` of `str`): Paths, from a layer, of the three maps that make queries, keys and values; or of
            the one that makes all three side by side.
        per_layer (`tuple` of `str`): Config entries that are lists with one value per layer.
        intermediate (`str`): Config name of the feed-forward width. Other sizes have the same name everywhere,
            by transformers' `attribute_map`.
    """

    layers: str = "encoder.layer"
    attention: tuple = ("attention.self.query", "attention.self.key", "attention.self.value")
    per_layer: tuple = ()
    intermediate: str = "intermediate_size"


ENCODERS = {
    "bert": Encoder(),
    "roberta": Encoder(),
    "xlm-roberta": Encoder(),
    "camembert": Encoder(),
    "electra": Encoder(),
    "mpnet": Encoder(attention=("attention.attn.q", "attention.attn.k", "attention.attn.v")),
    "distilbert": Encoder(
        layers="transformer.layer",
        attention=("attention.q_lin", "attention.k_lin", "attention.v_lin"),
        intermediate="hidden_dim",
    ),
    "modernbert": Encoder(layers="layers", attention=("attn.Wqkv",), per_layer=("layer_types",)),
}


def base_prefix(model):
    """What precedes the base model's tensors in a `state_dict`: "bert." under a head, nothing in a bare model."""
    return "" if model.base_model is model else f"{model.base_model_prefix}."


def layer_list(model):
    """The path of the model's list of layers, for example "bert.encoder.layer".

    Architectures outside `ENCODERS` qualify when exactly one `nn.ModuleList` is as long as
    `config.num_hidden_layers`.

    Raises:
        ValueError: There is no such list, or more than one.
    """
    encoder = ENCODERS.get(model.config.model_type)
    if encoder is None:
        return _search_layer_list(model)
    return base_prefix(model) + encoder.layers


def per_layer_settings(config):
    """The config's lists with one value per layer, by name: ModernBERT's `layer_types`, for example.

    Outside `ENCODERS` every list as long as `num_hidden_layers` counts, token ids and class names aside.
    """
    encoder = ENCODERS.get(config.model_type)
    if encoder is not None:
        return {name: list(getattr(config, name)) for name in encoder.per_layer}
    return {
        name: list(value)
        for name, value in vars(config).items()
        if isinstance(value, (list, tuple))
        and len(value) == config.num_hidden_layers
        and name != "architectures"
        and not name.endswith(("_token_id", "_token_ids"))
    }


def _search_layer_list(model):
    num_layers = getattr(model.config, "num_hidden_layers", None)
    lists = {name: len(module) for name, module in model.named_modules() if isinstance(module, nn.ModuleList)}
    found = [name for name, length in lists.items() if length == num_layers]
    found = [name for name in found if not any(name.startswith(f"{outer}.") for outer in found)]
    if len(found) == 1 and not model.config.is_encoder_decoder:
        return found[0]
    listed = ", ".join(f"{name} ({length})" for name, length in lists.items()) or "none"
    raise ValueError(
        f"Cannot tell which part of {type(model).__name__} is its list of layers: expected an encoder with exactly "
        f"one nn.ModuleList of config.num_hidden_layers={num_layers}; its module lists are {listed}. Layers are known "
        f"by name for {', '.join(ENCODERS)}. Build the student yourself and pass it as a model."
    )
