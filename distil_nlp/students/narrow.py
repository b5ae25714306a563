"""Initializes a narrower model from a wider one: hidden states are projected, heads and units are chosen."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel

from ..models.architectures import ENCODERS, EncoderArchitecture, base_prefix, layer_list, pooled_units
from .sizes import Sizes

_NUM_TEXTS, _TEXT_LENGTH = 64, 16  # 1,024 rows for each module, 64 for a head


@torch.no_grad()
def narrow(student: PreTrainedModel, wide: PreTrainedModel, width_init: str, *, skip: Iterable[str] = ()) -> list[str]:
    """Fill `student` with the weights of `wide`, which has the same layers and the same class.

    "svd": the same map with orthonormal columns, from the wide hidden states to the narrow ones, is applied in the whole
    model: weights that produce hidden states are multiplied by it, weights that consume them by its transpose. Its columns
    are the principal components of the hidden states that the model computes for random tokens, so no data is needed.
    (Those of the word embeddings differ: a PCA of these alone was a worse initialization than slicing.) Then

    - LayerNorm does not commute with a projection: scale and bias are those that come nearest to the projected
      output, by least squares over the same tokens. In a head, the scale is the diagonal of the projected scale.
    - two matrices that meet in an attention head (queries and keys; values and output) are reduced by a truncated SVD of
      their product where heads get narrower. Where there are fewer heads, whole heads are kept.
    - units of a feed-forward block or of the pooled vector pass through an activation, which an SVD would mix: whole
      units are kept.
    - the heads and units kept are those that contribute most to the variance of the output after them, over the same
      tokens; the mean contribution of the others is added to the bias.
    - other maps of a head are projected like hidden states, although an activation follows (masked language; all of
      ModernBERT's).

    "slice": the first rows and columns, the first heads, the first units.

    Heads that get wider start with queries and outputs of zero in the added part, which does not change the outputs.

    Args:
        student (`PreTrainedModel`): Changed in place, except for the tensors in `skip`.
        wide (`PreTrainedModel`): Only read.
        width_init (`str`): "svd" or "slice".
        skip (iterable of `str`): Names of tensors to leave alone.

    Returns:
        `list` of `str`: Notes for the report.
    """
    skip = set(skip)
    wide_sizes, sizes = Sizes.of(wide.config), Sizes.of(student.config)
    tensors = {name: tensor.double().cpu() for name, tensor in wide.state_dict().items()}
    method: _Method = _Svd(wide, sizes) if width_init == "svd" else _Slice(wide, sizes)
    reduced = {**_layers(wide, tensors, wide_sizes, sizes, method), **method.norms(tensors)}
    for name, tensor in student.state_dict().items():
        if name not in skip:
            value = reduced[name] if name in reduced else _projected(tensors[name], tensor.shape, method.hidden)
            tensor.copy_(value)
    return method.notes + _head_notes(wide_sizes, sizes)


class _Method(Protocol):
    """Decisions of a `width_init`: the projection of hidden states, and the heads and units that are kept."""

    notes: list[str]
    hidden: torch.Tensor

    def importance(self, name: str, weight: torch.Tensor, num_groups: int) -> torch.Tensor:
        """Score of each group of a map's inputs (heads, or units): the groups with the highest are kept."""

    def left_out(self, name: str, weight: torch.Tensor, num_groups: int, chosen: torch.Tensor) -> torch.Tensor | float:
        """Mean contribution of the groups that are not kept, to be added to the bias."""

    def cut(self, left: torch.Tensor, right: torch.Tensor, size: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Matrices (size, a), (size, b) that approximate the product `left.T @ right`."""

    def norms(self, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Scales and biases of the LayerNorms, by name."""


class _Slice:
    """Keeps the first rows, columns, heads and units."""

    def __init__(self, wide: PreTrainedModel, sizes: Sizes):
        self.notes: list[str] = []
        self.hidden = torch.eye(wide.config.hidden_size, sizes.hidden_size, dtype=torch.float64)

    def importance(self, name: str, weight: torch.Tensor, num_groups: int) -> torch.Tensor:
        return -torch.arange(num_groups)

    def left_out(self, name: str, weight: torch.Tensor, num_groups: int, chosen: torch.Tensor) -> float:
        return 0.0

    def cut(self, left: torch.Tensor, right: torch.Tensor, size: int) -> tuple[torch.Tensor, torch.Tensor]:
        return left[:size], right[:size]

    def norms(self, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {}  # their first entries, as of every other vector


class _Svd:
    """Projects on principal components, truncates products, keeps the most important heads and units."""

    def __init__(self, wide: PreTrainedModel, sizes: Sizes):
        self.notes: list[str] = []
        width = wide.config.hidden_size
        self._norms, self._maps = activation_statistics(wide)
        self._modules = {name: module for name, module in wide.named_modules() if isinstance(module, nn.LayerNorm)}
        self.hidden = torch.eye(width, dtype=torch.float64)
        if sizes.hidden_size == width:
            return
        outputs = (recorded.output.double() for recorded in self._norms.values())
        moment = sum((output.T @ output for output in outputs), start=torch.zeros((), dtype=torch.float64))
        self.hidden = principal_directions(moment, sizes.hidden_size)
        share = (self.hidden.T @ moment @ self.hidden).trace() / moment.trace()
        self.notes.append(f"the projection keeps {100 * share:.1f} % of the squared length of hidden states")

    def importance(self, name: str, weight: torch.Tensor, num_groups: int) -> torch.Tensor:
        """Variance of a map's output due to each group of its inputs (heads, or units)."""
        _, covariance = self._maps[name].statistics(num_groups)
        parts = weight.unflatten(1, (num_groups, -1)).transpose(0, 1)  # (groups, out, inputs of a group)
        return (parts @ covariance * parts).sum(dim=(1, 2))

    def left_out(self, name: str, weight: torch.Tensor, num_groups: int, chosen: torch.Tensor) -> torch.Tensor:
        """Mean contribution to the output of the groups that are not chosen, to be added to the bias."""
        mean, _ = self._maps[name].statistics(num_groups)
        others = torch.ones(num_groups, dtype=torch.bool)
        others[chosen] = False
        return (weight * mean).unflatten(1, (num_groups, -1))[:, others].sum(dim=(1, 2))

    def cut(self, left: torch.Tensor, right: torch.Tensor, size: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Matrices (size, a), (size, b) with the rank-`size` product nearest to `left.T @ right`, by a truncated SVD."""
        left_basis, left = torch.linalg.qr(left.T)
        right_basis, right = torch.linalg.qr(right.T)
        u, s, v = torch.linalg.svd(left @ right.T)
        left, right = (left_basis @ u * s.sqrt()).T, (right_basis @ v.T * s.sqrt()).T
        return left[:size], right[:size]

    def norms(self, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        wide, narrow = self.hidden.shape
        fitted = {}
        for name, module in self._modules.items() if narrow < wide else ():
            bias = tensors.get(f"{name}.bias")
            if name in self._norms:
                scale, shift = _fitted_norm(self._norms[name], self.hidden, module.eps, has_bias=bias is not None)
                fitted[f"{name}.weight"] = scale
                if bias is not None:
                    fitted[f"{name}.bias"] = shift
            elif module.weight.shape == (wide,):  # in a head, whose activations were not recorded
                fitted[f"{name}.weight"] = tensors[f"{name}.weight"] @ self.hidden.square()
        return fitted


def _fitted_norm(
    recorded: "ActivationStatistics", hidden: torch.Tensor, eps: float, *, has_bias: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Scale and bias of a LayerNorm over the projected input, by least squares to the projected output."""
    normalized = nn.functional.layer_norm(recorded.input.double() @ hidden, hidden.shape[1:], eps=eps)
    target = recorded.output.double() @ hidden
    mean, target_mean = (normalized.mean(dim=0), target.mean(dim=0)) if has_bias else (0, 0)
    variance = (normalized - mean).square().sum(dim=0).clamp(min=1e-12)  # an unused direction gets scale 0
    scale = ((normalized - mean) * (target - target_mean)).sum(dim=0) / variance
    return scale, target_mean - scale * mean


def _layers(
    wide: PreTrainedModel,
    tensors: Mapping[str, torch.Tensor],
    wide_sizes: Sizes,
    sizes: Sizes,
    method: _Method,
) -> dict[str, torch.Tensor]:
    """The tensors whose attention heads or feed-forward units change, by name."""
    encoder = ENCODERS[wide.config.model_type]
    reduced: dict[str, torch.Tensor] = {}
    names = [f"{layer_list(wide)}.{layer}" for layer in range(wide.config.num_hidden_layers)]
    attentions = [_Attention(tensors, name, encoder, wide_sizes, method) for name in names]
    importance = torch.stack([attention.importance() for attention in attentions])
    if encoder.head_bias:  # a table shared by all layers can lose a head only if all of them do
        importance = importance.sum(dim=0, keepdim=True).expand_as(importance)
    for name, attention, head_importance in zip(names, attentions, importance, strict=True):
        heads = _top(head_importance, sizes.num_attention_heads)
        reduced.update(attention.reduced(heads, sizes, wide.config.initializer_range))
        into, out = (f"{name}.{path}" for path in encoder.feed_forward)
        outputs = method.hidden.T @ tensors[f"{out}.weight"]
        reduced.update(_units(tensors, into, out, outputs, sizes.intermediate_size, method))
    if pooled := pooled_units(wide):
        into, out = pooled
        reduced.update(_units(tensors, into, out, tensors[f"{out}.weight"], sizes.hidden_size, method))
    if encoder.head_bias:
        name = f"{base_prefix(wide)}{encoder.head_bias}.weight"
        reduced[name] = tensors[name][:, heads]
    return reduced


class _Attention:
    """The attention of one layer between projected hidden states, head by head; a bias is one more column."""

    def __init__(
        self,
        tensors: Mapping[str, torch.Tensor],
        layer: str,
        encoder: EncoderArchitecture,
        sizes: Sizes,
        method: _Method,
    ):
        self.names = [f"{layer}.{path}" for path in encoder.attention]
        self.output_name = f"{layer}.{encoder.attention_output}"
        self.sizes, self.method = sizes, method
        weight = torch.cat([tensors[f"{name}.weight"] for name in self.names]) @ method.hidden
        self.has_bias = f"{self.names[0]}.bias" in tensors
        if self.has_bias:
            weight = torch.cat([weight, torch.cat([tensors[f"{name}.bias"] for name in self.names])[:, None]], dim=1)
        self.query, self.key, self.value = weight.view(3, sizes.num_attention_heads, sizes.head_size, -1)
        self.output = method.hidden.T @ tensors[f"{self.output_name}.weight"]
        self.output_bias = tensors.get(f"{self.output_name}.bias")

    def importance(self) -> torch.Tensor:
        """Importance of each head, see `_Method.importance`."""
        return self.method.importance(self.output_name, self.output, self.sizes.num_attention_heads)

    def reduced(self, heads: torch.Tensor, sizes: Sizes, std: float) -> dict[str, torch.Tensor]:
        """The attention's tensors with `heads` only, in the given sizes; rows that a head gains have deviation `std`."""
        rows: dict[str, list[torch.Tensor]] = {"query": [], "key": [], "value": [], "output": []}
        outputs = self.output.T.unflatten(0, (self.sizes.num_attention_heads, -1))
        for head in heads:
            pairs = {("query", "key"): (self.query[head], self.key[head])}
            pairs["output", "value"] = (outputs[head], self.value[head])
            for (first, second), (left, right) in pairs.items():
                if sizes.head_size < self.sizes.head_size:
                    left, right = self.method.cut(left, right, sizes.head_size)
                rows[first].append(
                    _with_random_rows(left, sizes.head_size, 0.0)
                )  # zeros here do not change the products
                rows[second].append(_with_random_rows(right, sizes.head_size, std))
        made = {name: torch.cat(parts) for name, parts in rows.items()}
        scale = (sizes.head_size / self.sizes.head_size) ** 0.25  # scores are divided by the root of the head size
        parts = [made["query"] * scale, made["key"] * scale, made["value"]]
        return {**self._inputs(parts), **self._output(made["output"].T, heads)}

    def _inputs(self, parts: list[torch.Tensor]) -> dict[str, torch.Tensor]:
        parts = [torch.cat(parts)] if len(self.names) == 1 else parts
        tensors: dict[str, torch.Tensor] = {}
        for name, part in zip(self.names, parts, strict=True):
            tensors[f"{name}.weight"] = part[:, :-1] if self.has_bias else part
            if self.has_bias:
                tensors[f"{name}.bias"] = part[:, -1]
        return tensors

    def _output(self, weight: torch.Tensor, heads: torch.Tensor) -> dict[str, torch.Tensor]:
        tensors = {f"{self.output_name}.weight": weight}
        if self.output_bias is not None:
            left_out = self.method.left_out(self.output_name, self.output, self.sizes.num_attention_heads, heads)
            tensors[f"{self.output_name}.bias"] = self.method.hidden.T @ self.output_bias + left_out
        return tensors


def _units(
    tensors: Mapping[str, torch.Tensor], into: str, out: str, outputs: torch.Tensor, count: int, method: _Method
) -> dict[str, torch.Tensor]:
    """The tensors of two maps with only an activation between them, reduced to the most important units.

    A gated block has two rows for each unit, all the gates after all the inputs.

    Args:
        into, out (`str`): Names of the maps.
        outputs (`torch.Tensor`): The weight of the second map, with its outputs already projected.
    """
    num_units = outputs.shape[1]
    units = _top(method.importance(out, outputs, num_units), count)
    inputs = (tensors[f"{into}.weight"] @ method.hidden).unflatten(0, (-1, num_units))
    made = {f"{into}.weight": inputs[:, units].flatten(0, 1), f"{out}.weight": outputs[:, units]}
    if f"{into}.bias" in tensors:
        made[f"{into}.bias"] = tensors[f"{into}.bias"].unflatten(0, (-1, num_units))[:, units].flatten()
    if f"{out}.bias" in tensors:
        bias = tensors[f"{out}.bias"]
        bias = bias if len(bias) == len(outputs) else method.hidden.T @ bias
        made[f"{out}.bias"] = bias + method.left_out(out, outputs, num_units, units)
    return made


def _top(importance: torch.Tensor, count: int) -> torch.Tensor:
    return importance.topk(count).indices.sort().values


def _with_random_rows(rows: torch.Tensor, size: int, std: float) -> torch.Tensor:
    """`rows` with random rows of standard deviation `std` appended, `size` in total."""
    return torch.cat([rows, torch.randn(size - len(rows), rows.shape[1]).double() * std])


def _projected(tensor: torch.Tensor, shape: torch.Size, hidden: torch.Tensor) -> torch.Tensor:
    """A tensor with every dimension that gets narrower projected: it is a dimension of hidden states."""
    for dim, size in enumerate(shape):
        if tensor.shape[dim] != size:
            tensor = (tensor.movedim(dim, -1) @ hidden).movedim(-1, dim)
    return tensor


def _head_notes(wide_sizes: Sizes, sizes: Sizes) -> list[str]:
    if sizes.head_size <= wide_sizes.head_size:
        return []
    return [
        f"attention heads are {sizes.head_size} wide where the teacher's are {wide_sizes.head_size}: what is added starts "
        f"without effect"
    ]


@dataclass
class ActivationStatistics:
    """Inputs and outputs of a module.

    Args:
        input, output (`torch.Tensor`): Shape (tokens, width), float32.
    """

    input: torch.Tensor
    output: torch.Tensor

    def statistics(self, num_groups: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean of the input, shape (width,), and its covariance in each of equal groups of neighbors, shape
        (num_groups, width / num_groups, width / num_groups). Float64."""
        rows = self.input.double()
        mean = rows.mean(dim=0)
        groups = (rows - mean).unflatten(1, (num_groups, -1)).transpose(0, 1)
        return mean, groups.transpose(1, 2) @ groups / len(rows)


@torch.no_grad()
def activation_statistics(
    model: PreTrainedModel,
) -> tuple[dict[str, ActivationStatistics], dict[str, ActivationStatistics]]:
    """Run random tokens through the model, the same in every call, and record inputs and outputs of modules.

    Args:
        model (`PreTrainedModel`): One of `ENCODERS`. Its mode and weights stay unchanged.

    Returns:
        `(norms, maps)`, each module name -> `ActivationStatistics`: the LayerNorms over hidden states, and the maps out of
        the attention heads, the feed-forward units and the pooled vector.
    """
    base, prefix, encoder = model.base_model, base_prefix(model), ENCODERS[model.config.model_type]
    norms = {
        prefix + name: module
        for name, module in base.named_modules()
        if isinstance(module, nn.LayerNorm) and tuple(module.normalized_shape) == (model.config.hidden_size,)
    }
    layers = [f"{layer_list(model)}.{layer}" for layer in range(model.config.num_hidden_layers)]
    paths = [f"{layer}.{path}" for layer in layers for path in (encoder.attention_output, encoder.feed_forward[1])]
    pooled = pooled_units(model)
    maps = {path: model.get_submodule(path) for path in [*paths, *pooled[1:]]}
    recorded: dict[str, ActivationStatistics] = {}
    was_training = model.training
    with ExitStack() as stack:
        for name, module in {**norms, **maps}.items():
            stack.callback(module.register_forward_hook(_recorder(recorded, name)).remove)
        stack.callback(model.train, was_training)
        model.eval()
        runnable = model if pooled else base
        runnable(input_ids=_random_tokens(model.config).to(model.device))
    return {name: recorded[name] for name in norms}, {name: recorded[name] for name in maps}


def _recorder(recorded: dict[str, ActivationStatistics], name: str) -> Callable[..., None]:
    def record(module: nn.Module, args: tuple[Any, ...], output: torch.Tensor) -> None:
        tensors = (tensor.flatten(0, -2).float().cpu() for tensor in (args[0], output))
        recorded[name] = ActivationStatistics(*tensors)

    return record


def _random_tokens(config: PreTrainedConfig) -> torch.Tensor:
    length = min(_TEXT_LENGTH, config.max_position_embeddings // 2)
    tokens = torch.randint(config.vocab_size, (_NUM_TEXTS, length), generator=torch.Generator().manual_seed(0))
    return torch.where(tokens == config.pad_token_id, (tokens + 1) % config.vocab_size, tokens)  # no padding


def principal_directions(moment: torch.Tensor, num_directions: int) -> torch.Tensor:
    """Directions of the largest second moment of a set of vectors, largest first; principal components if centered.

    Args:
        moment (`torch.Tensor`): Shape (width, width), sum of the vectors' outer products, float64.
        num_directions (`int`): At most `width`.

    Returns:
        `torch.Tensor` of shape (width, num_directions) with orthonormal columns, the largest entry of each positive.
    """
    _, directions = torch.linalg.eigh(moment)  # ascending eigenvalues
    directions = directions.flip(1)[:, :num_directions]
    largest = directions.gather(0, directions.abs().argmax(dim=0, keepdim=True))
    return directions * largest.sign()
