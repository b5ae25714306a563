"""Optional dependencies: imported when they are first needed, with the command that installs a missing one."""

import importlib

# What each extra is needed for, and its modules.
_EXTRAS = {
    "vision": ("Images are read with pillow", ["PIL.Image"]),
    "audio": ("Audio files are read with soundfile", ["soundfile"]),
    "onnx": ("Export needs onnx, onnxscript and onnxruntime", ["onnxruntime", "onnx", "onnxscript"]),
    "sweep": ("A search over settings needs Optuna", ["optuna"]),
}


def import_extra(extra):
    """Import what an extra of the package installs.

    Args:
        extra (`str`): "vision", "audio", "onnx" or "sweep".

    Returns:
        The module: `PIL.Image`, `soundfile`, `onnxruntime` or `optuna`.

    Raises:
        ImportError: It is missing or does not load; the message names the command that installs it.
    """
    purpose, modules = _EXTRAS[extra]
    try:
        return [importlib.import_module(module) for module in modules][0]
    except (ImportError, OSError) as error:  # soundfile without libsndfile raises OSError
        raise ImportError(f'{purpose} ({error}). Install it: pip install "distil-nlp[{extra}]"') from error
