"""Complete checkpoints, and student weights saved under other names.

A run is resumed by `DistillationTrainer.train`, which chooses the checkpoint, and by the hooks in `training.compat`, which
save and load it.
"""

import json
import logging
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import safe_open
from torch import nn
from transformers import PreTrainedModel

logger = logging.getLogger(__name__)


def last_complete_checkpoint(folder: str | Path) -> Path | None:
    """The newest checkpoint in a folder that was written completely, or None.

    A run killed while saving leaves a checkpoint without a readable `trainer_state.json`: the trainer writes that last,
    after every process has written its part.
    """
    for checkpoint in sorted(Path(folder).glob("checkpoint-*"), key=_step, reverse=True):
        if _is_complete(checkpoint):
            return checkpoint
        logger.warning("%s was cut off while it was written; the checkpoint before it is used.", checkpoint)
    return None


def load_renamed(model: nn.Module, folder: str | Path) -> bool:
    """Load weights that a checkpoint contains under other names than the model's.

    transformers 5 saves the weights of some architectures (the backbones of DETR and its relatives) under the names of
    older versions. `from_pretrained` maps them back; `Trainer`, resuming, finds none of the model's own names, warns, and
    continues with random weights.

    Returns:
        `bool`: Whether weights were loaded. False if the names are the model's own: `Trainer` loads those correctly.

    Raises:
        ValueError: The checkpoint lacks some weights of the model under any name.
    """
    names = {name for file in Path(folder).glob("model*.safetensors") for name in _weight_names(file)}
    if not isinstance(model, PreTrainedModel) or names <= set(model.state_dict()):
        return False
    with torch.random.fork_rng():
        result = type(model).from_pretrained(
            folder, config=model.config, dtype=model.dtype, use_safetensors=True, output_loading_info=True
        )
    loaded, info = cast(tuple[PreTrainedModel, dict[str, Any]], result)  # a pair, with output_loading_info
    if info["missing_keys"]:
        raise ValueError(
            f"{folder} contains {len(names)} weights and lacks {len(info['missing_keys'])} of {type(model).__name__}'s "
            f"({', '.join(sorted(info['missing_keys'])[:3])}). Resume with the model the run was started with."
        )
    model.load_state_dict(loaded.state_dict())
    return True


def _weight_names(file: Path) -> list[str]:
    with safe_open(file, framework="pt") as weights:
        return list(weights.keys())


def _step(checkpoint: Path) -> int:
    number = checkpoint.name.rsplit("-", 1)[-1]
    return int(number) if number.isdigit() else -1


def _is_complete(checkpoint: Path) -> bool:
    try:
        json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return True
