"""Weights of a narrower model out of a wider one: the hidden states become projections, heads and units are chosen."""

from contextlib import ExitStack
from dataclasses import dataclass

import torch
from torch import nn

from ..models.architectures import ENCODERS, base_prefix, layer_list, pooled_units
from .sizes import Sizes

_NUM_TEXTS, _TEXT_LENGTH = 64, 16  # 1,024 rows for each module, 64 for a head


@torch.no_grad()
def narrow(student, wide, width_init, *, skip=()):
    """Fill `student` with the weights of `wide`, which has the same layers and the same class.

    "svd": one map with orthonormal columns, from the wide hidden states to the narrow ones, goes through the whole
    model: what writes hidden states is followed by it, what reads them is preceded by its transpose. It holds the
    principal components of the hidden states that the model makes of random tokens, so no data is needed. They lie
    elsewhere than word embeddings do: a PCA of these alone was a worse start than slicing. Then

    - LayerNorm does not commute with a projection: scale and bias are those that come nearest to the projected
      output, by least squares over the same tokens. In a head, the scale is the diagonal of the projected one.
    - two matrices that meet in an attention head (queries and keys; values and output) are cut by a truncated SVD of
      their product where heads get narrower. Of heads, whole ones are kept.
    - units of a feed-forward block or of the pooled vector pass through an activation, which an SVD would mix: whole
      ones are kept.
    - heads and units kept are those that make the output after them vary most over the same tokens; what the others
      add to it on average goes into the bias.
    - other maps of a head are projected like hidden states, though an activation comes after (masked language; all of
      ModernBERT's).

    "slice": the first rows and columns, the first heads, the first units.

    Heads that get wider start with queries and outputs of zero in the added part, which changes nothing yet.

    Args:
        student (`PreTrainedModel`): Changed in place, except for the tensors in `skip`.
        wide (`PreTrainedModel`): Only read.
        width_init (`str`): "svd" or "slice".
        skip (iterable of `str`): Names of tensors to leave alone.

    Returns:
        `list` of `str`: Notes for the report.
    """
    teacher, ours = Sizes.of(wide.config), Sizes.of(student.config)
    tensors = {name: tensor.double().cpu() for name, tensor in wide.state_dict().items()}
    method = _Svd(wide, ours) if width_init == "svd" else _Slice(wide, ours)
    made = {**_layers(wide, tensors, teacher, ours, method), **method.norms(tensors)}
    for name, tensor in student.state_dict().items():
        if name not in skip:
            value = made[name] if name in made else _projected(tensors[name], tensor.shape, method.hidden)
            tensor.copy_(value)
    return method.notes + _head_notes(teacher, ours)


class _Slice:
    """The first of everything."""

    def __init__(self, wide, sizes):
        self.notes = []
        self.hidden = torch.eye(wide.config.hidden_size, sizes.hidden_size, dtype=torch.float64)

    def importance(self, name, weight, num_groups):
        return -torch.arange(num_groups)

    def left_out(self, name, weight, num_groups, chosen):
        return 0.0

    def cut(self, left, right, size):
        return left[:size], right[:size]

    def norms(self, tensors):
        return {}  # the first entries, as of any other vector


class _Svd:
    """Principal components, truncated products, and the heads and units that matter most."""

    def __init__(self, wide, sizes):
        self.notes = []
        width = wide.config.hidden_size
        self._norms, self._maps = activation_statistics(wide)
        self._modules = {name: one for name, one in wide.named_modules() if isinstance(one, nn.LayerNorm)}
        self.hidden = torch.eye(width, dtype=torch.float64)
        if sizes.hidden_size == width:
            return
        outputs = (heard.output.double() for heard in self._norms.values())
        moment = sum(output.T @ output for output in outputs)
        self.hidden = principal_directions(moment, sizes.hidden_size)
        kept = (self.hidden.T @ moment @ self.hidden).trace() / moment.trace()
        self.notes.append(f"the projection keeps {100 * kept:.1f} % of the squared length of hidden states")

    def importance(self, name, weight, num_groups):
        """Of groups of a map's inputs (heads, or units): how much of the variance of its output is theirs."""
        _, covariance = self._maps[name].statistics(num_groups)
        parts = weight.unflatten(1, (num_groups, -1)).transpose(0, 1)  # (groups, out, inputs of a group)
        return (parts @ covariance * parts).sum(dim=(1, 2))

    def left_out(self, name, weight, num_groups, chosen):
        """What the groups that are not chosen add to the output on average: it goes into the bias."""
        mean, _ = self._maps[name].statistics(num_groups)
        others = torch.ones(num_groups, dtype=torch.bool)
        others[chosen] = False
        return (weight * mean).unflatten(1, (num_groups, -1))[:, others].sum(dim=(1, 2))

    def cut(self, left, right, size):
        """Two matrices (rank, a), (rank, b) of the given rank whose product `left.T @ right` is nearest to theirs."""
        left_basis, left = torch.linalg.qr(left.T)
        right_basis, right = torch.linalg.qr(right.T)
        u, s, v = torch.linalg.svd(left @ right.T)
        left, right = (left_basis @ u * s.sqrt()).T, (right_basis @ v.T * s.sqrt()).T
        return left[:size], right[:size]

    def norms(self, tensors):
        wide, narrow = self.hidden.shape
        fitted = {}
        for name, module in self._modules.items() if narrow < wide else ():
            bias = tensors.get(f"{name}.bias")
            if name in self._norms:
                scale, shift = _fitted_norm(self._norms[name], self.hidden, module.eps, has_bias=bias is not None)
                fitted[f"{name}.weight"] = scale
                if bias is not None:
                    fitted[f"{name}.bias"] = shift
            elif module.weight.shape == (wide,):  # in a head, which was not heard
                fitted[f"{name}.weight"] = tensors[f"{name}.weight"] @ self.hidden.square()
        return fitted


