"""Load models and tokenizers from the Hub or a folder: safetensors only, no remote code by default, clear errors."""

from os import PathLike
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import PreTrainedModel, PreTrainedTokenizerBase

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
_PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json")


def load_model(
    auto_class: Any,
    name_or_path: str | PathLike[str],
    *,
    dtype: str = "float32",
    trust_remote_code: bool = False,
    **kwargs: Any,
) -> tuple[PreTrainedModel, list[str]]:
    """Load pretrained weights, in the requested precision rather than the stored one.

    Args:
        auto_class (`type` or `str`): An auto class, a model class or a loader with `from_pretrained`; or the name of one
            in `transformers`.
        name_or_path (`str` or `Path`): Hub id or folder.
        dtype (`str`): "float32", "bfloat16" or "float16". transformers 5 would use the checkpoint's own.
        trust_remote_code (`bool`): Run code that comes with the model. Off unless the user turns it on.
        kwargs: Passed to `from_pretrained` (`num_labels`, `id2label`, `revision`, ...).

    Returns:
        `(model, newly_initialized)`: the model in eval mode, and the sorted names of parameters that the checkpoint does
        not contain and that therefore have random values (usually of a head).

    Raises:
        ValueError: Unknown dtype.
        FileNotFoundError: A folder without weights, or without `config.json`.
        ValueError: A checkpoint that exists only as a pickle; loading it could run foreign code.
    """
    if dtype not in DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(DTYPES)}; got {dtype!r}.")
    if isinstance(auto_class, str):
        auto_class = getattr(transformers, auto_class)
    check_folder(name_or_path)
    model, info = auto_class.from_pretrained(
        name_or_path,
        dtype=DTYPES[dtype],
        use_safetensors=True,
        trust_remote_code=trust_remote_code,
        output_loading_info=True,
        **kwargs,
    )
    return model.eval(), sorted({*info["missing_keys"], *(name for name, *_ in info["mismatched_keys"])})


def load_tokenizer(
    name_or_path: str | PathLike[str], *, trust_remote_code: bool = False
) -> PreTrainedTokenizerBase | None:
    """Load the tokenizer of a Hub id or folder, or return None where there is none."""
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(name_or_path, trust_remote_code=trust_remote_code)
    except (OSError, ValueError):
        return None
    # Where a config names the architecture but there is no tokenizer file, transformers 5 creates a tokenizer with
    # only its special tokens.
    is_empty = set(tokenizer.get_vocab()) <= set(tokenizer.all_special_tokens)
    return None if is_empty else tokenizer


def check_folder(name_or_path: str | PathLike[str]) -> None:
    """Raise early for a local folder that cannot be loaded. Hub ids pass.

    Raises:
        FileNotFoundError, ValueError: See `load_model`.
    """
    folder = Path(name_or_path)
    if not folder.is_dir():
        if str(name_or_path).startswith((".", "/", "~")):
            raise FileNotFoundError(
                f"There is no folder {str(name_or_path)!r}. A model is a Hub id such as "
                f"'google-bert/bert-base-uncased' or a folder written by `save_pretrained`."
            )
        return
    files = sorted(path.name for path in folder.iterdir())
    listed = ", ".join(files[:8]) + (", ..." if len(files) > 8 else "") if files else "nothing"
    if "config.json" not in files:
        raise FileNotFoundError(
            f"{folder} has no config.json (found: {listed}), so its architecture is unknown. "
            f"Give a folder written by `save_pretrained`, or a Hub id."
        )
    if any(name in files for name in _WEIGHTS):
        return
    pickles = [name for name in files if name in _PICKLES or name.endswith((".bin", ".pt", ".pth", ".ckpt"))]
    if pickles:
        raise ValueError(
            f"{folder} has its weights only as a pickle ({', '.join(pickles)}); unpickling can run foreign code, "
            f"so it is not loaded. Convert it where you trust it: load it there with transformers and call "
            f"`save_pretrained(folder)`, which writes model.safetensors."
        )
    raise FileNotFoundError(
        f"{folder} has a config.json but no weights (expected model.safetensors; found: {listed}). "
        f"Was the copy or the download interrupted?"
    )
