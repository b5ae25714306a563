"""Which checkpoints are whole, and what lies beside the student in them."""

import json
import logging
from pathlib import Path

from safetensors.torch import load_file, save_file

from .files import replacing

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


def _step(checkpoint):
    number = checkpoint.name.rsplit("-", 1)[-1]
    return int(number) if number.isdigit() else -1


def _is_complete(checkpoint):
    try:
        json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return True
