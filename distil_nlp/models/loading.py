"""Load a model or a tokenizer from the Hub or a folder: safetensors only, no foreign code, plain messages."""

from pathlib import Path

import torch
import transformers

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
_PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json")


def load_model(auto_class, name_or_path, *, dtype="float32", trust_remote_code=False, **kwargs):
    """Load pretrained weights, in the precision we ask for rather than the one they were stored in.

    Args:
        auto_class (`type` or `str`): An auto class or a model class, or the name of one in `transformers`.
        name_or_path (`str` or `Path`): Hub id or folder.
        dtype (`str`): "float32", "bfloat16" or "float16". transformers 5 would take the checkpoint's own.
        trust_remote_code (`bool`): Run code that comes with the model. Off unless the user turns it on.
        kwargs: Passed to `from_pretrained` (`num_labels`, `id2label`, `revision`, ...).

    Returns:
        `(model, fresh)`: the model in eval mode, and the sorted names of parameters that the checkpoint
        does not hold and that were therefore initialized at random (a missing head, usually).

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


def load_tokenizer(name_or_path, *, trust_remote_code=False):
    """The tokenizer of a Hub id or folder, or None where there is none."""
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(name_or_path, trust_remote_code=trust_remote_code)
    except (OSError, ValueError):
        return None
    # Where a config names the architecture and no tokenizer file is there, transformers 5 makes one up that knows
    # its special tokens and nothing else.
    made_up = set(tokenizer.get_vocab()) <= set(tokenizer.all_special_tokens)
    return None if made_up else tokenizer


def check_folder(name_or_path):
    """Refuse a local folder that cannot be loaded, before any time is spent on it. Hub ids pass.

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
    found = sorted(path.name for path in folder.iterdir())
    listed = ", ".join(found[:8]) + (", ..." if len(found) > 8 else "") if found else "nothing"
    if "config.json" not in found:
        raise FileNotFoundError(
            f"{folder} has no config.json (found: {listed}), so its architecture is unknown. "
            f"Give a folder written by `save_pretrained`, or a Hub id."
        )
    if any(name in found for name in _WEIGHTS):
        return
    pickles = [name for name in found if name in _PICKLES or name.endswith((".bin", ".pt", ".pth", ".ckpt"))]
    if pickles:
        raise ValueError(
            f"{folder} holds its weights only as a pickle ({', '.join(pickles)}); unpickling can run foreign code, "
            f"so it is not loaded. Convert it where you trust it: load it there with transformers and call "
            f"`save_pretrained(folder)`, which writes model.safetensors."
        )
    raise FileNotFoundError(
        f"{folder} has a config.json but no weights (expected model.safetensors; found: {listed}). "
        f"Was the copy or the download cut off?"
    )
