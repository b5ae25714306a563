"""Complete checkpoints: which can be resumed from, with which settings, and weights saved under other names.

A run is resumed by `DistillationTrainer.train`, which chooses the checkpoint, and by the hooks in `training.compat`, which
save and load it.
"""

import json
import logging
import shutil
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError, safe_open
from torch import nn
from transformers import PreTrainedModel, TrainingArguments
from transformers.trainer_utils import has_length

from ..internals.checksums import (
    CHECKSUMS,
    DamagedFileError,
    check_files,
    mark_unfinished,
    read_checksums,
    write_checksums,
)
from ..internals.messages import shown

logger = logging.getLogger(__name__)

_STATE, _PROJECTIONS = "trainer_state.json", "projections.safetensors"
# What a checkpoint consists of: the files of each part (one of the patterns), and what is lost without it.
_PARTS = {
    _STATE: ((_STATE,), "the step"),
    "model.safetensors": (
        ("model*.safetensors", "adapter_model*", "pytorch_model*", "*/adapter_model*"),
        "the weights",
    ),
    "optimizer.pt": (("optimizer*", "global_step*", "rank*-optimizer.pt"), "the state of the optimizer"),
    "scheduler.pt": (("scheduler.pt", "global_step*"), "the learning rate"),
    "rng_state.pth": (("rng_state*.pth",), "the random state"),
}
_BEST = "load_best_model_at_end"
_SELECTION = (
    "eval_strategy",
    "eval_steps",
    "save_strategy",
    "save_steps",
    "metric_for_best_model",
    "greater_is_better",
)
_STEPS = {"eval_steps": "eval_strategy", "save_steps": "save_strategy"}
_SETTINGS = ("per_device_train_batch_size", "gradient_accumulation_steps", "seed", "data_seed", "train_sampling_strategy",
             "dataloader_drop_last")  # fmt: skip
_NAMES = {
    "processes": "the number of processes",
    "devices": "the number of GPUs of a process",
    "examples": "the number of training examples",
}


# ---- Which checkpoint ----


def last_complete_checkpoint(
    folder: str | Path, *, needs_projections: bool = False, needs_best: bool = False
) -> Path | None:
    """The newest checkpoint in a folder from which training can continue, or None.

    A checkpoint that was cut off while it was written, that lacks a part, or that was damaged later is passed over with a
    warning.

    Args:
        folder (`str` or `Path`): The trainer's output folder.
        needs_projections, needs_best (`bool`): See `check_checkpoint`.
    """
    for checkpoint in sorted(_checkpoints(folder), key=_step, reverse=True):
        try:
            check_checkpoint(checkpoint, needs_projections=needs_projections, needs_best=needs_best)
        except DamagedFileError as error:
            logger.warning("%s The checkpoint before it is used, if there is one.", error)
        else:
            return checkpoint
    return None


def check_checkpoint(
    checkpoint: str | Path, *, needs_projections: bool = False, needs_best: bool = False
) -> dict[str, Any]:
    """Check that a checkpoint is complete, and that no file was damaged since it was written.

    Args:
        checkpoint (`str` or `Path`): Written by this package or by `transformers.Trainer`.
        needs_projections (`bool`): The objective has weights, which are part of a checkpoint then.
        needs_best (`bool`): The best model is loaded at the end, so the best checkpoint must be complete, too.

    Returns:
        `dict`: Its `trainer_state.json`.

    Raises:
        DamagedFileError: A part is missing or damaged; the message names it.
    """
    folder = Path(checkpoint)
    if not folder.is_dir():
        raise DamagedFileError(f"There is no checkpoint {shown(str(folder))}.")
    content = read_checksums(folder)
    if content is not None and not content["complete"]:
        check_files(folder)
    parts = _PARTS | ({_PROJECTIONS: ((_PROJECTIONS,), "the projections")} if needs_projections else {})
    for name, (patterns, lost) in parts.items():
        if not any(True for pattern in patterns for _ in folder.glob(pattern)):
            raise DamagedFileError(
                f"{folder} contains no {name}, so {lost} would be lost, and training would end with other weights than "
                f"without the interruption. It was cut off while it was written, a file was deleted, or it was saved with "
                f"save_only_model=True."
            )
    _check_whole(folder)
    state = _read_state(folder)
    if needs_best and (best := state.get("best_global_step")) and best != state.get("global_step"):
        best_checkpoint = best_checkpoint_of(folder, state)
        if best_checkpoint is None:
            raise DamagedFileError(
                f"{folder} refers to the best checkpoint of the run so far, of step {best}, which is missing, and "
                f"load_best_model_at_end needs it."
            )
        _check_whole(best_checkpoint)
    return state


def best_checkpoint_of(checkpoint: str | Path, state: Mapping[str, Any]) -> Path | None:
    """The best checkpoint of a run: beside the checkpoint with this state (the folder may have been moved), or at the path
    that the state records."""
    candidates = [Path(checkpoint).parent / f"checkpoint-{state.get('best_global_step')}"]
    if state.get("best_model_checkpoint"):
        candidates.append(Path(state["best_model_checkpoint"]))
    return next((path for path in candidates if path.is_dir()), None)


