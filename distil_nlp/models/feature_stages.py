"""The stages of an image network: the modules after which its feature maps become smaller."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from ..internals.messages import shown
from ..signals.forward import accepted_columns

_IMAGE = "pixel_values"
_CHANNELS, _SIZE = 3, 64  # large enough for five halvings
# These modules do not end a stage: they pad or pass on. (Dropout occurs on attention maps, which are not feature maps.)
_NO_MAP = (nn.ConstantPad2d, nn.ReflectionPad2d, nn.ReplicationPad2d, nn.Dropout)


def stage_names(model: nn.Module) -> list[str]:
    """Names of the modules that end the stages of an image model, in order of execution.

    They are `config.feature_paths` where the config has it. Otherwise the model runs an image of zeros: a stage ends with
    the last module, in order of execution, of each map size. What a block does at the old size before it makes the map
    smaller (norm, activation, a 1x1 convolution before the strided one) belongs to the block and ends no stage. Maps of
    one pixel count as vectors. Mode, statistics of normalization and random state of the model stay unchanged.

    Args:
        model (`nn.Module`): Takes images of shape (batch, channels, height, width), of `config.num_channels` and
            `config.image_size`; without these, of 3 channels (or those of the first convolution) and 64 x 64 pixels.

    Returns:
        `list[str]`: Module names as in `model.named_modules()`.

    Raises:
        ValueError: The model does not run, has no maps, or its `feature_paths` name modules that it does not have.
    """
    paths = getattr(getattr(model, "config", None), "feature_paths", None)
    if paths:
        return [_full_name(model, path) for path in paths]
    runs = _record_runs(model)
    sizes = {run.after for run in runs.values()} - {None, (1, 1)}
    if not sizes:
        raise ValueError(
            f"{type(model).__name__} has no stages: none of its modules returned a map of shape (batch, channels, height, "
            f"width). Give pairs of module names, as in model.named_modules()."
        )
    ends = [_end_of_stage(runs, size) for size in sizes]
    return sorted(ends, key=lambda name: runs[name].end)


@contextmanager
def in_eval_mode(model: nn.Module) -> Iterator[None]:
    """Put every module of `model` into eval mode, and afterwards each back into its own mode, frozen ones included."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def _full_name(model: nn.Module, path: str) -> str:
    """Module name of a path, which starts at the model or, for a plain network, at the base model inside it."""
    names = dict(model.named_modules())
    prefix = getattr(model, "base_model_prefix", "")
    for name in (path, f"{prefix}.{path}"):
        if name in names:
            return name
    raise ValueError(
        f"config.feature_paths of {type(model).__name__} names {shown(path)}, and there is no such module. Name modules "
        f"that end a stage, as in model.named_modules()."
    )


@dataclass
class _Run:
    """The last run of a module: its start and end, and the size (height, width) of the maps before and after it.

    `mixes`: whether it is a convolution with a kernel larger than one pixel.
    """

    start: int
    before: tuple[int, int] | None
    mixes: bool
    end: int = 0
    after: tuple[int, int] | None = None


def _end_of_stage(runs: dict[str, _Run], size: tuple[int, int]) -> str:
    """The last module with maps of a size, except for modules at the start of a block that makes the map smaller."""
    names = sorted((name for name, run in runs.items() if run.after == size), key=lambda name: runs[name].end)
    return next((name for name in reversed(names) if not _begins_a_block(runs, name)), names[-1])


def _begins_a_block(runs: dict[str, _Run], name: str) -> bool:
    """Whether all operations at this map size inside the enclosing block that changes the size are pointwise."""
    size, end = runs[name].after, runs[name].end
    parts = name.split(".")
    around = (runs.get(".".join(parts[:length])) for length in range(len(parts) - 1, 0, -1))
    block = next((run for run in around if run and run.before == size and run.after not in (size, None)), None)
    if block is None:
        return False
    return not any(
        run.mixes and run.before == run.after == size and block.start < run.start and run.end <= end
        for run in runs.values()
    )


def _record_runs(model: nn.Module) -> dict[str, _Run]:
    """Module name -> its last `_Run`, of every module inside that ran on an image of zeros."""
    runs: dict[str, _Run] = {}
    handles: list[RemovableHandle] = []
    clock = iter(range(10**9))
    image = _zero_image(model)
    try:
        for name, module in model.named_modules():
            if name:
                begin, finish = _recorders(runs, name, clock, image)
                handles.append(module.register_forward_pre_hook(begin, with_kwargs=True))
                handles.append(module.register_forward_hook(finish))
        with in_eval_mode(model), torch.no_grad(), torch.random.fork_rng():
            _run_image(model, image)
    except Exception as error:
        raise ValueError(
            f"The layers of {type(model).__name__} could not be counted: its config has no feature_paths, and an image "
            f"of zeros, {tuple(image.shape)}, gave {type(error).__name__}: {error}. Set config.image_size and "
            f"config.num_channels to what it takes, or give pairs of module names."
        ) from error
    finally:
        for handle in handles:
            handle.remove()
    return runs


def _recorders(
    runs: dict[str, _Run], name: str, clock: Iterator[int], image: torch.Tensor
) -> tuple[Callable[..., None], Callable[..., None]]:
    """Hooks that write the start and the end of a module's run into `runs`."""

    def begin(module: nn.Module, inputs: tuple, keywords: dict[str, Any]) -> None:
        mixes = isinstance(module, nn.Conv2d) and max(module.kernel_size) > 1
        runs[name] = _Run(next(clock), _map_size(next(iter([*inputs, *keywords.values()]), None), image), mixes)

    def finish(module: nn.Module, inputs: tuple, output: Any) -> None:
        first = output[0] if isinstance(output, (tuple, list)) and output else output
        runs[name].end = next(clock)
        runs[name].after = None if isinstance(module, _NO_MAP) else _map_size(first, image)

    return begin, finish


def _map_size(tensor: Any, image: torch.Tensor) -> tuple[int, int] | None:
    """(height, width) of a feature map, None for any other tensor: another shape, or channels in the last place."""
    if not isinstance(tensor, torch.Tensor) or tensor.dim() != 4:
        return None
    height, width = tensor.shape[2:]
    # A map has the image's proportions, up to rounding; (height, width, channels) has them only by chance.
    return (height, width) if abs(height * image.shape[3] / image.shape[2] - width) <= 1 else None


def _run_image(model: nn.Module, image: torch.Tensor) -> None:
    model(**{_IMAGE: image}) if _IMAGE in (accepted_columns(model) or ()) else model(image)


def _zero_image(model: nn.Module) -> torch.Tensor:
    config, first = getattr(model, "config", None), next(model.parameters(), torch.empty(0))
    channels = getattr(config, "num_channels", None)
    if channels is None:
        convolutions = (module.in_channels for module in model.modules() if isinstance(module, nn.Conv2d))
        channels = next(convolutions, _CHANNELS)
    size = getattr(config, "image_size", None) or _SIZE
    height, width = (size, size) if isinstance(size, int) else size
    return torch.zeros(2, channels, height, width, device=first.device, dtype=first.dtype)