def _fitted_norm(heard, hidden, eps, *, has_bias):
    """Scale and bias of a LayerNorm over the projected input, by least squares to the projected output."""
    ours = nn.functional.layer_norm(heard.input.double() @ hidden, hidden.shape[1:], eps=eps)
    target = heard.output.double() @ hidden
    mean, target_mean = (ours.mean(dim=0), target.mean(dim=0)) if has_bias else (0, 0)
    variance = (ours - mean).square().sum(dim=0).clamp(min=1e-12)  # a direction that is never used keeps nothing
    scale = ((ours - mean) * (target - target_mean)).sum(dim=0) / variance
    return scale, target_mean - scale * mean


def _layers(wide, tensors, teacher, ours, method):
    """The tensors whose attention heads or feed-forward units change, by name."""
    encoder, made = ENCODERS[wide.config.model_type], {}
    names = [f"{layer_list(wide)}.{place}" for place in range(wide.config.num_hidden_layers)]
    attentions = [_Attention(tensors, name, encoder, teacher, method) for name in names]
    importance = torch.stack([attention.importance() for attention in attentions])
    if encoder.head_bias:  # a table that all layers share can lose a head only where all of them do
        importance = importance.sum(dim=0, keepdim=True).expand_as(importance)
    for name, attention, of_heads in zip(names, attentions, importance, strict=True):
        heads = _top(of_heads, ours.num_attention_heads)
        made.update(attention.reduced(heads, ours, wide.config.initializer_range))
        into, out = (f"{name}.{path}" for path in encoder.feed_forward)
        outputs = method.hidden.T @ tensors[f"{out}.weight"]
        made.update(_units(tensors, into, out, outputs, ours.intermediate_size, method))
    if pooled := pooled_units(wide):
        made.update(_units(tensors, *pooled, tensors[f"{pooled[1]}.weight"], ours.hidden_size, method))
    if encoder.head_bias:
        name = f"{base_prefix(wide)}{encoder.head_bias}.weight"
        made[name] = tensors[name][:, heads]
    return made


class _Attention:
    """The attention of one layer between projected hidden states, head by head; a bias is one more column."""

    def __init__(self, tensors, layer, encoder, teacher, method):
        self.names = [f"{layer}.{path}" for path in encoder.attention]
        self.output_name = f"{layer}.{encoder.attention_output}"
        self.teacher, self.method = teacher, method
        weight = torch.cat([tensors[f"{name}.weight"] for name in self.names]) @ method.hidden
        self.has_bias = f"{self.names[0]}.bias" in tensors
        if self.has_bias:
            weight = torch.cat([weight, torch.cat([tensors[f"{name}.bias"] for name in self.names])[:, None]], dim=1)
        self.query, self.key, self.value = weight.view(3, teacher.num_attention_heads, teacher.head_size, -1)
        self.output = method.hidden.T @ tensors[f"{self.output_name}.weight"]
        self.output_bias = tensors.get(f"{self.output_name}.bias")

    def importance(self):
        return self.method.importance(self.output_name, self.output, self.teacher.num_attention_heads)

    def reduced(self, heads, ours, spread):
        made = {"query": [], "key": [], "value": [], "output": []}
        outputs = self.output.T.unflatten(0, (self.teacher.num_attention_heads, -1))
        for head in heads:
            pairs = {("query", "key"): (self.query[head], self.key[head])}
            pairs["output", "value"] = (outputs[head], self.value[head])
            for (first, second), (left, right) in pairs.items():
                if ours.head_size < self.teacher.head_size:
                    left, right = self.method.cut(left, right, ours.head_size)
                made[first].append(_grown(left, ours.head_size, 0.0))  # zeros here leave every product as it was
                made[second].append(_grown(right, ours.head_size, spread))
        made = {name: torch.cat(rows) for name, rows in made.items()}
        scale = (ours.head_size / self.teacher.head_size) ** 0.25  # scores are divided by the root of the head's size
        parts = [made["query"] * scale, made["key"] * scale, made["value"]]
        return {**self._inputs(parts), **self._output(made["output"].T, heads)}

    def _inputs(self, parts):
        parts, tensors = [torch.cat(parts)] if len(self.names) == 1 else parts, {}
        for name, part in zip(self.names, parts, strict=True):
            tensors[f"{name}.weight"] = part[:, :-1] if self.has_bias else part
            if self.has_bias:
                tensors[f"{name}.bias"] = part[:, -1]
        return tensors

    def _output(self, weight, heads):
        tensors = {f"{self.output_name}.weight": weight}
        if self.output_bias is not None:
            lost = self.method.left_out(self.output_name, self.output, self.teacher.num_attention_heads, heads)
            tensors[f"{self.output_name}.bias"] = self.method.hidden.T @ self.output_bias + lost
        return tensors


