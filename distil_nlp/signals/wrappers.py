"""Wrappers: modules that pass their inputs on to another model.

PEFT adapters, DataParallel, DistributedDataParallel, FSDP, torch.compile, averaged models, and modules of users whose
forward takes `**kwargs`.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast

from torch import nn

from .arguments import Arguments, forward_parameters, keywords_read, named, takes_any_keyword


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


def without_library_wrappers(model: nn.Module) -> nn.Module:
    """The module of the user inside wrappers of PyTorch and PEFT; the innermost where it is one of them, too."""
    chain = list(wrapper_chain(model))
    return next((module for module in chain if not _is_of_library(module)), chain[-1])


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


def taken_arguments(module: nn.Module) -> Arguments:
    """The arguments that a module takes: those its forward names, and those it reads from `**kwargs` or passes on.

    A wrapper of a library passes all on to the model inside. What becomes of the `**kwargs` of another module is read from
    its source; without one, or where they are used in a way that is not understood, they are passed on to the model of
    transformers inside, if it is a wrapper of one.
    """
    parameters = forward_parameters(module)
    own = Arguments(named(parameters))
    if not takes_any_keyword(parameters):
        return replace(own, is_strict=True)
    if _is_of_transformers(module):
        return own
    inner = _wrapped(module)
    read = None
    if inner is None or not _is_of_library(module):
        read = keywords_read(module, module.forward, taken_arguments)
        inner = inner if inner is not None and _is_of_transformers(unwrapped(inner)) else None
    if read is None:
        read = Arguments(are_all=False) if inner is None else taken_arguments(inner)
    return replace(read, names=own.names | read.names)


def _is_of_library(module: nn.Module) -> bool:
    """Whether the class of a module comes with PyTorch or PEFT."""
    return hasattr(type(module), "get_base_model") or type(module).__module__.startswith("torch.")


def _wrapped(module: nn.Module) -> nn.Module | None:
    """The module that a wrapper passes its inputs on to; None for a module that is no wrapper."""
    if not isinstance(module, nn.Module) or _is_of_transformers(module):
        return None
    if hasattr(type(module), "get_base_model"):  # PEFT
        return cast("Any", module).get_base_model()
    if not takes_any_keyword(forward_parameters(module)):
        return None
    children = list(module.children())
    children = [child for child in children if next(child.parameters(), None) is not None] or children
    return children[0] if len(children) == 1 else None


def _is_of_transformers(module: nn.Module) -> bool:
    return hasattr(type(module), "config_class")
