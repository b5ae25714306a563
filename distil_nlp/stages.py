"""The stages of a network over images: where its maps are handed on to a smaller size."""

import inspect
from contextlib import contextmanager

import torch

_IMAGE = "pixel_values"
_CHANNELS, _SIZE = 3, 64  # large enough that five halvings still leave a map


def stages(model):
    """The modules that end the stages of an image model, in order of execution.

    `config.feature_paths` says so where it is there. Otherwise one look at an image of zeros does: a stage is the last
    module, in order of execution, at each size of map; maps of one pixel are vectors, and no stage. The model is left as
    it was: mode, statistics of normalisation and random state.

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
    maps = _maps_of(model)
    if not maps:
        raise ValueError(
            f"{type(model).__name__} has no stages to count: none of its modules returned a map of shape (batch, channels, "
            f"height, width). Give pairs of module names, as in model.named_modules()."
        )
    last = {size: name for name, size in maps.items()}  # maps are in order: of each size the last one stays
    return [name for name, size in maps.items() if last[size] == name]


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


def _maps_of(model):
    """Module name -> (height, width) of the map it returned last, in the order in which the modules finished."""
    maps, handles = {}, []

    def listener(name):
        def listen(module, inputs, output):
            first = output[0] if isinstance(output, (tuple, list)) and output else output
            maps.pop(name, None)  # a module that runs twice has the place of its last run
            if isinstance(first, torch.Tensor) and first.dim() == 4 and first[0, 0].numel() > 1:
                maps[name] = tuple(first.shape[2:])

        return listen

    image = _zeros(model)
    try:
        handles += [module.register_forward_hook(listener(name)) for name, module in model.named_modules() if name]
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
    return maps


def _show(model, image):
    names = [name for name in inspect.signature(model.forward).parameters]
    model(**{_IMAGE: image}) if _IMAGE in names else model(image)


def _zeros(model):
    config, first = getattr(model, "config", None), next(model.parameters(), torch.empty(0))
    channels = getattr(config, "num_channels", None)
    if channels is None:
        convolutions = (one.in_channels for one in model.modules() if isinstance(one, torch.nn.Conv2d))
        channels = next(convolutions, _CHANNELS)
    size = getattr(config, "image_size", None) or _SIZE
    height, width = (size, size) if isinstance(size, int) else size
    return torch.zeros(2, channels, height, width, device=first.device, dtype=first.dtype)
