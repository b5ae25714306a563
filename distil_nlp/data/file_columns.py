"""Which column holds images or sound: files, encoded as they lie on a disk."""

from dataclasses import dataclass

import datasets

from .columns import listed, require


@dataclass(frozen=True)
class FileKind:
    """A kind of files that a column may hold.

    Args:
        what (`str`): "image", as messages say it.
        feature (`type`): Of `datasets`, that says so.
        usual (`tuple[str]`): Names of such columns where no feature says it.
        argument (`str`): The setting that names the column.
        folder (`str`): What a folder of such files is.
    """

    what: str
    feature: type
    usual: tuple
    argument: str
    folder: str


IMAGES = FileKind("image", datasets.Image, ("image", "img", "images", "picture"), "image_column", "A folder of images")
SOUND = FileKind(
    "sound", datasets.Audio, ("audio", "speech", "sound", "wav"), "audio_column", "A folder of sound files"
)


def find_file_column(split, kind, given=None):
    """The column that holds files of a kind.

    Args:
        split (`datasets.Dataset`): A column of the feature of the kind, or one with a usual name.
        kind (`FileKind`): `IMAGES` or `SOUND`.
        given (`str`, *optional*): The name that settles it.

    Raises:
        ValueError: It is not there; there is none, or several.
    """
    found = split.column_names
    if given is not None:
        require(given, found, kind.argument)
        if not _holds_files(split.features[given], kind):
            article = "an" if kind.what[0] in "aeiou" else "a"
            raise ValueError(
                f"{kind.argument}={given!r} holds {split.features[given]}; {article} {kind.what} is an encoded file, as "
                f"bytes or by its path. The columns are {listed(found)}."
            )
        return given
    candidates = [name for name in found if isinstance(split.features[name], kind.feature)]
    candidates = candidates or [name for name in kind.usual if name in found]
    if len(candidates) == 1:
        return candidates[0]
    several, none = f"Several of them could be the {kind.what}", f"None of them holds {kind.what}s"
    what = f"{several}: {listed(candidates)}" if candidates else none
    raise ValueError(
        f"The columns are {listed(found)}. {what}. Set {kind.argument}. {kind.folder}, one subfolder a class, is a "
        f"data set, too: give it as dataset_name."
    )


def _holds_files(feature, kind):
    if isinstance(feature, dict):
        return {"bytes", "path"} <= set(feature)
    return isinstance(feature, kind.feature) or getattr(feature, "dtype", "") in ("string", "binary", "large_binary")
