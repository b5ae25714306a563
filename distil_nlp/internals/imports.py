"""Imports of optional dependencies, and a guard against a torchvision that cannot be imported.

The torchvision of the package index raises "operator torchvision::nms does not exist" when it is imported beside a CPU
build of torch. transformers imports it because it is installed, and then cannot import even BERT. `guard_torchvision`
makes it look as if it were not installed; no part of `distil_nlp` needs it.
"""

import importlib
import importlib.abc
import importlib.util
import logging
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

logger = logging.getLogger(__name__)

# Purpose -> its sentence in the error, the extra that installs its modules, and the modules.
_OPTIONAL = {
    "vision": ("Images are read with pillow", "vision", ["PIL.Image"]),
    "audio": ("Audio files are read with soundfile", "audio", ["soundfile"]),
    "word_errors": ("Word errors are counted with rapidfuzz", "audio", ["rapidfuzz.distance"]),
    "onnx": ("Export needs onnx, onnxscript and onnxruntime", "onnx", ["onnxruntime", "onnx", "onnxscript"]),
    "sweep": ("A search over settings needs Optuna", "sweep", ["optuna"]),
}


def import_extra(purpose: str) -> Any:
    """Import an optional dependency when it is first needed.

    Args:
        purpose (`str`): "vision", "audio", "word_errors", "onnx" or "sweep".

    Returns:
        The module: `PIL.Image`, `soundfile`, `rapidfuzz.distance`, `onnxruntime` or `optuna`.

    Raises:
        ImportError: It is missing or does not load; the message has the command that installs it.
    """
    sentence, extra, modules = _OPTIONAL[purpose]
    try:
        return [importlib.import_module(module) for module in modules][0]
    except (ImportError, OSError) as error:  # soundfile without libsndfile raises OSError
        raise ImportError(f'{sentence} ({error}). Install it: pip install "distil-nlp[{extra}]"') from error


class _Guard(importlib.abc.MetaPathFinder):
    """Tests torchvision when transformers is first imported, not earlier: the test imports torch, which is slow."""

    def find_spec(self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> None:
        """Test torchvision when `fullname` is transformers. Always None: other finders find the module."""
        if fullname == "transformers":
            sys.meta_path.remove(self)
            hide_where_broken()


def guard_torchvision() -> None:
    """Call `hide_where_broken` when transformers is imported; it has no effect after that."""
    if "transformers" not in sys.modules and importlib.util.find_spec("torchvision") is not None:
        sys.meta_path.insert(0, _Guard())


def hide_where_broken() -> None:
    """Make torchvision look as if it were not installed, in this process, if its import fails."""
    try:
        importlib.import_module("torchvision")
    except Exception as error:  # also an AttributeError, of an old torchvision beside a new torch
        for name in [name for name in sys.modules if name.startswith("torchvision.")]:
            del sys.modules[name]
        sys.modules["torchvision"] = None  # type: ignore[assignment]  # an import then raises ModuleNotFoundError
        logger.warning(
            "torchvision is installed and cannot be imported (%s: %s); it is not used, and images are read with pillow. "
            "Install the build that belongs to your torch, or uninstall it.",
            type(error).__name__,
            error,
        )