def _read_state(folder: Path) -> dict[str, Any]:
    try:
        state = json.loads((folder / _STATE).read_text(encoding="utf-8"))
    except ValueError:
        state = None
    if not isinstance(state, dict) or not isinstance(state.get("global_step"), int):
        raise DamagedFileError(f"{folder} was cut off while it was written: its {_STATE} is incomplete.")
    return state


def _check_whole(folder: Path) -> None:
    """Raise for damaged files. Without checksums: safetensors contain their size, and pickles are zip archives."""
    if read_checksums(folder) is not None:
        return check_files(folder)
    for path in sorted(folder.iterdir()):
        if path.suffix == ".safetensors":
            try:
                with safe_open(path, framework="pt"):
                    pass
            except (SafetensorError, OSError, ValueError) as error:
                raise DamagedFileError(f"{path} is damaged ({error}).") from error
        elif path.suffix in (".pt", ".pth") and path.is_file():
            try:
                with zipfile.ZipFile(path) as archive:
                    damaged = archive.testzip()
            except zipfile.BadZipFile as error:
                raise DamagedFileError(f"{path} is damaged ({error}).") from error
            if damaged:
                raise DamagedFileError(f"{path} is damaged (in {damaged}).")


# ---- With which settings ----


def training_settings(args: TrainingArguments, dataset: Any) -> dict[str, Any]:
    """The settings that decide which rows a step reads and which checkpoint is the best; JSON-ready.

    Args:
        args (`TrainingArguments`): Of the trainer.
        dataset: Its training data.
    """
    settings = {name: getattr(args, name, None) for name in _SETTINGS}
    settings |= {"processes": args.world_size, "devices": max(args.n_gpu, 1)}
    settings |= {"examples": len(dataset) if has_length(dataset) else None, _BEST: args.load_best_model_at_end}
    if args.load_best_model_at_end:
        settings |= {name: getattr(args, name) for name in _SELECTION}
        # A number of steps has no effect with another strategy.
        settings |= {name: None for name, strategy in _STEPS.items() if getattr(args, strategy) != "steps"}
    return json.loads(json.dumps(settings, default=str))


def check_settings(checkpoint: str | Path, args: TrainingArguments, dataset: Any) -> None:
    """Check that training can continue from a checkpoint as if it had not been interrupted.

    Args:
        checkpoint (`str` or `Path`): A complete checkpoint.
        args (`TrainingArguments`), dataset: As for `training_settings`.

    Raises:
        ValueError: A setting differs; the message names it with both values.
    """
    before = (read_checksums(checkpoint) or {}).get("settings") or _settings_from_files(Path(checkpoint))
    now = training_settings(args, dataset)
    rows = [] if args.ignore_data_skip else [*_SETTINGS, *_NAMES]
    if args.auto_find_batch_size:
        rows.remove("per_device_train_batch_size")
    best = [_BEST, *_SELECTION] if args.load_best_model_at_end else []
    differing = [
        f"{_NAMES.get(name, name)} was {shown(before[name])} and is {shown(now[name])}"
        for name in [*rows, *best]
        if name in before and before[name] != now[name]
    ]
    if differing:
        raise ValueError(
            f"{checkpoint} was written with other settings: {'; '.join(differing)}. Rows would be repeated or left out, or "
            f"another checkpoint would be the best, so the result would be that of neither run. Continue with the settings "
            f"of before, or start again in another output_dir."
        )


def _settings_from_files(checkpoint: Path) -> dict[str, Any]:
    """The settings of a checkpoint of `transformers.Trainer`, as far as its files tell: each process saves its random
    state."""
    num_files = len(list(checkpoint.glob("rng_state_*.pth")))
    if num_files or (checkpoint / "rng_state.pth").is_file():
        return {"processes": num_files or 1}
    return {}


# ---- Writing ----


def begin_checkpoint(checkpoint: Path) -> None:
    """Make the folder of a checkpoint, without the files of an earlier one of this package, and mark it as unfinished."""
    if (checkpoint / CHECKSUMS).exists():
        delete_checkpoint(checkpoint)
    mark_unfinished(checkpoint)


def finish_checkpoint(checkpoint: Path, settings: Mapping[str, Any], *, limit: int | None, best: str | None) -> None:
    """Mark a checkpoint as complete, after all its files are on the disk, and delete the oldest ones beyond a limit.

    Args:
        checkpoint (`Path`): All its files are written.
        settings (`Mapping`): From `training_settings`.
        limit (`int`, *optional*): `save_total_limit`. Steps are compared, not times: a clock may be set back.
        best (`str`, *optional*): The best checkpoint, which is kept.
    """
    write_checksums(checkpoint, settings)
    if limit is None or limit <= 0:
        return
    # Those of later steps were passed over when the run was resumed; they are written again.
    done = sorted((path for path in _checkpoints(checkpoint.parent) if _step(path) <= _step(checkpoint)), key=_step)
    kept = {checkpoint.resolve()} | ({Path(best).resolve()} if best else set())
    others = [path for path in done if path.resolve() not in kept and _is_written(path)]
    for path in others[: max(len(done) - max(limit, len(done) - len(others)), 0)]:
        delete_checkpoint(path)


