"""Checks of the folder or Hub id of a model before it is loaded, and the reason why a processor cannot be loaded."""

import functools
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url, try_to_load_from_cache
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    HTTPError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)

from ..internals.files import read_json
from ..internals.memory import require_memory
from ..internals.messages import listed, printable, shown

logger = logging.getLogger(__name__)

TIMEOUT = 10.0  # seconds until a Hub that does not answer counts as unreachable
_WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
_PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json")
MAX_LAYERS = 10_000
_SIZE = re.compile(r"\d+x\d+")  # of a student, such as 4x256
_LAYERS = re.compile(r"(^|_)(layers?|blocks|depth)$")
_WIDTHS = ("hidden_size", "d_model", "n_embd", "dim")
_INNER_WIDTHS = ("intermediate_size", "hidden_dim", "encoder_ffn_dim", "d_ff", "ffn_dim", "n_inner")


def check_source(name_or_path: str | PathLike[str]) -> None:
    """Raise early for a model that cannot be loaded: a local folder, or an id of the form "owner/name" on the Hub.

    Raises:
        FileNotFoundError, ValueError: See `check_folder`. No such model on the Hub, or no access to it.
        ConnectionError: The Hub cannot be reached, and its cache does not have the model.
    """
    check_folder(name_or_path)
    check_reachable(name_or_path)


def check_reachable(name_or_path: str | PathLike[str]) -> None:
    """Raise early for an id of the form "owner/name" that is no local folder and that the Hub does not have.

    Raises:
        ValueError, ConnectionError: See `check_hub`.
    """
    if constants.HF_HUB_OFFLINE:  # the client then looks into its cache at once
        return
    if not Path(name_or_path).exists() and re.fullmatch(r"[^/.~][^/]*/[^/]+", str(name_or_path)):
        check_hub(str(name_or_path))


def check_folder(name_or_path: str | PathLike[str]) -> None:
    """Raise early for a local folder that cannot be loaded. Hub ids pass.

    Raises:
        FileNotFoundError: No folder, a link without a target, no config, or no weights.
        ValueError: Weights only as a pickle; a damaged config, or one with sizes that cannot be meant.
    """
    folder = Path(name_or_path)
    if not folder.is_dir():
        if folder.is_symlink() and not folder.is_file():  # not a Hub id of the same name
            raise FileNotFoundError(
                f"{shown(str(name_or_path))} is a link, and the folder that it points to is missing. Correct the link, or "
                f"give a folder written by `save_pretrained`."
            )
        if folder.is_file():
            raise ValueError(
                f"{shown(str(name_or_path))} is a file. A model is a folder written by `save_pretrained`, or a Hub id."
            )
        if str(name_or_path).startswith((".", "/", "~")):
            raise FileNotFoundError(
                f"There is no folder {shown(str(name_or_path))}. A model is a Hub id such as "
                f"'google-bert/bert-base-uncased' or a folder written by `save_pretrained`."
            )
        return
    files = sorted(path.name for path in folder.iterdir())
    found = listed(files, 8) or "nothing"
    if "config.json" not in files:
        raise FileNotFoundError(
            f"{folder} has no config.json (found: {found}), so its architecture is unknown. "
            f"Give a folder written by `save_pretrained`, or a Hub id."
        )
    _check_config(read_json(folder / "config.json"), str(folder))
    if any(name in files for name in _WEIGHTS):
        return
    pickles = [name for name in files if name in _PICKLES or name.endswith((".bin", ".pt", ".pth", ".ckpt"))]
    if pickles:
        raise ValueError(
            f"{folder} has its weights only as a pickle ({listed(pickles)}); unpickling can run foreign code, "
            f"so it is not loaded. Convert it where you trust it: load it there with transformers and call "
            f"`save_pretrained(folder)`, which writes model.safetensors."
        )
    raise FileNotFoundError(
        f"{folder} has a config.json but no weights (expected model.safetensors; found: {found}). "
        f"Was the copy or the download interrupted?"
    )


def _check_config(config: Any, name: str) -> None:
    """Raise ValueError for a config that is no mapping, or describes a model that cannot be built."""
    if not isinstance(config, dict):
        raise ValueError(f"The config.json of {name} should contain a mapping; got {shown(config)}. Restore the file.")
    numbers = dict(_numbers(config))
    for key, value in numbers.items():
        if _LAYERS.search(key) and value > MAX_LAYERS:
            raise ValueError(
                f"The config.json of {name} has {key}={value:,}, and a model of more than {MAX_LAYERS:,} layers cannot be "
                f"built. Correct the file."
            )
    # A lower bound: the two matrices of one feed-forward block, in half precision.
    width = max((numbers.get(key, 0) for key in _WIDTHS), default=0)
    inner = max((numbers.get(key, 0) for key in _INNER_WIDTHS), default=0)
    require_memory(2 * 2 * width * inner, f"The model {name} (width {width:,}, {inner:,})", "Correct its config.json.")


