"""Capture the outputs of chosen layers during a forward pass."""

from collections.abc import Callable, Iterable
from contextlib import nullcontext
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel


class TapError(RuntimeError):
    """A tapped module did not run, or returned no tensor."""


class FeatureTap:
    """Captures copies of the outputs of chosen modules, by hooks that are removed on exit.

    Copies, because the next operation may be in place (`ReLU(inplace=True)`, `out += shortcut`) and would overwrite the
    captured tensor. Gradients flow through them.

    ```python
    with FeatureTap(student, ["transformer.layer.3"]) as tap:
        student(**batch)
        features = tap.take()      # name -> tensor, and the tap is empty again
    ```

    Args:
        model (`nn.Module`): The model whose modules are tapped.
        names (`Iterable[str]`): Module names as in `model.named_modules()`. Without names the model gets no hooks.
        wrapper (`nn.Module`, *optional*): What is called instead of the model. A `DistributedDataParallel` returns the
            captured tensors with the output of the model, so that it knows all that a loss may read: parameters that
            only the rest of the output depends on are then no error.

    Raises:
        ValueError: A name is not in the model; the message lists the closest names.
    """

    def __init__(self, model: nn.Module, names: Iterable[str], wrapper: nn.Module | None = None):
        self.names = tuple(dict.fromkeys(names))
        modules = dict(model.named_modules()) if self.names else {}  # listing them takes time, in every step
        for name in self.names:
            if name not in modules:
                raise ValueError(_unknown(name, model, modules))
        self._modules = {name: modules[name] for name in self.names}
        self._passed_through = (model, wrapper) if isinstance(wrapper, DistributedDataParallel) else None
        self._model = model
        self._features: dict[str, Any] = {}
        self._handles: list[torch.utils.hooks.RemovableHandle] = []

    def __enter__(self) -> "FeatureTap":
        for name, module in self._modules.items():
            self._handles.append(module.register_forward_hook(self._hook(name)))
        if self.names and self._passed_through is not None:
            model, wrapper = self._passed_through
            self._handles.append(model.register_forward_hook(lambda module, inputs, output: (output, self._features)))
            self._handles.append(wrapper.register_forward_hook(self._take_from_wrapper))
        return self

    def _take_from_wrapper(self, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> Any:
        output, self._features = output
        return output

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._features.clear()

    def _hook(self, name: str) -> Callable[..., None]:
        def capture(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            # Overwritten, never appended: gradient checkpointing runs inner layers twice.
            first = output[0] if isinstance(output, (tuple, list)) and output else output
            self._features[name] = _copy(first) if isinstance(first, torch.Tensor) else first

        return capture

    def take(self) -> dict[str, torch.Tensor]:
        """The tensors captured since the last call, by module name; the tap is empty afterwards.

        Raises:
            TapError: A module did not run, or returned no tensor.
        """
        features, self._features = self._features, {}
        for name in self.names:
            if not isinstance(features.get(name), torch.Tensor):
                reason = f"returned {type(features[name]).__name__}" if name in features else "never ran"
                if name not in features and any(map(_is_compiled, self._model.modules())):
                    reason += (
                        " (or ran in a graph that torch.compile made without the tap: call `torch.compiler.reset()`)"
                    )
                raise TapError(
                    f"The tap on '{name}' captured no tensor: the module {reason} in this forward pass, so a loss on it "
                    f"would be a silent zero. Tap a module that runs every time and returns a tensor."
                )
        return features


def forget_compiled(model: nn.Module) -> None:
    """Have a model that `torch.compile` compiled be compiled again at its next call: its graphs have no taps yet.

    Call it once, before the first forward pass with taps. Hooks that are registered after a graph was made are not in it.
    """
    if any(map(_is_compiled, model.modules())):
        torch.compiler.reset()


def _is_compiled(module: nn.Module) -> bool:
    return type(module).__name__ == "OptimizedModule" or getattr(module, "_compiled_call_impl", None) is not None


def _copy(tensor: torch.Tensor) -> torch.Tensor:
    # An inference tensor cannot enter a graph; its copy made outside of that mode is an ordinary tensor.
    with torch.inference_mode(False) if tensor.is_inference() else nullcontext():
        return tensor.clone()


def _unknown(name: str, model: nn.Module, modules: dict[str, nn.Module]) -> str:
    from difflib import get_close_matches

    names = [known for known in modules if known]
    near = get_close_matches(name, names, n=4, cutoff=0.3) or names[:4]
    return (
        f"Layer '{name}' is not in the model ({type(model).__name__}, {len(names)} modules). Taps are read by module "
        f"name; the nearest here are: {', '.join(near)}."
    )
