"""What a model does with random tokens: enough to see where its hidden states lie, and no data is needed."""

from contextlib import ExitStack
from dataclasses import dataclass

import torch
from torch import nn

from ..models.architectures import ENCODERS, base_prefix, layer_list, pooled_units

_NUM_TEXTS, _TEXT_LENGTH = 64, 16  # 1,024 rows for each module, 64 for a head


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
