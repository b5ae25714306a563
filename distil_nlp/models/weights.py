"""The weights of a model wherever they are: in parameters, packed by quantization, or offloaded by accelerate."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn


def weights_of(model: nn.Module) -> dict[str, torch.Tensor]:
    """All tensors of a model's state, by name, with packed (dynamic int8, as integers) and offloaded ones."""
    return dict(tensor for name, value in _state(model).items() for tensor in _tensors(name, value))


def num_weights(model: nn.Module) -> int:
    """Number of parameters, tied ones counted once, with those that quantization has packed."""
    packed = (value for value in _state(model).values() if not isinstance(value, torch.Tensor))
    tensors = [tensor for value in packed for _, tensor in _tensors("", value) if tensor.dim() > 0]
    sizes = {tensor.data_ptr(): tensor.numel() for tensor in tensors}  # a recurrent layer has its biases twice
    return sum(parameter.numel() for parameter in model.parameters()) + sum(sizes.values())


def is_offloaded(model: nn.Module) -> bool:
    """Whether accelerate moves the weights to the device for each forward pass only (cpu_offload, disk_offload)."""
    return any(parameter.is_meta for parameter in model.parameters()) and next(_hooks(model), None) is not None


def device_of(model: Any) -> torch.device:
    """The device that a module runs on; the CPU if it has no parameters, and for a callable that is no module."""
    parameters = getattr(model, "parameters", lambda: iter(()))
    first = next((parameter for parameter in parameters() if not parameter.is_meta), None)
    if first is not None:
        return first.device
    hooks = _hooks(model) if isinstance(model, nn.Module) else iter(())
    device = next(
        (hook.execution_device for hook in hooks if getattr(hook, "execution_device", None) is not None), "cpu"
    )
    return torch.device(device)


def _hooks(model: nn.Module) -> Iterator[Any]:
    """Hooks of accelerate."""
    for module in model.modules():
        hook = getattr(module, "_hf_hook", None)
        yield from getattr(hook, "hooks", () if hook is None else (hook,))


def _state(model: nn.Module) -> dict[str, Any]:
    if not is_offloaded(model):
        return model.state_dict()
    from accelerate.utils.modeling import get_state_dict_offloaded_model

    return get_state_dict_offloaded_model(model)


def _tensors(name: str, value: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors in a value of a state: itself, or those inside a tuple or a packed object."""
    if isinstance(value, torch.ScriptObject):
        value = value.__getstate__()
    if isinstance(value, torch.Tensor):
        if not value.is_quantized:
            yield name, value.detach()
            return
        per_channel = value.qscheme() in (torch.per_channel_affine, torch.per_channel_affine_float_qparams)
        yield name, value.detach().int_repr()
        yield f"{name}.scale", value.q_per_channel_scales() if per_channel else torch.tensor(value.q_scale())
    elif isinstance(value, (tuple, list)):
        for index, part in enumerate(value):
            yield from _tensors(f"{name}.{index}", part)