def _numbers(config: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """The whole numbers of a config, those of the configs within as well."""
    for key, value in config.items():
        if isinstance(value, int) and not isinstance(value, bool):
            yield key, value
        elif isinstance(value, dict) and key.endswith("config"):
            yield from _numbers(value)


# ---- The Hub ----


def check_exists(name_or_path: str | PathLike[str]) -> None:
    """Raise for a name that is neither a local folder nor the id of a model on the Hub.

    Raises:
        ValueError, ConnectionError: See `check_hub`.
    """
    if not Path(name_or_path).is_dir():
        check_hub(str(name_or_path))


@functools.cache
def check_hub(repo_id: str, *, repo_type: str = "model", file: str = "config.json") -> None:
    """Check in one request that the Hub has a repository. Later requests of the client repeat without a word for minutes.

    Args:
        repo_id (`str`): "owner/name".
        repo_type (`str`): "model" or "dataset".
        file (`str`): A file that such a repository usually has.

    Raises:
        ValueError: No valid id, no such repository, or no access to it.
        ConnectionError: The Hub cannot be reached, and the file is not in the cache.
    """
    what = "data set" if repo_type == "dataset" else "model"
    try:
        get_hf_file_metadata(hf_hub_url(repo_id, file, repo_type=repo_type), timeout=TIMEOUT)
    except HFValidationError as error:
        raise ValueError(
            f"{shown(repo_id)} is neither a folder nor a valid Hub id ({error}). A Hub id is 'owner/name'."
        ) from error
    except GatedRepoError as error:
        raise ValueError(
            f"The {what} {shown(repo_id)} needs access: ask for it on its page on the Hub, then log in with `hf auth "
            f"login`."
        ) from error
    except RepositoryNotFoundError as error:
        raise ValueError(
            f"The Hub has no {what} {shown(repo_id)} that your token can see, and there is no folder of that name. Check "
            f"the spelling; a private one needs `hf auth login`."
        ) from error
    except EntryNotFoundError:
        return
    except (OfflineModeIsEnabled, HfHubHTTPError, HTTPError) as error:
        if isinstance(try_to_load_from_cache(repo_id, file, repo_type=repo_type), str):
            if not isinstance(error, OfflineModeIsEnabled):
                logger.warning(
                    "%s cannot be reached (%s). The cached files of %s are used; HF_HUB_OFFLINE=1 saves the waiting.",
                    constants.ENDPOINT, error, repo_id,
                )  # fmt: skip
            return
        reason = (
            "HF_HUB_OFFLINE is set" if isinstance(error, OfflineModeIsEnabled) else f"{type(error).__name__}: {error}"
        )
        raise ConnectionError(
            f"The {what} {shown(repo_id)} is neither a folder nor in the cache of the Hub, and {constants.ENDPOINT} "
            f"cannot be reached ({reason}). Check the network, the proxy, HF_ENDPOINT and HF_HUB_OFFLINE, or give a folder."
        ) from error


# ---- Processors ----


def load_saved(
    auto_class: Any, name_or_path: str | PathLike[str], *, kind: str, files: Sequence[str], trust_remote_code: bool
) -> Any:
    """Load a processor, or return None where the model has none.

    Args:
        auto_class (`type`): An auto class of transformers.
        name_or_path (`str` or `Path`): Hub id or folder of the model.
        kind (`str`), files (`list[str]`): See `explain_missing`.
        trust_remote_code (`bool`): Run code that comes with the model.

    Raises:
        ValueError, ConnectionError: See `explain_missing`.
    """
    if (
        _SIZE.fullmatch(str(name_or_path)) and not Path(name_or_path).exists()
    ):  # the client would search the Hub for it
        return None
    check_reachable(name_or_path)
    try:
        return auto_class.from_pretrained(name_or_path, trust_remote_code=trust_remote_code)
    except Exception as error:  # tokenizers raises plain Exceptions
        explain_missing(name_or_path, error, kind=kind, files=files)
        return None


def check_remote_code(name_or_path: str | PathLike[str], error: Exception, *, kind: str) -> None:
    """Raise a ValueError with the way out if loading failed because code of the model would have to be run."""
    if "trust_remote_code" in str(error):
        raise ValueError(
            f"The {kind} of {name_or_path} is code that is stored with the model, and it is not run without your consent. "
            f"Read it; then set trust_remote_code to true."
        ) from error


def explain_missing(name_or_path: str | PathLike[str], error: Exception, *, kind: str, files: Sequence[str]) -> None:
    """Raise the reason why a processor cannot be loaded; return where the model has none.

    Args:
        name_or_path (`str` or `Path`): The model.
        error (`Exception`): Of the loading.
        kind (`str`): "tokenizer", "image processor" or "feature extractor".
        files (`list[str]`): The files of such a processor.

    Raises:
        ValueError: It needs code that is stored with the model; its files are damaged; no such model on the Hub.
        ConnectionError: The Hub cannot be reached.
    """
    reason = printable(str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__)
    check_remote_code(name_or_path, error, kind=kind)
    folder = Path(name_or_path)
    if folder.is_dir():
        present = [file for file in files if (folder / file).is_file()]
    else:
        if "/" in str(name_or_path):  # another name may be that of a network, or a size
            check_hub(str(name_or_path))
        present = [file for file in files if isinstance(try_to_load_from_cache(str(name_or_path), file), str)]
    if present:
        raise ValueError(
            f"The {kind} of {name_or_path} cannot be read ({listed(present)}): {reason}. Were the files cut off? Copy "
            f"or download them again."
        ) from error
