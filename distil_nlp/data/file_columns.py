"""Columns of encoded image or audio files."""

from dataclasses import dataclass
from typing import Any

import datasets

from ..internals.messages import listed, shown
from .columns import require_column


@dataclass(frozen=True)
class FileKind:
    """A kind of file in a column.

    Args:
        noun (`str`): "image" or "audio file", for messages.
        feature (`type`): The feature of `datasets` for this kind.
        names (`tuple[str]`): Usual column names, for columns without that feature.
        argument (`str`): The setting that names the column.
    """

    noun: str
    feature: type
    names: tuple[str, ...]
    argument: str


IMAGE_FILES = FileKind("image", datasets.Image, ("image", "img", "images", "picture"), "image_column")
AUDIO_FILES = FileKind("audio file", datasets.Audio, ("audio", "speech", "sound", "wav"), "audio_column")


def find_file_column(split: datasets.Dataset, kind: FileKind, column: str | None = None) -> str:
    """The column with files of a kind.

    Args:
        split (`datasets.Dataset`): With a column of the feature of the kind, or one with a usual name.
        kind (`FileKind`): `IMAGE_FILES` or `AUDIO_FILES`.
        column (`str`, *optional*): The name of the column, where the user gives it.

    Raises:
        ValueError: `column` does not exist or contains something else; without it, none or several columns fit.
    """
    columns = split.column_names
    if column is not None:
        require_column(column, columns, kind.argument)
        if not _holds_files(split.features[column], kind):
            raise ValueError(
                f"{kind.argument}={shown(column)} contains {shown(split.features[column])}; an {kind.noun} is stored "
                f"encoded, as bytes or by its path. The columns are {listed(columns)}."
            )
        return column
    candidates = [name for name in columns if isinstance(split.features[name], kind.feature)]
    candidates = candidates or [name for name in kind.names if name in columns]
    if len(candidates) == 1:
        return candidates[0]
    reason = (
        f"Several of them could be the {kind.noun}: {listed(candidates)}"
        if candidates
        else f"None of them contains {kind.noun}s"
    )
    raise ValueError(
        f"The columns are {listed(columns)}. {reason}. Set {kind.argument}. A folder of {kind.noun}s, with one subfolder "
        f"per class, is a data set, too: pass it as dataset_name."
    )


def _holds_files(feature: Any, kind: FileKind) -> bool:
    if isinstance(feature, dict):
        return {"bytes", "path"} <= set(feature)
    return isinstance(feature, kind.feature) or getattr(feature, "dtype", "") in ("string", "binary", "large_binary")