def _units(tensors, into, out, outputs, count, method):
    """The most important of the units between two maps, with nothing but an activation at each.

    A gated block has two rows for each unit, all the gates after all the inputs.

    Args:
        into, out (`str`): Names of the maps.
        outputs (`torch.Tensor`): The weight of the second, its outputs as they will be.
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


def _top(importance, count):
    return importance.topk(count).indices.sort().values


def _grown(rows, size, spread):
    """`size` rows, the added ones random with standard deviation `spread`."""
    return torch.cat([rows, torch.randn(size - len(rows), rows.shape[1]).double() * spread])


def _projected(tensor, shape, hidden):
    """Every dimension that gets narrower is one of hidden states: the others keep their size."""
    for dim, size in enumerate(shape):
        if tensor.shape[dim] != size:
            tensor = (tensor.movedim(dim, -1) @ hidden).movedim(-1, dim)
    return tensor


def _head_notes(teacher, ours):
    if ours.head_size <= teacher.head_size:
        return []
    return [
        f"attention heads are {ours.head_size} wide where the teacher's are {teacher.head_size}: what is added starts "
        f"without effect"
    ]


@dataclass
class ActivationStatistics:
    """What a module took and gave.

    Args:
        input, output (`torch.Tensor`): Shape (tokens, width), float32.
    """

    input: torch.Tensor
    output: torch.Tensor

    def statistics(self, num_groups):
        """Mean of the input, shape (width,), and its covariance in each of equal groups of neighbors, shape
        (num_groups, width / num_groups, width / num_groups). Float64."""
        rows = self.input.double()
        mean = rows.mean(dim=0)
        groups = (rows - mean).unflatten(1, (num_groups, -1)).transpose(0, 1)
        return mean, groups.transpose(1, 2) @ groups / len(rows)


@torch.no_grad()
def activation_statistics(model):
    """Run random tokens, always the same ones, through the model.

    Args:
        model (`PreTrainedModel`): One of `ENCODERS`. Left as it was.

    Returns:
        `(norms, maps)`, each module name -> `ActivationStatistics`: the LayerNorms over hidden states, and the maps of
        every layer that leave its attention heads and its feed-forward units, and the one that leaves the pooled vector.
    """
    base, prefix, encoder = model.base_model, base_prefix(model), ENCODERS[model.config.model_type]
    norms = {
        prefix + name: module
        for name, module in base.named_modules()
        if isinstance(module, nn.LayerNorm) and tuple(module.normalized_shape) == (model.config.hidden_size,)
    }
    layers = [f"{layer_list(model)}.{place}" for place in range(model.config.num_hidden_layers)]
    paths = [f"{layer}.{path}" for layer in layers for path in (encoder.attention_output, encoder.feed_forward[1])]
    pooled = pooled_units(model)
    maps = {path: model.get_submodule(path) for path in [*paths, *pooled[1:]]}
    heard, was_training = {}, model.training
    with ExitStack() as stack:
        for name, module in {**norms, **maps}.items():
            stack.callback(module.register_forward_hook(_keeper(heard, name)).remove)
        stack.callback(model.train, was_training)
        model.eval()
        speaker = model if pooled else base
        speaker(input_ids=_random_tokens(model.config).to(model.device))
    return {name: heard[name] for name in norms}, {name: heard[name] for name in maps}


def _keeper(heard, name):
    def keep(module, args, output):
        heard[name] = ActivationStatistics(*(tensor.flatten(0, -2).float().cpu() for tensor in (args[0], output)))

    return keep


def _random_tokens(config):
    length = min(_TEXT_LENGTH, config.max_position_embeddings // 2)
    tokens = torch.randint(config.vocab_size, (_NUM_TEXTS, length), generator=torch.Generator().manual_seed(0))
    return torch.where(tokens == config.pad_token_id, (tokens + 1) % config.vocab_size, tokens)  # padding is no token


def principal_directions(moment, num_directions):
    """The directions in which vectors are longest, most first. The caller centers the vectors, or does not.

    Args:
        moment (`torch.Tensor`): Shape (width, width), the sum of every vector times itself transposed. Float64.
        num_directions (`int`): At most `width`.

    Returns:
        `torch.Tensor` of shape (width, num_directions) with orthonormal columns, the largest entry of each positive.
    """
    _, directions = torch.linalg.eigh(moment)  # ascending eigenvalues
    directions = directions.flip(1)[:, :num_directions]
    largest = directions.gather(0, directions.abs().argmax(dim=0, keepdim=True))
    return directions * largest.sign()
