"""A torchvision that cannot be imported counts as one that is not there.

The registry's torchvision beside a CPU build of torch raises "operator torchvision::nms does not exist" on import.
transformers sees that it is installed, imports it, and then cannot even import BERT. Nothing of ours needs it.
"""

import importlib
import importlib.abc
import importlib.util
import logging
import sys
from typing import Any

logger = logging.getLogger(__name__)


class _Guard(importlib.abc.MetaPathFinder):
    """Looks at torchvision when transformers is first imported: before that, nobody should wait for torch."""

    def find_spec(self, fullname, path=None, target=None):
        if fullname == "transformers":
            sys.meta_path.remove(self)
            hide_where_broken()
        return None  # who asked finds it by the usual ways


def guard_torchvision():
    """Have `hide_where_broken` called before transformers is imported; afterwards it is too late to help."""
    if "transformers" not in sys.modules and importlib.util.find_spec("torchvision") is not None:
        sys.meta_path.insert(0, _Guard())


def hide_where_broken():
    """Make torchvision look as if it were not installed, in this process, where its import fails."""
    try:
        importlib.import_module("torchvision")
    except Exception as error:  # an AttributeError, too: an old torchvision asks a new torch for what it no longer has
        for name in [name for name in sys.modules if name.startswith("torchvision.")]:
            del sys.modules[name]
        sys.modules["torchvision"] = None  # how Python writes down that there is none
        logger.warning(
            "torchvision is installed and cannot be imported (%s: %s); it is left alone, and images are read with pillow. "
            "Install the build that belongs to your torch, or uninstall it.",
            type(error).__name__,
            error,
        )


# Purpose -> its sentence in the error, the extra that installs its modules, and the modules.
_OPTIONAL = {
    "vision": ("Images are read with pillow", "vision", ["PIL.Image"]),
    "audio": ("Audio files are read with soundfile", "audio", ["soundfile"]),
    "word_errors": ("Word errors are counted with rapidfuzz", "audio", ["rapidfuzz.distance"]),
    "onnx": ("Export needs onnx, onnxscript and onnxruntime", "onnx", ["onnxruntime", "onnx", "onnxscript"]),
    "sweep": ("A search over settings needs Optuna", "sweep", ["optuna"]),
}


def import_extra(purpose: str) -> Any:
    """Import an optional dependency.

    Args:
        purpose (`str`): "vision", "audio", "word_errors", "onnx" or "sweep".

    Returns:
        The module: `PIL.Image`, `soundfile`, `rapidfuzz.distance`, `onnxruntime` or `optuna`.

    Raises:
        ImportError: It is missing or does not load; the message names the command that installs it.
    """
    sentence, extra, modules = _OPTIONAL[purpose]
    try:
        return [importlib.import_module(module) for module in modules][0]
    except (ImportError, OSError) as error:  # soundfile without libsndfile raises OSError
        raise ImportError(f'{sentence} ({error}). Install it: pip install "distil-nlp[{extra}]"') from error
