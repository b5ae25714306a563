"""Which checkpoints are whole, and what lies beside the student in them."""

import json
import logging
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel

from ..internals.files import replacing

logger = logging.getLogger(__name__)

_PROJECTIONS = "projections.safetensors"


def last_complete_checkpoint(folder):
    """The newest checkpoint in a folder that was written to its end, or None.

    A run killed while saving leaves a folder without a readable `trainer_state.json`: the trainer writes that last,
    after every process has written its part.
    """
    found = sorted(Path(folder).glob("checkpoint-*"), key=_step, reverse=True)
    for checkpoint in found:
        if _is_complete(checkpoint):
            return checkpoint
        logger.warning("%s was cut off while it was written; the checkpoint before it is used.", checkpoint)
    return None


def save_projections(objective, folder):
    """Write the objective's own weights, if it has any, beside the student."""
    weights = objective.state_dict()
    if weights:
        with replacing(Path(folder) / _PROJECTIONS) as temporary:
            save_file({name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}, temporary)


def load_projections(objective, folder):
    """Read back what `save_projections` wrote.

    Raises:
        FileNotFoundError: The objective has weights and the checkpoint has none.
    """
    expected = objective.state_dict()
    if not expected:
        return
    path = Path(folder) / _PROJECTIONS
    if not path.is_file():
        raise FileNotFoundError(
            f"{folder} holds no {_PROJECTIONS}, but the objective has {len(expected)} weights of its own "
            f"({', '.join(list(expected)[:3])}). Resume with the objective the run was started with."
        )
    objective.load_state_dict(load_file(path))


def load_renamed(model, folder):
    """Load weights that lie in a checkpoint under other names than the model's own; `Trainer` would pass them over.

    transformers 5 gives the weights of some architectures (the backbones of DETR and its kin) the names of older versions
    when it saves them. `from_pretrained` knows that; `Trainer`, resuming, finds none of the model's own names, warns, and
    goes on with the random weights that are there.

    Returns:
        `bool`: Whether there was anything of the kind. Otherwise nothing is done, and `Trainer` is right.

    Raises:
        ValueError: Some weights of the model are in the checkpoint under no name at all.
    """
    names = {name for file in Path(folder).glob("model*.safetensors") for name in _names_in(file)}
    if not isinstance(model, PreTrainedModel) or names <= set(model.state_dict()):
        return False
    with torch.random.fork_rng():
        kept, info = type(model).from_pretrained(
            folder, config=model.config, dtype=model.dtype, use_safetensors=True, output_loading_info=True
        )
    if info["missing_keys"]:
        raise ValueError(
            f"{folder} holds {len(names)} weights, and {len(info['missing_keys'])} of {type(model).__name__}'s are not "
            f"among them ({', '.join(sorted(info['missing_keys'])[:3])}). Resume with the model the run was started with."
        )
    model.load_state_dict(kept.state_dict())
    return True


def _names_in(file):
    with safe_open(file, framework="pt") as weights:
        return list(weights.keys())


def _step(checkpoint):
    number = checkpoint.name.rsplit("-", 1)[-1]
    return int(number) if number.isdigit() else -1


def _is_complete(checkpoint):
    try:
        json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return True
