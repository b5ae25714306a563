"""Where each architecture keeps its layers and what is in them. One row an architecture; everyone reads this table."""

from dataclasses import dataclass

from torch import nn

from .feature_stages import stage_names


@dataclass(frozen=True)
class Encoder:
    """What we must know of an architecture to choose among its layers, to listen to them or to change its width.

    Args:
        layers (`str`): Path of the layer list from the base model.
        attention (`tuple` of `str`): Paths, from a layer, of the three maps that make queries, keys and values; or of
            the one that makes all three side by side.
        plain_attention (`bool`): Attention scores are the dot products of these queries and keys, nothing more:
            positions are neither rotated in nor added to the scores.
        per_layer (`tuple` of `str`): Config entries that are lists with one value per layer.
        intermediate (`str`): Config name of the feed-forward width. Other sizes have the same name everywhere,
            by transformers' `attribute_map`.
        attention_output (`str`): Path, from a layer, of the map that leaves the attention heads.
        feed_forward (`tuple` of `str`): Paths, from a layer, of the maps into and out of the feed-forward width.
        head_bias (`str`): Path, from the base model, of a table shared by all layers with a column for each
            attention head.
        pooled (`tuple` of `str`): Paths, from a model with a classification head, of the maps into and out of the
            units of its pooled vector, between which there is only an activation.
    """

    layers: str = "encoder.layer"
    attention: tuple = ("attention.self.query", "attention.self.key", "attention.self.value")
    plain_attention: bool = True
    per_layer: tuple = ()
    intermediate: str = "intermediate_size"
    attention_output: str = "attention.output.dense"
    feed_forward: tuple = ("intermediate.dense", "output.dense")
    head_bias: str = ""
    pooled: tuple = ("classifier.dense", "classifier.out_proj")


EMBEDDINGS = "embeddings"  # also the attribute's name in every architecture of the table
QKV = ("query", "key", "value")

ENCODERS = {
    "bert": Encoder(pooled=("bert.pooler.dense", "classifier")),
    "roberta": Encoder(),
    "xlm-roberta": Encoder(),
    "camembert": Encoder(),
    "electra": Encoder(),
    "mpnet": Encoder(
        attention=("attention.attn.q", "attention.attn.k", "attention.attn.v"),
        plain_attention=False,
        attention_output="attention.attn.o",
        head_bias="encoder.relative_attention_bias",
    ),
    "distilbert": Encoder(
        layers="transformer.layer",
        attention=("attention.q_lin", "attention.k_lin", "attention.v_lin"),
        intermediate="hidden_dim",
        attention_output="attention.out_lin",
        feed_forward=("ffn.lin1", "ffn.lin2"),
        pooled=("pre_classifier", "classifier"),
    ),
    "modernbert": Encoder(
        layers="layers",
        attention=("attn.Wqkv",),
        plain_attention=False,
        per_layer=("layer_types",),
        attention_output="attn.Wo",
        feed_forward=("mlp.Wi", "mlp.Wo"),
        pooled=(),
    ),
}


# Of encoder-decoders, the layers are the decoder's: path of their list from the base model, config name of their number.
DECODERS = {"whisper": ("decoder.layers", "decoder_layers")}


@dataclass(frozen=True)
class Slot:
    """Where a tensor lies in what modules return: in one of the equal parts of a module's last dimension.

    Args:
        module (`str`): Module name, to be tapped.
        place, num_parts (`int`): Which part, of how many.
    """

    module: str
    place: int = 0
    num_parts: int = 1

    def read(self, features):
        """The tensor, from a dictionary of what tapped modules returned."""
        tensor = features[self.module]
        return tensor if self.num_parts == 1 else tensor.chunk(self.num_parts, dim=-1)[self.place]


def layer_name(model, layer):
    """The module that a user means by a layer.

    Args:
        model (`nn.Module`): A transformers encoder, a network over images; any module where `layer` is a module's name.
        layer (`int` or `str`): A layer counted from 0 (-1 is the last) among those of `layer_names`, "embeddings", or a
            module name as in `model.named_modules()`.

    Raises:
        ValueError: There is no such layer.
    """
    if isinstance(layer, str) and layer != EMBEDDINGS:
        return layer  # FeatureTap has the message for a name that is not there
    if layer == EMBEDDINGS:
        _check_encoder(model, layer)
        return base_prefix(model) + EMBEDDINGS
    names = layer_names(model)
    if isinstance(layer, bool) or not isinstance(layer, int) or not -len(names) <= layer < len(names):
        raise ValueError(
            f"Layer {layer!r} is not in {type(model).__name__}, which has layers 0 to {len(names) - 1} (or "
            f"{-len(names)} to -1, from the end). Name one of these, 'embeddings', or a module by its full name."
        )
    return names[layer]


