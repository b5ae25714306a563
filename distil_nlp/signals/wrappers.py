"""Wrappers: modules that pass their inputs on to another model.

PEFT adapters, DataParallel, DistributedDataParallel, FSDP, torch.compile, averaged models, and modules of users whose
forward takes `**kwargs`.
"""

import inspect
from collections.abc import Iterator
from typing import Any, cast

import torch
from torch import nn


def forward_parameters(module: nn.Module) -> list[inspect.Parameter]:
    """The parameters of a module's forward, those of TorchScript included."""
    if isinstance(module, torch.jit.ScriptModule):
        forward: Any = module.forward
        names = [argument.name for argument in forward.schema.arguments[1:]]  # the first is the module itself
        return [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in names]
    return list(inspect.signature(module.forward).parameters.values())


def wrapper_chain(model: nn.Module) -> Iterator[nn.Module]:
    """Yield a model, then the model that it passes its inputs on to, and so on to the innermost.

    A module is a wrapper if its forward takes any keyword (`**kwargs`) and it has one child with parameters; a model of
    transformers never is, and a PEFT model always is.
    """
    module: nn.Module | None = model
    while module is not None:
        yield module
        module = _wrapped(module)


def unwrapped(model: nn.Module) -> nn.Module:
    """The transformers model inside wrappers; the module itself where there is none."""
    return next((module for module in wrapper_chain(model) if _is_of_transformers(module)), model)


def config_of(model: nn.Module) -> Any:
    """The config of a model, or of the model inside wrappers; None without one."""
    configs = (getattr(module, "config", None) for module in wrapper_chain(model))
    return next((config for config in configs if config is not None), None)


def inner_prefix(model: nn.Module) -> str:
    """The prefix that wrappers add to the module names of the transformers model inside: "module.", "" without wrappers."""
    inner = unwrapped(model)
    if inner is model:
        return ""
    return next(f"{name}." for name, module in model.named_modules() if module is inner)


def _wrapped(module: nn.Module) -> nn.Module | None:
    """The module that a wrapper passes its inputs on to; None for a module that is no wrapper."""
    if not isinstance(module, nn.Module) or _is_of_transformers(module):
        return None
    if hasattr(type(module), "get_base_model"):  # PEFT
        return cast("Any", module).get_base_model()
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in forward_parameters(module)):
        return None
    children = list(module.children())
    children = [child for child in children if next(child.parameters(), None) is not None] or children
    return children[0] if len(children) == 1 else None


def _is_of_transformers(module: nn.Module) -> bool:
    return hasattr(type(module), "config_class")