def delete_checkpoint(checkpoint: Path) -> None:
    """Delete a checkpoint; what is left of it if the process is killed meanwhile is marked as unfinished."""
    if checkpoint.is_symlink():  # its files are elsewhere, where a user keeps them
        checkpoint.unlink()
        return
    mark_unfinished(checkpoint)
    for path in checkpoint.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        elif path.name != CHECKSUMS:  # the mark is the last to go
            with suppress(OSError):
                path.unlink()
    shutil.rmtree(checkpoint, ignore_errors=True)


def delete_checkpoints(folder: str | Path) -> None:
    """Delete the checkpoints in a folder, and the folder if nothing else is in it. Files of users and logs stay."""
    for checkpoint in _checkpoints(folder):
        if _is_written(checkpoint):
            delete_checkpoint(checkpoint)
    with suppress(OSError):  # not empty, not there, or a link
        Path(folder).rmdir()


def delete_unfinished(folder: str | Path) -> None:
    """Delete the checkpoints in a folder that this package began to write or to delete when it was killed."""
    for checkpoint in _checkpoints(folder):
        try:
            content = read_checksums(checkpoint)
        except ValueError:
            continue
        if content is not None and not content["complete"]:
            delete_checkpoint(checkpoint)


def _checkpoints(folder: str | Path) -> list[Path]:
    return [path for path in Path(folder).glob("checkpoint-*") if path.is_dir() and _step(path) >= 0]


def _step(checkpoint: Path) -> int:
    number = checkpoint.name.removeprefix("checkpoint-")
    return int(number) if number.isascii() and number.isdigit() and str(int(number)) == number else -1


def _is_written(checkpoint: Path) -> bool:
    """Whether a folder with the name of a checkpoint was written by this package or by Trainer, and is no link."""
    if checkpoint.is_symlink():
        return False
    patterns = [CHECKSUMS, *(pattern for patterns, _ in _PARTS.values() for pattern in patterns)]
    return not any(checkpoint.iterdir()) or any(True for pattern in patterns for _ in checkpoint.glob(pattern))


# ---- Weights ----


def load_renamed(model: nn.Module, folder: str | Path) -> bool:
    """Load weights that a checkpoint contains under other names than the model's.

    transformers 5 saves the weights of some architectures (the backbones of DETR and its relatives) under the names of
    older versions. `from_pretrained` maps them back; `Trainer`, resuming, finds none of the model's own names, warns, and
    continues with random weights.

    Returns:
        `bool`: Whether weights were loaded. False if the names are the model's own: `Trainer` loads those correctly.

    Raises:
        ValueError: The checkpoint lacks some weights of the model under any name, or has others of another shape.
    """
    shapes = {name: shape for file in Path(folder).glob("model*.safetensors") for name, shape in _shapes(file).items()}
    own = model.state_dict()
    if not isinstance(model, PreTrainedModel) or shapes.keys() <= own.keys():
        if shapes:
            _check_weights(model, folder, own, shapes)
        return False
    with torch.random.fork_rng():
        result = type(model).from_pretrained(
            folder, config=model.config, dtype=model.dtype, use_safetensors=True, output_loading_info=True
        )
    loaded, info = cast(tuple[PreTrainedModel, dict[str, Any]], result)  # a pair, with output_loading_info
    _check_missing(model, folder, len(shapes), info["missing_keys"])
    model.load_state_dict(loaded.state_dict())
    return True


def _check_weights(
    model: nn.Module, folder: str | Path, own: Mapping[str, torch.Tensor], shapes: Mapping[str, tuple[int, ...]]
) -> None:
    """Raise for weights that Trainer would leave as they are, with a warning. Of tied weights one is saved."""
    not_saved = set(getattr(model, "_keys_to_ignore_on_save", None) or ())
    own = {name: weight for name, weight in own.items() if isinstance(weight, torch.Tensor) and name not in not_saved}
    stored = {own[name].data_ptr() for name in shapes if name in own}
    lost = [name for name, weight in own.items() if name not in shapes and weight.data_ptr() not in stored]
    _check_missing(model, folder, len(shapes), lost)
    for name, shape in shapes.items():
        if name in own and tuple(own[name].shape) != shape:
            raise ValueError(
                f"{folder} contains {name} with shape {shape}, and that of {type(model).__name__} has shape "
                f"{tuple(own[name].shape)}. Resume with the model the run was started with."
            )


def _check_missing(model: nn.Module, folder: str | Path, num_stored: int, missing: Any) -> None:
    if missing:
        raise ValueError(
            f"{folder} contains {num_stored} weights and lacks {len(missing)} of {type(model).__name__}'s "
            f"({', '.join(sorted(missing)[:3])}). Resume with the model the run was started with."
        )


def _shapes(file: Path) -> dict[str, tuple[int, ...]]:
    with safe_open(file, framework="pt") as weights:
        return {name: tuple(weights.get_slice(name).get_shape()) for name in weights.keys()}  # noqa: SIM118