def layer_names(model):
    """The modules that numbers of layers count: an encoder's layers, or the stages of a network over images.

    Args:
        model (`nn.Module`): With `config.num_hidden_layers`, or one that `stages` can look at.

    Returns:
        `list[str]`: Module names in order of execution.

    Raises:
        ValueError: Neither.
    """
    config = getattr(model, "config", None)
    if layer_count(config) is None or getattr(config, "feature_paths", None):
        return stage_names(model)
    try:
        layers = layer_list(model)
    except ValueError:
        if getattr(model, "main_input_name", None) != "pixel_values":
            raise
        return stage_names(
            model
        )  # a network whose config counts its convolutions, a detector: its maps are its layers
    return [f"{layers}.{place}" for place in range(layer_count(config))]


def layer_count(config):
    """How many layers there are to choose among, of an encoder-decoder those of its decoder; None where nothing says."""
    return getattr(config, _count_name(config), None)


def set_layer_count(config, count):
    """Change it."""
    setattr(config, _count_name(config), count)


def _count_name(config):
    _, name = DECODERS.get(getattr(config, "model_type", None), (None, "num_hidden_layers"))
    return name


def qkv_slices(model, layer):
    """Where the queries, keys and values of a layer can be read.

    Returns:
        `dict[str, Slot]` with "query", "key" and "value"; tensors of shape (batch, sequence, width).

    Raises:
        ValueError: There is no such layer, or an architecture whose attention we do not know.
    """
    name = layer_name(model, layer)
    model_type = getattr(getattr(model, "config", None), "model_type", None)
    encoder = ENCODERS.get(model_type)
    if encoder is None:
        raise ValueError(
            f"Where {type(model).__name__} ({model_type!r}) makes its queries, keys and values is not "
            f"known, so nothing can be learned from them. It is for {', '.join(ENCODERS)}; elsewhere match hidden states."
        )
    if len(encoder.attention) == 1:
        return {part: Slot(f"{name}.{encoder.attention[0]}", place, 3) for place, part in enumerate(QKV)}
    return {part: Slot(f"{name}.{path}") for part, path in zip(QKV, encoder.attention, strict=True)}


def pooled_units(model):
    """Names of the maps into and out of the pooled vector's units, nothing where the model has no such head."""
    encoder = ENCODERS[model.config.model_type]
    modules = dict(model.named_modules())
    return encoder.pooled if all(name in modules for name in encoder.pooled) else ()


def base_prefix(model):
    """What precedes the base model's tensors in a `state_dict`: "bert." under a head, nothing in a bare model."""
    return "" if model.base_model is model else f"{model.base_model_prefix}."


def _check_encoder(model, layer):
    if not hasattr(getattr(model, "config", None), "num_hidden_layers"):
        raise ValueError(
            f"Layer {layer!r} of {type(model).__name__} is not known: it has no config.num_hidden_layers, as "
            f"encoders have. Name the module, as in model.named_modules()."
        )


def layer_list(model):
    """The path of the model's list of layers, for example "bert.encoder.layer".

    Architectures outside `ENCODERS` and `DECODERS` qualify when exactly one `nn.ModuleList` is as long as
    `config.num_hidden_layers`.

    Raises:
        ValueError: There is no such list, or more than one.
    """
    if model.config.model_type in DECODERS:
        return base_prefix(model) + DECODERS[model.config.model_type][0]
    encoder = ENCODERS.get(model.config.model_type)
    if encoder is None:
        return _search_layer_list(model)
    return base_prefix(model) + encoder.layers


def per_layer_settings(config):
    """The config's lists with one value per layer, by name: ModernBERT's `layer_types`, for example.

    Outside `ENCODERS` every list as long as `num_hidden_layers` counts, token ids and class names aside.
    """
    encoder = ENCODERS.get(config.model_type)
    if config.model_type in DECODERS:
        return {}
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
