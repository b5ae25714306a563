"""Weights of a narrower model out of a wider one: the hidden states become projections, heads and units are chosen."""

from dataclasses import dataclass

import torch
from torch import nn

from ..architectures import ENCODERS, base_prefix, layer_list
from .embeddings import principal_directions
from .sizes import Sizes

_NUM_TEXTS, _TEXT_LENGTH = 64, 32  # 2,048 hidden states for each LayerNorm: more than any of our widths


@torch.no_grad()
def narrow(student, wide, width_init, *, skip=()):
    """Fill `student` with the weights of `wide`, which has the same layers and the same class.

    "svd": one map with orthonormal columns, from the wide hidden states to the narrow ones, goes through the whole
    model: what writes hidden states is followed by it, what reads them is preceded by its transpose. It holds the
    principal components of hidden states that the model makes of random tokens, so no data is needed. They lie
    elsewhere than word embeddings do: a PCA of these alone was a worse start than slicing. LayerNorm does not commute
    with a projection, so its scale and bias are those that come nearest to the projected output, by least squares on
    the same tokens. A LayerNorm in a head gets the projection's diagonal. A product of two matrices that meet in an
    attention head (queries and keys; values and output) is cut by a truncated SVD where the head gets narrower; of
    heads, those stay whose values and output make the largest product. Feed-forward units pass through an activation,
    which an SVD would mix, so whole units are kept: those with the largest product of incoming and outgoing norms.

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

    def most_important(self, importance, count):
        return torch.arange(count)

    def cut(self, left, right, size):
        return left[:size], right[:size]

    def norms(self, tensors):
        return {}  # the first entries, as of any other vector


class _Svd:
    """Principal components, truncated products, and the heads and units that matter most."""

    def __init__(self, wide, sizes):
        self.notes, self._heard = [], []
        self._layer_norms = {name for name, one in wide.named_modules() if isinstance(one, nn.LayerNorm)}
        if sizes.hidden_size == wide.config.hidden_size:
            self.hidden = torch.eye(sizes.hidden_size, dtype=torch.float64)
            return
        self._heard = _listen(wide)
        states = torch.cat([heard.output for heard in self._heard])
        self.hidden = principal_directions(states, sizes.hidden_size)
        kept = ((states @ self.hidden).square().sum() / states.square().sum()).item()
        self.notes.append(f"the projection keeps {100 * kept:.1f} % of the squared length of hidden states")

    def most_important(self, importance, count):
        return importance.topk(count).indices.sort().values

    def cut(self, left, right, size):
        """Two matrices (rank, a), (rank, b) of the given rank whose product `left.T @ right` is nearest to theirs."""
        left_basis, left = torch.linalg.qr(left.T)
        right_basis, right = torch.linalg.qr(right.T)
        u, s, v = torch.linalg.svd(left @ right.T)
        left, right = (left_basis @ u * s.sqrt()).T, (right_basis @ v.T * s.sqrt()).T
        return left[:size], right[:size]

    def norms(self, tensors):
        fitted = {}
        projection = self.hidden.square()
        for name in self._layer_norms if self._heard else ():  # in heads, which were not heard
            weight = tensors[f"{name}.weight"]
            if len(weight) == len(projection):
                fitted[f"{name}.weight"] = weight @ projection
        for heard in self._heard:
            fitted.update(heard.fit(self.hidden, has_bias=f"{heard.name}.bias" in tensors))
        return fitted


@dataclass
class _Heard:
    """What a LayerNorm took and gave, a row for each token."""

    name: str
    eps: float
    input: torch.Tensor
    output: torch.Tensor

    def fit(self, hidden, *, has_bias):
        """Scale and bias of a LayerNorm over the projected input, by least squares to the projected output."""
        ours = nn.functional.layer_norm(self.input @ hidden, hidden.shape[1:], eps=self.eps)
        target = self.output @ hidden
        mean, target_mean = (ours.mean(dim=0), target.mean(dim=0)) if has_bias else (0, 0)
        scale = ((ours - mean) * (target - target_mean)).sum(dim=0) / (ours - mean).square().sum(dim=0)
        bias = {f"{self.name}.bias": target_mean - scale * mean} if has_bias else {}
        return {f"{self.name}.weight": scale, **bias}


def _listen(wide):
    """Inputs and outputs of every LayerNorm over hidden states in the base model, for random tokens."""
    base, heard, hooks = wide.base_model, [], []

    def hear(name):
        def hook(module, args, output):
            width = output.shape[-1]
            taken, given = (tensor.reshape(-1, width).double().cpu() for tensor in (args[0], output))
            heard.append(_Heard(base_prefix(wide) + name, module.eps, taken, given))

        return hook

    for name, module in base.named_modules():
        if isinstance(module, nn.LayerNorm) and tuple(module.normalized_shape) == (wide.config.hidden_size,):
            hooks.append(module.register_forward_hook(hear(name)))
    was_training = base.training
    try:
        base.eval()(input_ids=_random_tokens(wide.config).to(wide.device))
    finally:
        base.train(was_training)
        for hook in hooks:
            hook.remove()
    return heard


def _random_tokens(config):
    """Always the same, so that the same teacher gives the same student; padding would be no token."""
    length = min(_TEXT_LENGTH, config.max_position_embeddings // 2)
    tokens = torch.randint(config.vocab_size, (_NUM_TEXTS, length), generator=torch.Generator().manual_seed(0))
    return torch.where(tokens == config.pad_token_id, (tokens + 1) % config.vocab_size, tokens)


def _layers(wide, tensors, teacher, ours, method):
    """The tensors whose attention heads or feed-forward units change, by name."""
    encoder, made = ENCODERS[wide.config.model_type], {}
    names = [f"{layer_list(wide)}.{place}" for place in range(wide.config.num_hidden_layers)]
    attentions = [_Attention(tensors, name, encoder, teacher, method.hidden) for name in names]
    importance = torch.stack([attention.importance() for attention in attentions])
    if encoder.head_bias:  # a table that all layers share can lose a head only where all of them do
        importance = importance.mean(dim=0, keepdim=True).expand_as(importance)
    for name, attention, one in zip(names, attentions, importance, strict=True):
        heads = method.most_important(one, ours.num_attention_heads)
        made.update(attention.reduced(heads, ours, method, wide.config.initializer_range))
        made.update(_feed_forward(tensors, name, encoder, teacher, ours, method))
    if encoder.head_bias:
        name = f"{base_prefix(wide)}{encoder.head_bias}.weight"
        made[name] = tensors[name][:, heads]
    return made


class _Attention:
    """The attention of one layer between projected hidden states, head by head; a bias is one more column."""

    def __init__(self, tensors, layer, encoder, teacher, hidden):
        self.names = [f"{layer}.{path}" for path in encoder.attention]
        self.output_name = f"{layer}.{encoder.attention_output}"
        self.teacher, self.hidden = teacher, hidden
        self.has_bias = f"{self.names[0]}.bias" in tensors
        weight = torch.cat([tensors[f"{name}.weight"] for name in self.names]) @ hidden
        bias = torch.cat([tensors[f"{name}.bias"] for name in self.names])[:, None] if self.has_bias else weight[:, :0]
        heads = teacher.num_attention_heads
        self.query, self.key, self.value = torch.cat([weight, bias], dim=1).view(3, heads, teacher.head_size, -1)
        output = hidden.T @ tensors[f"{self.output_name}.weight"]
        self.output = output.T.view(heads, teacher.head_size, -1)

    def importance(self):
        """Of each head: the size of what its values become in the hidden state."""
        return torch.linalg.matrix_norm(self.output.transpose(1, 2) @ self.value)

    def reduced(self, heads, ours, method, spread):
        made = {"query": [], "key": [], "value": [], "output": []}
        for head in heads:
            for left, right in (("query", "key"), ("output", "value")):
                pair = getattr(self, left)[head], getattr(self, right)[head]
                if ours.head_size < self.teacher.head_size:
                    pair = method.cut(*pair, ours.head_size)
                for name, rows, added in zip((left, right), pair, (0.0, spread), strict=True):
                    extra = torch.randn(ours.head_size - len(rows), rows.shape[1]).double() * added
                    made[name].append(torch.cat([rows, extra]))
        scale = (ours.head_size / self.teacher.head_size) ** 0.25  # scores are divided by the root of the head's size
        parts = [torch.cat(made["query"]) * scale, torch.cat(made["key"]) * scale, torch.cat(made["value"])]
        parts = [torch.cat(parts)] if len(self.names) == 1 else parts
        tensors, width = {f"{self.output_name}.weight": torch.cat(made["output"]).T}, self.hidden.shape[1]
        for name, part in zip(self.names, parts, strict=True):
            tensors[f"{name}.weight"] = part[:, :width]
            if self.has_bias:
                tensors[f"{name}.bias"] = part[:, width]
        return tensors


def _feed_forward(tensors, layer, encoder, teacher, ours, method):
    """The most important units. A gated block has two rows for each unit, all the gates after all the inputs."""
    into, out = (f"{layer}.{path}" for path in encoder.feed_forward)
    inputs = (tensors[f"{into}.weight"] @ method.hidden).unflatten(0, (-1, teacher.intermediate_size))
    outputs = method.hidden.T @ tensors[f"{out}.weight"]
    importance = inputs.norm(dim=-1).prod(dim=0) * outputs.norm(dim=0)
    units = method.most_important(importance, ours.intermediate_size)
    made = {f"{into}.weight": inputs[:, units].flatten(0, 1), f"{out}.weight": outputs[:, units]}
    if f"{into}.bias" in tensors:
        bias = tensors[f"{into}.bias"].unflatten(0, (-1, teacher.intermediate_size))
        made[f"{into}.bias"] = bias[:, units].flatten()
    return made


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
