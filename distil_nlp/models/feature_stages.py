"""The stages of a network over images: where its maps are handed on to a smaller size."""

import inspect
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

_IMAGE = "pixel_values"
_CHANNELS, _SIZE = 3, 64  # large enough that five halvings still leave a map
# They make no map of their own: one more row, or what came in. (Attention drops out of maps of another kind.)
_NO_MAP = (nn.ConstantPad2d, nn.ReflectionPad2d, nn.ReplicationPad2d, nn.Dropout)


def stage_names(model):
    """The modules that end the stages of an image model, in order of execution.

    `config.feature_paths` says so where it is there. Otherwise one look at an image of zeros does: a stage is the last
    module, in order of execution, at each size of map. What a block does at the old size before it makes it smaller (norm,
    activation, a 1x1 convolution before the strided one) belongs to the block and ends no stage. Maps of one pixel are
    vectors. The model is left as it was: mode, statistics of normalization and random state.

    Args:
        model (`nn.Module`): Takes images of shape (batch, channels, height, width), `config.num_channels` and
            `config.image_size` of them; without these 3 (or what the first convolution takes) and 64 x 64.

    Returns:
        `list[str]`: Module names as in `model.named_modules()`.

    Raises:
        ValueError: It cannot be asked, has no maps, or its `feature_paths` name modules that are not there.
    """
    named = getattr(getattr(model, "config", None), "feature_paths", None)
    if named:
        return [_full_name(model, path) for path in named]
    runs = _runs_of(model)
    sizes = {run.after for run in runs.values()} - {None, (1, 1)}
    if not sizes:
        raise ValueError(
            f"{type(model).__name__} has no stages to count: none of its modules returned a map of shape (batch, channels, "
            f"height, width). Give pairs of module names, as in model.named_modules()."
        )
    ends = [_end_of_stage(runs, size) for size in sizes]
    return sorted(ends, key=lambda name: runs[name].end)


@contextmanager
def in_eval_mode(model):
    """Inside, every module of `model` is in eval mode; afterwards each is in the mode it was in, frozen ones included."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def _full_name(model, path):
    """Paths count from the model or, as a plain network says them, from the base model inside."""
    names = dict(model.named_modules())
    prefix = getattr(model, "base_model_prefix", "")
    for name in (path, f"{prefix}.{path}"):
        if name in names:
            return name
    raise ValueError(
        f"config.feature_paths of {type(model).__name__} names {path!r}, and there is no such module. Name modules that "
        f"end a stage, as in model.named_modules()."
    )


@dataclass
class _Run:
    """The last run of a module: when it began and ended, and the size (height, width) of the maps before and after.

    `mixes`: it is a convolution that looks beyond single pixels.
    """

    start: int
    before: tuple | None
    mixes: bool
    end: int = 0
    after: tuple | None = None


def _end_of_stage(runs, size):
    """The last module with maps of a size that is no beginning of a block in which they become smaller."""
    names = sorted((name for name, run in runs.items() if run.after == size), key=lambda name: runs[name].end)
    return next((name for name in reversed(names) if not _begins_a_block(runs, name)), names[-1])


def _begins_a_block(runs, name):
    """Whether all that happened to its size of map, since the smallest module around it that changes it, is pointwise."""
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


def _runs_of(model):
    """Module name -> its last `_Run`, of every module inside that ran on an image of zeros."""
    runs, handles, time = {}, [], iter(range(10**9))
    image = _zeros(model)

    def listeners(name, module):
        def begin(module, inputs, named):
            mixes = isinstance(module, nn.Conv2d) and max(module.kernel_size) > 1
            runs[name] = _Run(next(time), _size_of(next(iter([*inputs, *named.values()]), None), image), mixes)

        def finish(module, inputs, output):
            first = output[0] if isinstance(output, (tuple, list)) and output else output
            runs[name].end = next(time)
            runs[name].after = None if isinstance(module, _NO_MAP) else _size_of(first, image)

        yield module.register_forward_pre_hook(begin, with_kwargs=True)
        yield module.register_forward_hook(finish)

    try:
        for name, module in model.named_modules():
            handles += listeners(name, module) if name else ()
        with in_eval_mode(model), torch.no_grad(), torch.random.fork_rng():
            _show(model, image)
    except Exception as error:
        raise ValueError(
            f"The layers of {type(model).__name__} could not be counted: no config.feature_paths name them, and an image "
            f"of zeros, {tuple(image.shape)}, gave {type(error).__name__}: {error}. Set config.image_size and "
            f"config.num_channels to what it takes, or give pairs of module names."
        ) from error
    finally:
        for handle in handles:
            handle.remove()
    return runs


def _size_of(tensor, image):
    """(height, width) of a map, None where it is none: another shape, or channels in the last place."""
    if not isinstance(tensor, torch.Tensor) or tensor.dim() != 4:
        return None
    height, width = tensor.shape[2:]
    # A map has the image's proportions, but for rounding; (height, width, channels) has them by chance alone.
    return (height, width) if abs(height * image.shape[3] / image.shape[2] - width) <= 1 else None


def _show(model, image):
    names = inspect.signature(model.forward).parameters
    model(**{_IMAGE: image}) if _IMAGE in names else model(image)


def _zeros(model):
    config, first = getattr(model, "config", None), next(model.parameters(), torch.empty(0))
    channels = getattr(config, "num_channels", None)
    if channels is None:
        convolutions = (one.in_channels for one in model.modules() if isinstance(one, nn.Conv2d))
        channels = next(convolutions, _CHANNELS)
    size = getattr(config, "image_size", None) or _SIZE
    height, width = (size, size) if isinstance(size, int) else size
    return torch.zeros(2, channels, height, width, device=first.device, dtype=first.dtype)
