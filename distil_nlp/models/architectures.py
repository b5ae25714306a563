"""Table of encoder and decoder architectures: paths of their layers and of the maps inside a layer.

The only place in the package with knowledge of single architectures: a new one is a new row.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel

from ..internals.messages import shown
from ..signals.wrappers import config_of, inner_prefix, unwrapped
from .feature_stages import stage_names


@dataclass(frozen=True)
class EncoderArchitecture:
    """Paths and config names needed to choose layers of an encoder, to tap them, or to change its width.

    Args:
        layers (`str`): Path of the layer list from the base model.
        attention (`tuple` of `str`): Paths, from a layer, of the query, key and value projections; a single path for a
            fused projection of all three.
        plain_attention (`bool`): Attention scores are the dot products of these queries and keys and nothing else:
            no rotary positions, no position bias added to the scores.
        per_layer (`tuple` of `str`): Config entries that are lists with one value per layer.
        intermediate (`str`): Config name of the feed-forward width. Other sizes have the same name in every
            architecture, by transformers' `attribute_map`.
        attention_output (`str`): Path, from a layer, of the output projection of the attention heads.
        feed_forward (`tuple` of `str`): Paths, from a layer, of the maps into and out of the feed-forward width.
        head_bias (`str`): Path, from the base model, of a table shared by all layers with a column for each
            attention head.
        pooled (`tuple` of `str`): Paths, from a model with a classification head, of the maps into and out of the
            units of its pooled vector, with only an activation between them.
    """

    layers: str = "encoder.layer"
    attention: tuple[str, ...] = ("attention.self.query", "attention.self.key", "attention.self.value")
    plain_attention: bool = True
    per_layer: tuple[str, ...] = ()
    intermediate: str = "intermediate_size"
    attention_output: str = "attention.output.dense"
    feed_forward: tuple[str, str] = ("intermediate.dense", "output.dense")
    head_bias: str = ""
    pooled: tuple[str, ...] = ("classifier.dense", "classifier.out_proj")


EMBEDDINGS = "embeddings"  # also the name of the attribute in every architecture of the table
QKV = ("query", "key", "value")

ENCODERS = {
    "bert": EncoderArchitecture(pooled=("bert.pooler.dense", "classifier")),
    "roberta": EncoderArchitecture(),
    "xlm-roberta": EncoderArchitecture(),
    "camembert": EncoderArchitecture(),
    "electra": EncoderArchitecture(),
    "mpnet": EncoderArchitecture(
        attention=("attention.attn.q", "attention.attn.k", "attention.attn.v"),
        plain_attention=False,
        attention_output="attention.attn.o",
        head_bias="encoder.relative_attention_bias",
    ),
    "distilbert": EncoderArchitecture(
        layers="transformer.layer",
        attention=("attention.q_lin", "attention.k_lin", "attention.v_lin"),
        intermediate="hidden_dim",
        attention_output="attention.out_lin",
        feed_forward=("ffn.lin1", "ffn.lin2"),
        pooled=("pre_classifier", "classifier"),
    ),
    "modernbert": EncoderArchitecture(
        layers="layers",
        attention=("attn.Wqkv",),
        plain_attention=False,
        per_layer=("layer_types",),
        attention_output="attn.Wo",
        feed_forward=("mlp.Wi", "mlp.Wo"),
        pooled=(),
    ),
}

# The layers of an encoder-decoder are its decoder's: path of their list from the base model, config name of their number.
DECODERS = {"whisper": ("decoder.layers", "decoder_layers")}


# Models that pad a text on the right, to whole windows, before their layers: hidden states are longer than the mask.
INNER_PADDING = ("longformer", "big_bird")


def without_inner_padding(
    model: nn.Module, features: dict[str, torch.Tensor], batch: Mapping[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Outputs of layers at the positions of the batch alone, of models that pad a text inside (`INNER_PADDING`).

    Args:
        model (`nn.Module`): The model that was run.
        features (`dict[str, torch.Tensor]`): Outputs of its modules, by name.
        batch (`Mapping[str, torch.Tensor]`): The columns it read.
    """
    mask = batch.get("attention_mask")
    if not features or mask is None or getattr(config_of(model), "model_type", None) not in INNER_PADDING:
        return features
    length = mask.shape[1]
    return {
        name: tensor[:, :length] if tensor.dim() == 3 and tensor.shape[1] > length else tensor
        for name, tensor in features.items()
    }


@dataclass(frozen=True)
class OutputSlice:
    """One of the equal parts of a module's output along its last dimension.

    Args:
        module (`str`): Name of the module to tap.
        index, num_parts (`int`): Index of the part, and the number of parts.
    """

    module: str
    index: int = 0
    num_parts: int = 1

    def read(self, features: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Slice of a tapped output; `features` maps module names to outputs."""
        tensor = features[self.module]
        return tensor if self.num_parts == 1 else tensor.chunk(self.num_parts, dim=-1)[self.index]


def layer_name(model: nn.Module, layer: int | str) -> str:
    """Module name of a layer given by number, by "embeddings" or by name.

    Args:
        model (`nn.Module`): A transformers encoder or an image network; any module where `layer` is a module's name.
        layer (`int` or `str`): A layer counted from 0 (-1 is the last) among those of `layer_names`, "embeddings", or a
            module name as in `model.named_modules()`, of the model or of the one inside its wrappers (PEFT).

    Raises:
        ValueError: There is no such layer.
    """
    prefix, inner = inner_prefix(model), cast("PreTrainedModel", unwrapped(model))
    if isinstance(layer, str) and layer != EMBEDDINGS:
        inside = prefix and layer in dict(inner.named_modules())
        return prefix + layer if inside else layer  # FeatureTap raises for a name that the model does not have
    if layer == EMBEDDINGS:
        _check_encoder(inner, layer)
        return prefix + base_prefix(inner) + EMBEDDINGS
    names = layer_names(model)
    if isinstance(layer, bool) or not isinstance(layer, int) or not -len(names) <= layer < len(names):
        raise ValueError(
            f"Layer {shown(layer)} is not in {type(model).__name__}, which has layers 0 to {len(names) - 1} (or "
            f"{-len(names)} to -1, from the end). Name one of these, 'embeddings', or a module by its full name."
        )
    return names[layer]


def layer_names(model: nn.Module) -> list[str]:
    """Names of the modules that layer numbers refer to: an encoder's layers, or the stages of an image network.

    Args:
        model (`nn.Module`): With `config.num_hidden_layers`, or an image model for `stage_names`.

    Returns:
        `list[str]`: Module names in order of execution.

    Raises:
        ValueError: The model has neither layers nor stages.
    """
    prefix, inner = inner_prefix(model), cast("PreTrainedModel", unwrapped(model))
    return [prefix + name for name in _layer_names(inner)]


def _layer_names(model: PreTrainedModel) -> list[str]:
    config = getattr(model, "config", None)
    if layer_count(config) is None or getattr(config, "feature_paths", None):
        return stage_names(model)
    try:
        layers = layer_list(model)
    except ValueError:
        if getattr(model, "main_input_name", None) != "pixel_values":
            raise
        return stage_names(model)  # a detector, or a config that counts convolutions
    return [f"{layers}.{index}" for index in range(layer_count(config))]


def layer_count(config: PreTrainedConfig | None) -> int | None:
    """Number of layers in a config (of an encoder-decoder: of its decoder), None where the config has no such entry."""
    return getattr(config, _count_name(config), None)


def required_layer_count(model: PreTrainedModel) -> int:
    """Number of layers of a model.

    Raises:
        ValueError: Its config has no such entry.
    """
    count = layer_count(model.config)
    if count is None:
        raise ValueError(
            f"The config of {type(model).__name__} has no {_count_name(model.config)}, so its layers cannot be selected. "
            f"Build the student yourself and pass the module, or give it by size or by name."
        )
    return count


def set_layer_count(config: PreTrainedConfig, count: int) -> None:
    """Set the number of layers in a config, of an encoder-decoder that of its decoder."""
    setattr(config, _count_name(config), count)


def _count_name(config: PreTrainedConfig | None) -> str:
    _, name = DECODERS.get(getattr(config, "model_type", None), (None, "num_hidden_layers"))
    return name


def qkv_slices(model: nn.Module, layer: int | str) -> dict[str, OutputSlice]:
    """Module outputs with the queries, keys and values of a layer.

    Returns:
        `dict[str, OutputSlice]` with "query", "key" and "value"; tensors of shape (batch, sequence, width).

    Raises:
        ValueError: There is no such layer, or the architecture is not in `ENCODERS`.
    """
    name = layer_name(model, layer)
    model_type = getattr(config_of(model), "model_type", None)
    encoder = ENCODERS.get(model_type)
    if encoder is None:
        raise ValueError(
            f"The query, key and value projections of {type(model).__name__} ({shown(model_type)}) are not known, so its "
            f"attention cannot be matched. They are known for {', '.join(ENCODERS)}; match hidden states instead."
        )
    if len(encoder.attention) == 1:
        return {part: OutputSlice(f"{name}.{encoder.attention[0]}", index, 3) for index, part in enumerate(QKV)}
    return {part: OutputSlice(f"{name}.{path}") for part, path in zip(QKV, encoder.attention, strict=True)}


def pooled_units(model: PreTrainedModel) -> tuple[str, ...]:
    """Names of the maps into and out of the pooled vector's units; empty where the model has no such head."""
    encoder = ENCODERS[model.config.model_type]
    modules = dict(model.named_modules())
    return encoder.pooled if all(name in modules for name in encoder.pooled) else ()


def base_prefix(model: PreTrainedModel) -> str:
    """Prefix of the base model's tensors in a `state_dict`: "bert." under a head, "" in a bare model."""
    return "" if model.base_model is model else f"{model.base_model_prefix}."


def _check_encoder(model: nn.Module, layer: int | str) -> None:
    if not hasattr(getattr(model, "config", None), "num_hidden_layers"):
        raise ValueError(
            f"Layer {shown(layer)} of {type(model).__name__} is not known, because its config has no num_hidden_layers. "
            f"Give the module's name, as in model.named_modules()."
        )


def layer_list(model: PreTrainedModel) -> str:
    """Path of the model's list of layers, for example "bert.encoder.layer".

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


def per_layer_settings(config: PreTrainedConfig) -> dict[str, list[Any]]:
    """Config entries with one value per layer, by name: ModernBERT's `layer_types`, for example.

    For architectures outside `ENCODERS`, every list as long as `num_hidden_layers`, except token ids and class names.
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


def _search_layer_list(model: PreTrainedModel) -> str:
    num_layers = getattr(model.config, "num_hidden_layers", None)
    lists = {name: len(module) for name, module in model.named_modules() if isinstance(module, nn.ModuleList)}
    matching = [name for name, length in lists.items() if length == num_layers]
    matching = [name for name in matching if not any(name.startswith(f"{outer}.") for outer in matching)]
    if len(matching) == 1 and not model.config.is_encoder_decoder:
        return matching[0]
    listed = ", ".join(f"{name} ({length})" for name, length in lists.items()) or "none"
    raise ValueError(
        f"The list of layers of {type(model).__name__} is ambiguous: expected an encoder with exactly one "
        f"nn.ModuleList of config.num_hidden_layers={num_layers}; its module lists are {listed}. Layers are known by "
        f"name for {', '.join(ENCODERS)}. Build the student yourself and pass it as a model."
    )
